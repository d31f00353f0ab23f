//! framelock: SQLite on the Origin Private File System, shared by every tab of an origin, with one
//! typed bulk write that has a stated outcome whatever the other tabs do.
//!
//! Read the modules in this order; each names only those above it. Two libraries are made of them:
//! `browser` is the engine in a page's worker, `server` turns forwarded frames into what an SQL
//! server takes and has no SQLite in it.
pub mod error;
#[cfg_attr(not(feature = "browser"), allow(dead_code))]
mod json;
#[cfg_attr(not(all(target_family = "wasm", feature = "browser")), allow(dead_code))]
mod sorted;

#[cfg(feature = "browser")]
pub mod policy;

pub mod frame;

#[cfg(feature = "browser")]
pub mod forward;
#[cfg(feature = "browser")]
pub mod message;

#[cfg(feature = "browser")]
pub mod platform;
#[cfg(feature = "browser")]
pub mod store;

#[cfg(feature = "browser")]
pub mod envelope;
#[cfg(feature = "browser")]
pub mod lease;
// After `lease`, whose least wait it keeps.
#[cfg(feature = "browser")]
pub mod ladder;
#[cfg(feature = "browser")]
pub mod node;

#[cfg(all(target_family = "wasm", feature = "browser"))]
pub mod api;
#[cfg(all(target_family = "wasm", feature = "browser"))]
mod calls;
#[cfg(all(target_family = "wasm", feature = "browser"))]
pub mod web;

#[cfg(feature = "server")]
pub mod copy;
