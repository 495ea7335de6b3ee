//! The kernel half: eBPF programs, their loader and what they attach to.
