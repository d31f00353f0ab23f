//! The outbox: in the transaction of the rows, in pieces, once; and what the sender writes to it.

use crate::{frame, one, request, store};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Schema;
use framelock::error::Code;
use framelock::forward::{Content, Digest, Look, OutboxState, Page, PauseReason, Record, Refused};
use framelock::frame::Frame;
use framelock::frame::options::{AppendOptions, ExtraColumns, Match};
use framelock::store::{AppendRequest, ITEM_BYTES, Params, Store, Value};
use std::sync::Arc;

fn forwarded(frame_id: &str, frame: Frame) -> AppendRequest {
    AppendRequest { forward: true, ..request(frame_id, frame) }
}

fn append(store: &mut Store, request: &AppendRequest) {
    store.append_group(&[request]).unwrap().remove(0).unwrap();
}

/// Everything that is in the outbox.
fn page(store: &Store) -> Page {
    let look = Look { after: Some(0), items: 1 << 20, bytes: usize::MAX, kept: true };
    store.look_at_outbox(&look).unwrap()
}

fn state(store: &Store) -> OutboxState {
    store.outbox_state().unwrap()
}

/// An item's rows, without the stamp.
fn rows(content: &Content) -> Frame {
    let Content::Frame(ipc) = content else { panic!("a skip has no rows") };
    let sent = Frame::decode(ipc.clone().into()).unwrap();
    let schema = Arc::new(Schema::new(sent.schema.fields().clone()));
    let bare = |batch: RecordBatch| RecordBatch::try_new(schema.clone(), batch.columns().to_vec());
    let batches = sent.batches.into_iter().map(|batch| bare(batch).unwrap()).collect();
    Frame::new(schema.clone(), batches)
}

fn refused() -> Refused {
    Refused { code: "CONSTRAINT".into(), title: None, column: Some("id".into()), row: Some(3) }
}

#[test]
fn frames_that_are_not_forwarded_make_no_tables() {
    let mut store = store();
    append(&mut store, &request("a", frame(0, 5)));
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name GLOB '_framelock_*'
                  AND name NOT IN ('_framelock_columns', '_framelock_frames')";
    assert_eq!(one(&mut store, &format!("{tables} AND type = 'table'")), Value::Integer(0));
    assert_eq!(page(&store), Page::default());
    assert_eq!(store.dead_letters().unwrap(), []);
}

#[test]
fn an_item_is_the_rows_as_they_were_stored() {
    let mut store = store();
    append(&mut store, &forwarded("a", frame(0, 5)));
    append(&mut store, &request("b", frame(5, 5)));
    append(&mut store, &forwarded("c", frame(10, 2)));
    let page = page(&store);
    let numbers: Vec<(i64, &str, u64)> =
        page.items.iter().map(|item| (item.number, &*item.table, item.rows)).collect();
    assert_eq!(numbers, [(1, "t", 5), (2, "t", 2)]);
    assert_eq!(rows(&page.items[0].content), frame(0, 5));
    assert_eq!(rows(&page.items[1].content), frame(10, 2));
    let stream = page.state.stream.clone().unwrap();
    assert_eq!(stream.len(), 36);
    let expected = OutboxState { stream: Some(stream), first: 1, last: 2, ..Default::default() };
    assert_eq!(page.state, expected);
}

#[test]
fn two_frames_of_the_same_rows_are_two_items_and_a_table_has_one_name() {
    let mut store = store();
    for (id, table) in [("a", "t"), ("b", "T")] {
        append(&mut store, &AppendRequest { table: table.into(), ..forwarded(id, frame(0, 5)) });
    }
    let items = page(&store).items;
    assert_eq!((&*items[0].table, &*items[1].table), ("t", "t"));
    assert_ne!(items[0].digest(), items[1].digest());
    assert!(items[0].joins(&items[1]));
}

#[test]
fn a_frame_of_the_same_id_and_rows_is_another_item_in_another_database() {
    let item = || {
        let mut store = store();
        append(&mut store, &forwarded("a", frame(0, 5)));
        assert_eq!(page(&store).items[0].digest(), page(&store).items[0].digest(), "it stays");
        page(&store).items.remove(0)
    };
    let (one, other) = (item(), item());
    assert_ne!(one.digest(), other.digest());
    assert_eq!(rows(&one.content), rows(&other.content));
}

#[test]
fn a_repeat_adds_nothing_and_an_empty_frame_neither() {
    let mut store = store();
    for _ in 0..3 {
        append(&mut store, &forwarded("a", frame(0, 5)));
    }
    append(&mut store, &request("a", frame(0, 5)));
    append(&mut store, &forwarded("empty", frame(0, 0)));
    assert_eq!(state(&store).last, 1);
}

#[test]
fn a_frame_that_is_refused_or_rolled_back_is_not_forwarded() {
    let mut store = store();
    let ddl = "CREATE TABLE t(id INTEGER PRIMARY KEY, price REAL, name TEXT)";
    store.exec(ddl, &Params::None).unwrap();
    append(&mut store, &forwarded("a", frame(0, 5)));
    // Its last row has an id that is there.
    let outcomes =
        store.append_group(&[&forwarded("b", frame(-3, 4)), &forwarded("c", frame(9, 1))]);
    let mut outcomes = outcomes.unwrap();
    assert_eq!(outcomes.remove(0).unwrap_err().code, Code::Constraint);
    outcomes.remove(0).unwrap();
    store.begin().unwrap();
    store.apply_in_savepoint(&forwarded("d", frame(100, 1))).unwrap();
    store.rollback();
    let items: Vec<u64> = page(&store).items.iter().map(|item| item.rows).collect();
    assert_eq!(items, [5, 1], "numbers have no gaps");
}

#[test]
fn the_first_forwarded_frame_may_be_rolled_back_with_its_tables() {
    let mut store = store();
    store.begin().unwrap();
    store.apply_in_savepoint(&forwarded("a", frame(0, 1))).unwrap();
    store.rollback();
    assert_eq!(state(&store), OutboxState::default());
    append(&mut store, &forwarded("a", frame(0, 1)));
    assert_eq!(state(&store).last, 1);
}

#[test]
fn columns_have_the_tables_names_and_those_that_are_dropped_are_not_there() {
    let mut store = store();
    store.exec("CREATE TABLE t(Number INTEGER, word TEXT)", &Params::None).unwrap();
    let columns = |names: [&'static str; 3]| {
        let arrays: [ArrayRef; 3] = [
            Arc::new(Int64Array::from(vec![1, 2])),
            Arc::new(StringArray::from(vec!["x", "y"])),
            Arc::new(Int64Array::from(vec![7, 8])),
        ];
        let batch = RecordBatch::try_from_iter(names.into_iter().zip(arrays)).unwrap();
        Frame::new(batch.schema(), vec![batch])
    };
    let options = AppendOptions {
        matching: Match::Position,
        extra_columns: ExtraColumns::Drop,
        ..AppendOptions::default()
    };
    append(&mut store, &AppendRequest { options, ..forwarded("a", columns(["a", "b", "c"])) });
    let sent = rows(&page(&store).items[0].content);
    let names: Vec<&str> = sent.schema.fields().iter().map(|field| &**field.name()).collect();
    assert_eq!((names, sent.rows), (vec!["Number", "word"], 2));
}

#[test]
fn a_large_frame_is_cut_into_pieces_that_are_small_enough() {
    let mut store = store();
    let long = "x".repeat(50_000);
    let words: Vec<String> = (0..400).map(|i| format!("{i} {long}")).collect();
    let column: ArrayRef = Arc::new(StringArray::from(words));
    let batch = RecordBatch::try_from_iter([("word", column)]).unwrap();
    let large = Frame::new(batch.schema(), vec![batch.slice(0, 150), batch.slice(150, 250)]);
    append(&mut store, &forwarded("a", large));
    let items = page(&store).items;
    assert!(items.len() >= 5, "{} items", items.len());
    let mut row = 0;
    for item in &items {
        assert!(item.bytes() <= ITEM_BYTES, "{} bytes", item.bytes());
        let piece = rows(&item.content);
        assert_eq!(piece.rows, item.rows);
        let words = piece.batches[0].column(0);
        let words: &StringArray = words.as_any().downcast_ref().unwrap();
        for word in words {
            assert!(word.unwrap().starts_with(&format!("{row} ")));
            row += 1;
        }
    }
    assert_eq!(row, 400);
}

#[test]
fn acknowledged_items_go_when_they_are_let_go_of_but_for_the_last() {
    let mut store = store();
    for number in 1..=5 {
        append(&mut store, &forwarded(&number.to_string(), frame(number, 1)));
    }
    let stream = state(&store).stream.unwrap();
    let record =
        |number, keep_from| Record::Acknowledged { stream: stream.clone(), number, keep_from };
    store.record_in_outbox(&[record(3, 0)]).unwrap();
    let found = state(&store);
    assert_eq!((found.acknowledged, found.first, found.last), (3, 1, 5));
    let kept = page(&store).kept;
    assert_eq!(kept.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2, 3]);
    store.record_in_outbox(&[record(4, 100)]).unwrap();
    let found = state(&store);
    assert_eq!((found.acknowledged, found.first, found.last), (4, 4, 5));
    // A rewind.
    store.record_in_outbox(&[record(3, 0)]).unwrap();
    assert_eq!(state(&store).acknowledged, 3);
    let foreign = Record::Acknowledged { stream: "another".into(), number: 5, keep_from: 5 };
    store.record_in_outbox(&[foreign]).unwrap();
    assert_eq!((state(&store).acknowledged, state(&store).first), (3, 4), "not of this stream");
}

#[test]
fn a_dead_letter_leaves_a_skip_and_may_be_sent_again_or_discarded() {
    let mut store = store();
    for number in 1..=2 {
        append(&mut store, &forwarded(&number.to_string(), frame(number, 4)));
    }
    let stream = state(&store).stream.unwrap();
    let digest = page(&store).items[0].digest();
    let record =
        Record::DeadLetter { stream: stream.clone(), number: 1, digest, refused: refused() };
    for _ in 0..2 {
        store.record_in_outbox(std::slice::from_ref(&record)).unwrap();
    }
    let letters = store.dead_letters().unwrap();
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!((letter.id, letter.seq, letter.rows, &*letter.table), (1, 1, 4, "t"));
    assert_eq!((&letter.stream, &letter.refused), (&stream, &refused()));
    let code = "CONSTRAINT".to_owned();
    assert_eq!(page(&store).items[0].content, Content::Skip { digest, code });
    assert_eq!(page(&store).items[0].digest(), digest);
    store.retry_dead_letter(1).unwrap();
    let last = page(&store).items.pop().unwrap();
    assert_eq!((last.number, rows(&last.content)), (3, frame(1, 4)));
    assert_ne!(last.digest(), digest, "a copy of this database may retry it, too");
    assert!(last.joins(&page(&store).items[1]));
    assert_eq!(store.retry_dead_letter(1).unwrap_err().code, Code::InvalidArgument);
    let digest = Digest([0; 32]);
    let again = Record::DeadLetter { stream, number: 3, digest, refused: refused() };
    store.record_in_outbox(&[again]).unwrap();
    store.discard_dead_letter(3).unwrap();
    assert_eq!((store.dead_letters().unwrap(), state(&store).last), (vec![], 3));
    assert_eq!(store.discard_dead_letter(3).unwrap_err().code, Code::InvalidArgument);
}

#[test]
fn a_dead_letter_whose_rows_are_over_there_is_a_frame_again() {
    let mut store = store();
    for number in 1..=3 {
        append(&mut store, &forwarded(&number.to_string(), frame(number, 4)));
    }
    let (stream, items) = (state(&store).stream.unwrap(), page(&store).items);
    for number in 1..=3 {
        let (stream, digest) = (stream.clone(), items[number as usize - 1].digest());
        let record = Record::DeadLetter { stream, number, digest, refused: refused() };
        store.record_in_outbox(&[record]).unwrap();
    }
    let arrived = |stream| Record::Arrived { stream, after: 1, number: 2 };
    store.record_in_outbox(&[arrived("another".into())]).unwrap();
    assert_eq!(state(&store).dead_letters, 3, "not of this stream");
    store.record_in_outbox(&[arrived(stream.clone()), arrived(stream)]).unwrap();
    let letters = store.dead_letters().unwrap();
    assert_eq!(letters.iter().map(|letter| letter.id).collect::<Vec<_>>(), [1, 3]);
    let now = page(&store).items;
    assert_eq!(now[1], items[1]);
    assert!(matches!(
        (&now[0].content, &now[2].content),
        (Content::Skip { .. }, Content::Skip { .. })
    ));
}

#[test]
fn a_fork_renumbers_what_is_not_acknowledged_by_moving_the_base() {
    let mut store = store();
    for number in 1..=4 {
        append(&mut store, &forwarded(&number.to_string(), frame(number, 1)));
    }
    let stream = state(&store).stream.unwrap();
    let forked = Record::Forked { stream: stream.clone(), base: 2 };
    store.record_in_outbox(std::slice::from_ref(&forked)).unwrap();
    let found = state(&store);
    assert_eq!((found.base, found.acknowledged, found.last), (2, 2, 4));
    assert_ne!(found.stream, Some(stream));
    store.record_in_outbox(&[forked]).unwrap();
    assert_eq!(state(&store), found, "the old stream is nobody's any more");
}

#[test]
fn a_pause_is_kept_and_a_rewound_server_is_restarted_from_what_is_kept() {
    let mut store = store();
    store.pause_outbox().unwrap();
    assert_eq!(state(&store).paused, Some(PauseReason::Asked));
    assert_eq!(store.restart_outbox().unwrap_err().code, Code::InvalidArgument);
    store.resume_outbox().unwrap();
    assert_eq!(state(&store).paused, None);
    for number in 1..=4 {
        append(&mut store, &forwarded(&number.to_string(), frame(number, 1)));
    }
    let stream = state(&store).stream.unwrap();
    let acknowledged = Record::Acknowledged { stream: stream.clone(), number: 4, keep_from: 3 };
    let reason = PauseReason::RemoteRewound { remote: 1 };
    let paused = Record::Paused { stream: stream.clone(), reason };
    store.record_in_outbox(&[acknowledged, paused]).unwrap();
    store.pause_outbox().unwrap();
    assert_eq!(state(&store).paused, Some(reason), "the better reason stays");
    store.restart_outbox().unwrap();
    let found = state(&store);
    assert_eq!((found.base, found.acknowledged, found.paused), (2, 2, None));
    assert_ne!(found.stream, Some(stream));
}
