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
