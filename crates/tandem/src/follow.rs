//! How commands go on with what comes (`--follow`): one loop for all of them, which ends with Ctrl-C or when nobody reads any more,
//! and what is shown again as it changes: in place on a terminal, else a copy below the one before.

use std::collections::HashSet;
use std::hash::Hash;
use std::io::{self, IsTerminal, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use ratatui::crossterm::cursor::{MoveTo, MoveToPreviousLine};
use ratatui::crossterm::queue;
use ratatui::crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap, EndSynchronizedUpdate,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level::pipe};

use crate::terminal::{DIM, Layout};

/// How often the store is asked for new ones, where a look is cheap.
pub const LOOK: Duration = Duration::from_millis(500);

/// The pause after a look is so many times as long as the look: whoever follows leaves the machine to others.
const LEISURE: u32 = 9;

/// Looks again and again, at most so often, until Ctrl-C or until nobody reads what is written.
pub fn go_on(
    out: &mut dyn Write,
    every: Duration,
    mut look: impl FnMut(&mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    let ending = Ending::new()?;
    let mut pause = every;
    loop {
        out.flush()?;
        if ending.comes_within(pause)? {
            return Ok(ExitCode::SUCCESS);
        }
        let began = Instant::now();
        look(out)?;
        pause = every.max(began.elapsed() * LEISURE);
    }
}

/// Shows what `draw` tells now, and again whenever it tells something else. `None`: there is nothing new to show.
pub fn show_anew(
    out: &mut dyn Write,
    every: Duration,
    mut draw: impl FnMut() -> anyhow::Result<Option<String>>,
) -> anyhow::Result<ExitCode> {
    let mut picture = Picture::default();
    let mut show = |out: &mut dyn Write| match draw()? {
        Some(text) => Ok(picture.show(out, text)?),
        None => Ok(()),
    };
    show(out)?;
    let code = go_on(out, every, show)?;
    picture.finish(out)?;
    Ok(code)
}

/// Whether what is shown anew replaces what was shown before.
pub fn draws_in_place() -> bool {
    Screen::of_stdout().is_some()
}

/// What there was at the last look, so that only what is new since then is told.
pub struct Told<K>(HashSet<K>);

impl<K> Default for Told<K> {
    fn default() -> Self {
        Self(HashSet::new())
    }
}

impl<K: Eq + Hash> Told<K> {
    /// Those of these that were not there the last time, by what makes them the same.
    pub fn news<'a, T>(&mut self, now: &'a [T], key: impl Fn(&T) -> K) -> Vec<&'a T> {
        let news = now.iter().filter(|one| !self.0.contains(&key(one))).collect();
        self.0 = now.iter().map(key).collect();
        news
    }
}

/// What ends a loop. A line that is being written is written to its end; who cannot wait for that presses Ctrl-C again.
struct Ending {
    signalled: UnixStream,
}

impl Ending {
    fn new() -> io::Result<Self> {
        let (signalled, signal) = UnixStream::pair()?;
        let asked = Arc::new(AtomicBool::new(false));
        for number in [SIGINT, SIGTERM] {
            // In this order: the first time it is not asked yet.
            flag::register_conditional_default(number, Arc::clone(&asked))?;
            flag::register(number, Arc::clone(&asked))?;
            pipe::register(number, signal.try_clone()?)?;
        }
        Ok(Self { signalled })
    }

    /// Waits so long, unless the end comes first.
    fn comes_within(&self, pause: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + pause;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            let stdout = io::stdout();
            // A pipe whose reader has gone says so without being asked.
            let mut sources = [PollFd::new(&self.signalled, PollFlags::IN), PollFd::new(&stdout, PollFlags::empty())];
            match poll(&mut sources, Some(&left)) {
                Ok(0) => return Ok(false),
                Ok(_) => return Ok(true),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// A terminal's size.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Screen {
    columns: usize,
    rows: usize,
}

impl Screen {
    /// That of standard output; `None`: it is no terminal, or one that only writes on.
    fn of_stdout() -> Option<Self> {
        let stdout = io::stdout();
        if !stdout.is_terminal() || std::env::var_os("TERM").is_none_or(|term| term == "dumb") {
            return None;
        }
        let (columns, rows) = terminal_size::terminal_size_of(&stdout)?;
        Some(Self { columns: columns.0.into(), rows: rows.0.into() }).filter(|screen| screen.rows > 2)
    }
}

/// What is shown again and again.
#[derive(Default)]
struct Picture {
    shown: String,
    /// How many lines of the screen it takes, and the screen's size at that time.
    drawn: Option<(usize, Screen)>,
}

impl Picture {
    fn show(&mut self, out: &mut dyn Write, text: String) -> io::Result<()> {
        let screen = Screen::of_stdout();
        if text == self.shown && self.drawn.is_none_or(|(_, before)| Some(before) == screen) {
            return Ok(());
        }
        match screen {
            Some(screen) => self.draw(out, &text, screen)?,
            None if self.shown.is_empty() => write!(out, "{text}")?,
            None => write!(out, "\n{text}")?,
        }
        self.shown = text;
        Ok(())
    }

    /// In place of what was drawn before; what there is no room for is only counted, as nothing can be drawn above the screen.
    fn draw(&mut self, out: &mut dyn Write, text: &str, screen: Screen) -> io::Result<()> {
        let count = text.lines().count();
        let room = screen.rows - 1;
        let mut frame = Vec::new();
        queue!(frame, BeginSynchronizedUpdate, DisableLineWrap)?;
        self.remove(&mut frame, screen)?;
        if count <= room {
            write!(frame, "{text}")?;
        } else {
            text.lines().take(room - 1).try_for_each(|line| writeln!(frame, "{line}"))?;
            let rest = format!("… {} more lines; Ctrl-C ends and shows all", count - (room - 1));
            writeln!(frame, "{}", Layout::of_stdout().paint(DIM, rest))?;
        }
        queue!(frame, EnableLineWrap, EndSynchronizedUpdate)?;
        self.drawn = Some((count.min(room), screen));
        out.write_all(&frame)
    }

    /// Takes away what was drawn before.
    fn remove(&self, frame: &mut Vec<u8>, screen: Screen) -> io::Result<()> {
        match self.drawn {
            None | Some((0, _)) => Ok(()),
            Some((lines, before)) if before == screen => {
                let lines = u16::try_from(lines).unwrap_or(u16::MAX);
                queue!(frame, MoveToPreviousLine(lines), Clear(ClearType::FromCursorDown))
            }
            // The terminal has broken its lines anew: nobody knows where they are.
            Some(_) => queue!(frame, Clear(ClearType::All), MoveTo(0, 0)),
        }
    }

    /// Leaves all of it behind.
    fn finish(&self, out: &mut dyn Write) -> io::Result<()> {
        match (self.drawn, Screen::of_stdout()) {
            (Some((lines, _)), Some(screen)) if lines < self.shown.lines().count() => {
                let mut frame = Vec::new();
                self.remove(&mut frame, screen)?;
                frame.extend_from_slice(self.shown.as_bytes());
                out.write_all(&frame)
            }
            _ => Ok(()),
        }
    }
}
