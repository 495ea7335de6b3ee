//! How `tandem top` looks. Text from spans is cleaned before it comes here.

use diagnose::{Piece, Quantile};
use model::{TraceSummary, format_duration};
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span as Text};
use ratatui::widgets::{Block, Clear, Paragraph, Widget};

use super::facts::Route;
use super::screen::{Screen, View, failed_share, quantile};
use crate::terminal::{clean, fit, width};
use crate::traces::moment;

/// Cells of a bar in the list.
pub const BAR: usize = 10;
/// Columns right of the route's name: rate, errors, p50, p99, in flight, bar, and what is between them.
const NUMBERS: usize = 6 + 1 + 5 + 1 + 7 + 1 + 7 + 1 + 4 + 1 + BAR;
const DIM: Style = Style::new().add_modifier(Modifier::DIM);
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const ERROR: Style = Style::new().fg(Color::Red);
const CHOSEN: Style = Style::new().add_modifier(Modifier::REVERSED);

const KEYS: [(&str, &str); 11] = [
    ("↑ ↓ PgUp PgDn", "choose"),
    ("Enter", "the traces of a route, then one trace"),
    ("Esc", "back"),
    ("s", "sort by the next column"),
    ("r", "the other way round"),
    ("/", "only routes that contain a text"),
    ("+ -", "look further back, or less far"),
    ("p", "pause"),
    ("TIME", "c on CPU, r run queue, g Go's queue, w waits in Go, k in the kernel"),
    ("?", "this"),
    ("q Ctrl-C", "end"),
];

pub fn draw(frame: &mut Frame<'_>, screen: &Screen) {
    let [top, middle, bottom] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)]).areas(frame.area());
    frame.render_widget(headline(screen, top.width.into()), top);
    let buffer = frame.buffer_mut();
    match &screen.view {
        View::Routes => routes(buffer, middle, screen),
        View::Traces { title, traces, chosen } => list(buffer, middle, title, traces, *chosen),
        View::Trace { lines, top, .. } => text(buffer, middle, lines, *top),
    }
    footline(screen, bottom.width.into()).render(bottom, buffer);
    if screen.helps {
        help(buffer, middle);
    }
}

fn headline(screen: &Screen, columns: usize) -> Line<'static> {
    let moment = &screen.moment;
    let rate: f64 = moment.routes.iter().map(|route| route.rate).sum();
    let in_flight: usize = moment.routes.iter().map(|route| route.in_flight).sum();
    let mut facts = format!(
        " last {} · {} routes · {}/s · {in_flight} in flight · by {}{}",
        length(if moment.window > 0 { moment.window } else { screen.window }),
        moment.routes.len(),
        number(rate),
        screen.order.title(),
        if screen.reversed { " reversed" } else { "" },
    );
    if !screen.filter.is_empty() || screen.types {
        facts += &format!(" · /{}", clean(&screen.filter));
    }
    if screen.paused {
        facts += " · paused";
    }
    let title = "tandem top";
    Line::from(vec![
        Text::styled(title, BOLD),
        Text::raw(fit(&facts, columns.saturating_sub(title.len())).into_owned()),
    ])
}

fn footline(screen: &Screen, columns: usize) -> Line<'static> {
    if let Some(problem) = &screen.problem {
        return Line::styled(fit(&clean(problem), columns).into_owned(), ERROR);
    }
    let keys = match screen.view {
        View::Routes => "↑↓ choose  Enter traces  s sort  / find  +- time  p pause  ? help  q end",
        View::Traces { .. } => "↑↓ choose  Enter trace  Esc back  ? help  q end",
        View::Trace { .. } => "↑↓ scroll  Esc back  q end",
    };
    Line::styled(fit(keys, columns).into_owned(), DIM)
}

/// Lines of the panel below the list: one for each quantile, and one that is empty.
const PANEL: u16 = 4;

fn routes(buffer: &mut Buffer, area: Rect, screen: &Screen) {
    let routes = screen.routes();
    let columns = usize::from(area.width);
    Line::styled(header(columns), DIM).render(area, buffer);
    if routes.is_empty() {
        let text = "no request has ended lately: tandem run -- ./app, or + to look further back";
        write(buffer, area, 2, Line::styled(fit(text, columns).into_owned(), DIM));
        return;
    }
    let height = area.height.saturating_sub(1 + PANEL).max(1);
    let cursor = screen.cursor(&routes);
    let first = cursor.saturating_sub(usize::from(height) - 1);
    for (line, (index, route)) in routes.iter().enumerate().skip(first).take(height.into()).enumerate() {
        let style = if index == cursor { CHOSEN } else { Style::new() };
        write(buffer, area, line as u16 + 1, row(route, columns).style(style));
    }
    let Some(ended) = routes.get(cursor).and_then(|route| route.ended.as_ref()) else { return };
    let below = area.height.saturating_sub(PANEL) + 1;
    for (line, quantile) in ended.quantiles.iter().enumerate() {
        write(buffer, area, below + line as u16, explained(quantile, columns));
    }
}

fn write(buffer: &mut Buffer, area: Rect, line: u16, text: Line<'_>) {
    if line < area.height {
        text.render(Rect { y: area.y + line, height: 1, ..area }, buffer);
    }
}

/// Columns of the service and of the route.
fn names(columns: usize) -> (usize, usize) {
    let left = columns.saturating_sub(NUMBERS + 2);
    let service = (left / 3).clamp(6, 20).min(left);
    (service, left.saturating_sub(service))
}

/// The line above the list.
pub fn header(columns: usize) -> String {
    let (service, route) = names(columns);
    format!(
        "{:<service$} {:<route$} {:>6} {:>5} {:>7} {:>7} {:>4} {:<BAR$}",
        "SERVICE", "ROUTE", "RATE/s", "ERR", "P50", "P99", "NOW", "TIME"
    )
}

/// One route.
pub fn row(route: &Route, columns: usize) -> Line<'static> {
    let (service, name) = names(columns);
    let failed = failed_share(route);
    let errors = if failed > 0.0 { format!("{:.1}%", failed * 100.0) } else { "·".to_owned() };
    let time = |at| quantile(route, at).map_or_else(|| "·".to_owned(), format_duration);
    let now = if route.in_flight > 0 { route.in_flight.to_string() } else { "·".to_owned() };
    let mut pieces = vec![
        Text::raw(format!("{} ", padded(&route.service, service))),
        Text::styled(format!("{} ", padded(&route.operation, name)), BOLD),
        Text::raw(format!("{:>6} ", number(route.rate))),
        Text::styled(format!("{errors:>5} "), if failed > 0.0 { ERROR } else { DIM }),
        Text::raw(format!("{:>7} {:>7} {now:>4} ", time(0.5), time(0.99))),
    ];
    let median = route.ended.as_ref().and_then(|ended| ended.quantiles.first());
    pieces.extend(median.map(|median| bar(&median.pieces, BAR)).unwrap_or_default());
    Line::from(pieces)
}

fn padded(text: &str, columns: usize) -> String {
    let text = fit(&clean(text), columns).into_owned();
    let blanks = " ".repeat(columns.saturating_sub(width(&text)));
    text + &blanks
}

/// Where the time around a quantile goes: a bar, then the largest pieces in words.
fn explained(quantile: &Quantile, columns: usize) -> Line<'static> {
    let whole: u64 = quantile.pieces.iter().map(|piece| piece.time_ns).sum();
    let title = format!("p{:<3.0} {:>8}  ", quantile.at * 100.0, format_duration(quantile.duration_ns));
    let mut pieces = vec![Text::styled(title.clone(), BOLD)];
    pieces.extend(bar(&quantile.pieces, 2 * BAR));
    let mut left = columns.saturating_sub(width(&title) + 2 * BAR);
    for piece in &quantile.pieces {
        let share = 100.0 * piece.time_ns as f64 / whole.max(1) as f64;
        let text = format!("  {:.0}% {} in {}", share, clean(&piece.part), clean(&piece.operation));
        if share < 1.0 || left < 8 {
            break;
        }
        let text = fit(&text, left).into_owned();
        left -= width(&text);
        pieces.push(Text::styled(text, part(&piece.part).1));
    }
    Line::from(pieces)
}

/// Parts of time, the colour of each as in `tandem trace`, its letter for those who see none.
fn part(name: &str) -> (char, Style) {
    let (letter, colour) = match name {
        "on_cpu" => ('c', Color::Green),
        "run_queue" => ('r', Color::Red),
        "go_runnable" => ('g', Color::Yellow),
        _ if name.starts_with("go_") => ('w', Color::Blue),
        "unmeasured" | "unexplained" => ('?', Color::DarkGray),
        _ => ('k', Color::Magenta),
    };
    (letter, Style::new().fg(colour))
}

/// So many cells, shared out by time; what is largest comes first.
fn bar(pieces: &[Piece], cells: usize) -> Vec<Text<'static>> {
    let mut groups: Vec<(char, Style, u64)> = Vec::new();
    for piece in pieces {
        let (letter, style) = part(&piece.part);
        match groups.iter_mut().find(|group| group.0 == letter) {
            Some(group) => group.2 += piece.time_ns,
            None => groups.push((letter, style, piece.time_ns)),
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.2));
    let whole: u64 = groups.iter().map(|group| group.2).sum();
    let (mut bar, mut used, mut passed) = (Vec::new(), 0, 0);
    for (letter, style, time) in groups {
        passed += time;
        let end = (u128::from(passed) * cells as u128 / u128::from(whole.max(1))) as usize;
        if end > used {
            bar.push(Text::styled(letter.to_string().repeat(end - used), style.add_modifier(Modifier::REVERSED)));
            used = end;
        }
    }
    bar
}

fn list(buffer: &mut Buffer, area: Rect, title: &str, traces: &[TraceSummary], chosen: usize) {
    let columns = usize::from(area.width);
    write(buffer, area, 0, Line::styled(fit(&clean(title), columns).into_owned(), BOLD));
    if traces.is_empty() {
        write(buffer, area, 2, Line::styled("none of its traces is in the store any more", DIM));
    }
    let height = usize::from(area.height.saturating_sub(1)).max(1);
    for (line, (index, trace)) in
        traces.iter().enumerate().skip(chosen.saturating_sub(height - 1)).take(height).enumerate()
    {
        let errors = if trace.error_count > 0 { ERROR } else { Style::new() };
        let before = format!(
            "{} {:>9} {:>5} spans  {}  ",
            moment(trace.start_unix_nano, "%H:%M:%S"),
            format_duration(trace.duration_ns),
            trace.span_count,
            &trace.trace_id.to_string()[..8],
        );
        let root = fit(&clean(&trace.root), columns.saturating_sub(width(&before))).into_owned();
        let text = Line::from(vec![Text::raw(before), Text::styled(root, errors)]);
        write(buffer, area, line as u16 + 1, text.style(if index == chosen { CHOSEN } else { Style::new() }));
    }
}

fn text(buffer: &mut Buffer, area: Rect, lines: &[String], top: usize) {
    for (line, text) in lines.iter().skip(top).take(area.height.into()).enumerate() {
        write(buffer, area, line as u16, Line::raw(text.as_str()));
    }
}

fn help(buffer: &mut Buffer, area: Rect) {
    let lines: Vec<Line<'_>> = KEYS
        .iter()
        .map(|(key, what)| Line::from(vec![Text::styled(format!("{key:<14} "), BOLD), Text::raw(*what)]))
        .collect();
    let height = (lines.len() as u16 + 2).min(area.height);
    let width = 78.min(area.width);
    let area = Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    Clear.render(area, buffer);
    Paragraph::new(lines).block(Block::bordered().title(" keys ")).render(area, buffer);
}

/// A length of time as one says it, to the second.
fn length(nanos: u64) -> String {
    match nanos / 1_000_000_000 {
        hours if hours >= 3600 && hours % 3600 == 0 => format!("{} h", hours / 3600),
        minutes if minutes >= 60 && minutes % 60 == 0 => format!("{} min", minutes / 60),
        seconds => format!("{seconds} s"),
    }
}

/// A number in five columns.
fn number(value: f64) -> String {
    match value {
        _ if value >= 1e6 => format!("{:.1}M", value / 1e6),
        _ if value >= 1e4 => format!("{:.1}k", value / 1e3),
        _ if value >= 100.0 => format!("{value:.0}"),
        _ if value == 0.0 => "·".to_owned(),
        _ if value < 0.05 => "<0.1".to_owned(),
        _ => format!("{value:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use diagnose::{CauseKind, RouteTime};
    use insta::assert_snapshot;
    use model::TraceId;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::screen::Order;
    use super::*;

    fn piece(part: &str, operation: &str, time_ns: u64) -> Piece {
        let (service, kind) = ("orders".to_owned(), CauseKind::Kernel);
        Piece { service, operation: operation.into(), part: part.into(), kind, time_ns, calls: 1.0 }
    }

    fn route(service: &str, operation: &str, failed: usize) -> Route {
        let quantile = |at, duration_ns| Quantile {
            at,
            duration_ns,
            requests: 10,
            example: TraceId([1; 16]),
            pieces: vec![
                piece("blocked_network", "SELECT orders", duration_ns / 2),
                piece("on_cpu", operation, duration_ns / 4),
                piece("run_queue", operation, duration_ns / 4),
            ],
        };
        let quantiles = vec![quantile(0.5, 12_300_000), quantile(0.95, 80_000_000), quantile(0.99, 1_200_000_000)];
        let (service, operation) = (service.to_owned(), operation.to_owned());
        let ended = RouteTime {
            service: service.clone(),
            operation: operation.clone(),
            requests: 200,
            failed,
            first_unix_nano: 0,
            last_unix_nano: 1,
            quantiles,
        };
        Route { service, operation, rate: 123.4, in_flight: failed, oldest_in_flight_ns: None, ended: Some(ended) }
    }

    fn shown(screen: &Screen, columns: u16, lines: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(columns, lines)).expect("it writes to memory");
        terminal.draw(|frame| draw(frame, screen)).expect("it writes to memory");
        terminal.backend().to_string()
    }

    fn screen() -> Screen {
        let mut screen = Screen::new(Order::Time, 60_000_000_000);
        let hostile = route("gate\u{1b}[31mway", "GET /produits/寿司寿司寿司寿司寿司寿司", 0);
        screen.moment.routes = vec![route("orders", "shop.v1.Orders/Place", 3), hostile];
        screen
    }

    #[test]
    fn routes_fit_on_80_columns() {
        assert_snapshot!(shown(&screen(), 80, 12));
    }

    #[test]
    fn help_lies_above_them() {
        let mut screen = screen();
        screen.helps = true;
        assert_snapshot!(shown(&screen, 80, 18));
    }

    #[test]
    fn whatever_the_size_something_is_shown() {
        for (columns, lines) in [(1, 1), (10, 3), (40, 4), (250, 60)] {
            shown(&screen(), columns, lines);
            shown(&Screen::new(Order::Name, 1), columns, lines);
        }
    }

    #[test]
    fn a_bar_is_full() {
        let cells = |pieces: &[Piece]| bar(pieces, BAR).iter().map(|text| text.content.to_string()).collect::<String>();
        assert_eq!(cells(&[piece("on_cpu", "a", 1), piece("run_queue", "a", 2)]), "rrrrrrcccc");
        assert_eq!(cells(&[piece("on_cpu", "a", 1), piece("go_mutex", "a", 1_000_000)]), "wwwwwwwwwc");
        assert_eq!(cells(&[]), "");
    }
}
