//! The store: one SQLite connection over swappable handles, and the typed writes and reads on it.
//!
//! Everything here is synchronous and runs under a lease that the caller holds. The connection
//! stays open from one lease to the next, so its page cache and statements survive; SQLite itself
//! notices by the file's change counter when somebody else wrote in between.
//! It never waits, never retries and knows no other tab.

mod append;
mod authorizer;
mod compound;
mod connection;
mod error;
mod import;
mod insert;
mod known;
mod outbox;
mod pack;
mod query;
mod redo;
mod rename;
mod rows;
mod seal;
mod slot;
mod slots;
mod table;
mod transfer;
mod vfs;
mod write;

pub use append::{AppendRequest, Applied, Content, Long, Piece};
pub use connection::{Attached, ExecResult, Params, Store};
pub use error::is_verdict;
pub use import::MAGIC;
pub use outbox::ITEM_BYTES;
pub use pack::{PackOptions, PackedColumn, PackedRows};
pub use query::RowSink;
pub use redo::LogLimits;
pub use rusqlite::types::Value;
pub use slots::{Mode, Os};
pub use transfer::TRANSFER_ROWS;
pub use write::HalfWritten;
