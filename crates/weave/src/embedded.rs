//! What the binary carries with it: the packs, the Go packages `tandem/rt` and `tandem/standalone`, those that several packs
//! share (`go/lib/NAME` is `tandem/NAME`), the patch of Go's runtime. Paths are relative to `packs/`, `go/rt/`,
//! `go/standalone/`, `go/lib/` and `go/rt/runtime/`; tests of hooks and programs are left out.

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
