//! Where the probes of each library go in one executable. A library has all the probes that it needs, or none: what cannot be
//! placed safely is not placed, and said.

use gobin::{Binary, EndRule, Offsets, sites};

use super::library::{FieldPlace, LIBRARIES, Library, Need, Place, Probe, Program, RUNTIME_FIELDS, Through};
use super::skeleton::types::{tandem_binary, tandem_map_form};

/// An offset that is not known (`bpf/uprobe.h`).
const UNKNOWN: u32 = u32::MAX;
/// Bytes that are read of a structure at once.
const STRUCTURE_SPACE: u32 = 512;
/// The first Go whose maps are groups, not buckets.
const FIRST_GROUPS: (u32, u32) = (1, 24);
/// The first Go whose names of inlined closures say whose they are.
const FIRST_FULL_NAMES: (u32, u32) = (1, 22);
/// Go versions whose calling convention and tables are known.
const OLDEST_GO: (u32, u32) = (1, 18);
const NEWEST_GO: (u32, u32) = (1, 27);

/// A probe, at a place of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    pub(crate) program: Program,
    pub(crate) file_offset: u64,
    pub(crate) variant: u8,
    /// The condition under which a jump means it; 16: always.
    pub(crate) condition: u8,
}

/// All probes of one executable.
pub struct Plan {
    pub(crate) placements: Vec<Placement>,
    pub(crate) facts: tandem_binary,
    /// Names of the libraries that are observed.
    pub observed: Vec<&'static str>,
    /// Names of those that the program observes itself.
    pub owned: Vec<&'static str>,
    /// What is not observed of libraries that the program has, and why.
    pub left_out: Vec<Refusal>,
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { placements, observed, owned, left_out, .. } = self;
        let mut out = out.debug_struct("Plan");
        out.field("placements", placements).field("observed", observed).field("owned", owned);
        out.field("left_out", left_out).finish_non_exhaustive()
    }
}

/// What is not observed, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{library}: {what}: {why}")]
pub struct Refusal {
    /// Which library.
    pub library: &'static str,
    /// What that means: `there are no spans`.
    pub what: &'static str,
    /// Why.
    pub why: String,
}

const NOTHING: &str = "there are no spans";

/// Which places are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// Those that cost least.
    #[default]
    Cheap,
    /// A function's first instruction and all of its returns: for comparison.
    Naive,
}

/// A library's part of a plan.
struct Part {
    placements: Vec<Placement>,
    facts: tandem_binary,
    left_out: Vec<Refusal>,
}

impl Plan {
    /// Of an executable; `owns` says of a join point whether the program observes it itself.
    pub fn of(binary: &Binary, owns: impl Fn(&str) -> bool) -> Self {
        Self::in_style(binary, owns, Style::Cheap)
    }

    /// The same, at other places.
    pub fn in_style(binary: &Binary, owns: impl Fn(&str) -> bool, style: Style) -> Self {
        let offsets = Offsets::of(binary);
        let mut plan = Self::empty();
        let runtime = runtime_facts(binary, &offsets, &mut plan.facts);
        for library in
            LIBRARIES.iter().filter(|library| library.markers.iter().any(|name| binary.function(name).is_some()))
        {
            if library.join_points.iter().any(|join_point| owns(join_point)) {
                plan.owned.push(library.name);
                continue;
            }
            let part = runtime.clone().and_then(|()| part(binary, &offsets, library, plan.facts, style));
            match part {
                Ok(Part { placements, facts, left_out }) => {
                    plan.placements.extend(placements);
                    plan.facts = facts;
                    plan.left_out.extend(left_out);
                    plan.observed.push(library.name);
                }
                Err(why) => plan.left_out.push(Refusal { library: library.name, what: NOTHING, why }),
            }
        }
        plan
    }

    fn empty() -> Self {
        Self {
            placements: Vec::new(),
            facts: no_facts(),
            observed: Vec::new(),
            owned: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// So many probes that find nothing, at beginnings of functions: how long it takes to place them is what is asked.
    pub fn of_nothing(binary: &Binary, count: usize) -> Self {
        let mut plan = Self::empty();
        let offsets = Offsets::of(binary);
        let _ = runtime_facts(binary, &offsets, &mut plan.facts); // without it they find nothing sooner
        let mut next = binary.function("net/http.(*conn).serve");
        while let Some(function) = next.filter(|_| plan.placements.len() < count) {
            next = binary.function_at(function.address + function.size);
            let Ok(found) = sites(binary, &function, EndRule::StandIn("runtime.main")) else { continue };
            plan.placements.push(Placement {
                program: Program::SqlEnd,
                file_offset: found.begin.file_offset,
                variant: 0,
                condition: found.begin_when.code(),
            });
        }
        plan
    }

    /// How many probes it has.
    pub fn probe_count(&self) -> usize {
        self.placements.len()
    }
}

/// Facts before anything is known.
fn no_facts() -> tandem_binary {
    tandem_binary { goid: UNKNOWN, parent_goid: UNKNOWN, ..tandem_binary::default() }
}

fn runtime_facts(binary: &Binary, offsets: &Offsets, facts: &mut tandem_binary) -> Result<(), String> {
    let version = language(binary.go_version())
        .ok_or_else(|| format!("its Go version {:?} is not known", binary.go_version()))?;
    if version < OLDEST_GO || version > NEWEST_GO {
        return Err(format!(
            "it was built with {}; probes know Go {}.{} to {}.{}",
            binary.go_version(),
            OLDEST_GO.0,
            OLDEST_GO.1,
            NEWEST_GO.0,
            NEWEST_GO.1
        ));
    }
    facts.map_form = if version >= FIRST_GROUPS {
        match has_experiment(binary, "mapsplitgroup") {
            true => tandem_map_form::TANDEM_MAP_SPLIT_GROUPS,
            false if has_experiment(binary, "noswissmap") => tandem_map_form::TANDEM_MAP_BUCKETS,
            false => tandem_map_form::TANDEM_MAP_GROUPS,
        }
    } else {
        tandem_map_form::TANDEM_MAP_BUCKETS
    };
    RUNTIME_FIELDS.iter().try_for_each(|field| put(field, offsets, facts))
}

/// `go1.26.8 X:mapsplitgroup` was built with that experiment.
fn has_experiment(binary: &Binary, name: &str) -> bool {
    let experiments = binary.go_version().split_once("X:").map_or("", |(_, experiments)| experiments);
    let setting = binary.build().setting("GOEXPERIMENT").unwrap_or_default();
    experiments.split(',').chain(setting.split(',')).any(|experiment| experiment.trim() == name)
}

/// `go1.26.8` is language version 1.26.
fn language(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.strip_prefix("go")?.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn part(
    binary: &Binary,
    offsets: &Offsets,
    library: &Library,
    mut facts: tandem_binary,
    style: Style,
) -> Result<Part, String> {
    library.fields.iter().try_for_each(|field| put(field, offsets, &mut facts))?;
    (library.types)(offsets, &mut facts)?;
    facts.request_size = offsets.size("net/http.Request").unwrap_or(STRUCTURE_SPACE).min(STRUCTURE_SPACE);
    let mut part = Part { placements: Vec::new(), facts, left_out: Vec::new() };
    for probe in library.probes {
        let is_there = probe.functions.iter().any(|name| binary.function(name).is_some());
        if !is_there && matches!(probe.need, Need::IfThere(_)) {
            continue;
        }
        let known = probe.fields.iter().try_for_each(|field| put(field, offsets, &mut part.facts));
        match (known.and_then(|()| place(binary, probe, style, &mut part.facts)), probe.need) {
            (Ok(placements), _) => part.placements.extend(placements),
            (Err(why), Need::All) => return Err(why),
            (Err(why), Need::IfThere(what)) => part.left_out.push(Refusal { library: library.name, what, why }),
        }
    }
    match part.placements.is_empty() {
        true => Err(part.left_out.first().map_or_else(|| "nothing of it is used".to_owned(), |left| left.why.clone())),
        false => Ok(part),
    }
}

fn put(field: &FieldPlace, offsets: &Offsets, facts: &mut tandem_binary) -> Result<(), String> {
    let found = field.structures.iter().find_map(|structure| offsets.field(structure, field.field));
    (field.put)(facts, found.unwrap_or(UNKNOWN));
    if found.is_some() || field.optional {
        return Ok(());
    }
    let structure = field.structures[0];
    let why = offsets.why_not(structure).unwrap_or("there is no such field");
    Err(format!("where {structure}.{} lies is not known: {why}", field.field))
}

fn place(binary: &Binary, probe: &Probe, style: Style, facts: &mut tandem_binary) -> Result<Vec<Placement>, String> {
    let function = probe.functions.iter().find_map(|name| binary.function(name));
    let function = function.ok_or_else(|| format!("the program has no {}", probe.functions.join(" or ")))?;
    let at = |program, file_offset, condition| Placement { program, file_offset, variant: probe.variant, condition };
    let mut direct = None;
    let end = match probe.place {
        Place::Behind(called) => {
            let called = binary.function(called).ok_or_else(|| format!("the program has no {called}"))?;
            let site = gobin::behind_call(binary, &function, &called).map_err(|error| error.to_string())?;
            return Ok(vec![at(probe.program, site.file_offset, gobin::Condition::Always.code())]);
        }
        Place::Begin => None,
        Place::Whole(end) => Some(end),
        Place::Through(through) => {
            direct = failure(binary, through).filter(|_| style == Style::Cheap);
            direct.is_none().then_some(through.end)
        }
    };
    // Where the beginning is cheap no rule matters.
    let rule = if end.is_some() { EndRule::Return } else { EndRule::StandIn("runtime.main") };
    let found = sites(binary, &function, rule).map_err(|error| error.to_string())?;
    let mut placements = match style {
        Style::Cheap => vec![at(probe.program, found.begin.file_offset, found.begin_when.code())],
        Style::Naive => vec![at(probe.program, function.file_offset, gobin::Condition::Always.code())],
    };
    if let Some((through, file_offset)) = direct {
        (through.put)(facts);
        let condition = gobin::Condition::Always.code();
        placements.push(Placement { program: through.end, file_offset, variant: through.variant, condition });
    }
    if let Some(end) = end {
        placements.extend(found.ends.iter().map(|found| at(end, found.site.file_offset, found.when.code())));
    }
    Ok(placements)
}

/// Where it shows that the function that does the work has failed early; `None`: it is not known, or something may be between.
fn failure<'a>(binary: &Binary, through: &'a Through) -> Option<(&'a Through, u64)> {
    // Before, closures of inlined functions did not have those in their names.
    language(binary.go_version()).filter(|&version| version >= FIRST_FULL_NAMES)?;
    let is_between = |function: gobin::Function| through.between.iter().any(|name| function.name.contains(name));
    if binary.functions().any(is_between) {
        return None;
    }
    let (caller, called) = (binary.function(through.caller)?, binary.function(through.called)?);
    let site = gobin::behind_call(binary, &caller, &called).ok()?;
    Some((through, site.file_offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(language("go1.26.8"), Some((1, 26)));
        assert_eq!(language("go1.27rc1 X:nodwarf5"), Some((1, 27)));
        assert_eq!([language("devel"), language("go"), language("go1")], [None; 3]);
    }
}
