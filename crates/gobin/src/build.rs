//! The lines that the go command records in every program: modules, settings, and among them our manifest.

use crate::literal::unquote;
use crate::manifest::{self, Manifest, ManifestError};

/// What the go command and the weave recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildInformation {
    /// `go1.26.8`.
    pub go_version: String,
    /// Import path of the main package.
    pub path: String,
    /// The main module.
    pub main: Option<Module>,
    /// All other modules.
    pub dependencies: Vec<Module>,
    /// Settings of the build, in order: `-buildmode`, `GOOS`, `vcs.revision` …
    pub settings: Vec<(String, String)>,
    /// The line that the weave has put in.
    manifest_line: Option<String>,
}

/// A module, with the one that replaces it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Module {
    /// Its path.
    pub path: String,
    /// Its version; `(devel)` for a folder.
    pub version: String,
    /// `h1:` sum; empty where there is none.
    pub sum: String,
    /// What its code was taken from instead.
    pub replacement: Option<Box<Module>>,
}

impl Module {
    /// The module whose code was built.
    pub fn effective(&self) -> &Module {
        self.replacement.as_deref().unwrap_or(self)
    }
}

impl BuildInformation {
    /// Reads the text between the marks. Lines that are not known are left out, as the go command does.
    pub fn parse(go_version: &str, text: &str) -> BuildInformation {
        let mut found = BuildInformation { go_version: go_version.to_owned(), ..BuildInformation::default() };
        for line in text.lines() {
            let (word, rest) = line.split_once('\t').unwrap_or((line, ""));
            match word {
                "path" => found.path = rest.to_owned(),
                "mod" => found.main = Some(module(rest)),
                "dep" => found.dependencies.push(module(rest)),
                "=>" => {
                    let replaced = found.dependencies.last_mut().or(found.main.as_mut());
                    if let Some(replaced) = replaced {
                        replaced.replacement = Some(Box::new(module(rest)));
                    }
                }
                "build" => found.settings.extend(setting(rest)),
                manifest::LINE => found.manifest_line = Some(rest.to_owned()),
                _ => {}
            }
        }
        found
    }

    /// The value of a setting.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The manifest; `None` when nothing was woven.
    pub fn manifest(&self) -> Result<Option<Manifest>, ManifestError> {
        self.manifest_line.as_deref().map(Manifest::parse).transpose()
    }

    /// The module that holds a package: the one with the longest path.
    pub fn module_of(&self, package: &str) -> Option<&Module> {
        let holds = |module: &&Module| {
            package.strip_prefix(module.path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.main.iter().chain(&self.dependencies).filter(holds).max_by_key(|module| module.path.len())
    }
}

fn module(rest: &str) -> Module {
    let mut words = rest.split('\t').map(str::to_owned);
    let mut next = || words.next().unwrap_or_default();
    Module { path: next(), version: next(), sum: next(), replacement: None }
}

/// `name=value`, each in quotes where it holds what would end it.
fn setting(rest: &str) -> Option<(String, String)> {
    let name_end = match rest.strip_prefix('"') {
        Some(inner) => inner.find('"')? + 2,
        None => rest.find('=')?,
    };
    let (name, value) = rest.split_at(name_end);
    let plain =
        |text: &str| unquote(text).map_or_else(|| text.to_owned(), |text| String::from_utf8_lossy(&text).into());
    Some((plain(name), plain(value.strip_prefix('=')?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_the_go_command_writes() {
        let text = "path\ta.com/x/cmd\nmod\ta.com/x\t(devel)\t\ndep\tb.com/y\tv1.2.0\th1:abc=\ndep\tb.com/y/z\tv1.0.0\n\
                    =>\tc.com/z\tv1.1.0\th1:def=\nbuild\t-tags=\"a b\"\nbuild\tGOOS=linux\nnew\tthing\n";
        let found = BuildInformation::parse("go1.26.8", text);
        assert_eq!(
            (found.path.as_str(), found.main.as_ref().map(|main| main.version.as_str())),
            ("a.com/x/cmd", Some("(devel)"))
        );
        assert_eq!(
            (found.setting("-tags"), found.setting("GOOS"), found.setting("GOARCH")),
            (Some("a b"), Some("linux"), None)
        );
        assert_eq!(found.module_of("b.com/y/z/deep").map(|module| module.effective().path.as_str()), Some("c.com/z"));
        assert_eq!(found.module_of("b.com/yes"), None);
        assert_eq!(found.manifest(), Ok(None));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text: String) {
            let _ = BuildInformation::parse("go1.26.8", &text).manifest();
        }
    }
}
