//! framelock: SQLite on the Origin Private File System, shared by every tab of an origin, with one
//! typed bulk write that has a stated outcome whatever the other tabs do.
//!
//! Read the modules in this order; each names only those above it.
pub mod error;
pub mod message;
pub mod policy;

pub mod frame;

pub mod forward;

pub mod platform;
pub mod store;

pub mod envelope;
pub mod ladder;
pub mod lease;
pub mod node;

#[cfg(target_family = "wasm")]
pub mod api;
#[cfg(target_family = "wasm")]
mod calls;
#[cfg(target_family = "wasm")]
pub mod web;
