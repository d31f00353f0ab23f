//! The durable queue's folder, step by step as `src/web/queue.rs` does it: between two steps time
//! passes, and the tab may die.
//!
//! Jobs run one after the other, in the order of their effects, as in `src/web/driver.rs`.

use crate::disk::Disk;
use crate::file::{Gate, Touch};
use framelock::envelope;
use framelock::node::{CallId, Event, QueueCounts, QueuePage, Rejected, queue_file_stem};
use framelock::platform::{FileError, FileResult};
use std::cell::RefCell;
use std::collections::VecDeque;

/// Where the queue is on the simulated disk.
pub const FOLDER: &str = "queue/";
const FRAME: &str = ".frame";
const REJECTED: &str = ".error";
const REASON: &str = ".why";
const UNFINISHED: &str = ".tmp";
/// As in the browser layer, but small: so that a queue has several pages.
const PAGE_BYTES: usize = 16 << 10;

/// Something to do with the queue's files.
pub enum Job {
    Add { call: CallId, bytes: Vec<u8> },
    Load,
    Remove(Vec<String>),
    Reject { name: String, report: Rejected },
    LoadRejected,
    SettleRejected { frame_id: String, again: bool },
}

/// A job under way: what its next step is.
enum Running {
    Number { call: CallId, bytes: Vec<u8> },
    Write { call: CallId, stem: String, bytes: Vec<u8> },
    Move { call: CallId, stem: String },
    Count { call: CallId },
    List,
    Adopt { left: VecDeque<String>, names: Vec<String>, counts: QueueCounts },
    Read { names: Vec<String>, page: QueuePage, size: usize },
    Remove(VecDeque<String>),
    Reason { name: String, report: Rejected },
    MoveRejected { name: String },
    ListRejected,
    FindRejected { frame_id: String, again: bool },
    SettleRejected { stems: VecDeque<String>, again: bool, moved: bool },
}

/// What a step leads to.
enum After {
    Again(Running),
    Done(Option<Event>),
}

/// The jobs of one tab.
#[derive(Default)]
pub struct Jobs {
    waiting: VecDeque<Job>,
    running: Option<Running>,
    /// The number of the next frame, once it is known in this run of jobs.
    order: Option<u64>,
    /// No file that this tab named has this number, or a higher one.
    unused_order: u64,
}

impl Jobs {
    pub fn push(&mut self, job: Job) {
        self.waiting.push_back(job);
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.running.is_none() && self.waiting.is_empty()
    }

    /// The last job's event was handled and brought no other: this run of jobs is over.
    pub fn rest(&mut self) {
        self.order = None;
    }

    /// Does the next step; gives the event that ends a job.
    pub fn step(&mut self, files: &Files<'_>) -> Option<Event> {
        let running = match self.running.take() {
            Some(running) => running,
            None => self.waiting.pop_front()?.start(),
        };
        match self.advance(running, files) {
            After::Again(running) => {
                self.running = Some(running);
                None
            }
            After::Done(event) => event,
        }
    }

    fn advance(&mut self, running: Running, files: &Files<'_>) -> After {
        match running {
            Running::Number { call, bytes } => {
                let number = match self.order {
                    Some(number) => Ok(number),
                    None => files.next_order().map(|order| order.max(self.unused_order)),
                };
                match number {
                    Err(error) => enqueued(call, Err(error)),
                    Ok(number) => {
                        self.order = Some(number + 1);
                        self.unused_order = number + 1;
                        let stem = queue_file_stem(number, files.node_id);
                        After::Again(Running::Write { call, stem, bytes })
                    }
                }
            }
            Running::Write { call, stem, bytes } => {
                let temporary = format!("{stem}{UNFINISHED}");
                match files.write_whole(&temporary, &bytes) {
                    Ok(()) => After::Again(Running::Move { call, stem }),
                    Err(error) => {
                        let _still_a_tmp = files.remove(&temporary);
                        enqueued(call, Err(error))
                    }
                }
            }
            Running::Move { call, stem } => {
                // It is found under either name.
                let _ = files.rename(&format!("{stem}{UNFINISHED}"), &format!("{stem}{FRAME}"));
                After::Again(Running::Count { call })
            }
            Running::Count { call } => {
                enqueued(call, Ok(files.names().map(|(_, counts)| counts).unwrap_or_default()))
            }
            Running::List => match files.names() {
                Err(error) => After::Done(Some(Event::QueueLoaded(Err(error)))),
                Ok((names, counts)) => {
                    let (left, names) =
                        names.into_iter().partition(|name: &String| name.ends_with(UNFINISHED));
                    After::Again(Running::Adopt { left, names: names.into(), counts })
                }
            },
            Running::Adopt { mut left, mut names, counts } => match left.pop_front() {
                Some(name) => {
                    names.push(files.adopted(name));
                    After::Again(Running::Adopt { left, names, counts })
                }
                None => {
                    names.sort();
                    After::Again(Running::Read {
                        names: with_suffix(names, FRAME).into_iter().rev().collect(),
                        page: QueuePage { frames: Vec::new(), counts },
                        size: 0,
                    })
                }
            },
            Running::Read { mut names, mut page, mut size } => {
                let Some(name) = names.pop().filter(|_| size < PAGE_BYTES) else {
                    return After::Done(Some(Event::QueueLoaded(Ok(page))));
                };
                match files.read(&name) {
                    Ok(bytes) => {
                        size += bytes.len();
                        page.frames.push((name, bytes));
                    }
                    Err(FileError::Lost(_)) => {}
                    Err(error) => return After::Done(Some(Event::QueueLoaded(Err(error)))),
                }
                After::Again(Running::Read { names, page, size })
            }
            Running::Remove(mut names) => match names.pop_front() {
                Some(name) if files.remove(&name).is_ok() => After::Again(Running::Remove(names)),
                _ => After::Done(None),
            },
            Running::Reason { name, report } => {
                let reason = format!("{}{REASON}", name.trim_end_matches(FRAME));
                let text = serde_json::to_vec(&report).unwrap_or_default();
                let _goes_without = files.write_whole(&reason, &text);
                After::Again(Running::MoveRejected { name })
            }
            Running::MoveRejected { name } => {
                let to = format!("{}{REJECTED}", name.trim_end_matches(FRAME));
                let _what_is_gone_is_settled = files.rename(&name, &to);
                After::Done(None)
            }
            Running::ListRejected => {
                let list = files.rejected();
                let list = list.map(|list| list.into_iter().map(|(_, report)| report).collect());
                After::Done(Some(Event::RejectedLoaded(list)))
            }
            Running::FindRejected { frame_id, again } => {
                let list = files.rejected().unwrap_or_default();
                let mine = list.into_iter().filter(|(_, report)| report.frame_id == frame_id);
                let stems = mine.map(|(stem, _)| stem).collect();
                let moved = false;
                After::Again(Running::SettleRejected { stems, again, moved })
            }
            Running::SettleRejected { mut stems, again, moved } => {
                let Some(stem) = stems.front().cloned() else {
                    return After::Done(None);
                };
                let name = format!("{stem}{REJECTED}");
                let done = match (moved, again) {
                    // Its reason stays: another tab may be rejecting it again already.
                    (true, true) => Ok(()),
                    (true, false) => files.remove(&format!("{stem}{REASON}")),
                    (false, true) => files.rename(&name, &format!("{stem}{FRAME}")),
                    (false, false) => files.remove(&name),
                };
                if done.is_err() {
                    return After::Done(None);
                }
                if moved {
                    stems.pop_front();
                }
                let moved = !moved;
                After::Again(Running::SettleRejected { stems, again, moved })
            }
        }
    }
}

impl Job {
    fn start(self) -> Running {
        match self {
            Job::Add { call, bytes } => Running::Number { call, bytes },
            Job::Load => Running::List,
            Job::Remove(names) => Running::Remove(names.into()),
            Job::Reject { name, report } => Running::Reason { name, report },
            Job::LoadRejected => Running::ListRejected,
            Job::SettleRejected { frame_id, again } => Running::FindRejected { frame_id, again },
        }
    }
}

fn enqueued(call: CallId, outcome: FileResult<QueueCounts>) -> After {
    After::Done(Some(Event::Enqueued(call, outcome)))
}

fn with_suffix(names: Vec<String>, suffix: &str) -> Vec<String> {
    names.into_iter().filter(|name| name.ends_with(suffix)).collect()
}

/// The folder, through the gate of one tab.
pub struct Files<'a> {
    pub disk: &'a RefCell<Disk>,
    pub gate: &'a Gate,
    pub node_id: &'a str,
}

impl Files<'_> {
    /// File names in order, and how many are what.
    fn names(&self) -> FileResult<(Vec<String>, QueueCounts)> {
        self.gate.pass(Touch::Reads)?;
        let names = self.disk.borrow().names(FOLDER);
        let names: Vec<String> = names.iter().map(|name| name[FOLDER.len()..].to_owned()).collect();
        let count =
            |suffix: &str| names.iter().filter(|name| name.ends_with(suffix)).count() as u64;
        let counts = QueueCounts { queued: count(FRAME), rejected: count(REJECTED) };
        Ok((names, counts))
    }

    /// How many frames wait, and how many were refused.
    pub fn counts(&self) -> FileResult<QueueCounts> {
        Ok(self.names()?.1)
    }

    fn next_order(&self) -> FileResult<u64> {
        let (names, _) = self.names()?;
        let numbers = names.iter().filter_map(|name| name.get(..20)?.parse::<u64>().ok());
        Ok(numbers.max().map_or(1, |last| last + 1))
    }

    fn write_whole(&self, name: &str, bytes: &[u8]) -> FileResult<()> {
        let path = format!("{FOLDER}{name}");
        self.gate.pass(Touch::Writes)?;
        self.disk.borrow_mut().create(&path);
        self.gate.pass(Touch::Writes)?;
        self.disk.borrow_mut().truncate(&path, 0);
        if let Err(error) = self.gate.pass(Touch::Writes) {
            self.disk.borrow_mut().write(&path, 0, &bytes[..bytes.len() / 2]);
            return Err(error);
        }
        self.disk.borrow_mut().write(&path, 0, bytes);
        if let Err(error) = self.gate.pass(Touch::Reads) {
            if self.gate.pass(Touch::Writes).is_ok() {
                self.disk.borrow_mut().truncate(&path, 0);
            }
            return Err(error);
        }
        self.disk.borrow_mut().flush(&path);
        Ok(())
    }

    fn read(&self, name: &str) -> FileResult<Vec<u8>> {
        self.gate.pass(Touch::Reads)?;
        let path = format!("{FOLDER}{name}");
        let disk = self.disk.borrow();
        if disk.exists(&path) { Ok(disk.bytes(&path).to_vec()) } else { Err(FileError::Lost(path)) }
    }

    /// The name of a file once it was moved, if it is whole and was not yet.
    fn adopted(&self, name: String) -> String {
        let Some(stem) = name.strip_suffix(UNFINISHED) else {
            return name;
        };
        let to = format!("{stem}{FRAME}");
        let whole = self.read(&name).is_ok_and(|bytes| envelope::is_whole(&bytes));
        if !whole || self.gate.pass(Touch::Reads).is_err() {
            return name;
        }
        self.disk.borrow_mut().flush(&format!("{FOLDER}{name}"));
        if self.rename(&name, &to).is_ok() { to } else { name }
    }

    fn rename(&self, from: &str, to: &str) -> FileResult<()> {
        self.gate.pass(Touch::Reads)?;
        let (from, to) = (format!("{FOLDER}{from}"), format!("{FOLDER}{to}"));
        if !self.disk.borrow().exists(&from) {
            return Err(FileError::Lost(from));
        }
        self.disk.borrow_mut().rename(&from, &to);
        Ok(())
    }

    fn remove(&self, name: &str) -> FileResult<()> {
        self.gate.pass(Touch::Reads)?;
        self.disk.borrow_mut().remove(&format!("{FOLDER}{name}"));
        Ok(())
    }

    /// The rejected list, in order, with the stems of the files.
    fn rejected(&self) -> FileResult<Vec<(String, Rejected)>> {
        let (names, _) = self.names()?;
        let stems = names.iter().filter_map(|name| name.strip_suffix(REJECTED));
        let report = |stem: &str| {
            let reason = self.read(&format!("{stem}{REASON}")).ok();
            let report =
                reason.and_then(|bytes| serde_json::from_slice(&bytes).ok()).or_else(|| {
                    let frame = self.read(&format!("{stem}{REJECTED}")).ok()?;
                    Some(Rejected::without_reason(stem, &frame))
                });
            Some((stem.to_owned(), report?))
        };
        Ok(stems.filter_map(report).collect())
    }
}

/// The rejected list as the disk has it, for the oracle.
pub fn rejected_on(disk: &RefCell<Disk>) -> Vec<Rejected> {
    let gate = Gate::default();
    let files = Files { disk, gate: &gate, node_id: "" };
    let list = files.rejected().unwrap_or_default();
    list.into_iter().map(|(_, report)| report).collect()
}

/// The envelopes that wait in the queue, for the oracle.
pub fn queued_on(disk: &RefCell<Disk>) -> Vec<Vec<u8>> {
    let disk = disk.borrow();
    let whole = |name: &String| {
        name.ends_with(FRAME) || name.ends_with(UNFINISHED) && envelope::is_whole(disk.bytes(name))
    };
    let names = disk.names(FOLDER).into_iter().filter(whole);
    names.map(|name| disk.bytes(&name).to_vec()).collect()
}
