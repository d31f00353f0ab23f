//! framelock: SQLite on the Origin Private File System, shared by every tab of an origin, with one
//! typed bulk write that has a stated outcome whatever the other tabs do.
//!
//! Read the modules in this order; each names only those above it.
pub mod error;
pub mod policy;

pub mod frame;

//WIP pub mod platform;
//WIP pub mod store;

//WIP pub mod ladder;
//WIP pub mod lease;
//WIP pub mod message;
//WIP pub mod node;

//WIP #[cfg(target_family = "wasm")]
//WIP pub mod api;
//WIP #[cfg(target_family = "wasm")]
//WIP pub mod web;
