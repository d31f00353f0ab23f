//! Whose turn it is while others offer frames without end: somebody else's, or that of the holder's own
//! calls, all the same.

use crate::world::{World, frame, row};
use framelock::ladder::Fallback;
use framelock::policy::RetryPolicy;

const COLUMNS: &str = "id INTEGER, name TEXT";

/// So many offers take some 8 s: as long as that, somebody would wait.
const OFFERS: u32 = 2000;

/// The lease is held, and whenever its holder looks who waits, another frame has been offered.
fn holder_with_guests(waiting: usize) -> World {
    let mut world = World::new(COLUMNS);
    world.event_ms = 1.0;
    world.waiting = waiting;
    world.offers_left = OFFERS;
    world
}

#[test]
fn offers_do_not_keep_the_lease_from_another_tab() {
    let mut world = holder_with_guests(1);
    world.exec(1, "SELECT 1", None);
    world.run_until(60_000.0);
    let longest_ms = world.leases_ms.iter().fold(0.0, |a: f64, b| a.max(*b));
    assert!(longest_ms < 100.0, "{longest_ms} ms");
}

#[test]
fn offers_do_not_keep_the_holders_own_calls_waiting() {
    let mut world = holder_with_guests(0);
    world.exec(1, "SELECT 1", None);
    world.run_until(60_000.0);
    assert!(world.outcome(1).is_ok());
    let waited_ms = world.settled_ms(1) - 5000.0;
    assert!(waited_ms < 300.0, "{waited_ms} ms");
    // And the guests were served.
    assert_eq!(world.disk.number("SELECT count(*) FROM t"), i64::from(OFFERS));
}

#[test]
fn what_was_offered_during_a_long_transaction_is_handed_over_before_anybodys_turn() {
    let mut world = World::new(COLUMNS);
    world.waiting = 1;
    let tx = world.begin(1);
    world.run_until(10_000.0);
    world.offer();
    world.commit(2, tx);
    world.run_until(20_000.0);
    assert_eq!(world.disk.number("SELECT count(*) FROM t"), 1);
    assert_eq!(world.leases_ms.len(), 1, "and then the lease was given up");
}

#[test]
fn a_long_frame_of_its_own_does_not_wait_behind_offers_without_end() {
    let mut world = World::new(COLUMNS);
    world.event_ms = 1.0;
    world.offers_left = 20_000;
    let began_ms = world.now_ms;
    world.append(1, frame("long", 0..300_000, 0), RetryPolicy::default(), Fallback::Handoff);
    world.run_until(began_ms + 60_000.0);
    let waited_ms = world.settled_ms(1) - began_ms;
    assert_eq!(world.receipt(1).rows, 300_000);
    assert!(waited_ms < 1000.0, "{waited_ms} ms");
}

#[test]
fn a_call_of_its_own_has_its_turn_though_each_lease_finds_a_frame_in_the_queue() {
    let mut world = World::new(COLUMNS);
    world.event_ms = 5.0;
    world.waiting = 1;
    world.refills = 100_000;
    let began_ms = world.now_ms;
    world.exec(1, "INSERT INTO t VALUES(7, 'x')", None);
    world.run_until(began_ms + 30_000.0);
    world.outcome(1).as_ref().unwrap();
    let waited_ms = world.settled_ms(1) - began_ms;
    assert!(waited_ms < 1000.0, "{waited_ms} ms");
}

#[test]
fn the_lock_of_a_database_that_another_version_has_is_not_asked_for_again_and_again() {
    let mut world = World::new(COLUMNS);
    world.other_version_has_it = true;
    world.other_queues(&row("theirs", 1));
    world.other_says_queued();
    world.run_until(60_000.0);
    let asked = world.leases_ms.len();
    assert!((10..30).contains(&asked), "{asked} times");
}
