//! A call that waits, and a frame on its way.

use super::types::{CallId, OutboxCall, Receipt};
use crate::error::Error;
use crate::ladder::{Attempt, Ladder, Path};
use crate::message::FrameName;
use crate::platform::File;
use crate::store::{AppendRequest, Mode, PackOptions, Params};
use std::collections::BTreeMap;

/// A call that waits for the lease.
pub(super) struct Op {
    pub call: CallId,
    pub work: Work,
    pub since_ms: f64,
    /// When to look at it again: appends settle by their ladder, everything else by this time.
    pub until_ms: f64,
}

pub(super) enum Work {
    Append(Box<Append>),
    Exec { sql: String, params: Params },
    Query { sql: String, params: Params, options: PackOptions, writes: bool },
    QueryArrow { sql: String, params: Params, batch_rows: Option<usize>, writes: bool },
    Begin,
    WhenCommitted { frame_id: String },
    Drain { started: bool, applied: u64, patience_ms: f64 },
    Export,
    Import { file: Box<dyn File> },
    Outbox(OutboxCall),
}

/// A frame on its way.
pub(super) struct Append {
    pub request: AppendRequest,
    pub ladder: Ladder,
    /// This handle was given the same frame before, and does not know yet that it is in.
    pub repeat: bool,
    /// The holder has been asked to apply it.
    pub offered: bool,
    /// The holder on whose invitation it was last offered.
    pub guest_of: Option<String>,
    /// Until then it waits for that one's answer, and not for the lock.
    pub answer_until_ms: Option<f64>,
    /// It is in the queue, or on its way there.
    pub enqueued: bool,
    /// It is durable in the queue, and the holder is given time to apply it from there.
    pub filed: bool,
}

impl Work {
    /// The lease that it takes.
    pub fn mode(&self) -> Mode {
        match self {
            Work::Query { writes, .. } | Work::QueryArrow { writes, .. } if !writes => Mode::Shared,
            Work::Export | Work::Outbox(OutboxCall::DeadLetters) => Mode::Shared,
            _ => Mode::Exclusive,
        }
    }
}

impl Op {
    pub fn append(&self) -> Option<&Append> {
        match &self.work {
            Work::Append(append) => Some(append),
            _ => None,
        }
    }

    pub fn append_mut(&mut self) -> Option<&mut Append> {
        match &mut self.work {
            Work::Append(append) => Some(append),
            _ => None,
        }
    }

    /// When it must have begun, if it is a frame that has not: nobody else has it, nor has the queue.
    pub fn begins_by_ms(&self) -> Option<f64> {
        let append = self.append().filter(|append| !append.offered && !append.enqueued);
        append.map(|append| append.ladder.deadline_ms())
    }

    /// The error of a frame that has not begun, and must not any more.
    pub fn overdue(&self, now_ms: f64) -> Option<Error> {
        let by_ms = self.begins_by_ms()?;
        let append = self.append().filter(|_| now_ms >= by_ms)?;
        Some(append.ladder.timed_out(now_ms))
    }

    /// What was tried for it so far.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.append().map(|append| append.ladder.attempts().to_vec()).unwrap_or_default()
    }
}

impl Append {
    pub fn name(&self) -> FrameName {
        name_of(&self.request)
    }

    /// The receipt for this frame, as things stand.
    pub fn receipt(&self, now_ms: f64, path: Path, committed: bool) -> Receipt {
        Receipt {
            frame_id: self.request.frame_id.clone(),
            table: self.request.table.clone(),
            rows: self.request.content.rows(),
            path,
            committed,
            attempts: self.ladder.attempts().to_vec(),
            elapsed_ms: self.ladder.elapsed_ms(now_ms),
            coerced: BTreeMap::new(),
        }
    }
}

/// What the other tabs call a frame.
pub(super) fn name_of(request: &AppendRequest) -> FrameName {
    FrameName {
        frame_id: request.frame_id.clone(),
        table: request.table.clone(),
        rows: request.content.rows(),
        digest: request.digest,
        coerced: BTreeMap::new(),
        by: None,
    }
}

/// The same, once the copy of this node is in; none where that is not known.
pub(super) fn name_by(request: &AppendRequest, node_id: Option<&str>) -> FrameName {
    let by = node_id.filter(|_| !request.own_id).map(str::to_owned);
    FrameName { by, ..name_of(request) }
}
