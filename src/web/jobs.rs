//! What the node wants done with the queue, one thing after the other.

use super::driver::{Driver, Storage};
use super::memory::MemoryQueue;
use super::queue::QueueFiles;
use crate::node::{Event, QueueCounts, Rejected};
use std::cell::RefCell;
use std::rc::Rc;
use wasm_bindgen_futures::spawn_local;

/// Something to do with the queue.
pub(super) enum Job {
    Add { call: u32, bytes: Vec<u8> },
    Load,
    Remove(Vec<String>),
    Reject { name: String, report: Rejected },
    LoadRejected,
    SettleRejected { frame_id: String, again: bool },
}

/// What is known from the jobs before, in a run of them.
#[derive(Default)]
struct Run {
    /// The number of the next frame.
    order: Option<u64>,
    counts: Option<QueueCounts>,
}

impl Driver {
    /// Jobs of the queue run one after the other, in the order of their effects.
    pub(super) fn queue_job(self: &Rc<Self>, job: Job) {
        self.jobs.borrow_mut().push_back(job);
        if self.jobs_running.replace(true) {
            return;
        }
        let driver = self.clone();
        spawn_local(async move {
            let mut run = Run::default();
            loop {
                let Some(job) = driver.jobs.borrow_mut().pop_front() else {
                    break;
                };
                driver.run_queue_job(job, &mut run).await;
            }
            driver.jobs_running.set(false);
        });
    }

    async fn run_queue_job(self: &Rc<Self>, job: Job, run: &mut Run) {
        let (files, queue) = match &self.storage {
            Storage::Opfs { files, queue } => (files, queue),
            Storage::Memory(memory) => return self.run_memory_job(&memory.queue, job),
        };
        match job {
            Job::Add { call, bytes } => {
                let added = async {
                    files.are_in_place().await?;
                    let next = match run.order {
                        Some(next) => next,
                        // A name is used once: a power cut may bring back a file that was removed, and
                        // who removes it again must not meet another frame under its name.
                        None => queue.next_order().await?.max(self.unused_order.get()),
                    };
                    run.order = Some(next + 1);
                    self.unused_order.set(next + 1);
                    queue.add(next, &self.node_id, &bytes).await?;
                    Ok(self.count_with_added(queue, run).await)
                };
                let added = added.await;
                self.dispatch(Event::Enqueued(call, added));
            }
            Job::Load => {
                let page = queue.load().await;
                self.dispatch(Event::QueueLoaded(page));
            }
            // What could not be removed is met again, as a duplicate, and removed then.
            Job::Remove(names) => drop(queue.remove(&names).await),
            Job::Reject { name, report } => drop(queue.reject(&name, &report).await),
            Job::LoadRejected => {
                let list = queue.rejected().await;
                self.dispatch(Event::RejectedLoaded(list));
            }
            Job::SettleRejected { frame_id, again } => {
                drop(queue.settle_rejected(&frame_id, again).await);
            }
        }
    }

    /// A long queue takes longer to count than a frame to write: in the midst of several, one more is counted.
    async fn count_with_added(&self, queue: &QueueFiles, run: &mut Run) -> QueueCounts {
        let more_follow = self.jobs.borrow().iter().any(|job| matches!(job, Job::Add { .. }));
        let counts = match run.counts.filter(|_| more_follow) {
            Some(counts) => QueueCounts { queued: counts.queued + 1, ..counts },
            // The frame is durable; that it cannot be counted is no failure of it.
            None => queue.counts().await.unwrap_or_default(),
        };
        run.counts = Some(counts);
        counts
    }

    fn run_memory_job(self: &Rc<Self>, queue: &RefCell<MemoryQueue>, job: Job) {
        match job {
            Job::Add { call, bytes } => {
                let counts = queue.borrow_mut().add(bytes);
                self.dispatch(Event::Enqueued(call, Ok(counts)));
            }
            Job::Load => {
                let page = queue.borrow().load();
                self.dispatch(Event::QueueLoaded(Ok(page)));
            }
            Job::Remove(names) => queue.borrow_mut().remove(&names),
            Job::Reject { name, report } => queue.borrow_mut().reject(&name, report),
            Job::LoadRejected => {
                let list = queue.borrow().rejected();
                self.dispatch(Event::RejectedLoaded(Ok(list)));
            }
            Job::SettleRejected { frame_id, again } => {
                queue.borrow_mut().settle_rejected(&frame_id, again);
            }
        }
    }
}
