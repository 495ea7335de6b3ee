//! docs/commands: a page for each command, made of what `--help` says. `make generate` writes them, the test says where they are old.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Arg, Command, CommandFactory};

use crate::Arguments;

/// How the suite `docs` runs a command's examples, or why it does not (docs/contributing-docs.md says what the words mean).
/// Without a line here they are run in a project whose program was built.
const SESSIONS: &[(&str, &str)] = &[
    ("run", "run with: 127.0.0.1:9464 = 127.0.0.1:$PORT"),
    ("agent", "run with: 127.0.0.1:9464 = 127.0.0.1:$PORT"),
    ("attach", "run in: plain; with: 1234 = $PID, /usr/bin/shop = $HOME/src/shop/shop, 8080 = $PORT, 3f2a = $GROUP"),
    ("trace", "run in: running; with: 4bf92f35 = $TRACE"),
    ("diagnose", "run in: running"),
    ("traces", "run in: running"),
    ("top", "run in: running"),
    (
        "compare",
        "run in: running; with: 5f3a91bc = $TRACE, 91bc0c2d = $TRACE, service.version=1.4 = kind=server, \
         service.version=1.5 = kind=server, 'route=/cart tier=free' = kind=server, 'route=/cart tier=paid' = kind=server",
    ),
    ("sql", "run in: running"),
    ("export", "run in: running; with: 4bf92f35 = $TRACE, 'status=error' = status=unset"),
    ("open", "run in: running"),
    ("logs", "run in: running"),
    ("metrics", "run in: running; with: 4711 = $PID"),
    ("budget", "run in: running"),
    ("profile", "run in: running"),
    ("sampling", "run in: running"),
    ("ui", "run in: running; with: ui                  # = ui 0 #, ui 9000 = ui $PORT"),
    ("enable", "run in: running"),
    ("disable", "run in: running; with: 4711 = $PID"),
    ("list", "run in: running"),
    ("advise", "run in: running; with: agent --profile = agent --profile --socket $HOME/other.sock"),
    ("cache", "run with: tandem cache clean = TANDEM_CACHE=$HOME/other tandem cache clean"),
    ("doctor", "run with: --observe shop = --observe $PLAIN_SHOP"),
    ("diff", "run with: less = cat"),
    ("packs verify", "run with: ./bbolt = net/http"),
    ("tandem", "run in: running"),
];

#[test]
fn pages_are_up_to_date() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/commands");
    let pages = pages();
    let present: Vec<PathBuf> =
        fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    let gone = present.iter().filter(|path| !pages.keys().any(|name| folder.join(name) == **path));
    if std::env::var_os("TANDEM_GENERATE").is_some() {
        fs::create_dir_all(&folder).expect("docs can be written");
        gone.for_each(|path| fs::remove_file(path).expect("docs can be written"));
        pages.iter().for_each(|(name, text)| fs::write(folder.join(name), text).expect("docs can be written"));
        return;
    }
    assert_eq!(gone.collect::<Vec<_>>(), Vec::<&PathBuf>::new(), "make generate would remove them");
    for (name, text) in &pages {
        let is_old = fs::read_to_string(folder.join(name)).ok().as_ref() != Some(text);
        assert!(!is_old, "make generate would change docs/commands/{name}");
    }
}

/// Every command's page, by its file's name, and the list of them.
fn pages() -> BTreeMap<String, String> {
    let mut tandem = Arguments::command();
    tandem.build();
    let commands: Vec<&Command> = tandem.get_subcommands().filter(|command| is_shown(command)).collect();
    let mut index =
        "# Commands\n\nMade by `make generate` from the program itself: `tandem COMMAND --help` says the same.\n\n"
            .to_owned();
    index += "| command | |\n|---|---|\n";
    for command in &commands {
        let _ = writeln!(index, "| [tandem {0}]({0}.md) | {1} |", command.get_name(), cell(&short(command)));
    }
    index += &after(&tandem, "tandem", "##");
    let mut pages: BTreeMap<String, String> =
        commands.iter().map(|command| (format!("{}.md", command.get_name()), page(command))).collect();
    pages.insert("README.md".to_owned(), index);
    pages
}

fn is_shown(command: &Command) -> bool {
    !command.is_hide_set() && command.get_name() != "help"
}

fn page(command: &Command) -> String {
    let name = command.get_name();
    let mut page = format!("# tandem {name}\n");
    page += &described(command, name, "##");
    for below in command.get_subcommands().filter(|below| is_shown(below)) {
        let name = format!("{name} {}", below.get_name());
        let _ = write!(page, "\n## tandem {name}\n");
        page += &described(below, &name, "###");
    }
    page
}

/// What a command is for, its usage, options, examples and exit codes, with headings of this depth.
fn described(command: &Command, name: &str, heading: &str) -> String {
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let usage = command.clone().render_usage().to_string().replace("Usage: ", "");
    let mut text = format!("\n{}\n\n```text\n{}\n```\n", sentence(&prose(&about)), usage.trim());
    let shown = |arg: &&Arg| !arg.is_hide_set() && !matches!(arg.get_id().as_str(), "help" | "version");
    let arguments: Vec<&Arg> = command.get_arguments().filter(shown).collect();
    if !arguments.is_empty() {
        text += "\n| option | |\n|---|---|\n";
        arguments
            .iter()
            .for_each(|arg| writeln!(text, "| `{}` | {} |", form(arg), cell(&meaning(arg))).expect("a text"));
    }
    text + &after(command, name, heading)
}

/// `-f, --follow`, `--limit N`, `PROGRAM...`
fn form(arg: &Arg) -> String {
    if arg.is_positional() {
        return arg.to_string();
    }
    let long = arg.get_long().map(|long| format!("--{long}"));
    let names: Vec<String> = arg.get_short().map(|short| format!("-{short}")).into_iter().chain(long).collect();
    if !arg.get_action().takes_values() {
        return names.join(", ");
    }
    let value = arg.get_value_names().map(|names| names.join(" ")).unwrap_or_default();
    let is_optional = arg.get_num_args().is_some_and(|range| range.min_values() == 0);
    let value = if is_optional { format!("[={value}]") } else { format!(" {value}") };
    names.join(", ") + &value
}

fn meaning(arg: &Arg) -> String {
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if arg.get_action().takes_values() && !defaults.is_empty() && !arg.is_hide_default_value_set() {
        return format!("{help} [default: {}]", defaults.join(" "));
    }
    help
}

/// Examples as a session of the shell, and what else stands below the options.
fn after(command: &Command, name: &str, heading: &str) -> String {
    let Some(help) = command.get_after_long_help().or(command.get_after_help()) else { return String::new() };
    let help = help.to_string();
    let mut text = String::new();
    for paragraph in help.split("\n\n") {
        if let Some(examples) = paragraph.strip_prefix("Examples:\n") {
            let session =
                SESSIONS.iter().find(|(of, _)| *of == name).map(|(_, session)| format!("<!-- {session} -->\n"));
            let lines: Vec<&str> = examples.lines().map(|line| line.strip_prefix("  ").unwrap_or(line)).collect();
            let _ = write!(
                text,
                "\n{heading} Examples\n\n{}```sh\n{}\n```\n",
                session.unwrap_or_default(),
                lines.join("\n")
            );
        } else if let Some(codes) = paragraph.strip_prefix("Exit codes: ") {
            let _ = write!(text, "\n{heading} Exit codes\n\n{}\n", sentence(&prose(codes)));
        } else {
            let _ = write!(text, "\n{}\n", prose(paragraph));
        }
    }
    text
}

/// The first sentence of what a command is for.
fn short(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

/// With a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let begun: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    if begun.ends_with('.') { begun } else { begun + "." }
}

/// Text in a cell of a table.
fn cell(text: &str) -> String {
    prose(&text.replace('\n', " ")).replace('|', "\\|")
}

/// Plain text as Markdown: what it names in docs/ are links; stars and angles are themselves. What is between backticks stays.
fn prose(text: &str) -> String {
    let parts = text.split('`').enumerate().map(|(place, part)| match place % 2 {
        0 => linked(&part.replace('*', "\\*").replace('<', "&lt;")),
        _ => format!("`{part}`"),
    });
    parts.collect()
}

/// `docs/agent.md` as a link from docs/commands.
fn linked(text: &str) -> String {
    let mut pieces = text.split("docs/");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let page = piece.find(".md").map(|end| piece.split_at(end + ".md".len()));
        let _ = match page {
            Some((page, rest)) => write!(out, "[{page}](../{page}){rest}"),
            None => write!(out, "docs/{piece}"),
        };
    }
    out
}
