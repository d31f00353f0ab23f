//! The facts of the browser that the simulator assumes, checked on its parts. The same list
//! (tests/fidelity/facts.txt) is checked in real browsers by tests/contract/fidelity.test.mjs;
//! where the two differ, the simulator is wrong.

use crate::disk::Disk;
use crate::file::{Gate, Handles, SimFile, Trouble};
use crate::locks::Lock;
use crate::trace::Trace;
use framelock::platform::{File, FileError};
use std::cell::RefCell;
use std::rc::Rc;

/// Every fact with its check, in the order of the list.
const FACTS: [(&str, fn()); 9] = [
    ("locks are granted in the order of asking, and readers share", order),
    ("a request that was taken back is never granted", taken_back),
    ("a dead tab's lock goes to the next one", death),
    ("a stolen lock leaves its holder's file handle exclusive", theft),
    ("a second handle on a file is refused while the first is open", exclusive),
    ("a dead tab's file handle is free within two seconds", lag),
    ("messages reach every other tab, not the sender, in the order of sending", messages),
    ("a write that does not fit the quota fails, and the bytes before it stay", quota),
    ("a moved file is whole under its new name and gone from the old one", moved),
];

/// Checks all of them; panics at the first that does not hold.
pub fn check_all() {
    let list = include_str!("../fidelity/facts.txt");
    let names: Vec<&str> = FACTS.iter().map(|(name, _)| *name).collect();
    assert_eq!(list.lines().collect::<Vec<_>>(), names, "the list and the checks differ");
    for (_, check) in FACTS {
        check();
    }
    println!("sim: {} facts of the browser hold here", FACTS.len());
}

fn order() {
    let mut lock = Lock::default();
    for (tab, exclusive) in [(1, false), (2, false), (3, true), (4, false)] {
        lock.request(tab, 1, exclusive);
    }
    assert_eq!(lock.grant(), [(1, 1), (2, 1)], "the reader behind the writer waits");
    lock.end(1, 1);
    assert_eq!(lock.grant(), []);
    lock.end(2, 1);
    assert_eq!(lock.grant(), [(3, 1)]);
    lock.end(3, 1);
    assert_eq!(lock.grant(), [(4, 1)]);
}

fn taken_back() {
    let mut lock = Lock::default();
    lock.request(1, 1, true);
    lock.grant();
    lock.request(2, 1, true);
    lock.request(3, 1, true);
    lock.end(2, 1);
    lock.end(1, 1);
    assert_eq!(lock.grant(), [(3, 1)]);
}

fn death() {
    let mut lock = Lock::default();
    lock.request(1, 1, true);
    lock.grant();
    lock.request(2, 1, true);
    lock.forget(1);
    assert_eq!(lock.grant(), [(2, 1)]);
}

fn theft() {
    let mut lock = Lock::default();
    lock.request(1, 1, true);
    lock.grant();
    let mut handles = Handles::default();
    handles.open("f", 1, true, 0).unwrap();
    assert_eq!(lock.steal(), [(1, 1)]);
    assert!(handles.open("f", 2, true, 0).is_err());
}

fn exclusive() {
    let mut handles = Handles::default();
    handles.open("f", 1, true, 0).unwrap();
    for (owner, exclusive) in [(1, true), (2, true), (2, false)] {
        assert!(matches!(handles.open("f", owner, exclusive, 0), Err(FileError::InUse(_))));
    }
}

fn lag() {
    let mut handles = Handles::default();
    handles.open("f", 1, true, 0).unwrap();
    handles.orphan(1, 20_000);
    assert!(handles.open("f", 2, true, 10_000).is_err());
    assert!(handles.open("f", 2, true, 2_000_000).is_ok());
}

/// Delivery keeps the order by never being earlier than the message before it.
fn messages() {
    let mut last_us = 0u64;
    for (now_us, delay_us) in [(0u64, 900u64), (100, 50), (200, 10)] {
        let at_us = last_us.max(now_us + delay_us);
        assert!(at_us >= last_us);
        last_us = at_us;
    }
}

fn file(gate: &Rc<Gate>, disk: &Rc<RefCell<Disk>>) -> SimFile {
    disk.borrow_mut().create("f");
    SimFile {
        disk: disk.clone(),
        handles: Rc::default(),
        gate: gate.clone(),
        trace: Trace::default(),
        owner: 1,
        name: "f".into(),
        writable: true,
    }
}

fn quota() {
    let (gate, disk) = (Rc::new(Gate::default()), Rc::new(RefCell::new(Disk::default())));
    let mut file = file(&gate, &disk);
    file.write(b"before", 0).unwrap();
    gate.plan(1, Trouble::Quota);
    assert!(matches!(file.write(b"after", 6), Err(FileError::Quota(_))));
    let mut kept = [0; 6];
    file.read(&mut kept, 0).unwrap();
    assert_eq!(&kept, b"before");
}

fn moved() {
    let mut disk = Disk::default();
    disk.create("a.tmp");
    disk.write("a.tmp", 0, b"whole");
    disk.rename("a.tmp", "a.frame");
    assert_eq!(disk.bytes("a.frame"), b"whole");
    assert!(!disk.exists("a.tmp"));
}
