//! What the libraries have to say, as this program says it.

use std::fmt;
use std::io;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// What the libraries have to say goes to standard error, a line each.
pub fn say() {
    let level = if std::env::var_os("TANDEM_DEBUG").is_some() { Level::DEBUG } else { Level::WARN };
    // Fails when it has been done before.
    let _ = tracing::subscriber::set_global_default(
        tracing_subscriber::fmt().with_max_level(level).with_writer(io::stderr).event_format(Line).finish(),
    );
}

/// `tandem: warning: …`
struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let word = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warning",
            _ => "debug",
        };
        write!(out, "tandem: {word}: ")?;
        context.field_format().format_fields(out.by_ref(), event)?;
        writeln!(out)
    }
}
