//! Many frames that wait at once.

use crate::world::{World, row};
use framelock::ladder::Fallback;
use framelock::policy::RetryPolicy;

const FRAMES: u32 = 1000;

#[test]
fn each_is_offered_in_a_message_of_its_own_size() {
    let mut world = World::new("id INTEGER, name TEXT");
    world.lock_is_free = false;
    for nth in 0..FRAMES {
        let frame = row(&format!("frame {nth}"), nth.into());
        world.append(10_000 + nth, frame, RetryPolicy::default(), Fallback::Handoff);
    }
    world.run_until(world.now_ms + 60_000.0);
    assert_eq!(world.queued(), FRAMES as usize);
    // An envelope takes 1 KB.
    let bytes = world.posted_bytes / FRAMES as usize;
    assert!(bytes < 1500, "{bytes} bytes for each");
}
