//! What `tandem enable`, `disable` and `list` share: which programs, and which of their functions and operations.
//!
//! Exit codes: 0, or 1 when there is no such program, when it cannot be had, or when nothing matches.

use agent::programs::{self, Choice, Program, ProgramsError};
use anyhow::bail;
use clap::Args;
use model::FunctionPattern;
use record::{Function, Functions, Operation};

/// Which programs.
#[derive(Args)]
pub struct Programs {
    /// Only the process with this id [default: every woven program of yours that runs; root's: everybody's].
    #[arg(long, value_name = "PID", conflicts_with = "service")]
    pid: Option<u32>,
    /// Only programs of this service.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
}

/// A program with operations of packs that are meant by their names.
pub struct Operating {
    pub pid: u32,
    pub service: String,
    pub functions: Functions,
    pub operations: Vec<Operation>,
}

impl Operating {
    /// `shop (process 123)`
    pub fn title(&self) -> String {
        format!("{} (process {})", self.service, self.pid)
    }
}

/// A program with functions, and those of them that are meant.
pub struct Meant {
    pub pid: u32,
    pub service: String,
    pub functions: Functions,
    pub chosen: Vec<Function>,
}

impl Meant {
    /// `shop (process 123)`
    pub fn title(&self) -> String {
        format!("{} (process {})", self.service, self.pid)
    }
}

impl Programs {
    /// All of a service.
    pub fn of_service(service: &str) -> Self {
        Self::chosen(None, Some(service.to_owned()))
    }

    /// A process, all of a service, or all.
    pub fn chosen(pid: Option<u32>, service: Option<String>) -> Self {
        Self { pid, service }
    }

    /// The programs that are meant; at least one.
    pub fn find(&self) -> Result<Vec<Program>, ProgramsError> {
        programs::find(&match (self.pid, &self.service) {
            (Some(pid), _) => Choice::Process(pid),
            (None, Some(service)) => Choice::Service(service.clone()),
            (None, None) => Choice::All,
        })
    }

    /// Those of the programs that have operations with this name: an operation's own, or a pack's, in full; absent: any.
    /// None has, where the name is a function's or nobody's.
    pub fn operating(&self, name: Option<&str>) -> Result<Vec<Operating>, ProgramsError> {
        let with_operations = self.find()?.into_iter().filter_map(|Program { pid, service, functions }| {
            let functions = functions?;
            let mut operations = functions.operations();
            operations.retain(|operation| name.is_none_or(|name| operation.is_named(name)));
            (!operations.is_empty()).then_some(Operating { pid, service, functions, operations })
        });
        Ok(with_operations.collect())
    }

    /// Whether any of the programs has functions that a pattern means.
    pub fn have_functions(&self, pattern: Option<&FunctionPattern>) -> Result<bool, ProgramsError> {
        Ok(self.find()?.into_iter().filter_map(|one| meant(one, pattern)).any(|one| !one.chosen.is_empty()))
    }

    /// The programs that are meant, with their functions that a pattern means; at least one of each.
    pub fn with(&self, pattern: Option<&FunctionPattern>) -> anyhow::Result<Vec<Meant>> {
        let found = self.find()?;
        let titles: Vec<String> = found.iter().map(|one| format!("{} (process {})", one.service, one.pid)).collect();
        let mut with_functions: Vec<Meant> = found.into_iter().filter_map(|one| meant(one, pattern)).collect();
        if with_functions.is_empty() {
            bail!(
                "{}no dormant functions are woven into {}: name them under `functions:` in tandem.yaml and build again \
                 (docs/functions.md)",
                pattern.map_or(String::new(), |pattern| format!(
                    "{} is no operation or pack there (`tandem list`), and ",
                    pattern.text()
                )),
                titles.join(", ")
            );
        }
        let titles: Vec<String> = with_functions.iter().map(Meant::title).collect();
        with_functions.retain(|one| !one.chosen.is_empty());
        if let (Some(pattern), true) = (pattern, with_functions.is_empty()) {
            bail!(
                "no function of {} matches {}: `tandem list` shows what there is, `tandem explain` in the source tree \
                 why a function was left out",
                titles.join(", "),
                pattern.text()
            );
        }
        Ok(with_functions)
    }
}

/// `None`: it has no functions.
fn meant(program: Program, pattern: Option<&FunctionPattern>) -> Option<Meant> {
    let Program { pid, service, functions } = program;
    let functions = functions?;
    let mut chosen = functions.all();
    if chosen.is_empty() {
        return None;
    }
    if let Some(pattern) = pattern {
        chosen.retain(|one| pattern.matches_function(&one.import_path, &one.package, &one.name));
    }
    Some(Meant { pid, service, functions, chosen })
}

/// `3 functions`
pub fn count(number: usize) -> String {
    if number == 1 { "1 function".to_owned() } else { format!("{number} functions") }
}
