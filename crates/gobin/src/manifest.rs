//! The build manifest: what was woven into a program, and which half observes what. `docs/manifest.md` is its contract.
//!
//! It is one line of the build information that the go command records in every program, so that it lies where every build
//! mode and file format keeps it, `strip` leaves it alone, and a program that contains another program's bytes is not taken
//! for that one. Tools that do not know the line leave it out.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// First word of the line.
pub const LINE: &str = "tandem";
/// The version that this code writes; older ones are read too.
pub const VERSION: u32 = 1;
/// A line that is longer was not written by a weave.
const LONGEST_LINE: usize = 16 << 20;

/// What was woven into a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Of this format.
    pub version: u32,
    /// The release of tandem.
    pub tandem: String,
    /// Changes with every change of the weave, its packs and its runtime package.
    pub weave: String,
    /// The Go whose standard library was woven.
    pub go: String,
    /// Packs of which something is in the program.
    pub packs: Vec<Pack>,
    /// Spans that comments in the source ask for.
    #[serde(default)]
    pub spans: Vec<Span>,
    /// Functions that make spans when somebody switches them on.
    #[serde(default)]
    pub functions: Vec<Functions>,
}

/// A pack's part of a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pack {
    /// Its name.
    pub name: String,
    /// What the program records by itself: nobody else may observe it too.
    #[serde(default)]
    pub join_points: Vec<JoinPoint>,
    /// What the pack knows, the program contains, and was not woven.
    #[serde(default)]
    pub left: Vec<Left>,
}

/// A join point that the program owns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinPoint {
    /// The rule.
    pub id: String,
    /// Import path of the package that it is woven into.
    pub package: String,
    /// `import/path/file.go:line` of each place.
    #[serde(default)]
    pub places: Vec<String>,
}

/// A join point that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// The rule.
    pub id: String,
    /// Import path of the package that it is for.
    pub package: String,
    /// Why, a sentence fragment.
    pub reason: String,
}

/// A span that a comment asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Its name.
    pub name: String,
    /// `import/path/file.go:line` of the function.
    pub place: String,
}

/// The dormant functions of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Functions {
    /// Import path of the package.
    pub package: String,
    /// How many.
    pub count: usize,
}

/// Why a manifest cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ManifestError {
    /// Made by a newer weave.
    #[error(
        "its manifest has version {version}, this tandem reads up to {VERSION}: use the tandem that wove it, or a newer one"
    )]
    TooNew {
        /// Its version.
        version: u32,
    },
    /// Not what a weave writes.
    #[error("its manifest is damaged: {problem}")]
    Damaged {
        /// What is wrong.
        problem: String,
    },
}

impl Manifest {
    /// Reads the line's content.
    pub fn parse(text: &str) -> Result<Manifest, ManifestError> {
        let damaged = |problem: String| ManifestError::Damaged { problem };
        if text.len() > LONGEST_LINE {
            return Err(damaged(format!("it is {} bytes long", text.len())));
        }
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        // The version first: what else a newer one holds is not known here.
        let Versioned { version } = serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?;
        if version == 0 || version > VERSION {
            return Err(ManifestError::TooNew { version });
        }
        serde_json::from_str(text).map_err(|error| damaged(error.to_string()))
    }

    /// The whole line, without its end.
    pub fn line(&self) -> String {
        // JSON text never holds a raw newline or tabulator.
        format!("{LINE}\t{}", serde_json::to_string(self).expect("plain data"))
    }

    /// Every join point that the program owns.
    pub fn join_points(&self) -> impl Iterator<Item = &JoinPoint> {
        self.packs.iter().flat_map(|pack| &pack.join_points)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn manifest(name: &str) -> Manifest {
        let place = format!("{name}/a.go:1");
        let join_point = JoinPoint { id: name.into(), package: name.into(), places: vec![place.clone()] };
        let left = Left { id: name.into(), package: name.into(), reason: name.into() };
        Manifest {
            version: VERSION,
            tandem: "0.1.0".into(),
            weave: name.into(),
            go: "go1.26.8".into(),
            packs: vec![Pack { name: name.into(), join_points: vec![join_point], left: vec![left] }],
            spans: vec![Span { name: name.into(), place }],
            functions: vec![Functions { package: name.into(), count: 7 }],
        }
    }

    #[test]
    fn a_newer_one_is_refused_by_its_version() {
        let refused = Manifest::parse(r#"{"version":2,"packs":{"other":"form"}}"#);
        assert_eq!(refused, Err(ManifestError::TooNew { version: 2 }));
    }

    #[test]
    fn fields_of_later_releases_do_not_matter() {
        let text = r#"{"version":1,"tandem":"1","weave":"w","go":"g","packs":[{"name":"p","new":1}],"new":[]}"#;
        assert_eq!(Manifest::parse(text).map(|manifest| manifest.packs.len()), Ok(1));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(name: String) {
            let line = manifest(&name).line();
            prop_assert!(!line.contains('\n'));
            let content = line.strip_prefix("tandem\t").expect("the line's first word");
            prop_assert_eq!(Manifest::parse(content), Ok(manifest(&name)));
        }

        #[test]
        fn damage_is_an_error_or_another_manifest(at in 0usize..400, byte: u8, cut in 0usize..400) {
            let line = manifest("net/http").line();
            let mut bytes = line.into_bytes();
            let length = bytes.len();
            bytes[at % length] = byte;
            bytes.truncate(length - cut % length);
            let _ = Manifest::parse(&String::from_utf8_lossy(&bytes));
        }
    }
}
