//! Why a weave could not be done, in words for the person who typed the command. Exit codes are in `WeaveError::exit_code`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::{Diagnostic, NamedSource, SourceSpan};
use thiserror::Error;

use crate::pack::{self, PackError};

/// Every way in which `tandem go` and `tandem explain` can fail by themselves (the go command's failures are its own).
#[derive(Debug, Error, Diagnostic)]
pub enum WeaveError {
    /// No go command in `PATH`.
    #[error("there is no go command in PATH")]
    #[diagnostic(help("install Go 1.21 or newer from https://go.dev/dl/ and put its bin folder into PATH"))]
    NoGo,
    /// The go command does not start or does not answer as expected.
    #[error("cannot run {command}: {problem}")]
    GoBroken {
        /// What was run.
        command: String,
        /// What happened.
        problem: String,
    },
    /// The go command refused, and said so itself on standard error already passed on.
    #[error("{message}")]
    GoRefused {
        /// The go command's own message.
        message: String,
        /// The go command's own exit code.
        code: u8,
    },
    /// Older than the oldest supported version.
    #[error("tandem weaves Go 1.21 and newer, this is {version} in {goroot}")]
    #[diagnostic(help(
        "install a newer Go, raise the `go` line of go.mod, or build plain with `go` instead of `tandem go`"
    ))]
    GoTooOld {
        /// As `go env GOVERSION` says.
        version: String,
        /// Where it is installed.
        goroot: PathBuf,
    },
    /// The runtime of this Go version has changed beyond what the patch knows.
    #[error("the runtime of {version} is not one that tandem can weave: {reason}")]
    #[diagnostic(help("use an older Go (GOTOOLCHAIN=go1.26.8 tandem go …), a newer tandem, or build plain with `go`"))]
    UnknownRuntime {
        /// As `go env GOVERSION` says.
        version: String,
        /// Which anchor is missing.
        reason: String,
    },
    /// A pack cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Pack(#[from] PackError),
    /// `tandem.yaml` cannot be used.
    #[error("{path}: {problem}")]
    #[diagnostic(help(
        "tandem.yaml knows `packs:` (folders and Go modules), `enable:`, `disable:` (packs or rules), `functions:` (docs/functions.md) \
         and `standalone:` (docs/standalone.md)"
    ))]
    Configuration {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// The file's text.
        #[source_code]
        source_code: Arc<NamedSource<String>>,
        /// Where in the text.
        #[label("here")]
        span: SourceSpan,
    },
    /// Neither environment variable gives a cache folder.
    #[error("there is no place for the cache: HOME is not set")]
    #[diagnostic(help("set TANDEM_CACHE to a folder"))]
    NoCache,
    /// The file that `tandem explain --strict` compares with cannot be used.
    #[error("{path}: {problem}")]
    #[diagnostic(help("write it with `tandem explain --json [packages] > FILE`"))]
    Baseline {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The folder of our `go` cannot be an element of `PATH`.
    #[error("the cache folder {path} has a colon in its name, so that PATH cannot hold a folder in it")]
    #[diagnostic(help("set TANDEM_CACHE to a folder without a colon"))]
    ColonInPath {
        /// The folder.
        path: PathBuf,
    },
    /// The cache folder or a file in it cannot be written (rights, full disk), or a source cannot be read.
    #[error("cannot {action} {path}: {source}")]
    #[diagnostic(help("{}", file_help(source)))]
    File {
        /// A verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The person pressed Ctrl-C before the go command ran.
    #[error("interrupted")]
    Interrupted,
}

fn file_help(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "make room, or set TANDEM_CACHE to a folder on another disk"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "set TANDEM_CACHE to a folder that you may write"
        }
        _ => "set TANDEM_CACHE to another folder if this one cannot be used",
    }
}

impl WeaveError {
    pub(crate) fn configuration(path: &Path, text: String, error: &serde_saphyr::Error) -> WeaveError {
        let (span, problem) = (pack::error_span(&text, error), pack::plain_problem(error));
        let source_code = Arc::new(NamedSource::new(path.display().to_string(), text));
        WeaveError::Configuration { path: path.to_owned(), problem, source_code, span }
    }

    /// Go's own code where the go command refused, 130 after Ctrl-C, else 3: the weave could not be done.
    pub fn exit_code(&self) -> u8 {
        match self {
            WeaveError::GoRefused { code, .. } => *code,
            WeaveError::Interrupted => 130,
            _ => 3,
        }
    }
}

/// Adds verb and path to an `io::Error`.
pub(crate) fn at<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> WeaveError + 'a {
    move |source| WeaveError::File { action, path: path.to_owned(), source }
}
