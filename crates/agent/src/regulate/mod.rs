//! The agent within its budget.
pub mod controller;
