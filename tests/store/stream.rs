//! Streams: batches are given on while the query runs, all of one schema, each row once.

use crate::{file, frame, request};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use arrow::ipc::reader::StreamReader;
use framelock::error::Code;
use framelock::platform::Handles;
use framelock::store::{Attached, Mode, Os, Params, Store};
use std::cell::RefCell;
use std::rc::Rc;

/// What was given on and still counts; and how much was in hand at most.
#[derive(Default)]
struct Given {
    batches: Vec<RecordBatch>,
    voided: usize,
}

struct ListeningOs(Rc<RefCell<Given>>);

impl Os for ListeningOs {
    fn random(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }
    fn epoch_ms(&self) -> i64 {
        0
    }
    fn batch(&self, ipc: Option<&[u8]>) {
        let mut given = self.0.borrow_mut();
        match ipc {
            Some(ipc) => {
                let mut reader = StreamReader::try_new(ipc, None).unwrap();
                given.batches.push(reader.next().unwrap().unwrap());
            }
            None => {
                given.voided += given.batches.len();
                given.batches.clear();
            }
        }
    }
}

fn listening() -> (Store, Rc<RefCell<Given>>) {
    let given = Rc::new(RefCell::new(Given::default()));
    let mut store = Store::new(Box::new(ListeningOs(given.clone())));
    let handles = Handles { database: file(vec![]), journal: file(vec![]) };
    assert_eq!(store.attach(handles, Mode::Exclusive, true).unwrap(), Attached::Ready);
    (store, given)
}

/// Streams; gives the batches, which have one schema, and how many were void.
fn stream(sql: &str, rows: usize) -> (Vec<RecordBatch>, usize) {
    let (mut store, given) = listening();
    store.append_group(&[&request("a", frame(0, 1000))]).unwrap().remove(0).unwrap();
    store.query_batches(sql, &Params::None, rows).unwrap();
    let given = given.take();
    let schema = given.batches[0].schema();
    assert!(given.batches.iter().all(|batch| batch.schema() == schema), "{sql}");
    (given.batches, given.voided)
}

const NUMBERS: &str =
    "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999)";

#[test]
fn every_row_comes_once_in_batches_of_the_size_that_was_asked_for() {
    for (rows, want) in [(1, 1000), (300, 4), (1000, 1), (5000, 1), (0, 1000)] {
        let (batches, voided) = stream("SELECT id, name FROM t ORDER BY id", rows);
        assert_eq!((batches.len(), voided), (want, 0));
        assert!(batches.iter().rev().skip(1).all(|batch| batch.num_rows() == rows.max(1)));
        let ids = batches
            .iter()
            .flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec());
        assert!(ids.eq(0..1000));
    }
    let (none, _) = stream("SELECT id FROM t WHERE false", 10);
    assert_eq!((none.len(), none[0].num_rows()), (1, 0));
    assert_eq!(none[0].schema().field(0).data_type(), &DataType::Int64);
}

#[test]
fn a_type_that_turns_out_later_holds_from_the_first_batch_on() {
    let cases = [
        ("CASE WHEN i < 900 THEN i ELSE i + 0.5 END", DataType::Float64),
        ("CASE WHEN i < 900 THEN NULL ELSE 'x' END", DataType::Utf8),
        ("CASE WHEN i < 300 THEN NULL WHEN i < 600 THEN i ELSE 0.5 END", DataType::Float64),
    ];
    for (expression, data_type) in cases {
        let (batches, voided) = stream(&format!("{NUMBERS} SELECT {expression} FROM n"), 100);
        assert_eq!(batches[0].schema().field(0).data_type(), &data_type, "{expression}");
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 1000);
        assert!(voided > 0, "{expression}");
    }
    let halves = format!("{NUMBERS} SELECT CASE WHEN i < 999 THEN i ELSE 0.5 END FROM n");
    let (batches, _) = stream(&halves, 100);
    let first = batches[0].column(0).as_primitive::<Float64Type>().value(99);
    assert_eq!((first, batches.len()), (99.0, 10));
}

#[test]
fn a_null_that_an_outer_join_makes_later_is_allowed_from_the_first_batch_on() {
    let sql = format!(
        "{NUMBERS} SELECT t.id FROM n LEFT JOIN t ON t.id = n.i AND n.i < 950 ORDER BY n.i"
    );
    let (batches, voided) = stream(&sql, 100);
    assert!(batches[0].schema().field(0).is_nullable());
    assert_eq!(batches.iter().map(|batch| batch.column(0).null_count()).sum::<usize>(), 50);
    assert_eq!(voided, 10 - 1);
}

#[test]
fn an_error_names_the_row_of_the_result_and_leaves_nothing() {
    let (mut store, given) = listening();
    let sql = format!("{NUMBERS} SELECT CASE WHEN i < 750 THEN i ELSE 'x' END FROM n");
    let error = store.query_batches(&sql, &Params::None, 100).unwrap_err();
    assert_eq!((error.code, error.row), (Code::SchemaMismatch, Some(750)));
    assert!(given.borrow().batches.is_empty());
}

#[test]
fn a_statement_that_writes_runs_once() {
    let sql = "INSERT INTO t(id) SELECT id + 1000 FROM t WHERE id < 250
               RETURNING CASE WHEN id < 1200 THEN NULL ELSE id END AS id";
    let (batches, _) = stream(sql, 100);
    assert_eq!(batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [100, 100, 50]);
    assert_eq!(batches[0].schema().field(0).data_type(), &DataType::Int64);
}
