//! Units: what runs under the lease in one go, between two looks at who else waits.

use super::types::{Receipt, Reply};
use super::{Effect, Node, Notice, Op, Work};
use crate::error::{Code, Error, Result};
use crate::ladder::{Ladder, Path};
use crate::store::{AppendRequest, Applied, PackOptions, PackedRows, Params};

/// Frames that share a transaction, at most; and their rows, at most. More gains nothing and
/// makes the others wait.
const GROUP_FRAMES: usize = 64;
const GROUP_ROWS: u64 = 100_000;

impl Node {
    /// Runs the next unit, if there is one that may. Gives whether to try for another.
    pub(super) fn run_unit(&mut self) -> bool {
        let Some(held) = self.lease.held() else { return false };
        if self.tx.is_some() || self.looking || self.suspended {
            return false;
        }
        let Some(op) = self.ops.front() else { return false };
        if self.needed_mode(&op.work) > held {
            return false;
        }
        if matches!(op.work, Work::Append { .. }) {
            self.run_appends();
            return self.unit_done();
        }
        let Some(op) = self.ops.pop_front() else { return false };
        let call = op.call;
        match op.work {
            Work::Append { .. } => {}
            Work::Exec { sql, params } => {
                let outcome = self.store.exec(&sql, &params);
                // Statements before the one that failed are in.
                let tables = self.store.take_touched();
                self.announce(tables, vec![]);
                self.settle(call, outcome.map(Reply::Exec));
            }
            Work::Query { ref sql, .. } | Work::QueryArrow { ref sql, .. }
                if held == crate::store::Mode::Shared && self.store.writes(sql) == Ok(true) =>
            {
                self.ops.push_front(Op { work: op.work.writing(), ..op });
                return false;
            }
            Work::Query { sql, params, options, .. } => {
                let outcome = self.query(&sql, &params, options);
                self.finish_query(call, outcome);
            }
            Work::QueryArrow { sql, params, .. } => {
                let outcome = self.store.query_arrow(&sql, &params).map(Reply::Bytes);
                self.finish_query(call, outcome);
            }
            Work::Begin => {
                let begun = self.store.begin();
                let outcome = begun.map(|()| {
                    self.last_tx += 1;
                    self.tx = Some(self.last_tx);
                    Reply::Transaction(self.last_tx)
                });
                self.settle(call, outcome);
            }
            Work::Export => {
                let outcome = self.store.export_file().map(Reply::Bytes);
                self.settle(call, outcome);
            }
            Work::Import { bytes } => {
                let outcome = self.store.import_file(&bytes);
                let tables = self.store.take_touched();
                self.announce(tables, vec![]);
                self.settle(call, outcome.map(|()| Reply::Nothing));
            }
        }
        self.unit_done()
    }

    /// Looks who waits before anything else runs.
    fn unit_done(&mut self) -> bool {
        self.idle_since_ms = self.now_ms;
        self.looking = true;
        self.look();
        false
    }

    pub(super) fn query(
        &mut self,
        sql: &str,
        params: &Params,
        options: PackOptions,
    ) -> Result<Reply> {
        let mut rows = PackedRows::new(options);
        let count = self.store.query(sql, params, &mut rows)?;
        Ok(Reply::Rows(count, Box::new(rows)))
    }

    /// A query may write too: `INSERT … RETURNING`.
    fn finish_query(&mut self, call: u32, outcome: Result<Reply>) {
        let tables = self.store.take_touched();
        if outcome.is_ok() {
            self.announce(tables, vec![]);
        }
        self.settle(call, outcome);
    }

    fn settle(&mut self, call: u32, outcome: Result<Reply>) {
        self.effects.push(Effect::Reply(call, outcome, vec![]));
    }

    /// The frames at the head of the queue, in one transaction.
    fn run_appends(&mut self) {
        let mut group: Vec<(u32, Box<AppendRequest>, Box<Ladder>)> = Vec::new();
        let mut rows = 0;
        while group.len() < GROUP_FRAMES
            && let Some(Op { work: Work::Append { request, .. }, .. }) = self.ops.front()
            && (group.is_empty() || rows + request.content.rows() <= GROUP_ROWS)
        {
            rows += request.content.rows();
            if let Some(Op { call, work: Work::Append { request, ladder }, .. }) =
                self.ops.pop_front()
            {
                group.push((call, request, ladder));
            }
        }
        let requests: Vec<&AppendRequest> = group.iter().map(|(_, request, _)| &**request).collect();
        let outcomes = match self.store.append_group(&requests) {
            Ok(outcomes) => outcomes,
            // One of them may have been too much; alone, the others may well get through.
            Err(_) if group.len() > 1 => requests
                .iter()
                .map(|request| {
                    let alone = self.store.append_group(&[request]);
                    alone.and_then(|mut one| {
                        one.pop().unwrap_or_else(|| Err(Error::new(Code::Sql, "no outcome")))
                    })
                })
                .collect(),
            Err(error) => vec![Err(error)],
        };
        let mut tables = std::collections::BTreeSet::new();
        let mut frame_ids = Vec::new();
        for ((_, request, _), outcome) in group.iter().zip(&outcomes) {
            if outcome.as_ref().is_ok_and(|applied| !applied.duplicate) {
                tables.insert(request.table.clone());
                frame_ids.push(request.frame_id.clone());
            }
        }
        for ((call, request, ladder), outcome) in group.into_iter().zip(outcomes) {
            self.settle_append(call, &request, *ladder, outcome);
        }
        self.announce(tables, frame_ids);
    }

    fn settle_append(
        &mut self,
        call: u32,
        request: &AppendRequest,
        mut ladder: Ladder,
        outcome: Result<Applied>,
    ) {
        match outcome {
            Err(error) => {
                let attempts = ladder.attempts().to_vec();
                let error = match error.table {
                    Some(_) => error,
                    None => error.in_table(&request.table),
                };
                self.effects.push(Effect::Reply(call, Err(error), attempts));
            }
            Ok(applied) => {
                ladder.committed(Path::Direct, self.now_ms);
                let path = if applied.duplicate { Path::Duplicate } else { Path::Direct };
                let receipt = Receipt {
                    frame_id: request.frame_id.clone(),
                    table: request.table.clone(),
                    rows: applied.rows,
                    path,
                    committed: true,
                    attempts: ladder.attempts().to_vec(),
                    elapsed_ms: ladder.elapsed_ms(self.now_ms),
                    coerced: applied.coerced,
                };
                self.give_receipt(call, receipt);
            }
        }
    }

    pub(super) fn give_receipt(&mut self, call: u32, receipt: Receipt) {
        match receipt.path {
            Path::Direct => self.counters.direct += 1,
            Path::Handoff => self.counters.handoff += 1,
            Path::Queued => self.counters.queued += 1,
            Path::Duplicate => self.counters.duplicate += 1,
            Path::Joined => {}
        }
        self.reply(call, Reply::Receipt(Box::new(receipt.clone())));
        self.effects.push(Effect::Notify(Notice::Append(Box::new(receipt))));
    }
}

impl Work {
    fn writing(self) -> Work {
        match self {
            Work::Query { sql, params, options, .. } => {
                Work::Query { sql, params, options, writes: true }
            }
            Work::QueryArrow { sql, params, .. } => Work::QueryArrow { sql, params, writes: true },
            other => other,
        }
    }
}
