//! Versions of Go and of modules, and the ranges that packs write.
//! A pre-release counts as the release it precedes: packs describe source text, and that is what it has.

use std::fmt;

use semver::{Version, VersionReq};
use serde::Deserialize;

/// A version as `1.26.8`, without `go` or `v`, pre-release or build parts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReleaseVersion(Version);

impl ReleaseVersion {
    /// Reads `go1.26.8`, `go1.27rc1`, `go1.24`, `v1.9.1`, `v0.0.0-2024…`, `devel go1.28-abc…`.
    pub fn parse(text: &str) -> Option<ReleaseVersion> {
        let text = text.split_whitespace().find(|word| word.contains('.'))?;
        let text = text.strip_prefix("go").or_else(|| text.strip_prefix('v')).unwrap_or(text);
        let mut parts = [0u64; 3];
        for (index, part) in text.splitn(3, '.').enumerate() {
            let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            parts[index] = part[..digits].parse().ok()?;
            if digits < part.len() {
                break; // rc1, -0.2024…, +incompatible: the rest is no release number
            }
        }
        Some(ReleaseVersion(Version::new(parts[0], parts[1], parts[2])))
    }

    /// A version above every patch release of this minor one.
    pub fn last_patch(&self) -> ReleaseVersion {
        ReleaseVersion(Version::new(self.0.major, self.0.minor, u64::MAX))
    }

    /// Major and minor number.
    pub fn language(&self) -> (u64, u64) {
        (self.0.major, self.0.minor)
    }
}

impl fmt::Display for ReleaseVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `>=1.7.0, <2.0.0`.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct VersionRange {
    text: String,
    requirement: VersionReq,
}

impl VersionRange {
    /// Whether no version at all lies in the range.
    pub fn is_empty(&self) -> bool {
        // If any does, one beside a border does.
        let borders = self.requirement.comparators.iter().flat_map(|comparator| {
            let (minor, patch) = (comparator.minor.unwrap_or(0), comparator.patch.unwrap_or(0));
            let at = Version::new(comparator.major, minor, patch);
            let after = [
                Version::new(at.major, minor, patch + 1),
                Version::new(at.major, minor + 1, 0),
                Version::new(at.major + 1, 0, 0),
            ];
            after.into_iter().chain([at])
        });
        let is_in = |version: &Version| self.requirement.matches(version);
        !self.requirement.comparators.is_empty()
            && !borders.chain([Version::new(0, 0, 0)]).any(|version| is_in(&version))
    }

    /// Whether the version lies in the range.
    pub fn contains(&self, version: &ReleaseVersion) -> bool {
        self.requirement.matches(&version.0)
    }
}

impl TryFrom<String> for VersionRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let requirement = VersionReq::parse(&text).map_err(|error| format!("{text:?} is no version range: {error}"))?;
        Ok(VersionRange { text, requirement })
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_go_and_module_versions() {
        let read = |text| ReleaseVersion::parse(text).map(|version| version.to_string());
        assert_eq!(read("go1.26.8").as_deref(), Some("1.26.8"));
        assert_eq!(read("go1.27rc1").as_deref(), Some("1.27.0"));
        assert_eq!(read("go1.24").as_deref(), Some("1.24.0"));
        assert_eq!(read("devel go1.28-fb6f5f0 Thu").as_deref(), Some("1.28.0"));
        assert_eq!(read("go1.26.8 X:nodwarf5").as_deref(), Some("1.26.8"));
        assert_eq!(read("v1.9.1").as_deref(), Some("1.9.1"));
        assert_eq!(read("v2.0.0+incompatible").as_deref(), Some("2.0.0"));
        assert_eq!(read("v0.0.0-20240101000000-abcdefabcdef").as_deref(), Some("0.0.0"));
        assert_eq!(read("(devel)"), None);
    }

    #[test]
    fn an_empty_range_is_known() {
        let range = |text: &str| VersionRange::try_from(text.to_owned()).expect("valid");
        for empty in [">=1.25, <1.20", ">1.2.3, <1.2.3", "=1.2.3, =1.2.4"] {
            assert!(range(empty).is_empty(), "{empty}");
        }
        for full in [">=1.21, <1.27", "<1.22", "=1.2.3", "^1.4", ">1.2.3, <1.2.5", "*", "<0.0.1"] {
            assert!(!range(full).is_empty(), "{full}");
        }
    }

    #[test]
    fn ranges_hold_pre_releases_of_what_they_hold() {
        let range = VersionRange::try_from(">=1.27".to_owned()).expect("valid");
        assert!(range.contains(&ReleaseVersion::parse("go1.27rc1").expect("valid")));
        assert!(!range.contains(&ReleaseVersion::parse("go1.26.8").expect("valid")));
    }
}
