//! Builds with `-trimpath`: woven modules from a module cache of our own instead of `replace` lines.
//!
//! A replacement's folder goes into the build information, and so into the ids by which go tells builds apart, and those
//! ids are in the binary: with `replace` two machines would make different ones. Here go.mod stays as it is. Without
//! `-trimpath` the folder of *every* module counts, woven or not, so that all would be compiled again.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::cache::{self, Cache, Key};
use crate::error::{WeaveError, at};
use crate::modules::ShadowModule;
use crate::versioned::ModuleCache;

/// A module cache that leads to `real` everywhere but where woven modules lie, which is there from then on. None is needed
/// where no woven module comes from the real one.
pub fn module_cache(cache: &Cache, real: &Path, woven: &mut [ShadowModule]) -> Result<Option<ModuleCache>, WeaveError> {
    let below = |shadow: &ShadowModule| shadow.module.dir.strip_prefix(real).ok().map(Path::to_owned);
    let places: BTreeMap<PathBuf, PathBuf> =
        woven.iter().filter_map(|shadow| Some((below(shadow)?, shadow.dir.clone()?))).collect();
    if places.is_empty() {
        return Ok(None);
    }
    let on_the_way: BTreeSet<&Path> = places.keys().flat_map(|place| place.ancestors().skip(1)).collect();
    let mut listings: Vec<(&Path, BTreeSet<OsString>)> = Vec::new();
    for folder in &on_the_way {
        let dir = real.join(folder);
        let entries = fs::read_dir(&dir).map_err(at("read", &dir))?;
        listings.push((folder, entries.flatten().map(|entry| entry.file_name()).collect()));
    }
    let key = Key::new("trimmed").text(real).text(format!("{places:?} {listings:?}"));
    let dir = cache.entry(cache::MODULE_CACHE, &key.name(), |work| {
        for (folder, names) in &listings {
            let dir = work.join(folder);
            fs::create_dir_all(&dir).map_err(at("create", &dir))?;
            let others =
                names.iter().map(|name| folder.join(name)).filter(|place| !on_the_way.contains(place.as_path()));
            for place in others {
                let target = places.get(&place).cloned().unwrap_or_else(|| real.join(&place));
                symlink(target, work.join(&place)).map_err(at("create", &place))?;
            }
        }
        Ok(())
    })?;
    for shadow in woven.iter_mut().filter(|shadow| shadow.dir.is_some()) {
        shadow.dir = below(shadow).map(|below| dir.join(below)).or(shadow.dir.take());
    }
    Ok(Some(ModuleCache { dir, real: real.to_owned() }))
}
