//! The file as it goes out, after somebody died in the middle of a commit.

use crate::world::{NoOs, World, frame, number_in};
use framelock::ladder::Fallback;
use framelock::node::{Call, Event, Reply};
use framelock::platform::MemoryFile;
use framelock::policy::RetryPolicy;
use framelock::store::{Attached, Mode, Params, Store};

#[test]
fn an_export_is_without_what_a_dead_tab_left_half_done() {
    let nines = "SELECT count(*) FROM t WHERE id = 9";
    let mut spoilt = 0;
    for changes in 0.. {
        let mut world = World::new("id INTEGER, name TEXT");
        world.append(1, frame("a", 10..20_010, 10), RetryPolicy::default(), Fallback::None);
        world.run_until(10_000.0);
        assert!(world.receipt(1).committed);
        let mut other = Store::new(Box::new(NoOs));
        assert_eq!(
            other.attach(world.disk.handles(), Mode::Exclusive, true).unwrap(),
            Attached::Ready
        );
        let before = world.disk.database_bytes();
        world.disk.changes_left.set(Some(changes));
        let dies = other.exec("UPDATE t SET id = 9", &Params::None).is_err();
        drop(other);
        world.disk.changes_left.set(None);
        if !dies {
            break;
        }
        spoilt += u32::from(world.disk.database_bytes() != before);
        let nines_there = world.disk.number(nines);
        world.tell(Event::Call(2, Call::Export { timeout_ms: 5000.0 }));
        assert!(matches!(world.outcome(2), Ok(Reply::Exported)));
        let exported = MemoryFile::from(std::mem::take(&mut world.exported));
        let nines_out = number_in(exported, MemoryFile::default(), nines);
        assert_eq!(nines_out, nines_there, "after {changes} changes");
    }
    assert!(spoilt > 0, "nobody died with the database half written");
}
