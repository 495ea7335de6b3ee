//! `tandem top`: services and their routes at work: rates, errors, durations, where the time goes, what is being served.

mod draw;
mod facts;
mod screen;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use clap::Args;
use model::TraceId;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use store::Reader;

use crate::terminal::{self, Layout};
use crate::trace;
use crate::traces::{StoreFolder, duration};
use facts::Moment;
pub use facts::{Wanted, look};
use screen::{Action, Order, Screen, View, sort};

/// How often it is looked, and how soon a key is answered.
const LOOK_EVERY: Duration = Duration::from_secs(2);
const KEYS_EVERY: Duration = Duration::from_millis(100);

/// Show services and routes at work: requests a second, errors, p50 and p99, where the median's time goes, and requests that are being
/// served just now.
///
/// Durations and rates are those of the traces in the store: where only a share of them is kept, an agent's metrics (`--metrics`) know all
/// requests. What is being served is read from the memory of woven programs of yours (root's: everybody's).
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Top {
    /// Only requests to this service.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// How far back.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    since: u64,
    /// What comes first.
    #[arg(long, value_enum, default_value_t)]
    sort: Order,
    /// Print the routes once and end; so it is where the output is no terminal.
    #[arg(long)]
    once: bool,
    /// One JSON object a line, a route each; once.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreFolder,
}

/// What `--help` shows below the options.
const EXAMPLES: &str = "\
Examples:
  tandem top                                       # the last minute, until q; ? lists the keys
  tandem top --service orders --since 10m --sort p99
  tandem top --once --sort errors                  # one table, as where the output is no terminal
  tandem top --json                                # one object a route

Exit codes: 0; 1 when the store cannot be read.";

impl Top {
    pub fn run(self) -> ExitCode {
        terminal::report(|out| {
            let reader = Reader::open(&self.store.path())?;
            if self.json || self.once || !std::io::stdout().is_terminal() {
                self.print(out, &reader)?;
            } else {
                let mut terminal = ratatui::try_init()?;
                let outcome = self.watch(&mut terminal, reader);
                ratatui::try_restore()?;
                outcome?;
            }
            Ok(ExitCode::SUCCESS)
        })
    }

    fn wanted(&self, window: u64) -> Wanted {
        Wanted { service: self.service.clone(), window }
    }

    fn print(&self, out: &mut dyn Write, reader: &Reader) -> anyhow::Result<()> {
        let mut moment = look(reader, &self.wanted(self.since))?;
        sort(&mut moment.routes, self.sort, false);
        let columns = Layout::of_stdout().columns;
        if !self.json {
            writeln!(out, "{}", draw::header(columns).trim_end())?;
        }
        for route in &moment.routes {
            if self.json {
                terminal::json_line(out, route)?;
            } else {
                writeln!(out, "{}", draw::row(route, columns).to_string().trim_end())?;
            }
        }
        if moment.routes.is_empty() && !self.json {
            eprintln!("no request has ended in that time in {}", reader.folder().display());
            eprintln!("  tandem top --since 1h             looks further back");
            eprintln!("  tandem run -- ./app               makes some: use the program meanwhile");
        }
        Ok(())
    }

    /// Until somebody has seen enough.
    fn watch(&self, terminal: &mut DefaultTerminal, reader: Reader) -> anyhow::Result<()> {
        let mut screen = Screen::new(self.sort, self.since);
        let (wishes, wished) = mpsc::channel();
        let (moments, seen) = mpsc::channel();
        let looker = self.wanted(self.since);
        let folder = self.store.path();
        thread::Builder::new().name("look".to_owned()).spawn(move || look_again(&reader, looker, &wished, &moments))?;
        let reader = Reader::open(&folder)?;
        loop {
            while let Ok(moment) = seen.try_recv() {
                match moment {
                    Ok(moment) if !screen.paused => (screen.moment, screen.problem) = (moment, None),
                    Ok(_) => {}
                    Err(problem) => screen.problem = Some(problem),
                }
            }
            terminal.draw(|frame| draw::draw(frame, &screen))?;
            if !event::poll(KEYS_EVERY)? {
                continue;
            }
            let Event::Key(key) = event::read()? else { continue };
            let action = if key.kind == KeyEventKind::Release { None } else { screen.key(key) };
            match action {
                None => {}
                Some(Action::Quit) => return Ok(()),
                Some(Action::Look) => drop(wishes.send(self.wanted(screen.window))),
                Some(action) => {
                    if let Err(problem) = go_down(&mut screen, &reader, &action) {
                        screen.problem = Some(problem.to_string());
                    }
                }
            }
        }
    }
}

/// Looks again and again, on a thread of its own, until nobody wants to know.
fn look_again(
    reader: &Reader,
    mut wanted: Wanted,
    wishes: &Receiver<Wanted>,
    moments: &Sender<Result<Moment, String>>,
) {
    loop {
        let moment = look(reader, &wanted).map_err(|error| error.to_string());
        if moments.send(moment).is_err() {
            return;
        }
        match wishes.recv_timeout(LOOK_EVERY) {
            Ok(wish) => wanted = wish,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// From a route to its traces, from a trace to its spans.
fn go_down(screen: &mut Screen, reader: &Reader, action: &Action) -> anyhow::Result<()> {
    match action {
        Action::ShowTraces(service, operation) => {
            let route = |one: &&facts::Route| (&one.service, &one.operation) == (service, operation);
            let Some(route) = screen.moment.routes.iter().find(route) else { return Ok(()) };
            let traces = facts::traces_of(reader, route, screen.window)?;
            let title = format!("{service}  {operation}: the slowest of the last traces");
            screen.view = View::Traces { title, traces, chosen: 0 };
        }
        Action::ShowTrace(id) => {
            let lines = drawn(reader, *id)?;
            let before = Box::new(std::mem::replace(&mut screen.view, View::Routes));
            screen.view = View::Trace { lines, top: 0, before };
        }
        Action::Quit | Action::Look => {}
    }
    Ok(())
}

/// A trace as `tandem trace` prints it.
fn drawn(reader: &Reader, id: TraceId) -> anyhow::Result<Vec<String>> {
    let Some(found) = reader.trace(id)? else { return Ok(vec!["the trace is not in the store any more".to_owned()]) };
    let mut text = Vec::new();
    trace::print(&mut text, &found, Layout { colours: false, ..Layout::of_stdout() })?;
    Ok(String::from_utf8_lossy(&text).lines().map(str::to_owned).collect())
}
