//! Frames that are too large to be offered: they go to the holder by way of the queue, and their calls
//! wait a second for it. When the holder turns out to be this very tab, they settle all the same.

use crate::world::{OFFER_BYTES, World, frame};
use framelock::ladder::{Fallback, Path};
use framelock::message::Message;
use framelock::node::{Call, Event, Reply};
use framelock::policy::RetryPolicy;
use framelock::store::{AppendRequest, PackOptions, Params};

const LARGE: u32 = 2;

/// One that is not offered, in which an id comes twice.
fn large() -> AppendRequest {
    let large = frame("large", (0..60).map(|row| row % 50), 100);
    assert!(large.content.bytes_estimate() > OFFER_BYTES);
    large
}

/// A large frame is in the queue and waits for its holder, who is just about to let go of the lock.
fn large_frame_waits(columns: &str) -> World {
    let mut world = World::new(columns);
    world.lock_is_free = false;
    world.append(LARGE, large(), RetryPolicy::default(), Fallback::Handoff);
    world.run_until(5900.0);
    assert!(world.queued() == 1 && !world.is_settled(LARGE));
    world
}

/// It is told as queued, no later than if another tab had the lock and did not answer.
fn assert_told_as_queued(world: &World) {
    let receipt = world.receipt(LARGE);
    assert_eq!((receipt.path, receipt.committed), (Path::Queued, false));
    assert!(world.settled_ms(LARGE) < 7000.0, "at {}", world.settled_ms(LARGE));
}

#[test]
fn a_large_frame_that_its_own_tab_drains_is_told_as_committed() {
    let mut world = large_frame_waits("id INTEGER, name TEXT");
    world.free_the_lock();
    let receipt = world.receipt(LARGE);
    assert_eq!((receipt.path, receipt.committed), (Path::Handoff, true));
    assert_eq!(world.disk.number("SELECT count(*) FROM t"), 60);
}

#[test]
fn a_large_frame_that_its_own_tab_refuses_settles() {
    let mut world = large_frame_waits("id INTEGER PRIMARY KEY, name TEXT");
    world.free_the_lock();
    assert_eq!((world.rejected.len(), world.queued()), (1, 0));
    // At once: there is nothing to wait for.
    assert_told_as_queued(&world);
    assert!(world.settled_ms(LARGE) < 6000.0);
}

#[test]
fn a_large_frame_that_waits_in_vain_keeps_the_lease_from_nobody() {
    let mut world = large_frame_waits("id INTEGER, name TEXT");
    world.queue_is_readable = false;
    world.free_the_lock();
    world.waiting = 1;
    world.other_says(&Message::Want { from: "other".into(), hands_over: false });
    assert!(!world.is_settled(LARGE));
    assert_eq!(world.leases_ms, [0.0]);
}

#[test]
fn a_large_frame_settles_while_the_queue_cannot_be_read() {
    let mut world = large_frame_waits("id INTEGER, name TEXT");
    world.queue_is_readable = false;
    world.waiting = 1;
    world.free_the_lock();
    world.run_until(20_000.0);
    assert_told_as_queued(&world);
    world.queue_is_readable = true;
    world.run_until(30_000.0);
    assert_eq!(world.disk.number("SELECT count(*) FROM t"), 60);
}

#[test]
fn a_large_frame_settles_while_the_disk_is_full() {
    let mut world = large_frame_waits("id INTEGER, name TEXT");
    world.disk.is_full.set(true);
    world.free_the_lock();
    world.run_until(20_000.0);
    assert_told_as_queued(&world);
    assert_eq!(world.queued(), 1);
    world.disk.is_full.set(false);
    world.run_until(30_000.0);
    assert_eq!((world.queued(), world.disk.number("SELECT count(*) FROM t")), (0, 60));
}

#[test]
fn calls_after_a_large_frame_that_was_refused_are_answered() {
    let mut world = large_frame_waits("id INTEGER PRIMARY KEY, name TEXT");
    world.free_the_lock();
    world.run_until(7000.0);
    let (sql, params, options) = ("SELECT 1".into(), Params::None, PackOptions::default());
    let query = Call::Query { sql, params, options, timeout_ms: 100.0, tx: None };
    world.tell(Event::Call(3, query));
    let policy = RetryPolicy { attempts: 1, deadline_ms: 1000.0, ..RetryPolicy::default() };
    world.append(4, frame("small", 0..3, 1), policy, Fallback::None);
    world.run_until(9000.0);
    assert!(matches!(world.outcome(3), Ok(Reply::Rows(1, _))) && world.settled_ms(3) < 7110.0);
    assert!(world.receipt(4).committed && world.settled_ms(4) < 8000.0);
}
