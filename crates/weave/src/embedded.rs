//! What the binary carries with it: the packs, the Go packages `tandem/rt` and `tandem/standalone`, the patch of Go's runtime.
//! Paths are relative to `packs/`, `go/rt/`, `go/standalone/` and `go/rt/runtime/`; tests of hooks and programs are left out.

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
