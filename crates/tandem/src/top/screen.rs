//! What is on the screen, and what keys do about it.

use std::cmp::Ordering;

use clap::ValueEnum;
use model::TraceSummary;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::facts::{Moment, Route};

/// What routes are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// Time that all requests took together.
    #[default]
    Time,
    /// Requests a second.
    Rate,
    /// Share of requests that failed.
    Errors,
    /// Median duration.
    P50,
    /// 99th percentile.
    P99,
    /// Requests that are being served.
    InFlight,
    /// Name of the service and the route.
    Name,
}

impl Order {
    const ALL: [Self; 7] = [Self::Time, Self::Rate, Self::Errors, Self::P50, Self::P99, Self::InFlight, Self::Name];

    /// What it is called on the screen.
    pub fn title(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Rate => "rate",
            Self::Errors => "errors",
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::InFlight => "in flight",
            Self::Name => "name",
        }
    }

    fn next(self) -> Self {
        let at = Self::ALL.iter().position(|order| *order == self).unwrap_or(0);
        Self::ALL[(at + 1) % Self::ALL.len()]
    }
}

/// Share of requests that failed, 0 to 1.
pub fn failed_share(route: &Route) -> f64 {
    route.ended.as_ref().map_or(0.0, |ended| ended.failed as f64 / ended.requests.max(1) as f64)
}

/// Duration at a quantile, ns; nothing where no request has ended.
pub fn quantile(route: &Route, at: f64) -> Option<u64> {
    let quantiles = &route.ended.as_ref()?.quantiles;
    quantiles.iter().find(|quantile| (quantile.at - at).abs() < 1e-9).map(|quantile| quantile.duration_ns)
}

/// Sorts routes, the largest first; names upwards. Time is the order in which they come.
pub fn sort(routes: &mut [Route], order: Order, reversed: bool) {
    let compare = |one: &Route, other: &Route| match order {
        Order::Time => Ordering::Equal,
        Order::Rate => other.rate.total_cmp(&one.rate),
        Order::Errors => failed_share(other).total_cmp(&failed_share(one)),
        Order::P50 => quantile(other, 0.5).cmp(&quantile(one, 0.5)),
        Order::P99 => quantile(other, 0.99).cmp(&quantile(one, 0.99)),
        Order::InFlight => other.in_flight.cmp(&one.in_flight),
        Order::Name => (&one.service, &one.operation).cmp(&(&other.service, &other.operation)),
    };
    routes.sort_by(compare);
    if reversed {
        routes.reverse();
    }
}

/// What is looked at.
#[derive(Clone, Debug, PartialEq)]
pub enum View {
    /// All routes.
    Routes,
    /// The traces of one route.
    Traces { title: String, traces: Vec<TraceSummary>, chosen: usize },
    /// One trace as text, and what was looked at before.
    Trace { lines: Vec<String>, top: usize, before: Box<View> },
}

/// What somebody else has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Quit,
    /// Look again, with another window.
    Look,
    /// Show the traces of a route: service and operation.
    ShowTraces(String, String),
    ShowTrace(model::TraceId),
}

/// Shortest and longest window, ns.
const WINDOWS: [u64; 8] = [10, 30, 60, 300, 900, 3600, 6 * 3600, 24 * 3600];
const SECOND: u64 = 1_000_000_000;

/// The state of the screen.
pub struct Screen {
    pub moment: Moment,
    pub view: View,
    pub order: Order,
    pub reversed: bool,
    pub paused: bool,
    pub helps: bool,
    /// Length of time that is looked at, ns.
    pub window: u64,
    /// Text that routes must contain, and whether it is being typed.
    pub filter: String,
    pub types: bool,
    /// Service and operation that the cursor is on, wherever they move.
    chosen: Option<(String, String)>,
    /// What went wrong last.
    pub problem: Option<String>,
}

impl Screen {
    pub fn new(order: Order, window: u64) -> Self {
        Self {
            moment: Moment::default(),
            view: View::Routes,
            order,
            reversed: false,
            paused: false,
            helps: false,
            window,
            filter: String::new(),
            types: false,
            chosen: None,
            problem: None,
        }
    }

    /// The routes as they are shown.
    pub fn routes(&self) -> Vec<Route> {
        let wanted = self.filter.to_lowercase();
        let fits = |route: &&Route| {
            route.service.to_lowercase().contains(&wanted) || route.operation.to_lowercase().contains(&wanted)
        };
        let mut routes: Vec<Route> = self.moment.routes.iter().filter(fits).cloned().collect();
        sort(&mut routes, self.order, self.reversed);
        routes
    }

    /// Where among them the cursor is.
    pub fn cursor(&self, routes: &[Route]) -> usize {
        let is_chosen = |route: &Route| {
            self.chosen
                .as_ref()
                .is_some_and(|(service, operation)| (service, operation) == (&route.service, &route.operation))
        };
        routes.iter().position(is_chosen).unwrap_or(0)
    }

    /// A key was pressed.
    pub fn key(&mut self, key: KeyEvent) -> Option<Action> {
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return Some(Action::Quit);
        }
        if self.types {
            self.typed(key.code);
            return None;
        }
        if self.helps {
            self.helps = false;
            return None;
        }
        match key.code {
            KeyCode::Char('q') => return Some(Action::Quit),
            KeyCode::Char('?' | 'h') => self.helps = true,
            KeyCode::Char('p') => self.paused = !self.paused,
            KeyCode::Char('+') => return self.widen(true),
            KeyCode::Char('-') => return self.widen(false),
            _ => {}
        }
        match &mut self.view {
            View::Routes => self.key_in_routes(key.code),
            View::Traces { traces, chosen, .. } => match key.code {
                KeyCode::Esc | KeyCode::Backspace | KeyCode::Left => {
                    self.view = View::Routes;
                    None
                }
                KeyCode::Enter | KeyCode::Right => traces.get(*chosen).map(|trace| Action::ShowTrace(trace.trace_id)),
                code => {
                    *chosen = moved(*chosen, code, traces.len());
                    None
                }
            },
            View::Trace { lines, top, before } => {
                match key.code {
                    KeyCode::Esc | KeyCode::Backspace | KeyCode::Left => {
                        let before = std::mem::replace(&mut **before, View::Routes);
                        self.view = before;
                    }
                    code => *top = moved(*top, code, lines.len()),
                }
                None
            }
        }
    }

    fn key_in_routes(&mut self, code: KeyCode) -> Option<Action> {
        let routes = self.routes();
        let at = self.cursor(&routes);
        match code {
            KeyCode::Char('s') => self.order = self.order.next(),
            KeyCode::Char('r') => self.reversed = !self.reversed,
            KeyCode::Char('/') => {
                self.types = true;
                self.filter.clear();
            }
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Enter | KeyCode::Right => {
                let route = routes.get(at)?;
                return Some(Action::ShowTraces(route.service.clone(), route.operation.clone()));
            }
            code => {
                let route = routes.get(moved(at, code, routes.len()));
                self.chosen = route.map(|route| (route.service.clone(), route.operation.clone()));
            }
        }
        None
    }

    fn typed(&mut self, code: KeyCode) {
        match code {
            KeyCode::Char(character) => self.filter.push(character),
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Esc => {
                self.filter.clear();
                self.types = false;
            }
            KeyCode::Enter => self.types = false,
            _ => {}
        }
    }

    fn widen(&mut self, wider: bool) -> Option<Action> {
        let other = match wider {
            true => WINDOWS.iter().find(|seconds| **seconds * SECOND > self.window),
            false => WINDOWS.iter().rev().find(|seconds| **seconds * SECOND < self.window),
        };
        self.window = other? * SECOND;
        Some(Action::Look)
    }
}

/// A place in a list of so many after a key that moves.
fn moved(at: usize, code: KeyCode, count: usize) -> usize {
    const PAGE: usize = 10;
    let to = match code {
        KeyCode::Down | KeyCode::Char('j') => at + 1,
        KeyCode::Up | KeyCode::Char('k') => at.saturating_sub(1),
        KeyCode::PageDown | KeyCode::Char(' ') => at + PAGE,
        KeyCode::PageUp => at.saturating_sub(PAGE),
        KeyCode::Home => 0,
        KeyCode::End => count,
        _ => at,
    };
    to.min(count.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(service: &str, operation: &str, rate: f64, in_flight: usize) -> Route {
        let (service, operation) = (service.to_owned(), operation.to_owned());
        Route { service, operation, rate, in_flight, oldest_in_flight_ns: None, ended: None }
    }

    fn screen() -> Screen {
        let mut screen = Screen::new(Order::Time, 60 * SECOND);
        screen.moment.routes = vec![route("shop", "GET /", 1.0, 9), route("orders", "Place", 5.0, 0)];
        screen
    }

    fn press(screen: &mut Screen, keys: &[KeyCode]) -> Option<Action> {
        keys.iter().map(|&code| screen.key(KeyEvent::new(code, KeyModifiers::NONE))).last().flatten()
    }

    fn shown(screen: &Screen) -> Vec<String> {
        screen.routes().iter().map(|route| route.operation.clone()).collect()
    }

    #[test]
    fn routes_are_sorted_and_found() {
        let mut screen = screen();
        assert_eq!(shown(&screen), ["GET /", "Place"]);
        press(&mut screen, &[KeyCode::Char('s')]);
        assert_eq!((screen.order, shown(&screen)), (Order::Rate, vec!["Place".to_owned(), "GET /".to_owned()]));
        press(&mut screen, &[KeyCode::Char('r')]);
        assert_eq!(shown(&screen), ["GET /", "Place"]);
        press(&mut screen, &[KeyCode::Char('/'), KeyCode::Char('q'), KeyCode::Backspace, KeyCode::Char('O')]);
        press(&mut screen, &[KeyCode::Char('r'), KeyCode::Enter]);
        assert_eq!(shown(&screen), ["Place"]);
        press(&mut screen, &[KeyCode::Esc]);
        assert_eq!(shown(&screen).len(), 2);
    }

    #[test]
    fn the_cursor_stays_on_its_route() {
        let mut screen = screen();
        press(&mut screen, &[KeyCode::Down, KeyCode::Down]);
        assert_eq!(screen.cursor(&screen.routes()), 1);
        screen.moment.routes.reverse();
        assert_eq!(screen.cursor(&screen.routes()), 0);
        let down = press(&mut screen, &[KeyCode::Enter]);
        assert_eq!(down, Some(Action::ShowTraces("orders".into(), "Place".into())));
    }

    #[test]
    fn one_goes_back_to_where_one_came_from() {
        let mut screen = screen();
        let list = View::Traces { title: String::new(), traces: Vec::new(), chosen: 0 };
        screen.view = View::Trace { lines: vec!["a".into(), "b".into()], top: 0, before: Box::new(list.clone()) };
        press(&mut screen, &[KeyCode::Down, KeyCode::Down]);
        assert!(matches!(screen.view, View::Trace { top: 1, .. }));
        press(&mut screen, &[KeyCode::Esc]);
        assert_eq!(screen.view, list);
        press(&mut screen, &[KeyCode::Esc]);
        assert_eq!(screen.view, View::Routes);
    }

    #[test]
    fn the_window_has_an_end_on_both_sides() {
        let mut screen = screen();
        assert_eq!(press(&mut screen, &[KeyCode::Char('+')]), Some(Action::Look));
        assert_eq!(screen.window, 300 * SECOND);
        assert_eq!(press(&mut screen, &[KeyCode::Char('-'); 9]), None);
        assert_eq!(screen.window, 10 * SECOND);
        let control = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(screen.key(control), Some(Action::Quit));
    }
}
