//! Many frames that wait at once.

use crate::world::{World, row};
use framelock::ladder::Fallback;
use framelock::policy::RetryPolicy;
use std::time::{Duration, Instant};

const FRAMES: u32 = 1000;

/// Appends so many frames of one row while another tab has the lock. Gives how long the calls took.
fn append_many(world: &mut World, count: u32) -> Duration {
    let frames = (0..count).map(|nth| row(&format!("frame {nth}"), nth.into())).collect::<Vec<_>>();
    let began = Instant::now();
    for (nth, frame) in (0..).zip(frames) {
        world.append(10_000 + nth, frame, RetryPolicy::default(), Fallback::Handoff);
    }
    began.elapsed()
}

#[test]
fn each_is_offered_in_a_message_of_its_own_size() {
    let mut world = World::new("id INTEGER, name TEXT");
    world.lock_is_free = false;
    append_many(&mut world, FRAMES);
    world.run_until(world.now_ms + 60_000.0);
    assert_eq!(world.queued(), FRAMES as usize);
    // An envelope takes 1 KB.
    let bytes = world.posted_bytes / FRAMES as usize;
    assert!(bytes < 1500, "{bytes} bytes for each");
}

#[test]
fn a_call_that_stands_in_line_is_no_look_at_all_the_others() {
    let mut world = World::new("id INTEGER, name TEXT");
    world.lock_is_free = false;
    // It takes 20 ms; were it one, 10 s.
    let taken = append_many(&mut world, 20_000);
    assert!(taken < Duration::from_secs(1), "{taken:?}");
}

#[test]
fn once_the_lock_comes_back_now_and_then_no_more_files_are_made() {
    let mut world = World::new("id INTEGER, name TEXT");
    world.lock_is_free = false;
    world.writes_slowly = true;
    append_many(&mut world, FRAMES);
    // Nobody answers, and the first of them are on their way into the queue.
    world.run_until(world.now_ms + 3000.0);
    let files = world.enqueued;
    assert!(files > 0 && files < 100, "{files} files");
    // Others write, too: each turn ends with the lock in their hands for a while. To read the queue takes time.
    world.waiting = 1;
    world.event_ms = 2.0;
    while world.queued() > 0 || !(0..FRAMES).all(|nth| world.is_settled(10_000 + nth)) {
        world.reads_slowly = true;
        world.free_the_lock();
        world.lock_is_free = false;
        world.run_until(world.now_ms + 30.0);
        while world.finish_reading() {}
        world.finish_writing();
        world.writes_slowly = true;
        world.run_until(world.now_ms + 30.0);
    }
    assert_eq!(world.enqueued, files);
    assert_eq!(world.disk.number("SELECT count(DISTINCT id) FROM t"), i64::from(FRAMES));
}
