//! Woven packages of the standard library that look to their importers as the plain ones do.
//!
//! Of an import the compiler reads the export data alone: types, how functions escape and are inlined, and at which index of
//! the object a symbol stands. A hook in a function's body changes none of it but the indices, and the list of imports. So the
//! compiled object gets its symbols put where the plain object has them, and the plain object's export data in place of its
//! own; then whatever imports the package is compiled as in the plain build, which `reuse` saves. Where anything else differs,
//! the object stays as the compiler wrote it.
//!
//! The plain object is the plain build's where there is one, else it is compiled here, from the same imports: what comes out
//! is the same, whatever caches hold.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::exports::{Difference, Exports};
use crate::goroot::Description;
use crate::object::Object;
use crate::reuse::{Compilation, Reuse};
use crate::symbols::Symbols;

/// Changes with what this module makes of objects.
pub const FORM: u32 = 4;

/// The plain object, beside the woven one.
const PLAIN: &str = "tandem.plain.a";

/// A compilation of a woven package of the standard library.
pub struct Alike<'a> {
    words: &'a [OsString],
    compilation: Compilation<'a>,
    root: &'a Path,
    description: &'a Description,
    /// The package's files in the plain build.
    files: Vec<PathBuf>,
}

impl<'a> Alike<'a> {
    /// `None` for any other compilation: of a package that is not woven, or not the standard library's, of one with cgo or
    /// files that were generated, of tests, or with flags that are not known.
    pub fn read(words: &'a [OsString], root: &'a Path, description: &'a Description) -> Option<Alike<'a>> {
        let compilation = Compilation::read(words)?;
        let (mut files, mut is_woven) = (Vec::new(), false);
        for file in &compilation.files {
            let below = file.strip_prefix(root).ok()?;
            let is_test = below.to_str()?.ends_with("_test.go");
            (!is_test).then_some(())?;
            let change = description.files.get(below);
            is_woven |= change.is_some();
            if !matches!(change, Some(None)) {
                files.push(description.real_root.join(below));
            }
        }
        (is_woven && !files.is_empty()).then_some(Alike { words, compilation, root, description, files })
    }

    /// Gives what was compiled the plain package's looks. `compiler` is the real one.
    pub fn give(&self, compiler: &Path, reuse: Option<&Reuse<'_>>) -> Result<(), Difference> {
        let woven = Object::read(self.compilation.output).ok_or(Difference::Unknown)?;
        let found = reuse.and_then(|reuse| reuse.plain_object(&self.compilation, &self.files));
        let plain = match found {
            Some(plain) => Some(plain),
            None => self.compile_plain(compiler),
        };
        let content = alike(&plain.ok_or(Difference::Unknown)?, &woven, self.compilation.build_id)?;
        fs::write(self.compilation.output, content).map_err(|_| Difference::Unknown)
    }

    fn compile_plain(&self, compiler: &Path) -> Option<Object> {
        let output = self.compilation.work_dir().join(PLAIN);
        let flags = &self.words[..self.words.len() - self.compilation.files.len()];
        let (root, real_root) = (self.root.to_str()?, self.description.real_root.to_str()?);
        let mut command = Command::new(compiler);
        let mut flags = flags.iter();
        while let Some(flag) = flags.next() {
            match flag.to_str() {
                Some("-o") => {
                    flags.next();
                    command.arg(flag).arg(&output)
                }
                Some("-asmhdr") => {
                    flags.next(); // the assembler's header is there
                    &mut command
                }
                Some(text) => command.arg(text.replace(&format!("{root}/"), &format!("{real_root}/"))),
                None => command.arg(flag),
            };
        }
        if std::env::var_os("GOROOT").is_some_and(|set| !set.is_empty()) {
            command.env("GOROOT", real_root);
        }
        command.args(&self.files).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let is_compiled = command.status().is_ok_and(|status| status.success());
        let object = is_compiled.then(|| Object::read(&output)).flatten();
        fs::remove_file(&output).ok();
        object
    }
}

/// The woven object with the plain one's looks, under a build id.
pub fn alike(plain: &Object, woven: &Object, build_id: &str) -> Result<Vec<u8>, Difference> {
    let exports = Exports::read(plain.export_data()).ok_or(Difference::Unknown)?;
    let indices = exports.same_but_for_indices(&Exports::read(woven.export_data()).ok_or(Difference::Unknown)?)?;
    let symbols = Symbols::read(woven.code()).ok_or(Difference::Unknown)?;
    let theirs = Symbols::read(plain.code()).ok_or(Difference::Unknown)?;
    let mut moves = BTreeMap::new();
    for index in indices {
        let is_same = symbols.name(index.woven).is_some_and(|name| theirs.name(index.plain) == Some(name));
        let before = moves.insert(index.woven, index.plain);
        if !is_same || before.is_some_and(|before| before != index.plain) {
            return Err(Difference::Unknown);
        }
    }
    let code = symbols.rearranged(exports.package_name(), &moves, exports.fingerprint()).ok_or(Difference::Unknown)?;
    woven.with_parts(plain.export_data(), &code, build_id).ok_or(Difference::Unknown)
}
