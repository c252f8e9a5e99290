//! Collects facts: what lies in a folder, what a tag of a repository holds.
//!
//! Reads only. Decides nothing, changes nothing, and never imports flow.

pub mod commits;
pub mod migrations;
pub mod project;
pub mod queries;
