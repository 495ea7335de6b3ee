//! What the binary carries with it: the packs, the Go package `tandem/rt`, the patch of Go's runtime.
//! Paths are relative to `packs/`, `go/rt/` and `go/rt/runtime/`; tests of hooks and programs are left out.

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
