//! What goes into a node and what comes out of it.

use crate::error::Result;
use crate::forward::{self, DeadLetter, Outcome, Request};
use crate::ladder::{Attempt, Fallback, Path};
use crate::lease::LockId;
use crate::message::Refusal;
use crate::platform::{File, FileError, Handles};
use crate::policy::RetryPolicy;
use crate::store::{AppendRequest, ExecResult, Mode, PackOptions, PackedRows, Params};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Names one call of the client; its reply carries the same.
pub type CallId = u32;
/// Names an open transaction of this node.
pub type TxId = u32;

/// What the client asks for. `tx` names the open transaction that a statement belongs to.
pub enum Call {
    Append {
        request: Box<AppendRequest>,
        policy: RetryPolicy,
        fallback: Fallback,
        /// When it was called: its deadline counts from there.
        since_ms: f64,
    },
    /// Not after `until_ms`.
    JoinedAppend {
        request: Box<AppendRequest>,
        tx: TxId,
        until_ms: f64,
    },
    Exec {
        sql: String,
        params: Params,
        timeout_ms: f64,
        tx: Option<TxId>,
    },
    Query {
        sql: String,
        params: Params,
        options: PackOptions,
        timeout_ms: f64,
        tx: Option<TxId>,
    },
    /// In one Arrow IPC stream, or in several of `batch_rows` rows each.
    QueryArrow {
        sql: String,
        params: Params,
        batch_rows: Option<usize>,
        timeout_ms: f64,
        tx: Option<TxId>,
    },
    Begin {
        timeout_ms: f64,
    },
    Commit {
        tx: TxId,
    },
    Rollback {
        tx: TxId,
    },
    Status,
    WhenCommitted {
        frame_id: String,
    },
    Drain {
        timeout_ms: f64,
    },
    /// The frames that the database refused.
    Rejected,
    /// Puts a refused frame back into the queue.
    RetryRejected {
        frame_id: String,
    },
    DiscardRejected {
        frame_id: String,
    },
    Export {
        timeout_ms: f64,
    },
    Import {
        file: Box<dyn File>,
        timeout_ms: f64,
    },
    Outbox {
        what: OutboxCall,
        timeout_ms: f64,
    },
    Close,
}

impl Call {
    /// Whether it does no more, at first, than wait for its turn.
    pub(super) fn stands_in_line(&self) -> bool {
        use Call::{Append, Exec, Query, QueryArrow};
        match self {
            Append { .. } => true,
            Exec { tx, .. } | Query { tx, .. } | QueryArrow { tx, .. } => tx.is_none(),
            _ => false,
        }
    }
}

/// What the user may do about forwarding; numbers name dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutboxCall {
    Pause,
    Resume,
    Restart,
    DeadLetters,
    Retry(i64),
    Discard(i64),
}

/// What happened.
pub enum Event {
    /// The client calls.
    Call(CallId, Call),
    /// The client no longer wants the answer.
    Cancel(CallId),
    /// The lock was granted.
    LockGranted(LockId),
    /// The lock, or the request for it, is gone through no doing of ours.
    LockLost(LockId),
    /// Opening the handles ended.
    Opened(LockId, std::result::Result<Handles, FileError>),
    /// The answer to [`Effect::QueryLock`].
    LockQueried { held: bool, waiting: usize, foreign_version: bool, queue: Option<QueueCounts> },
    /// The frame of this call is in the durable queue, or could not be put there.
    Enqueued(CallId, std::result::Result<QueueCounts, FileError>),
    /// The answer to [`Effect::LoadQueue`].
    QueueLoaded(std::result::Result<QueuePage, FileError>),
    /// The answer to [`Effect::LoadRejected`].
    RejectedLoaded(std::result::Result<Vec<Rejected>, FileError>),
    /// Bytes from another tab.
    Message(Vec<u8>),
    /// The sender's lock was granted.
    SenderGranted(LockId),
    /// The sender's lock, or the request for it, is gone through no doing of ours.
    SenderLost(LockId),
    /// What came of [`Effect::Exchange`].
    Exchanged(u32, Outcome),
    /// The platform has the token of [`Effect::AskToken`], or the page has none to give.
    Token(u32, bool),
    /// The network is back.
    Online,
    /// The page became hidden or visible.
    Hidden(bool),
    /// The page is about to be frozen or to be left; nothing may be kept.
    Suspend,
    /// The page is back.
    Resume,
    /// The answer to [`Effect::Yield`].
    Yielded,
    /// Time has passed.
    Wake,
}

/// What to do. Effects are carried out in order.
pub enum Effect {
    RequestLock {
        id: LockId,
        mode: Mode,
    },
    CancelLock {
        id: LockId,
    },
    ReleaseLock {
        id: LockId,
    },
    OpenHandles {
        id: LockId,
        mode: Mode,
    },
    /// Look who holds and who waits for the lock, and perhaps count the queue.
    QueryLock {
        count_queue: bool,
    },
    /// Write an envelope into the durable queue, behind all that is there. Enqueueing, loading and
    /// removing happen in the order of their effects.
    Enqueue {
        call: CallId,
        frame_id: String,
        bytes: Vec<u8>,
    },
    /// Read the head of the queue.
    LoadQueue,
    /// Remove applied frames from the queue.
    RemoveQueued(Vec<String>),
    /// Move a frame to the rejected list, with the reason.
    Reject {
        name: String,
        report: Rejected,
    },
    /// Read the rejected list.
    LoadRejected,
    /// Move a frame from the rejected list back to its place in the queue.
    RequeueRejected {
        frame_id: String,
    },
    /// Remove a frame from the rejected list for good.
    RemoveRejected {
        frame_id: String,
    },
    /// Ask for the lock of the one handle that forwards.
    RequestSender {
        id: LockId,
    },
    /// Give that lock up, or take the request back.
    ReleaseSender {
        id: LockId,
    },
    /// Ask the server, with the last token.
    Exchange {
        id: u32,
        request: Box<Request>,
    },
    /// Its answer is not wanted any more, and will not be told.
    CancelExchange {
        id: u32,
    },
    /// Ask the page for a token; `refresh` says that the server refused the last one.
    AskToken {
        id: u32,
        refresh: bool,
    },
    /// Let whatever waits in the event loop happen, then say [`Event::Yielded`].
    Yield,
    /// The next bytes of the file that this call exports, `total` of them in all. A part at 0 begins
    /// anew.
    Part {
        call: CallId,
        total: u64,
        offset: u64,
        bytes: Vec<u8>,
    },
    /// Send to the other tabs.
    Post(Vec<u8>),
    /// Settle a call.
    Reply(CallId, Result<Reply>, Vec<Attempt>),
    /// Tell the client.
    Notify(Notice),
    /// Everything is given back; the node is done.
    Closed,
}

/// How many frames wait, and how many were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct QueueCounts {
    pub queued: u64,
    pub rejected: u64,
}

/// The head of the queue: as many frames as fit in a few megabytes, at least one.
#[derive(Debug, Default)]
pub struct QueuePage {
    /// File name and bytes, in order.
    pub frames: Vec<(String, Vec<u8>)>,
    /// Everything in the queue, these frames included.
    pub counts: QueueCounts,
}

/// A frame that the database refused. Where its file could not be read, its id is the file's name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejected {
    pub frame_id: String,
    pub table: String,
    pub rows: u64,
    pub error: Refusal,
}

/// An answer.
pub enum Reply {
    Drained {
        applied: u64,
        rejected: u64,
        remaining: u64,
    },
    RejectedList(Vec<Rejected>),
    Nothing,
    Receipt(Box<Receipt>),
    Exec(ExecResult),
    Rows(u64, Box<PackedRows>),
    Bytes(Vec<u8>),
    /// The platform has all batches of the stream.
    Batches,
    /// The platform keeps the batches under this name.
    Cursor(CallId),
    /// The platform has all parts of the file.
    Exported,
    Transaction(TxId),
    Status(Box<Status>),
    DeadLetters(Vec<DeadLetter>),
}

/// What became of an append; the contract's `AppendReceipt`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    pub frame_id: String,
    pub table: String,
    pub rows: u64,
    pub path: Path,
    pub committed: bool,
    pub attempts: Vec<Attempt>,
    pub elapsed_ms: f64,
    pub coerced: BTreeMap<String, u64>,
}

/// Who committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    ThisTab,
    OtherTab,
}

/// An event for the client's listeners.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all_fields = "camelCase", untagged)]
pub enum Notice {
    Commit { tables: Vec<String>, frame_ids: Vec<String>, origin: Origin },
    Append(Box<Receipt>),
    Queue(QueueCounts),
    Status { lock: LockStatus, holder: Option<Origin> },
    Forward(Box<forward::Report>),
}

impl Notice {
    /// The event's name for `db.on`.
    pub fn name(&self) -> &'static str {
        match self {
            Notice::Commit { .. } => "commit",
            Notice::Append(_) => "append",
            Notice::Queue(_) => "queue",
            Notice::Status { .. } => "status",
            Notice::Forward(_) => "forward",
        }
    }
}

/// The lock, seen from this handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LockStatus {
    Held,
    Waiting,
    Free,
}

/// How many frames went which way through this handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counters {
    pub direct: u64,
    pub handoff: u64,
    pub queued: u64,
    pub duplicate: u64,
    pub busy: u64,
}

/// The protocol's part of the contract's `Status`; the platform adds the rest.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub lock: LockStatus,
    pub holder: Option<Origin>,
    pub queued: u64,
    pub rejected: u64,
    pub counters: Counters,
    /// None for a handle that was not told where to.
    pub forwarding: Option<forward::Status>,
}
