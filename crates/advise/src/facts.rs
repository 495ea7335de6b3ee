//! What is known: of programs by their spans, their stacks, their files and their memory, and of the project.

use std::collections::BTreeSet;

pub use model::ServiceSample as Sample;
use model::Span;

/// Everything that advice is made of.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Traces, each with all its spans.
    pub traces: Vec<Vec<Span>>,
    /// Looks at stacks of the same time.
    pub samples: Vec<Sample>,
    /// Programs: those that run, and those whose spans are here and whose files are still there.
    pub programs: Vec<Program>,
    /// The packs of this tandem.
    pub packs: Vec<KnownPack>,
    /// The project that is asked about.
    pub configuration: Configuration,
    /// When this was gathered, ns since 1970.
    pub now_unix_nano: u64,
}

/// A module in a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Module {
    /// Its path.
    pub path: String,
    /// Its version.
    pub version: String,
}

/// A program.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// The process, where it runs.
    pub pid: Option<u32>,
    /// When it started, ns since 1970.
    pub start_unix_nano: u64,
    /// `service.name`.
    pub service: String,
    /// Import path of its main package.
    pub main_package: String,
    /// Path of its main module; empty: unknown.
    pub main_module: String,
    /// All other modules.
    pub modules: Vec<Module>,
    /// Packages that packs edit, and that it has code of.
    pub packages: BTreeSet<String>,
    /// What was woven in, by pack; `None`: it is not woven.
    pub owned: Option<Vec<PackState>>,
    /// Woven by this very tandem, so that all packs were known.
    pub is_current: bool,
    /// Functions with `//tandem:span`: the names of their spans.
    pub spans: BTreeSet<String>,
    /// Functions that are woven dormant, where it runs.
    pub dormant: Vec<Dormant>,
    /// Packages with such functions.
    pub dormant_packages: BTreeSet<String>,
    /// Operations of packs.
    pub operations: Vec<KnownOperation>,
}

/// What became of a pack in a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackState {
    /// The pack.
    pub name: String,
    /// Rules that are woven.
    pub woven: Vec<String>,
    /// Rules that are not, and why.
    pub left: Vec<(String, String)>,
}

/// A function that is woven dormant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dormant {
    /// Import path of its package.
    pub import_path: String,
    /// Name of its package.
    pub package: String,
    /// Its name: `(*Cart).Add`.
    pub name: String,
    /// It is switched on.
    pub on: bool,
    /// Calls since then.
    pub calls: u64,
}

/// An operation of a program that runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownOperation {
    /// Its id: `net/http.client`.
    pub id: String,
    /// It makes spans.
    pub on: bool,
}

/// A pack that this tandem has.
#[derive(Clone, Debug, Default)]
pub struct KnownPack {
    /// Its name.
    pub name: String,
    /// Path of the module it is for; `None`: the standard library, or the user's own.
    pub module: Option<String>,
    /// Its rules that are on when nobody says anything: id and edited package.
    pub rules: Vec<(String, String)>,
    /// Spans that it makes: scope, kind, operations.
    pub spans: Vec<(String, model::Kind, Vec<String>)>,
}

impl KnownPack {
    /// Whether a name in `disable:` means all of it.
    pub fn is_meant(&self, names: &BTreeSet<String>) -> bool {
        names.contains(&self.name) || (!self.rules.is_empty() && self.rules.iter().all(|(id, _)| names.contains(id)))
    }
}

/// The project that is asked about, and its `tandem.yaml`.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    /// The project's own modules: path, and folder relative to that of `tandem.yaml` (`.`, `services/cart`).
    pub modules: Vec<(String, String)>,
    /// The file's text; empty: there is none.
    pub text: String,
    /// `disable:`
    pub disable: BTreeSet<String>,
}

impl Configuration {
    /// Whether a program is built from this project.
    pub fn has(&self, program: &Program) -> bool {
        self.modules.iter().any(|(path, _)| *path == program.main_module)
    }

    /// How `functions:` names a package: by folder where it is the project's own.
    pub fn package_pattern(&self, import_path: &str) -> String {
        let own = self.modules.iter().filter_map(|(module, folder)| {
            let below = import_path.strip_prefix(module.as_str())?;
            (below.is_empty() || below.starts_with('/')).then_some((module.len(), folder, below))
        });
        let Some((_, folder, below)) = own.max_by_key(|(length, ..)| *length) else { return import_path.to_owned() };
        match (folder.as_str(), below) {
            (".", "") => ".".to_owned(),
            (".", below) => format!(".{below}"),
            (folder, below) => format!("./{folder}{below}"),
        }
    }
}

/// Longer times count as this, ns: so sums of all that is looked at fit, whatever a store holds.
const LONGEST: u64 = 1 << 44;

impl Facts {
    /// Makes times that nobody can have measured small enough to be added up.
    pub fn bound(&mut self) {
        for span in self.traces.iter_mut().flatten() {
            span.duration_ns = span.duration_ns.min(LONGEST);
            let parts = span.anatomy.iter_mut().flat_map(|anatomy| anatomy.parts_ns.values_mut());
            parts.for_each(|part| *part = (*part).min(LONGEST));
        }
        for sample in &mut self.samples {
            sample.sample.value_ns = sample.sample.value_ns.min(LONGEST);
        }
    }

    /// Programs of a service.
    pub fn programs_of<'a>(&'a self, service: &'a str) -> impl Iterator<Item = &'a Program> {
        self.programs.iter().filter(move |program| program.service == service)
    }
}

#[cfg(test)]
mod tests {
    use model::{Kind, Span};

    use crate::testing::{Bed, on_cpu, span};

    #[test]
    fn times_that_nobody_measured_harm_nothing() {
        let mut bed = Bed::new();
        for _ in 0..1000 {
            let request = bed.request(u64::MAX);
            bed.child(&request, "main.totals", Kind::Internal, "example.com/shop", u64::MAX);
            bed.child(&request, "SELECT", Kind::Client, "tandem/database/sql", u64::MAX);
            bed.samples(3, u64::MAX, Some(&request), &["main.report"]);
            bed.samples(3, u64::MAX, None, &["main.sweep"]);
            // Its own parent, at the end of time.
            let circle = Span { parent_span_id: Some(request.span_id), anatomy: Some(on_cpu(u64::MAX)), ..request };
            bed.add(Span { start_unix_nano: u64::MAX, ..circle });
        }
        bed.add(Span { duration_ns: u64::MAX, ..span("alone") });
        bed.facts.bound();
        assert!(!crate::advise(&bed.facts).is_empty());
    }
}
