//! The shared-memory contract between a woven program and the agent.
