//! The oracle: knows what every call was told, and so what the database must, may and must not hold.

use crate::frames::{KEYS, Kind, Spec, TABLES, VALUES};
use crate::image::Image;
use framelock::envelope;
use framelock::error::{Code, Error};
use framelock::node::Rejected;
use std::collections::{BTreeMap, BTreeSet};

/// What the oracle found broken: the invariant's name and what happened.
#[derive(Debug, Clone)]
pub struct Failure {
    pub check: &'static str,
    pub text: String,
}

pub fn failure(check: &'static str, text: impl Into<String>) -> Failure {
    Failure { check, text: text.into() }
}

/// What a client knows of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// No answer: it may be in, now or later.
    Nothing,
    Committed,
    /// It is durable, and will be in or on the rejected list.
    Queued,
    /// In, if this transaction is.
    Joined(usize),
    /// Nothing was written.
    Refused(Code),
    /// The storage failed so late that only the database knows.
    InDoubt,
}

/// A frame: one id with one content.
pub struct Fact {
    pub spec: Spec,
    pub calls: Vec<Told>,
    /// Whether its place among its handle's frames of the table is promised.
    pub ordered: bool,
    pub discarded: bool,
}

/// A row written by plain SQL.
pub struct Mark {
    pub told: Told,
}

/// A client's transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Not ended, or nobody was left to hear how.
    Open,
    Committed,
    RolledBack,
    InDoubt,
}

pub type FrameKey = (String, u64);

/// See the module.
#[derive(Default)]
pub struct Oracle {
    pub frames: BTreeMap<FrameKey, Fact>,
    pub marks: Vec<Mark>,
    pub transactions: Vec<Ending>,
    /// Receipts in the order in which they were given.
    pub promises: Vec<(FrameKey, Told)>,
}

/// Whether an error leaves open what the database holds.
pub fn in_doubt(error: &Error) -> bool {
    const IOERR: i32 = 10;
    match error.code {
        Code::Sql => error.sqlite_code.is_none_or(|code| code & 0xff == IOERR),
        Code::StorageLost | Code::StorageUnavailable | Code::WorkerFailed => true,
        _ => false,
    }
}

/// What is on the disk, read past all tabs.
pub struct Found {
    /// First rowid and row numbers, per frame.
    frames: BTreeMap<FrameKey, (usize, i64, Vec<u64>)>,
    values: BTreeSet<String>,
    marks: BTreeMap<usize, u64>,
    rejected: Vec<Rejected>,
    queued: BTreeSet<FrameKey>,
    /// The last number of the outbox: how many frames ever went in.
    outboxed: i64,
}

impl Found {
    /// Reads everything, and checks that it is sound.
    pub fn read(
        image: &mut Image,
        rejected: Vec<Rejected>,
        queued: &[Vec<u8>],
    ) -> Result<Found, Failure> {
        let unreadable = |e: Error| failure("I5", format!("the database cannot be read: {e}"));
        let damage = image.damage().map_err(unreadable)?;
        if !damage.is_empty() {
            return Err(failure("I5", format!("integrity_check: {}", damage.join("; "))));
        }
        let mut found = Found {
            frames: BTreeMap::new(),
            values: BTreeSet::new(),
            marks: BTreeMap::new(),
            rejected,
            queued: BTreeSet::new(),
            outboxed: image.0.outbox_state().map_err(unreadable)?.last,
        };
        let tables = image
            .column("SELECT name FROM sqlite_schema WHERE type = 'table'")
            .map_err(unreadable)?;
        for (number, table) in TABLES.iter().enumerate() {
            if tables.iter().any(|name| name == table) {
                for line in image.column(&rows_sql(table)).map_err(unreadable)? {
                    found.row(number, &line)?;
                }
            }
        }
        for mark in image.column("SELECT CAST(mark AS TEXT) FROM marks").unwrap_or_default() {
            *found.marks.entry(mark.parse().unwrap_or(usize::MAX)).or_default() += 1;
        }
        for bytes in queued {
            let request = envelope::decode(bytes)
                .map_err(|e| failure("I1", format!("a queued frame is broken: {e}")))?;
            let rows = request.content.rows();
            found.queued.insert((request.frame_id, rows));
        }
        Ok(found)
    }

    /// Leaves out the rows that were there before anybody came.
    pub fn forget(&mut self, which: impl Fn(&str) -> bool) {
        self.frames.retain(|(id, _), _| !which(id));
    }

    /// The frames that are here and to be forwarded, in the order of their rows: table, id, rows.
    pub fn forwarded(&self, oracle: &Oracle) -> Vec<(usize, String, u64)> {
        let here = oracle.frames.iter().filter(|(_, fact)| fact.spec.forward);
        let mut list: Vec<_> = here
            .filter_map(|(key, fact)| {
                let (table, rowid, _) = self.frames.get(key)?;
                Some((*table, *rowid, key.0.clone(), fact.spec.rows))
            })
            .collect();
        list.sort();
        list.into_iter().map(|(table, _, id, rows)| (table, id, rows)).collect()
    }

    /// What is in the outbox went in with its rows, and the other way round: its numbers have no gaps.
    fn check_outbox(&self, oracle: &Oracle) -> Result<(), Failure> {
        let forwarded = self.forwarded(oracle).len() as i64;
        match self.outboxed == forwarded {
            true => Ok(()),
            false => Err(failure(
                "F",
                format!("{forwarded} frames are to be forwarded, {} in the outbox", self.outboxed),
            )),
        }
    }

    fn row(&mut self, table: usize, line: &str) -> Result<(), Failure> {
        let mut parts = line.splitn(8, '|');
        let mut number = || parts.next().and_then(|part| part.parse::<i64>().ok()).unwrap_or(-1);
        let (rowid, content, _handle, _sequence, k, n) =
            (number(), number(), number(), number(), number(), number());
        let id = parts.next().unwrap_or_default().to_owned();
        let values = parts.next().unwrap_or_default();
        self.values.insert(format!("{table}|{id}|{content}|{k}|{n}|{values}"));
        let key = (id, content as u64);
        let entry = self.frames.entry(key).or_insert((table, rowid, Vec::new()));
        entry.2.push(k as u64);
        Ok(())
    }
}

/// One text per row: rowid, the keys, and the values with their storage classes.
fn rows_sql(table: &str) -> String {
    let quoted = table.replace('"', "\"\"");
    let keys = KEYS.map(|key| format!("||'|'||{key}")).concat();
    let values = VALUES.map(|value| format!("||typeof({value})||hex(quote({value}))")).concat();
    format!("SELECT rowid{keys}||'|'||f||'|'{values} FROM \"{quoted}\" ORDER BY rowid")
}

impl Oracle {
    /// A frame is about to be sent; gives the number of the call.
    pub fn sent(&mut self, spec: &Spec, ordered: bool) -> (FrameKey, usize) {
        let key = (spec.id.clone(), spec.content);
        let fact = self.frames.entry(key.clone()).or_insert_with(|| Fact {
            spec: spec.clone(),
            calls: Vec::new(),
            ordered,
            discarded: false,
        });
        fact.calls.push(Told::Nothing);
        fact.ordered &= ordered && fact.calls.len() == 1;
        (key, fact.calls.len() - 1)
    }

    /// A call of a frame was answered.
    pub fn told(&mut self, key: &FrameKey, call: usize, told: Told) {
        if let Some(fact) = self.frames.get_mut(key) {
            fact.calls[call] = told;
            fact.ordered &= matches!(told, Told::Committed | Told::Queued);
        }
    }

    /// The ids that somebody was promised something of.
    pub fn promised(&self, id: &str) -> bool {
        let mut facts = self.frames.range((id.to_owned(), 0)..=(id.to_owned(), u64::MAX));
        facts.any(|(_, fact)| {
            let told = |told: &Told| matches!(told, Told::Committed | Told::Queued);
            !fact.discarded && fact.calls.iter().any(told)
        })
    }

    fn may(&self, told: Told) -> bool {
        match told {
            Told::Nothing | Told::InDoubt => true,
            Told::Committed | Told::Queued => true,
            Told::Joined(tx) => self.transactions[tx] != Ending::RolledBack,
            Told::Refused(_) => false,
        }
    }

    fn must(&self, told: Told) -> bool {
        match told {
            Told::Committed => true,
            Told::Joined(tx) => self.transactions[tx] == Ending::Committed,
            _ => false,
        }
    }

    /// Compares what is there with what was told. `drained`: nothing may be left in the queue.
    pub fn check(&self, found: &Found, drained: bool) -> Result<(), Failure> {
        for (key, fact) in &self.frames {
            self.check_frame(key, fact, found, drained)?;
        }
        for key in found.frames.keys() {
            if !self.frames.contains_key(key) {
                return Err(failure("I2", format!("frame {key:?} is there, and nobody sent it")));
            }
        }
        for (number, mark) in self.marks.iter().enumerate() {
            let times = found.marks.get(&number).copied().unwrap_or(0);
            if times > 1 || (times == 1 && !self.may(mark.told)) {
                return Err(failure(
                    "I2",
                    format!("row {number} of plain SQL is there {times} times: {:?}", mark.told),
                ));
            }
            if times == 0 && self.must(mark.told) {
                return Err(failure(
                    "I1",
                    format!("row {number} of plain SQL is lost: {:?}", mark.told),
                ));
            }
        }
        found.check_outbox(self)?;
        self.check_order(found)?;
        self.check_transactions(found)
    }

    /// After a power cut in the middle of a run whose end this oracle knows: what was promised up to
    /// then is in, in the queue or rejected; everything is there in whole or not at all.
    pub fn check_promises(
        &self,
        found: &Found,
        promised: &BTreeSet<&FrameKey>,
    ) -> Result<(), Failure> {
        for (key, fact) in &self.frames {
            let rows =
                found.frames.get(key).map(|(_, _, rows)| rows.as_slice()).unwrap_or_default();
            let whole: Vec<u64> = (0..fact.spec.rows).collect();
            if !rows.is_empty() && rows != whole {
                return Err(failure(
                    "I2",
                    format!("frame {key:?} has rows {rows:?} of {}", fact.spec.rows),
                ));
            }
            let waits = found.queued.contains(&(key.0.clone(), fact.spec.rows));
            let rejected = found.rejected.iter().any(|rejected| rejected.frame_id == key.0);
            if promised.contains(key) && rows.is_empty() && !waits && !rejected && !fact.discarded {
                return Err(failure("I1", format!("frame {key:?} was promised and is lost")));
            }
        }
        found.check_outbox(self)?;
        self.check_order(found)?;
        self.check_transactions(found)
    }

    fn check_frame(
        &self,
        key: &FrameKey,
        fact: &Fact,
        found: &Found,
        drained: bool,
    ) -> Result<(), Failure> {
        let told = &fact.calls;
        let rows = found.frames.get(key).map(|(_, _, rows)| rows.as_slice()).unwrap_or_default();
        if !rows.is_empty() {
            let whole: Vec<u64> = (0..fact.spec.rows).collect();
            if rows != whole {
                return Err(failure(
                    "I2",
                    format!("frame {key:?} has rows {rows:?} of {}: {told:?}", fact.spec.rows),
                ));
            }
            if fact.spec.kind != Kind::Good {
                return Err(failure(
                    "I2",
                    format!("frame {key:?} is there, and is {:?}", fact.spec.kind),
                ));
            }
            if !told.iter().any(|told| self.may(*told)) {
                return Err(failure(
                    "I2",
                    format!("frame {key:?} is there, and its callers were told: {told:?}"),
                ));
            }
        }
        let is_rejected = found.rejected.iter().any(|rejected| {
            rejected.frame_id == key.0
                && rejected.rows == fact.spec.rows
                && rejected.table == TABLES[fact.spec.table]
        });
        if is_rejected && !rows.is_empty() {
            return Err(failure(
                "I2",
                format!("frame {key:?} is there, and is on the rejected list"),
            ));
        }
        let queued = told.contains(&Told::Queued);
        let waits = !drained && found.queued.contains(&(key.0.clone(), fact.spec.rows));
        if rows.is_empty() && told.iter().any(|told| self.must(*told)) {
            return Err(failure("I1", format!("frame {key:?} is lost: {told:?}")));
        }
        if rows.is_empty() && queued && !is_rejected && !waits && !fact.discarded {
            return Err(failure(
                "I1",
                format!("frame {key:?} was queued, and is neither in nor rejected: {told:?}"),
            ));
        }
        if is_rejected && fact.spec.kind == Kind::Good && !self.has_rival(key) {
            let reason = found.rejected.iter().find(|r| r.frame_id == key.0).map(|r| &r.error);
            return Err(failure(
                "I1",
                format!("frame {key:?} is good, and was rejected: {reason:?}"),
            ));
        }
        Ok(())
    }

    /// Whether other content was sent under the same id.
    fn has_rival(&self, key: &FrameKey) -> bool {
        let same = self.frames.range((key.0.clone(), 0)..=(key.0.clone(), u64::MAX));
        same.count() > 1
    }

    /// I3: the frames of a handle in a table, by rowid, are in the order of its calls.
    fn check_order(&self, found: &Found) -> Result<(), Failure> {
        let mut last: BTreeMap<(u64, usize), (u64, i64)> = BTreeMap::new();
        let mut by_call: Vec<_> = self.frames.iter().filter(|(_, fact)| fact.ordered).collect();
        by_call.sort_by_key(|(_, fact)| (fact.spec.handle, fact.spec.table, fact.spec.sequence));
        for (key, fact) in by_call {
            let Some((table, rowid, _)) = found.frames.get(key) else {
                continue;
            };
            let before = last.insert((fact.spec.handle, *table), (fact.spec.sequence, *rowid));
            if let Some((sequence, before)) = before
                && before > *rowid
            {
                let handle = fact.spec.handle;
                let text = format!(
                    "handle {handle}'s frame {} of table {table} is behind its frame {sequence}: {:?}",
                    fact.spec.sequence, fact.calls
                );
                return Err(failure("I3", text));
            }
        }
        Ok(())
    }

    /// All of a transaction or nothing of it.
    fn check_transactions(&self, found: &Found) -> Result<(), Failure> {
        let mut seen: BTreeMap<usize, BTreeSet<bool>> = BTreeMap::new();
        for (number, mark) in self.marks.iter().enumerate() {
            if let Told::Joined(tx) = mark.told {
                seen.entry(tx).or_default().insert(found.marks.contains_key(&number));
            }
        }
        for (key, fact) in &self.frames {
            if let [Told::Joined(tx)] = fact.calls[..] {
                seen.entry(tx).or_default().insert(found.frames.contains_key(key));
            }
        }
        match seen.iter().find(|(_, there)| there.len() > 1) {
            Some((tx, _)) => Err(failure("I2", format!("transaction {tx} is there in part"))),
            None => Ok(()),
        }
    }

    /// I4: the same frames, appended directly to a database of their own, are the same there.
    pub fn check_values(
        &self,
        found: &Found,
        setup: impl Fn(&mut Image) -> Result<(), Error>,
    ) -> Result<(), Failure> {
        let broken = |e: Error| failure("I4", format!("the reference: {e}"));
        let mut reference = Image::open(&[], &[]).map_err(broken)?;
        setup(&mut reference).map_err(broken)?;
        let there = self.frames.iter().filter(|(key, _)| found.frames.contains_key(*key));
        let requests: Vec<_> = there.map(|(_, fact)| fact.spec.request()).collect();
        let requests: Vec<_> = requests.iter().collect();
        for outcome in reference.0.append_group(&requests).map_err(broken)? {
            outcome.map_err(broken)?;
        }
        let same = Found::read(&mut reference, Vec::new(), &[])?;
        match found.values.difference(&same.values).next() {
            Some(row) => {
                let start: String = row.split('|').take(3).collect::<Vec<_>>().join("|");
                let direct = same.values.iter().find(|other| other.starts_with(&start));
                Err(failure("I4", format!("{row} is {direct:?} when appended directly")))
            }
            None => Ok(()),
        }
    }
}
