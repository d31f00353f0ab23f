//! The caller's own transaction. Its statements run at once, in the order they come: the lease is
//! held from `begin` to the end, and nothing else runs in between.

use super::op::name_by;
use super::types::{CallId, Receipt, Reply, TxId};
use super::{Effect, Node};
use crate::error::{Code, Error, Result};
use crate::ladder::Path;
use crate::message::FrameName;
use crate::store::{AppendRequest, PackOptions, Params};

/// The caller's open transaction.
pub(super) struct Transaction {
    id: TxId,
    /// The frames that joined it.
    frames: Vec<FrameName>,
    /// Whether any of them is to be forwarded.
    forwarded: bool,
}

impl Transaction {
    pub fn new(id: TxId) -> Transaction {
        Transaction { id, frames: Vec::new(), forwarded: false }
    }
}

/// What calls end with whose transaction is over.
fn transaction_over() -> Error {
    Error::new(Code::Closed, "the transaction is over")
}

impl Node {
    /// The open transaction, if it is this one.
    fn open_tx(&mut self, id: TxId) -> Option<&mut Transaction> {
        self.tx.as_mut().filter(|tx| tx.id == id)
    }

    /// Runs `work` if `tx` is the open transaction, and replies.
    fn in_tx(&mut self, call: CallId, tx: TxId, work: impl FnOnce(&mut Node) -> Result<Reply>) {
        if self.open_tx(tx).is_none() {
            return self.fail(call, transaction_over());
        }
        let outcome = work(self);
        if !self.store.in_transaction() {
            // SQLite rolled it back by itself; later statements must not run outside of it.
            self.end_transaction();
        }
        self.effects.push(Effect::Reply(call, outcome, vec![]));
    }

    pub(super) fn tx_exec(&mut self, call: CallId, tx: TxId, sql: &str, params: &Params) {
        self.in_tx(call, tx, |node| node.store.exec(sql, params).map(Reply::Exec));
    }

    pub(super) fn tx_query(
        &mut self,
        call: CallId,
        tx: TxId,
        sql: &str,
        params: &Params,
        options: PackOptions,
    ) {
        self.in_tx(call, tx, |node| node.query(sql, params, options));
    }

    pub(super) fn tx_query_arrow(
        &mut self,
        call: CallId,
        tx: TxId,
        sql: &str,
        params: &Params,
        batch_rows: Option<usize>,
    ) {
        self.in_tx(call, tx, |node| node.query_arrow(sql, params, batch_rows));
    }

    /// `tx.appendFrame`: the frame joins the transaction, all or nothing by a savepoint.
    pub(super) fn tx_append(
        &mut self,
        call: CallId,
        request: &AppendRequest,
        tx: TxId,
        until_ms: f64,
    ) {
        if self.now_ms >= until_ms {
            let message = "the deadline passed behind other statements; nothing was written";
            return self.fail(call, Error::new(Code::Timeout, message).in_table(&request.table));
        }
        if self.open_tx(tx).is_none() {
            return self.fail(call, transaction_over());
        }
        if self.queue.is_paused() && self.queue.own_of_table(&request.table).next().is_some() {
            let message = "earlier frames wait in the queue, which cannot be emptied now";
            return self.fail(call, Error::new(Code::Busy, message).in_table(&request.table));
        }
        self.store.os().taken(call);
        let outcome = self.store.apply_in_savepoint(request);
        if !self.store.in_transaction() {
            self.end_transaction();
        }
        match outcome {
            Err(error) => self.fail(call, error),
            Ok(applied) => {
                // A duplicate may be of a frame that this same transaction wrote.
                let mut frames = self.tx.iter().flat_map(|tx| &tx.frames);
                let joined = frames.any(|f| f.frame_id == request.frame_id);
                let promised = applied.duplicate && !joined;
                if promised && let Err(error) = self.store.make_durable() {
                    return self.fail(call, error);
                }
                if !applied.duplicate
                    && let Some(tx) = &mut self.tx
                {
                    tx.frames.push(name_by(request, Some(&self.config.node_id)));
                    tx.forwarded |= request.forward;
                }
                let receipt = Receipt {
                    frame_id: request.frame_id.clone(),
                    table: request.table.clone(),
                    rows: applied.rows,
                    path: if promised { Path::Duplicate } else { Path::Joined },
                    committed: promised,
                    attempts: vec![],
                    elapsed_ms: 0.0,
                    coerced: applied.coerced,
                };
                self.give_receipt(call, receipt);
            }
        }
    }

    pub(super) fn tx_commit(&mut self, call: CallId, tx: TxId) {
        let Some(Transaction { frames, forwarded, .. }) = self.open_tx(tx) else {
            return self.fail(call, transaction_over());
        };
        let (mut frames, forwarded) = (std::mem::take(frames), *forwarded);
        // A savepoint of the caller's may have taken some of them back.
        frames.retain(|frame| matches!(self.store.find_frame(&frame.frame_id), Ok(Some(_))));
        let tables = self.store.take_touched();
        let outcome = match self.store.commit() {
            // An error after the point of no return leaves everything committed.
            Err(_) if !frames.is_empty() && self.are_applied(&frames) => Ok(()),
            other => other,
        };
        self.end_transaction();
        match outcome {
            Ok(()) => {
                self.announce(tables, frames, forwarded);
                self.reply(call, Reply::Nothing);
            }
            Err(error) => self.fail(call, error),
        }
    }

    fn are_applied(&self, frames: &[FrameName]) -> bool {
        let ids: Vec<&str> = frames.iter().map(|frame| &*frame.frame_id).collect();
        self.store.are_committed(&ids)
    }

    pub(super) fn tx_rollback(&mut self, call: CallId, tx: TxId) {
        if self.open_tx(tx).is_some() {
            self.abandon_transaction();
        }
        self.reply(call, Reply::Nothing);
    }

    /// Rolls back what is open, if anything is. Later statements of it are told that it is over.
    pub(super) fn abandon_transaction(&mut self) {
        if self.tx.is_some() {
            self.store.rollback();
            self.end_transaction();
        }
    }

    fn end_transaction(&mut self) {
        self.tx = None;
        self.look();
    }
}
