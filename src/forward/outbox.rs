//! What the sender reads from the outbox and writes to it, as data; `store::outbox` does it.

use super::item::{Digest, Item};
use crate::json;
use serde::{Deserialize, Deserializer, Serialize};

/// What to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Items after this number, or after the acknowledged ones,
    pub after: Option<i64>,
    /// at most so many, and so many bytes of rows; always one, if there is one.
    pub items: usize,
    pub bytes: usize,
    /// Whether the sizes of the acknowledged items are wanted too.
    pub kept: bool,
}

/// Why nothing is sent until somebody says so. Kept in the database: it holds for every tab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseReason {
    /// `db.forwarding.pause()`.
    Asked,
    /// The server is known to have no more than up to `remote`, and what it is missing is kept no more; or it has
    /// something else in its place.
    RemoteRewound { remote: i64 },
}

/// The outbox in a few numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutboxState {
    /// The stream's id; none until the first frame is forwarded.
    pub stream: Option<String>,
    /// A sequence number is an item's number less this.
    pub base: i64,
    /// The server has everything up to this number.
    pub acknowledged: i64,
    /// The first and the last number that are there.
    pub first: i64,
    pub last: i64,
    pub paused: Option<PauseReason>,
    pub dead_letters: u64,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    pub state: OutboxState,
    pub items: Vec<Item>,
    /// Number and bytes of each acknowledged item, when asked for.
    pub kept: Vec<(i64, u64)>,
}

/// Why the server does not take an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// The server's code: `SCHEMA_MISMATCH`, `CONSTRAINT`, …
    pub code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<u64>,
}

/// An item that the server refused, kept aside with the reason until the user settles it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// Its number in the outbox: its name for retrying and discarding.
    pub id: i64,
    pub stream: String,
    pub seq: i64,
    pub table: String,
    pub rows: u64,
    #[serde(flatten)]
    pub refused: Refused,
}

/// The fields that are its own.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Own {
    id: i64,
    stream: String,
    seq: i64,
    table: String,
    rows: u64,
}

impl<'de> Deserialize<'de> for DeadLetter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (Own { id, stream, seq, table, rows }, refused) = json::both(deserializer)?;
        Ok(DeadLetter { id, stream, seq, table, rows, refused })
    }
}

/// What to write. Each is about a stream, and changes nothing when that is no longer the outbox's:
/// a sender that was away for long harms nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// The server has everything up to this number, which may be less than was thought; what lies
    /// before `keep_from` and is acknowledged is kept no more.
    Acknowledged {
        stream: String,
        number: i64,
        keep_from: i64,
    },
    /// The server refuses an item: aside with it; a skip is sent in its place.
    DeadLetter {
        stream: String,
        number: i64,
        digest: Digest,
        refused: Refused,
    },
    /// The server has rows of every item after `after` up to this number, although some were put aside: they are frames
    /// again, and no dead letters.
    Arrived {
        stream: String,
        after: i64,
        number: i64,
    },
    /// Somebody else sends under this stream's id: everything after `base` goes under a new one.
    Forked {
        stream: String,
        base: i64,
    },
    Paused {
        stream: String,
        reason: PauseReason,
    },
}
