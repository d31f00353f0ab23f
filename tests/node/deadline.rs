//! Frames that do not get their turn in time: their callers have given them up, so they are never begun.

use crate::world::{World, row};
use framelock::error::Code;
use framelock::ladder::{Fallback, Path};
use framelock::policy::RetryPolicy;

/// A world in which so much time passes before each event, and a frame of 250 ms in it.
fn appended(event_ms: f64, fallback: Fallback) -> World {
    let mut world = World::new("id INTEGER, name TEXT");
    world.event_ms = event_ms;
    let policy = RetryPolicy { deadline_ms: 250.0, ..RetryPolicy::default() };
    world.append(1, row("late", 1), policy, fallback);
    world
}

/// Nothing of the frame is anywhere, nor will be: it can be sent again.
fn assert_never_begun(mut world: World) {
    assert_eq!(world.code(1), Some(Code::Timeout));
    world.event_ms = 0.0;
    world.run_until(world.now_ms + 60_000.0);
    assert_eq!((world.enqueued, world.announced.len()), (0, 0));
    world.append(2, row("late", 1), RetryPolicy::default(), Fallback::Handoff);
    assert_eq!(world.receipt(2).path, Path::Direct);
}

#[test]
fn in_time_it_is_written() {
    assert_eq!(appended(1.0, Fallback::None).receipt(1).path, Path::Direct);
}

#[test]
fn not_when_the_node_hears_of_it_too_late() {
    assert_never_begun(appended(300.0, Fallback::Handoff));
}

#[test]
fn not_when_the_lock_comes_too_late() {
    // It is heard of after 100 ms, has the lock after 200 and the files after 300.
    assert_never_begun(appended(100.0, Fallback::None));
}
