//! Power cuts after leases of every kind, some with calls that fail: of what was not flushed any sectors may be
//! kept, in each file by itself. What was acknowledged is in, whole, and once.
//!
//! The simulator cuts the power in the middle of everything; here many logs follow each other in one file, large
//! commits and small ones, and little else is done. `FRAMELOCK_CUTS=2500 cargo test --test store cuts` runs more.

use crate::disk::Disk;
use crate::rng::Rng;
use crate::{NoOs, count, frame, one, request};
use framelock::platform::{File, FileError, FileResult, Handles};
use framelock::store::{Attached, LogLimits, Mode, Params, Store, Value};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

const LEASES: u64 = 14;
const DATABASE: &str = "database";
const JOURNAL: &str = "database-journal";
/// Kept small, so that a log is emptied in the middle of a lease, too.
const SMALL_LOG: LogLimits =
    LogLimits { record_bytes: 256 << 10, new_bytes: 32 << 10, log_bytes: 100_000 };

/// The randomness that a world shares with its files.
#[derive(Clone)]
struct Luck(Rc<RefCell<Rng>>);

impl Luck {
    fn new(seed: u64) -> Luck {
        Luck(Rc::new(RefCell::new(Rng::new(seed, "cuts"))))
    }

    fn below(&self, limit: u64) -> u64 {
        self.0.borrow_mut().below(limit)
    }

    fn one_in(&self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// How often calls of a lease fail: one in so many, none if zero; and how many more fail then.
#[derive(Clone, Default)]
struct Faults {
    one_in: Rc<Cell<u64>>,
    more: Rc<Cell<u64>>,
}

struct Handle {
    disk: Rc<RefCell<Disk>>,
    name: &'static str,
    faults: Faults,
    luck: Luck,
}

impl Handle {
    fn pass(&self) -> FileResult<()> {
        let Faults { one_in, more } = &self.faults;
        if more.get() > 0 {
            more.set(more.get() - 1);
        } else if one_in.get() > 0 && self.luck.one_in(one_in.get()) {
            more.set(self.luck.below(4));
        } else {
            return Ok(());
        }
        Err(FileError::Quota("full".into()))
    }
}

impl File for Handle {
    fn read(&mut self, buffer: &mut [u8], offset: u64) -> FileResult<usize> {
        let disk = self.disk.borrow();
        let from = disk.bytes(self.name).get(offset as usize..).unwrap_or_default();
        let count = buffer.len().min(from.len());
        buffer[..count].copy_from_slice(&from[..count]);
        Ok(count)
    }

    /// What fails may have written a part.
    fn write(&mut self, bytes: &[u8], offset: u64) -> FileResult<()> {
        let passed = self.pass();
        let written = match passed {
            Ok(()) => bytes,
            Err(_) => &bytes[..self.luck.below(bytes.len() as u64 + 1) as usize],
        };
        self.disk.borrow_mut().write(self.name, offset, written);
        passed
    }

    fn truncate(&mut self, size: u64) -> FileResult<()> {
        self.pass()?;
        self.disk.borrow_mut().truncate(self.name, size);
        Ok(())
    }

    fn flush(&mut self) -> FileResult<()> {
        self.pass()?;
        self.disk.borrow_mut().flush(self.name);
        Ok(())
    }

    fn size(&mut self) -> FileResult<u64> {
        Ok(self.disk.borrow().bytes(self.name).len() as u64)
    }
}

/// The two files of a database, and what was said of its frames.
struct World {
    luck: Luck,
    faults: Faults,
    disk: Rc<RefCell<Disk>>,
    /// The frames that were tried, and their rows; those that were acknowledged.
    tried: Vec<(String, i64)>,
    told: Vec<String>,
}

impl World {
    fn new(seed: u64) -> World {
        World {
            luck: Luck::new(seed),
            faults: Faults::default(),
            disk: Rc::default(),
            tried: vec![],
            told: vec![],
        }
    }

    fn attach(&self, store: &mut Store, mode: Mode, durable: bool) -> Attached {
        let handle = |name| {
            self.disk.borrow_mut().create(name);
            let World { disk, faults, luck, .. } = self;
            let (disk, faults, luck) = (disk.clone(), faults.clone(), luck.clone());
            Box::new(Handle { disk, name, faults, luck })
        };
        let (database, journal) = (handle(DATABASE), handle(JOURNAL));
        store.attach(Handles { database, journal }, mode, durable).unwrap()
    }

    /// One lease, from its beginning to its end, or to the death of its tab.
    fn lease(&mut self) {
        let luck = self.luck.clone();
        let mut store = Store::new(Box::new(NoOs));
        if luck.one_in(2) {
            store.limit_log(SMALL_LOG);
        }
        let is_made = !self.told.is_empty();
        if luck.one_in(5) {
            if self.attach(&mut store, Mode::Shared, true) == Attached::Ready && is_made {
                count(&mut store);
            }
            return store.detach().unwrap();
        }
        // A relaxed lease that does not end properly may do any damage.
        let durable = !is_made || !luck.one_in(5);
        assert_eq!(self.attach(&mut store, Mode::Exclusive, durable), Attached::Ready);
        if durable && is_made && luck.one_in(3) {
            self.faults.one_in.set(8 + luck.below(30));
        }
        let mut acknowledged = vec![];
        for _ in 0..=luck.below(6) {
            if !store.is_open() {
                break;
            }
            let id = format!("f{}", self.tried.len());
            let rows = [1, 2, 3, 40, 2000, 6000][luck.below(6) as usize];
            self.tried.push((id.clone(), rows));
            let outcome = store.append_group(&[&request(&id, frame(0, rows))]);
            if outcome.is_ok_and(|mut outcomes| outcomes.remove(0).is_ok()) {
                acknowledged.push(id);
            }
            if luck.one_in(2) {
                store.write_through();
            }
            self.other_sql(&mut store);
        }
        if durable {
            self.told.append(&mut acknowledged);
        }
        if durable && luck.one_in(4) {
            // The tab dies.
            std::mem::forget(store);
        } else {
            let ended = store.detach();
            if !durable {
                ended.unwrap();
                self.told.append(&mut acknowledged);
            }
        }
        self.faults = Faults::default();
    }

    /// What changes many pages that were there, and makes the file shorter. It may fail.
    fn other_sql(&self, store: &mut Store) {
        let sql = match self.luck.below(9) {
            0 => "UPDATE t SET price = coalesce(price, 0) + 1",
            1 => "VACUUM",
            2 => {
                "DROP TABLE IF EXISTS big; CREATE TABLE big(x);
                 INSERT INTO big SELECT randomblob(9000) FROM t LIMIT 60"
            }
            _ => return,
        };
        if !self.told.is_empty() && store.is_open() {
            let _may_fail = store.exec(sql, &Params::None);
        }
    }

    /// Looks at a copy of the files, as the next lease would find them.
    fn check(&self) {
        let disk = Rc::new(RefCell::new(self.disk.borrow().clone()));
        let copied = World { disk, ..World::new(0) };
        let mut store = Store::new(Box::new(NoOs));
        assert_eq!(copied.attach(&mut store, Mode::Exclusive, true), Attached::Ready);
        if self.told.is_empty() {
            return store.detach().unwrap();
        }
        assert_eq!(one(&mut store, "PRAGMA integrity_check"), Value::Text("ok".into()));
        for id in &self.told {
            assert!(store.find_frame(id).unwrap().is_some(), "{id} is lost");
        }
        let is_in = |id: &str| store.find_frame(id).unwrap().is_some();
        let rows = self.tried.iter().filter(|(id, _)| is_in(id)).map(|(_, rows)| rows).sum();
        assert_eq!(count(&mut store), Value::Integer(rows));
        store.detach().unwrap();
    }
}

#[test]
fn what_was_acknowledged_outlives_any_power_cut() {
    let seeds = std::env::var("FRAMELOCK_CUTS").map_or(20, |seeds| seeds.parse().unwrap());
    let mut met = std::collections::BTreeMap::<_, u32>::new();
    for seed in 0..seeds {
        let mut world = World::new(seed);
        for lease in 0..LEASES {
            // Shown when an assertion fails.
            println!("seed {seed}, lease {lease}");
            world.lease();
            if world.luck.one_in(2) {
                let mut disk = world.disk.borrow_mut();
                disk.power_cut(&mut world.luck.0.borrow_mut());
                let journal = disk.bytes(JOURNAL).first().copied();
                *met.entry(journal).or_default() += 1;
            }
            world.check();
        }
    }
    // Nothing, an emptied log, a log, a journal of SQLite's.
    for journal in [None, Some(0), Some(b'f'), Some(0xd9)] {
        assert!(met.contains_key(&journal), "{met:?}");
    }
}
