//! The durable queue: what is drained, when, and what is said of it.

use crate::world::{OFFER_BYTES, World, frame, row};
use framelock::error::{Code, Error};
use framelock::ladder::{Fallback, Path};
use framelock::message::{Answer, FrameName, Message};
use framelock::node::{Call, Event, Reply};
use framelock::policy::RetryPolicy;
use framelock::store::AppendRequest;
use std::collections::BTreeMap;

const COLUMNS: &str = "id INTEGER, name TEXT";
const COUNT: &str = "SELECT count(*) FROM t";

/// What `drain()` said: applied, rejected, remaining.
fn drained(world: &World, call: u32) -> (u64, u64, u64) {
    match world.outcome(call) {
        Ok(Reply::Drained { applied, rejected, remaining }) => (*applied, *rejected, *remaining),
        _ => panic!("no counts"),
    }
}

/// What a commit calls a frame.
fn name(request: &AppendRequest) -> FrameName {
    FrameName {
        frame_id: request.frame_id.clone(),
        table: request.table.clone(),
        rows: request.content.rows(),
        digest: request.digest,
        coerced: BTreeMap::new(),
        by: None,
    }
}

/// Another tab says that these frames are in.
fn other_commits(world: &mut World, frames: Vec<FrameName>) {
    let (from, tables) = ("other".into(), vec!["t".into()]);
    world.other_says(&Message::Committed { from, tables, frames, forwarded: false });
}

#[test]
fn a_queue_that_grows_while_it_is_read_is_read_again() {
    let mut world = World::new(COLUMNS);
    world.reads_slowly = true;
    world.exec(1, "SELECT 1", None);
    // The names were read. Now another tab puts a frame there, says so, and dies.
    world.other_queues(&row("late", 1));
    world.other_says_queued();
    assert!(world.finish_reading());
    world.run_until(60_000.0);
    assert_eq!((world.queued(), world.disk.number(COUNT)), (0, 1));
}

#[test]
fn a_drain_gives_up_its_turn_when_another_tab_waits() {
    let mut world = World::new(COLUMNS);
    for id in 0..200 {
        world.other_queues(&row(&format!("q{id}"), id));
    }
    // Whoever waits is a tab that does not drain; it asks again as soon as it has had its turn.
    world.waiting = 1;
    world.event_ms = 2.0;
    world.other_says_queued();
    world.run_until(60_000.0);
    assert_eq!((world.queued(), world.disk.number(COUNT)), (0, 200));
    let longest_ms = world.leases_ms.iter().fold(0.0, |a: f64, b| a.max(*b));
    assert!(longest_ms < 100.0, "{longest_ms} ms");
}

#[test]
fn a_frame_that_fires_a_forbidden_trigger_is_refused_and_holds_nobody_up() {
    let mut world = World::new(COLUMNS);
    let trigger = "CREATE TRIGGER own AFTER INSERT ON t WHEN new.id = 1 BEGIN DELETE FROM _framelock_frames; END";
    world.exec(1, trigger, None);
    world.other_queues(&row("forbidden", 1));
    world.other_says_queued();
    world.run_until(60_000.0);
    assert_eq!((world.queued(), world.rejected.len()), (0, 1));
}

#[test]
fn a_drain_that_goes_on_has_as_long_as_it_takes() {
    let mut world = World::new(COLUMNS);
    for id in 0..40 {
        world.other_queues(&row(&format!("q{id}"), id));
    }
    // The page of the queue, who waits, the removal: a second for each.
    world.event_ms = 1000.0;
    world.waiting = 1;
    world.tell(Event::Call(1, Call::Drain { timeout_ms: 15_000.0 }));
    world.run_until(300_000.0);
    assert_eq!((drained(&world, 1), world.queued()), ((40, 0, 0), 0));
    assert!(world.settled_ms(1) > 60_000.0, "{} ms", world.settled_ms(1));
}

#[test]
fn a_drain_keeps_its_turn_when_nobody_waits() {
    let mut world = World::new(COLUMNS);
    for id in 0..50 {
        world.other_queues(&row(&format!("q{id}"), id));
    }
    world.event_ms = 2.0;
    world.other_says_queued();
    world.run_until(60_000.0);
    assert_eq!((world.queued(), world.leases_ms.len()), (0, 1));
}

#[test]
fn drain_counts_what_came_out_since_the_call() {
    let mut world = World::new(COLUMNS);
    world.lock_is_free = false;
    // Whoever queued them is dead.
    for id in 0..3 {
        world.other_queues(&row(&format!("q{id}"), id));
    }
    world.tell(Event::Call(1, Call::Drain { timeout_ms: 5000.0 }));
    assert!(!world.is_settled(1));
    world.free_the_lock();
    assert_eq!(drained(&world, 1), (3, 0, 0));
    assert_eq!(world.disk.number(COUNT), 3);
    // What was counted is not counted again.
    world.tell(Event::Call(2, Call::Drain { timeout_ms: 5000.0 }));
    assert_eq!(drained(&world, 2), (0, 0, 0));
}

#[test]
fn a_drain_of_a_queue_that_cannot_be_read_does_not_say_that_nothing_is_left() {
    let mut world = World::new(COLUMNS);
    world.queue_is_readable = false;
    world.other_queues(&row("there", 1));
    world.tell(Event::Call(1, Call::Drain { timeout_ms: 5000.0 }));
    assert_eq!(world.code(1), Some(Code::StorageUnavailable));
    world.queue_is_readable = true;
    world.tell(Event::Call(2, Call::Drain { timeout_ms: 5000.0 }));
    assert_eq!(drained(&world, 2), (1, 0, 0));
}

#[test]
fn drain_counts_what_another_tab_took_out_of_the_queue() {
    let mut world = World::new(COLUMNS);
    world.lock_is_free = false;
    let request = row("ours", 1);
    let name = name(&request);
    world.enqueue(1, request);
    world.tell(Event::Call(2, Call::Drain { timeout_ms: 5000.0 }));
    // The holder drains, together with a frame of its own.
    let other = FrameName { frame_id: "theirs".into(), ..name.clone() };
    world.other_drains();
    other_commits(&mut world, vec![name, other]);
    world.free_the_lock();
    assert_eq!(drained(&world, 2), (1, 0, 0));
}

#[test]
fn a_frame_on_its_way_into_the_queue_is_a_duplicate_once_another_tabs_copy_is_in() {
    for (by, path) in [("other", Path::Duplicate), ("me", Path::Handoff)] {
        let mut world = World::new(COLUMNS);
        world.lock_is_free = false;
        world.writes_slowly = true;
        let request = AppendRequest { own_id: false, ..row("shared", 1) };
        let frame = FrameName { by: Some(by.into()), ..name(&request) };
        world.enqueue(1, request);
        other_commits(&mut world, vec![frame]);
        assert_eq!(world.receipt(1).path, path, "by {by}");
    }
}

#[test]
fn a_frame_is_no_repeat_of_itself_where_the_queue_does_not_say_whose_it_is() {
    let mut world = World::new(COLUMNS);
    world.names_senders = false;
    let tx = world.begin(1);
    // Too large to be offered: it waits in the queue for the holder, which is this very node.
    let request = AppendRequest { own_id: false, ..frame("large", 0..10, OFFER_BYTES as usize) };
    world.append(2, request, RetryPolicy::default(), Fallback::Handoff);
    world.run_until(world.now_ms + 1000.0);
    assert!(world.queued() == 1 && !world.is_settled(2), "it waits");
    world.commit(3, tx);
    assert_eq!((world.receipt(2).path, world.queued()), (Path::Handoff, 0));
}

#[test]
fn a_commit_says_whose_copies_of_the_callers_ids_are_in() {
    let mut world = World::new(COLUMNS);
    let callers = |id: &str, number| AppendRequest { own_id: false, ..row(id, number) };
    world.other_queues(&callers("from the queue", 1));
    world.append(1, callers("direct", 2), RetryPolicy::default(), Fallback::Handoff);
    world.append(2, row("of a new id", 3), RetryPolicy::default(), Fallback::Handoff);
    let tx = world.begin(3);
    world.join(4, tx, callers("joined", 4));
    world.commit(5, tx);
    let said = [
        ("from the queue", Some("node")),
        ("direct", Some("me")),
        ("of a new id", None),
        ("joined", Some("me")),
    ];
    let said = said.map(|(id, by)| (id.to_owned(), by.map(str::to_owned)));
    assert_eq!(world.committed, said);
}

#[test]
fn whoever_changes_the_queue_tells_its_client_and_the_other_tabs_and_they_tell_theirs() {
    let mut world = World::new("id INTEGER CHECK(id < 50), name TEXT");
    world.lock_is_free = false;
    world.enqueue(1, row("ours", 1));
    // What another tab counted is told here, and to nobody else.
    world.other_queues(&row("theirs", 2));
    for _ in 0..2 {
        world.other_says(&Message::Counted { from: "other".into(), queued: 2, rejected: 0 });
    }
    world.enqueue(2, row("refused", 50));
    world.free_the_lock();
    let told = [(1, 0), (2, 0), (3, 0), (0, 1)];
    assert_eq!(world.counts_told, told);
    assert_eq!(world.counts_posted, [(1, 0), (3, 0), (0, 1)]);
}

#[test]
fn what_leaves_the_rejected_list_is_told() {
    let mut world = World::new(COLUMNS);
    world.rejected = vec!["first".into(), "second".into()];
    world.tell(Event::Call(1, Call::Drain { timeout_ms: 5000.0 }));
    assert_eq!(drained(&world, 1), (0, 2, 0));
    // Long enough for the lease to be given back.
    world.run_until(10_000.0);
    world.lock_is_free = false;
    world.tell(Event::Call(2, Call::DiscardRejected { frame_id: "second".into() }));
    world.tell(Event::Call(3, Call::RetryRejected { frame_id: "first".into() }));
    assert!(world.is_settled(2) && world.is_settled(3));
    assert_eq!(world.counts_told, [(0, 2), (0, 1), (1, 0)]);
    assert_eq!(world.counts_posted, world.counts_told);
}

/// A hundred frames at once that nobody takes, and a queue that takes for ever to write a file. Gives how many are on
/// their way into it when their time is up; the others must have ended, and are not in the database later.
fn begun_of_a_hundred(fallback: Fallback) -> usize {
    let mut world = World::new(COLUMNS);
    (world.lock_is_free, world.writes_slowly) = (false, true);
    for id in 0..100 {
        let policy = RetryPolicy { attempts: 0, ..RetryPolicy::default() };
        world.append(id, row(&format!("{id}"), i64::from(id)), policy, fallback);
    }
    world.run_until(20_000.0);
    let (ended, begun): (Vec<u32>, Vec<u32>) = (0..100).partition(|call| world.is_settled(*call));
    assert!(ended.iter().all(|call| world.code(*call) == Some(Code::Timeout)));
    assert_eq!(begun, (0..begun.len() as u32).collect::<Vec<_>>(), "in the order of the calls");
    world.finish_writing();
    assert!(begun.iter().all(|call| !world.receipt(*call).committed));
    world.free_the_lock();
    world.run_until(60_000.0);
    assert_eq!((world.queued(), world.disk.number(COUNT)), (0, begun.len() as i64));
    begun.len()
}

#[test]
fn frames_that_the_queue_is_too_slow_for_end_when_their_time_is_up() {
    assert_eq!(begun_of_a_hundred(Fallback::Queue), 16);
}

#[test]
fn frames_that_were_not_even_offered_end_when_their_time_is_up() {
    // What was offered may be in by then, and waits for the queue.
    assert_eq!(begun_of_a_hundred(Fallback::Handoff), 64);
}

#[test]
fn a_call_that_waits_behind_a_long_frame_of_a_closing_handle_is_closed_and_not_busy() {
    let mut world = World::new(COLUMNS);
    world.lock_is_free = false;
    world.append(1, frame("long", 0..600_000, 1), RetryPolicy::default(), Fallback::Handoff);
    world.tell(Event::Call(2, Call::Drain { timeout_ms: 15_000.0 }));
    world.tell(Event::Call(3, Call::Close));
    world.event_ms = 100.0;
    world.free_the_lock();
    assert_eq!(world.code(2), Some(Code::Closed));
    assert!(world.receipt(1).committed && world.outcome(3).is_ok());
}

#[test]
fn a_call_for_a_frame_that_cannot_leave_the_queue_can_be_given_up() {
    let mut world = World::new(COLUMNS);
    world.disk.is_full.set(true);
    world.enqueue(1, row("queued", 1));
    world.tell(Event::Call(2, Call::WhenCommitted { frame_id: "queued".into() }));
    world.run_until(10_000.0);
    assert!(world.queued() == 1 && !world.is_settled(2));
    assert!(world.leases_ms.len() < 10, "{} leases in 5 s", world.leases_ms.len());
    world.tell(Event::Cancel(2));
    assert_eq!(world.code(2), Some(Code::Aborted));
}

/// A frame that was offered to a holder that has not answered, and whose queue is full.
fn in_doubt(world: &mut World) -> AppendRequest {
    let request = row("in doubt", 1);
    world.lock_is_free = false;
    world.queue_is_full = true;
    let policy = RetryPolicy { attempts: 0, ..RetryPolicy::default() };
    world.append(1, request.clone(), policy, Fallback::Handoff);
    world.run_until(world.now_ms + 2000.0);
    assert!(!world.is_settled(1), "the holder may have applied it");
    request
}

#[test]
fn a_frame_that_the_full_queue_cannot_take_is_not_called_unwritten_while_the_holder_may_write_it() {
    // The holder says so in the end.
    let mut world = World::new(COLUMNS);
    let request = in_doubt(&mut world);
    other_commits(&mut world, vec![name(&request)]);
    assert_eq!(world.receipt(1).path, Path::Handoff);

    // It refuses the frame in the end.
    let mut world = World::new(COLUMNS);
    in_doubt(&mut world);
    let answer = Answer::Refused { error: (&Error::new(Code::Constraint, "no")).into() };
    let (from, to, frame_id) = ("other".into(), "me".into(), "in doubt".into());
    world.other_says(&Message::Answer { from, to, call: 1, frame_id, answer });
    assert_eq!(world.code(1), Some(Code::Constraint));

    // It had written the frame, said nothing, and is gone.
    let mut world = World::new(COLUMNS);
    world.append(2, row("in doubt", 1), RetryPolicy::default(), Fallback::Handoff);
    world.run_until(10_000.0);
    in_doubt(&mut world);
    world.free_the_lock();
    assert_eq!(world.receipt(1).path, Path::Handoff);

    // It had not, and is gone.
    let mut world = World::new(COLUMNS);
    in_doubt(&mut world);
    world.free_the_lock();
    assert_eq!((world.receipt(1).path, world.disk.number(COUNT)), (Path::Direct, 1));

    // There is no room here either: a late offer may yet reach another holder, until there is.
    let mut world = World::new(COLUMNS);
    in_doubt(&mut world);
    world.disk.is_full.set(true);
    world.free_the_lock();
    world.run_until(world.now_ms + 5000.0);
    assert!(!world.is_settled(1) && world.leases_ms.len() < 10);
    // Nothing overtakes it.
    world.append(2, row("later", 2), RetryPolicy::default(), Fallback::Handoff);
    assert_eq!(world.code(2), Some(Code::QuotaExceeded));
    world.disk.is_full.set(false);
    world.append(3, row("last", 3), RetryPolicy::default(), Fallback::Handoff);
    world.run_until(world.now_ms + 3000.0);
    assert_eq!([world.receipt(1).path, world.receipt(3).path], [Path::Direct; 2]);
    let first = "SELECT id FROM t ORDER BY rowid LIMIT 1";
    assert_eq!((world.disk.number(COUNT), world.disk.number(first)), (2, 1));

    // Until that is known, what comes after it stays out of the queue.
    let mut world = World::new(COLUMNS);
    let request = in_doubt(&mut world);
    world.queue_is_full = false;
    world.enqueue(2, row("later", 2));
    world.run_until(world.now_ms + 1000.0);
    assert!(!world.is_settled(2) && world.queued() == 0);
    other_commits(&mut world, vec![name(&request)]);
    assert_eq!((world.receipt(2).path, world.queued()), (Path::Queued, 1));

    // Nobody knows by the deadline.
    let mut world = World::new(COLUMNS);
    in_doubt(&mut world);
    world.run_until(world.now_ms + 12_000.0);
    assert!(!world.is_settled(1));
    world.run_until(world.now_ms + 1001.0);
    assert_eq!(world.code(1), Some(Code::QuotaExceeded));
}

#[test]
fn what_was_read_of_the_queue_for_an_earlier_lease_is_not_applied() {
    let mut world = World::new(COLUMNS);
    world.other_queues(&row("theirs", 1));
    world.reads_slowly = true;
    world.exec(1, "SELECT 1", None);
    world.tell(Event::Suspend);
    // Meanwhile another tab refuses the frame, and its user discards it.
    world.other_drains();
    world.tell(Event::Resume);
    assert!(world.finish_reading() && world.outcome(1).is_ok());
    assert_eq!(world.disk.number(COUNT), 0);
}

#[test]
fn a_frame_that_got_through_is_out_of_the_queue_though_one_before_it_did_not() {
    let mut world = World::new(COLUMNS);
    world.page_frames = 2;
    world.exec(1, "CREATE TABLE u(id INTEGER, name TEXT)", None);
    world.other_queues(&frame("large", 0..1000, 1000));
    world.other_queues(&AppendRequest { table: "u".into(), ..row("small", 1) });
    world.disk.most_bytes.set(Some(500_000));
    world.tell(Event::Call(2, Call::Drain { timeout_ms: 5000.0 }));
    assert_eq!((drained(&world, 2), world.queued()), ((1, 0, 1), 1));
    assert_eq!(world.disk.number("SELECT count(*) FROM u"), 1);
}

#[test]
fn a_handle_is_closed_in_time_though_another_tab_has_the_lock_after_a_part_of_the_queue() {
    let asked =
        [Call::Drain { timeout_ms: 15_000.0 }, Call::WhenCommitted { frame_id: "q2".into() }];
    for call in asked {
        let mut world = World::new(COLUMNS);
        world.event_ms = 20.0;
        world.begin(1);
        for id in 0..3 {
            world.other_queues(&row(&format!("q{id}"), id));
        }
        world.tell(Event::Call(2, call));
        (world.lock_is_free, world.waiting) = (false, 1);
        world.tell(Event::Call(3, Call::Close));
        world.lend_the_lock();
        world.run_until(world.now_ms + 1000.0);
        assert_eq!(world.code(2), Some(Code::Closed));
        assert!(world.outcome(3).is_ok() && world.queued() > 0);
    }
}
