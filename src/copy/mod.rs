//! Frames as an SQL server takes them: the server's half of forwarding (`framelock/server`).
//!
//! Everything that knows both an Arrow type and one of PostgreSQL's or ClickHouse's lives here: what a column is
//! declared as, which columns a frame may go into, and the bytes of `COPY … FROM STDIN (FORMAT
//! binary)`. The layer is pure: bytes and a table's description in, SQL and bytes out. It has no
//! connection, and nothing in it may panic, whatever the bytes say.
//!
//! A value is written exactly or refused with its column and row; nothing is rounded, cut or
//! wrapped. PostgreSQL itself would round a numeric to its column's scale and a timestamp to its
//! precision without a word, so what the column is declared as is looked at too.

mod arrays;
pub mod clickhouse;
mod column;
mod declare;
mod job;
mod kind;
mod numeric;
mod plain;
mod plan;
mod refusal;
mod time;
mod value;
mod writer;

#[cfg(all(target_family = "wasm", not(feature = "browser")))]
mod abi;

pub use declare::{Declared, declare};
pub use job::{Job, Limits};
pub use kind::{ColumnType, Kind};
pub use plan::{Description, Plan, Policy, Target, plan};
pub use refusal::{Reason, Refusal};
pub use writer::CopyWriter;
