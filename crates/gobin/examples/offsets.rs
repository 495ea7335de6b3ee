//! Writes the table of layouts (`offsets/table.txt`): builds the programs of `tests/programs` with every Go version and with
//! published versions of their modules, and reads what the compiler tells debuggers.
//!
//! Of a module the lowest and the highest version are looked at first; where they differ, one between them, and so on. What
//! was found is kept in `target/offsets`, so that a run that was ended goes on.
//!
//! `TANDEM_GO_VERSIONS` are the versions for the standard library, `TANDEM_MODULE_GO_VERSIONS` those for modules.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use gobin::{Binary, OffsetSource, Offsets, compare_versions, wanted};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Programs, the module whose versions they are built with, and the lowest of those.
const PROGRAMS: [(&str, &str, &str); 6] = [
    ("grpc", "google.golang.org/grpc", "v1.50.0"),
    ("redis", "github.com/redis/go-redis/v9", "v9.0.2"),
    ("kafka-go", "github.com/segmentio/kafka-go", "v0.4.38"),
    ("franz-go", "github.com/twmb/franz-go", "v1.13.0"),
    ("sarama", "github.com/IBM/sarama", "v1.40.0"),
    ("x-net", "golang.org/x/net", "v0.5.0"),
];

/// `structure field` → place.
type Layouts = BTreeMap<String, u32>;
/// Module → Go version (`""`: its own) → version → layouts.
type Table = BTreeMap<String, BTreeMap<String, BTreeMap<String, Layouts>>>;

fn main() -> Result<()> {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let bench = Bench { crate_folder, folder: crate_folder.join("../../target/offsets") };
    fs::create_dir_all(&bench.folder)?;
    let versions = |name: &str| -> Vec<String> {
        std::env::var(name).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    };
    let mut table = Table::new();
    for go in versions("TANDEM_GO_VERSIONS") {
        bench.add(&mut table, "std", "", &go, "std")?;
    }
    // The ends of all first: where they agree there is nothing more to do.
    let mut open = Vec::new();
    for (program, module, lowest) in PROGRAMS {
        let releases = releases(module, lowest)?;
        for go in versions("TANDEM_MODULE_GO_VERSIONS") {
            // The lowest and the highest that this Go builds.
            let mut first = 0;
            while first < releases.len() && !bench.add(&mut table, module, &releases[first], &go, program)? {
                first += 4;
            }
            let mut last = releases.len() - 1;
            while last > first && !bench.add(&mut table, module, &releases[last], &go, program)? {
                last -= 1;
            }
            if first < last {
                open.push((program, module, go, releases.clone(), (first, last)));
            }
        }
    }
    for (program, module, go, releases, ends) in open {
        bench.between(&mut table, (program, module), &go, &releases, ends)?;
    }
    Ok(())
}

struct Bench<'a> {
    crate_folder: &'a Path,
    folder: PathBuf,
}

impl Bench<'_> {
    /// Looks at versions between two of which the layouts differ.
    fn between(
        &self,
        table: &mut Table,
        (program, module): (&str, &str),
        go: &str,
        releases: &[String],
        (first, last): (usize, usize),
    ) -> Result<()> {
        let at = |table: &Table, index: usize| table[module][go].get(&releases[index]).cloned();
        if last - first < 2 || at(table, first) == at(table, last) {
            return Ok(());
        }
        let mut middle = first + (last - first) / 2;
        // One that cannot be built tells nothing.
        while middle < last && !self.add(table, module, &releases[middle], go, program)? {
            middle += 1;
        }
        if middle == last {
            return Ok(());
        }
        self.between(table, (program, module), go, releases, (first, middle))?;
        self.between(table, (program, module), go, releases, (middle, last))
    }

    /// Builds a program and adds what it says of all its modules; false if it cannot be built.
    fn add(&self, table: &mut Table, module: &str, version: &str, go: &str, program: &str) -> Result<bool> {
        let kept = self.folder.join(format!("{program}-{version}-{go}"));
        if !kept.exists() {
            let said = match self.build(module, version, go, program) {
                Ok(said) => said,
                Err(error) => format!("# {}\n", error.to_string().lines().last().unwrap_or_default()),
            };
            eprintln!("{program} {module} {version} {go}: {} lines", said.lines().count());
            fs::write(&kept, said)?;
        }
        let kept = fs::read_to_string(kept)?;
        for line in kept.lines().filter(|line| !line.starts_with('#')) {
            let words: Vec<&str> = line.split(' ').collect();
            let [module, version, structure, field, place] = words[..] else { return Err(line.into()) };
            let go = if module == "std" { "" } else { go };
            let layouts = table.entry(module.to_owned()).or_default().entry(go.to_owned()).or_default();
            let layouts = layouts.entry(version.to_owned()).or_default();
            layouts.insert(format!("{structure} {field}"), place.parse()?);
        }
        // Written each time, so that a run that is ended leaves what it found.
        fs::write(self.crate_folder.join("offsets/table.txt"), text(table))?;
        Ok(kept.lines().any(|line| line.starts_with(&format!("{module} "))))
    }

    fn build(&self, module: &str, version: &str, go: &str, program: &str) -> Result<String> {
        let folder = self.folder.join("work");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        fs::copy(self.crate_folder.join("tests/programs").join(program).join("main.go"), folder.join("main.go"))?;
        fs::write(folder.join("go.mod"), "module example.com/x\n\ngo 1.18\n")?;
        let run = |arguments: &[&str]| -> Result<()> {
            let mut command = Command::new("go");
            command.args(arguments).current_dir(&folder).env("GOTOOLCHAIN", go).env("CGO_ENABLED", "0");
            let output = command.env("GOFLAGS", "-mod=mod -buildvcs=false -p=2").output()?;
            match output.status.success() {
                true => Ok(()),
                false => Err(String::from_utf8_lossy(&output.stderr).into()),
            }
        };
        if module != "std" {
            run(&["get", &format!("{module}@{version}")])?;
        }
        run(&["build", "-o", "program"])?;
        let binary = Binary::open(&folder.join("program"))?;
        let offsets = Offsets::from_sources(&binary, &[OffsetSource::Dwarf]);
        let mut said = String::new();
        for wanted in wanted() {
            let Some(size) = offsets.size(wanted.structure) else { continue };
            let version = match wanted.module {
                // Structures of the standard library are its own table's matter.
                "std" if module != "std" => continue,
                "std" => binary.go_version().trim_start_matches("go"),
                // The package may once have been in another module.
                module => match binary.module_version(module) {
                    Some(version) => version,
                    None => continue,
                },
            };
            let fields = wanted.fields.split(' ');
            let places = fields.filter_map(|field| Some((field, offsets.field(wanted.structure, field)?)));
            for (field, place) in [("size", size)].into_iter().chain(places) {
                said += &format!("{} {version} {} {field} {place}\n", wanted.module, wanted.structure);
            }
        }
        Ok(said)
    }
}

/// Published releases of a module, the lowest first.
fn releases(module: &str, lowest: &str) -> Result<Vec<String>> {
    let output = Command::new("go").args(["list", "-m", "-versions", module]).current_dir("/").output()?;
    let said = String::from_utf8(output.stdout)?;
    let versions = said.split_whitespace().skip(1).filter(|version| !version.contains('-'));
    let mut versions: Vec<String> = versions.map(str::to_owned).collect();
    versions.retain(|version| compare_versions(version, lowest).is_ge());
    versions.sort_by(|one, other| compare_versions(one, other));
    match versions.is_empty() {
        true => Err(format!("{module} has no releases: {}", String::from_utf8_lossy(&output.stderr)).into()),
        false => Ok(versions),
    }
}

/// Versions that follow each other and agree become a range.
fn text(table: &Table) -> String {
    let mut text = String::from(
        "# Layouts by version: made by `make offsets` from what the compiler tells debuggers, not to be edited.\n",
    );
    for (module, columns) in table {
        text += &format!("\nmodule {module}\n");
        for (go, points) in columns {
            if !go.is_empty() {
                text += &format!("go {}\n", go.trim_start_matches("go"));
            }
            let mut versions: Vec<&String> = points.keys().collect();
            versions.sort_by(|one, other| compare_versions(one, other));
            let fields: BTreeSet<&String> = points.values().flat_map(Layouts::keys).collect();
            for field in fields {
                let mut ranges: Vec<(&str, &str, u32)> = Vec::new();
                let mut before = None;
                for version in &versions {
                    let place = points[*version].get(field).copied();
                    match (place, ranges.last_mut()) {
                        (Some(place), Some(last)) if before == Some(place) => last.1 = version,
                        (Some(place), _) => ranges.push((version, version, place)),
                        (None, _) => {}
                    }
                    before = place;
                }
                let ranges = ranges.iter().map(|(first, last, place)| match first == last {
                    true => format!("{first}={place}"),
                    false => format!("{first}..{last}={place}"),
                });
                text += &format!("{field} {}\n", ranges.collect::<Vec<_>>().join(" "));
            }
        }
    }
    text
}
