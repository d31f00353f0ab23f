//! Frames that join the caller's own transaction.

use crate::world::{World, row};
use framelock::error::Code;

const COLUMNS: &str = "id INTEGER, name TEXT";

#[test]
fn a_frame_that_joins_does_not_overtake_those_in_the_queue() {
    let mut world = World::new(COLUMNS);
    world.queue_is_readable = false;
    world.enqueue(1, row("one", 1));
    let tx = world.begin(2);
    world.join(3, tx, row("two", 2));
    assert_eq!(world.code(3), Some(Code::Busy));
    world.commit(4, tx);
    assert_eq!(world.disk.number("SELECT count(*) FROM t"), 0);
    // Once the queue can be emptied, it is emptied first.
    world.queue_is_readable = true;
    world.run_until(20_000.0);
    let tx = world.begin(5);
    world.join(6, tx, row("two", 2));
    world.commit(7, tx);
    assert_eq!(world.receipt(6).rows, 1);
    let in_order = "SELECT (SELECT rowid FROM t WHERE id = 1) < (SELECT rowid FROM t WHERE id = 2)";
    assert_eq!(world.disk.number(in_order), 1);
}

#[test]
fn a_frame_that_a_savepoint_took_back_is_not_announced() {
    let mut world = World::new(COLUMNS);
    let tx = world.begin(1);
    world.exec(2, "SAVEPOINT a", Some(tx));
    world.join(3, tx, row("undone", 1));
    world.exec(4, "ROLLBACK TO a", Some(tx));
    world.join(5, tx, row("kept", 2));
    world.commit(6, tx);
    assert_eq!(world.announced, ["kept"]);
    assert_eq!(world.disk.number("SELECT id FROM t"), 2);
}

#[test]
fn a_commit_flushes_no_more_for_many_frames_than_for_one() {
    let changes = |frames: u32| {
        let mut world = World::new(COLUMNS);
        let tx = world.begin(1);
        for nth in 0..frames {
            world.join(10 + nth, tx, row(&format!("f{nth}"), nth.into()));
        }
        world.disk.changes_left.set(Some(1_000_000));
        world.commit(2, tx);
        assert_eq!(world.announced.len(), frames as usize);
        1_000_000 - world.disk.changes_left.get().unwrap()
    };
    assert_eq!(changes(50), changes(1));
}

#[test]
fn a_frame_joins_while_another_one_is_on_its_way_into_the_queue() {
    let mut world = World::new(COLUMNS);
    let tx = world.begin(1);
    world.writes_slowly = true;
    world.enqueue(2, row("queued", 1));
    world.join(3, tx, row("joined", 2));
    world.finish_writing();
    world.commit(4, tx);
    assert_eq!(world.receipt(3).rows, 1);
    world.run_until(20_000.0);
    assert_eq!(world.disk.number("SELECT count(*) FROM t"), 2);
}

#[test]
fn after_a_statement_that_the_disk_has_no_room_for_reads_go_on() {
    let mut world = World::new("id INTEGER, name TEXT");
    world.exec(1, "INSERT INTO t VALUES (1, 'a')", None);
    world.disk.is_full.set(true);
    // More than a transaction has in memory.
    let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000)";
    world.exec(2, &format!("{rows} INSERT INTO t SELECT i, zeroblob(8000) FROM n"), None);
    assert_eq!(world.code(2), Some(Code::QuotaExceeded));
    world.exec(3, "SELECT * FROM t", None);
    assert!(world.outcome(3).is_ok(), "{:?}", world.code(3));
    world.disk.is_full.set(false);
    world.exec(4, "INSERT INTO t VALUES (2, 'b')", None);
    assert!(world.outcome(4).is_ok());
    assert_eq!(world.disk.number("SELECT count(*) FROM t"), 2);
}
