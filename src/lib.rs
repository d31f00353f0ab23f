//! framelock: SQLite on the Origin Private File System, shared by every tab of an origin, with one
//! typed bulk write that has a stated outcome whatever the other tabs do.
//!
//! Read the modules in this order; each names only those above it.
pub mod error;
pub mod frame;
