//! The same frame by every path: what is in the file afterwards is the same, byte for byte (I4).
//!
//! The real store over files in memory; a frame that is handed over or queued goes through its
//! envelope, as it does between tabs and on disk.

use arrow::datatypes::DataType;
use framelock::envelope;
use framelock::frame::Frame;
use framelock::frame::options::AppendOptions;
use framelock::platform::{Handles, MemoryFile};
use framelock::store::{AppendRequest, Attached, Content, Mode, Os, Store};
use proptest::prelude::*;
use rusqlite::{Connection, MAIN_DB};

use super::random::{column_type, random_frame};

struct NoOs;

impl Os for NoOs {
    fn random(&self, buffer: &mut [u8]) {
        buffer.fill(4);
    }
    fn epoch_ms(&self) -> i64 {
        0
    }
}

fn store() -> Store {
    let mut store = Store::new(Box::new(NoOs));
    let handles = Handles {
        database: Box::new(MemoryFile::default()),
        journal: Box::new(MemoryFile::default()),
    };
    assert_eq!(store.attach(handles, Mode::Exclusive, true).expect("a lease"), Attached::Ready);
    store
}

fn request(frame_id: &str, table: &str, frame: &Frame) -> AppendRequest {
    AppendRequest {
        frame_id: frame_id.into(),
        own_id: true,
        table: table.into(),
        options: AppendOptions::default(),
        digest: [7; 16],
        content: Content::Frame(frame.clone()),
        forward: false,
    }
}

/// What another tab, or a later one, gets.
fn through_envelope(request: &AppendRequest) -> AppendRequest {
    let bytes = envelope::encode(request).expect("an envelope");
    envelope::decode(&bytes).expect("the same frame")
}

/// Every value with its storage class, in order, and the types that are known of the table.
fn contents(mut store: Store) -> Vec<String> {
    let bytes = store.export_file().expect("a file");
    let mut file = Connection::open_in_memory().expect("SQLite");
    file.deserialize_read_exact(MAIN_DB, &bytes[..], bytes.len(), true).expect("a database");
    let sql: String = file
        .query_row("SELECT sql FROM sqlite_schema WHERE name = 't'", [], |row| row.get(0))
        .expect("the table");
    let mut lines = vec![sql];
    for select in [
        "SELECT rowid, * FROM t ORDER BY rowid",
        "SELECT * FROM _framelock_columns WHERE table_name = 't'",
    ] {
        let mut select = file.prepare(select).expect(select);
        let columns = select.column_count();
        let mut rows = select.query([]).expect("rows");
        while let Some(row) = rows.next().expect("a row") {
            let values = (0..columns).map(|at| format!("{:?}", row.get_ref(at).expect("a value")));
            lines.push(values.collect::<Vec<_>>().join("|"));
        }
    }
    lines
}

fn check(types: &[DataType], batches: &[(usize, usize)], seed: u64) {
    let frame = random_frame(types, batches, seed);
    let first = request("first", "t", &frame);
    let (second, other) = (request("second", "t", &frame), request("other", "u", &frame));

    let mut direct = store();
    for sent in [&first, &second] {
        direct.append_group(&[sent]).expect("a transaction").remove(0).expect("applied");
    }

    let mut handoff = store();
    let offered = [&other, &first, &second].map(through_envelope);
    for outcome in handoff.append_group(&offered.each_ref()).expect("a transaction") {
        outcome.expect("applied");
    }

    let mut queued = store();
    for sent in [&first, &second] {
        let file = through_envelope(&through_envelope(sent));
        queued.append_group(&[&file]).expect("a transaction").remove(0).expect("applied");
    }

    let mut joined = store();
    joined.begin().expect("a transaction");
    for sent in [&first, &other, &second] {
        joined.apply_in_savepoint(sent).expect("applied");
    }
    joined.commit().expect("a commit");

    let wanted = contents(direct);
    assert_eq!(contents(handoff), wanted, "handoff");
    assert_eq!(contents(queued), wanted, "queued");
    assert_eq!(contents(joined), wanted, "joined");
}

proptest! {
    #![proptest_config(ProptestConfig {
        // Eight appends each, and three more of another table.
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(1_250),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_frame_is_stored_alike_by_every_path(
        types in proptest::collection::vec(column_type(), 1..4),
        batches in proptest::collection::vec((0..3_usize, 0..5_usize), 1..3),
        seed in any::<u64>(),
    ) {
        check(&types, &batches, seed);
    }
}
