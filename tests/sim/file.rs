//! Open handles: exclusive as OPFS makes them, and the gate through which every file call of a tab
//! goes, where calls are made to fail or the tab to die in their middle.

use crate::disk::Disk;
use crate::trace::Trace;
use framelock::platform::{File, FileError, FileResult};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Which tab (one open database handle in its worker).
pub type TabId = usize;

/// What goes wrong at a file call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Trouble {
    /// The tab dies, in the middle of the call.
    Kill,
    /// This call fails.
    Io,
    /// This call finds the disk full, if it writes.
    Quota,
    /// This call and all later ones fail, until [`Gate::heal`].
    IoStays,
    /// All later writes find the disk full, until [`Gate::heal`].
    QuotaStays,
}

/// What a call does to the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Touch {
    Reads,
    Writes,
}

/// The way of all file calls of one tab.
pub struct Gate {
    dead: Cell<bool>,
    /// Calls until the trouble; none when there is none ahead.
    ahead: Cell<Option<(u64, Trouble)>>,
    stays: Cell<Option<Trouble>>,
    /// Whether anything failed here that was not the tab's death.
    pub failed: Cell<bool>,
}

impl Default for Gate {
    fn default() -> Self {
        Gate {
            dead: Cell::new(false),
            ahead: Cell::new(None),
            stays: Cell::new(None),
            failed: Cell::new(false),
        }
    }
}

impl Gate {
    pub fn is_dead(&self) -> bool {
        self.dead.get()
    }

    /// Nothing of this tab reaches the disk any more.
    pub fn die(&self) {
        self.dead.set(true);
    }

    /// Trouble at the `calls`-th call from now.
    pub fn plan(&self, calls: u64, trouble: Trouble) {
        self.ahead.set(Some((calls, trouble)));
    }

    /// The storage works again.
    pub fn heal(&self) {
        self.ahead.set(None);
        self.stays.set(None);
    }

    /// Lets a call through, or not.
    pub fn pass(&self, touch: Touch) -> FileResult<()> {
        if self.dead.get() {
            return Err(FileError::Io("the tab is dead".into()));
        }
        let mut trouble = self.stays.get();
        if let Some((calls, ahead)) = self.ahead.get() {
            let now = calls <= 1 && (ahead != Trouble::Quota || touch == Touch::Writes);
            self.ahead.set((!now).then_some((calls.saturating_sub(1), ahead)));
            if now {
                trouble = Some(ahead);
            }
        }
        match trouble {
            None => Ok(()),
            Some(Trouble::Kill) => {
                self.die();
                Err(FileError::Io("the tab dies".into()))
            }
            Some(Trouble::QuotaStays) if touch == Touch::Reads => {
                self.stays.set(trouble);
                Ok(())
            }
            Some(kind) => {
                self.failed.set(true);
                match kind {
                    Trouble::IoStays | Trouble::QuotaStays => self.stays.set(trouble),
                    _ => {}
                }
                Err(match kind {
                    Trouble::Quota | Trouble::QuotaStays => FileError::Quota("simulated".into()),
                    _ => FileError::Io("simulated".into()),
                })
            }
        }
    }
}

#[derive(Debug)]
struct Opening {
    owner: TabId,
    exclusive: bool,
    /// Its tab died; the browser notices at this time.
    until_us: Option<u64>,
}

/// Who has which file open.
#[derive(Default)]
pub struct Handles(BTreeMap<String, Vec<Opening>>);

impl Handles {
    /// Takes a handle, unless another one is in the way.
    pub fn open(
        &mut self,
        name: &str,
        owner: TabId,
        exclusive: bool,
        now_us: u64,
    ) -> FileResult<()> {
        let list = self.0.entry(name.to_owned()).or_default();
        list.retain(|open| open.until_us.is_none_or(|until_us| until_us > now_us));
        if list.iter().any(|open| open.exclusive || exclusive) {
            return Err(FileError::InUse(name.to_owned()));
        }
        list.push(Opening { owner, exclusive, until_us: None });
        Ok(())
    }

    fn close(&mut self, name: &str, owner: TabId) {
        if let Some(list) = self.0.get_mut(name)
            && let Some(at) = list.iter().position(|open| open.owner == owner)
        {
            list.remove(at);
        }
    }

    /// The tab is dead; its handles stay a while.
    pub fn orphan(&mut self, owner: TabId, until_us: u64) {
        for open in self.0.values_mut().flatten() {
            if open.owner == owner {
                open.until_us = Some(until_us);
            }
        }
    }

    /// Every handle is gone, with its browser.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// An open file, as the product sees it.
pub struct SimFile {
    pub disk: Rc<RefCell<Disk>>,
    pub handles: Rc<RefCell<Handles>>,
    pub gate: Rc<Gate>,
    pub trace: Trace,
    pub owner: TabId,
    pub name: String,
    pub writable: bool,
}

impl SimFile {
    fn note(&self, what: &str, offset: u64, length: usize) {
        let (owner, name) = (self.owner, &self.name);
        self.trace.line(&format!("  t{owner} {what} {name} {offset}+{length}"));
    }

    fn pass(&self, touch: Touch) -> FileResult<()> {
        if touch == Touch::Writes && !self.writable {
            return Err(FileError::Io("opened for reading".into()));
        }
        self.gate.pass(touch)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        // The handles of a dead tab stay until the browser notices.
        if !self.gate.is_dead() {
            self.handles.borrow_mut().close(&self.name, self.owner);
        }
    }
}

impl File for SimFile {
    fn read(&mut self, buffer: &mut [u8], offset: u64) -> FileResult<usize> {
        self.pass(Touch::Reads)?;
        let disk = self.disk.borrow();
        let bytes = disk.bytes(&self.name);
        let start = (offset as usize).min(bytes.len());
        let count = buffer.len().min(bytes.len() - start);
        buffer[..count].copy_from_slice(&bytes[start..start + count]);
        Ok(count)
    }

    fn write(&mut self, bytes: &[u8], offset: u64) -> FileResult<()> {
        if self.gate.is_dead() {
            return self.pass(Touch::Writes);
        }
        if let Err(error) = self.pass(Touch::Writes) {
            // It got half the way.
            let half = &bytes[..bytes.len() / 2];
            self.note("TORN", offset, half.len());
            self.disk.borrow_mut().write(&self.name, offset, half);
            return Err(error);
        }
        self.note("write", offset, bytes.len());
        self.disk.borrow_mut().write(&self.name, offset, bytes);
        Ok(())
    }

    fn truncate(&mut self, size: u64) -> FileResult<()> {
        self.pass(Touch::Writes)?;
        self.note("truncate", size, 0);
        self.disk.borrow_mut().truncate(&self.name, size);
        Ok(())
    }

    fn flush(&mut self) -> FileResult<()> {
        // A full disk fails writes, not flushes.
        self.pass(Touch::Reads)?;
        self.note("flush", 0, 0);
        self.disk.borrow_mut().flush(&self.name);
        Ok(())
    }

    fn size(&mut self) -> FileResult<u64> {
        self.pass(Touch::Reads)?;
        Ok(self.disk.borrow().bytes(&self.name).len() as u64)
    }
}
