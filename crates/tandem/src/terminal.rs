//! What the commands share when they write for people: width, colours, and text that may be anything.
//!
//! Text from spans goes through [`clean`], so that it can neither break the layout nor speak to the terminal.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns when nobody says how many there are.
const USUAL_COLUMNS: usize = 80;
/// Fewer are treated as these: below, nothing is readable.
const FEWEST_COLUMNS: usize = 40;

/// Where and how to write.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Columns of a line.
    pub columns: usize,
    /// Colours may be used.
    pub colours: bool,
}

impl Layout {
    /// That of standard output. `COLUMNS` sets the width, `NO_COLOR` (not empty) switches colours off.
    pub fn of_stdout() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let terminal = io::stdout().is_terminal();
        let of_terminal = || terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
        let columns = variable("COLUMNS").and_then(|columns| columns.parse().ok()).or_else(of_terminal);
        Self {
            columns: columns.unwrap_or(USUAL_COLUMNS).max(FEWEST_COLUMNS),
            colours: terminal && variable("NO_COLOR").is_none() && variable("TERM").is_none_or(|term| term != "dumb"),
        }
    }

    /// Text in a style, where colours may be used.
    pub fn paint<T: fmt::Display>(self, style: Style, text: T) -> Painted<T> {
        Painted { style: if self.colours { style } else { Style::new() }, text }
    }
}

/// Less important.
pub const DIM: Style = Style::new().dimmed();
/// The most important.
pub const BOLD: Style = Style::new().bold();
/// Errors.
pub const ERROR: Style = AnsiColor::Red.on_default();
/// What to look out for.
pub const NOTICE: Style = AnsiColor::Yellow.on_default();
/// Time as a picture.
pub const BAR: Style = AnsiColor::Cyan.on_default();

/// Text with a style around it.
pub struct Painted<T> {
    style: Style,
    text: T,
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}{:#}", self.style, self.text, self.style)
    }
}

/// Columns that a text takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// The text without what would move the cursor, change colours or reverse the line.
pub fn clean(text: &str) -> Cow<'_, str> {
    // Controls, and the marks that change the direction of what follows.
    let harmful = |character: char| {
        character.is_control()
            || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(harmful) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' | '\r' => cleaned.push(' '),
            _ if harmful(character) => cleaned.extend(character.escape_unicode()),
            _ => cleaned.push(character),
        }
    }
    Cow::Owned(cleaned)
}

/// The text in at most so many columns; a cut is marked.
pub fn fit(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let mut fitted = String::new();
    let mut used = 0;
    for character in text.chars() {
        let more = character.width().unwrap_or(0);
        if used + more + 1 > columns {
            break;
        }
        used += more;
        fitted.push(character);
    }
    if columns > 0 {
        fitted.push('…');
    }
    Cow::Owned(fitted)
}

/// The text in lines of at most so many columns, broken between words where that is possible.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let mut word = Cow::Borrowed(word);
        if used > 0 && used + 1 + width(&word) > columns {
            lines.push(String::new());
            used = 0;
        }
        while width(&word) > columns {
            let mut taken = 0;
            let split = word
                .char_indices()
                .find(|(_, character)| {
                    taken += character.width().unwrap_or(0);
                    taken > columns
                })
                .map_or(word.len(), |(index, character)| index.max(if index == 0 { character.len_utf8() } else { 0 }));
            lines.last_mut().expect("there is one").push_str(&word[..split]);
            lines.push(String::new());
            word = Cow::Owned(word[split..].to_owned());
        }
        let line = lines.last_mut().expect("there is one");
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        line.push_str(&word);
        used += width(&word);
    }
    lines.retain(|line| !line.is_empty());
    lines
}

/// Writes what a command has to say and turns its outcome into an exit code: 1 when it failed. A reader that has seen
/// enough (`| head`) is no failure.
pub fn report(write: impl FnOnce(&mut dyn Write) -> anyhow::Result<ExitCode>) -> ExitCode {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let outcome = write(&mut out).and_then(|code| Ok(out.flush().map(|()| code)?));
    match outcome {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tandem: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Writes something as JSON on a line, for scripts.
pub fn json_line(out: &mut dyn Write, what: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, what)?;
    writeln!(out)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wide_characters_count_twice_and_are_never_cut_in_half() {
        assert_eq!(width("寿司"), 4);
        assert_eq!(fit("寿司セット", 6), "寿司…");
        assert_eq!(fit("寿司セット", 10), "寿司セット");
    }

    #[test]
    fn text_cannot_speak_to_the_terminal() {
        assert_eq!(clean("a\u{1b}[31mb\nc\u{202e}d"), "a\\u{1b}[31mb c\\u{202e}d");
        assert!(matches!(clean("größe 寿司"), Cow::Borrowed(_)));
    }

    #[test]
    fn words_are_kept_whole_where_they_fit() {
        assert_eq!(wrap("card ending in 0000 was declined", 12), ["card ending", "in 0000 was", "declined"]);
        assert_eq!(wrap("abcdefghij kl", 4), ["abcd", "efgh", "ij", "kl"]);
        assert_eq!(wrap("", 10), Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn lines_are_never_too_wide(text in ".*", columns in 2usize..40) {
            let text = clean(&text);
            prop_assert!(width(&fit(&text, columns)) <= columns);
            for line in wrap(&text, columns) {
                prop_assert!(width(&line) <= columns, "{line:?}");
            }
        }
    }
}
