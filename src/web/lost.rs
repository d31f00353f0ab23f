//! Notices that somebody cleared the storage under open files: the visitor, or the browser for want of room. Their
//! handles go on working, on files that nobody finds any more, so that nothing else would ever say so.

use super::driver::{Driver, Storage};
use super::locks::LockRequest;
use crate::node::{Call, Event};
use std::collections::VecDeque;
use std::rc::Rc;
use wasm_bindgen_futures::spawn_local;

impl Driver {
    /// The page says something. If the files are open, and were not looked for just now, they are first: a call must
    /// neither read nor write what is gone. What the page says meanwhile stays behind it.
    pub fn hear(self: &Rc<Self>, event: Event) {
        if let Some(held_back) = &mut *self.held_back.borrow_mut() {
            return held_back.push_back(event);
        }
        // Neither a signal nor `status()` has to do with the files, and neither is to wait.
        let is_about_files = !matches!(event, Event::Cancel(_) | Event::Call(_, Call::Status));
        match &self.storage {
            Storage::Opfs { files, .. } if is_about_files && files.are_to_be_looked_for() => {}
            _ => return self.dispatch(event),
        }
        *self.held_back.borrow_mut() = Some(VecDeque::from([event]));
        let driver = self.clone();
        spawn_local(async move {
            if let Storage::Opfs { files, .. } = &driver.storage
                && files.are_lost().await
            {
                driver.lose_files();
            }
            let held_back = driver.held_back.take();
            for event in held_back.into_iter().flatten() {
                driver.dispatch(event);
            }
        });
    }

    /// The lease is over; the next one finds that there are no files, and says so to all who wait.
    fn lose_files(self: &Rc<Self>) {
        let mut ids = Vec::new();
        self.locks.borrow_mut().retain(|id, _| {
            ids.push(*id);
            false
        });
        for id in ids {
            self.dispatch(Event::LockLost(id));
        }
    }

    /// Closes the files of a lease that is over, and gives its lock back. There is time to look for them first, unless
    /// this is `at_once`.
    pub(super) fn close_files(self: &Rc<Self>, lock: Option<LockRequest>, at_once: bool) {
        let Storage::Opfs { files, .. } = &self.storage else {
            return;
        };
        let is_due = !at_once && files.are_to_be_looked_for();
        let left = files.take_left();
        if !is_due || left.is_empty() {
            return files.close(left);
        }
        let driver = self.clone();
        spawn_local(async move {
            if let Storage::Opfs { files, .. } = &driver.storage {
                files.are_lost().await;
                files.close(left);
            }
            drop(lock);
        });
    }
}
