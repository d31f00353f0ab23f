use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

/// A frame that `tests/frame/adapters-fixtures.mjs` wrote, which also tells the layout.
pub struct Fixture {
    pub name: String,
    pub ipc: Vec<u8>,
    pub descriptor: String,
    pub buffers: Vec<Buffer>,
}

/// Takes a file of fixtures apart.
pub fn fixtures_in(mut rest: &[u8]) -> Vec<Fixture> {
    fn number(rest: &mut &[u8]) -> usize {
        let (number, tail) = rest.split_first_chunk::<4>().unwrap();
        *rest = tail;
        u32::from_le_bytes(*number) as usize
    }
    fn part(rest: &mut &[u8]) -> Vec<u8> {
        let length = number(rest);
        let (part, tail) = rest.split_at(length);
        *rest = tail;
        part.to_vec()
    }
    let mut fixtures = Vec::new();
    while !rest.is_empty() {
        fixtures.push(Fixture {
            name: String::from_utf8(part(&mut rest)).unwrap(),
            ipc: part(&mut rest),
            descriptor: String::from_utf8(part(&mut rest)).unwrap(),
            buffers: (0..number(&mut rest)).map(|_| part(&mut rest).into()).collect(),
        });
    }
    fixtures
}

fn fixtures() -> Vec<Fixture> {
    fixtures_in(include_bytes!("../../../tests/frame/fixtures/raw.bin"))
}

fn read(descriptor: &Value, buffer: &[u8]) -> Result<Frame> {
    from_raw(&descriptor.to_string(), vec![Buffer::from(buffer)])
}

/// Batches that have rows; libraries write empty ones differently.
fn filled(frame: &Frame) -> impl Iterator<Item = &RecordBatch> {
    frame.batches.iter().filter(|batch| batch.num_rows() > 0)
}

#[test]
fn a_table_object_and_its_ipc_bytes_are_the_same_frame() {
    let fixtures = fixtures();
    assert_eq!(fixtures.len(), 20);
    for Fixture { name, ipc, descriptor, buffers } in fixtures {
        let raw = from_raw(&descriptor, buffers).unwrap_or_else(|e| panic!("{name}: {e}"));
        let ipc = Frame::decode(ipc.into()).unwrap_or_else(|e| panic!("{name}: IPC: {e}"));
        assert_eq!(raw.schema, ipc.schema, "{name}");
        assert_eq!(raw.rows, ipc.rows, "{name}");
        assert_eq!(filled(&raw).count(), filled(&ipc).count(), "{name}");
        for (raw, ipc) in filled(&raw).zip(filled(&ipc)) {
            for ((raw, ipc), field) in
                raw.columns().iter().zip(ipc.columns()).zip(raw.schema().fields())
            {
                assert_eq!(raw, ipc, "{name}, column {:?}", field.name());
            }
        }
    }
}

fn one_column(data_type: Value, node: Value) -> Value {
    let fields = json!([{ "name": "c", "nullable": true, "type": data_type }]);
    json!({ "fields": fields, "batches": [node["n"]], "columns": [[node]] })
}

fn int64() -> Value {
    json!({ "kind": "int", "bits": 64, "signed": true })
}

#[test]
fn chunks_that_do_not_line_up_are_cut_at_every_boundary() {
    let ints: Vec<u8> = (0..5).collect();
    let int8 = json!({ "kind": "int", "bits": 8, "signed": true });
    let field = |name| json!({ "name": name, "nullable": false, "type": int8 });
    let node = |from: u8, n: u8| json!({ "n": n, "b": [[0, from, n]] });
    let table =
        |a: Value, b: Value| json!({ "fields": [field("a"), field("b")], "columns": [a, b] });
    let frame = read(
        &table(
            json!([node(0, 2), node(2, 0), node(2, 3)]),
            json!([node(0, 0), node(0, 4), node(4, 1)]),
        ),
        &ints,
    )
    .unwrap();
    let rows: Vec<_> = frame.batches.iter().map(RecordBatch::num_rows).collect();
    assert_eq!(rows, [2, 2, 1]);
    assert_eq!(frame.rows, 5);
    for batch in &frame.batches {
        assert_eq!(batch.column(0), batch.column(1));
    }
    let unequal = read(&table(json!([node(0, 2)]), json!([node(0, 3)])), &ints);
    let error = unequal.unwrap_err();
    assert_eq!((error.code, error.column.as_deref()), (Code::InvalidFrame, Some("b")));
}

#[test]
fn a_column_without_chunks_beside_one_whose_chunk_is_empty_is_a_frame_without_rows() {
    let field = |name| json!({ "name": name, "nullable": true, "type": int64() });
    let columns = json!([[], [{ "n": 0 }]]);
    let table = json!({ "fields": [field("a"), field("b")], "columns": columns });
    assert_eq!(read(&table, &[]).unwrap().rows, 0);
}

#[test]
fn rows_without_bytes_are_read_when_they_are_null_and_refused_otherwise() {
    // Three rows, one value, one validity byte.
    let buffer = [7, 0, 0, 0, 0, 0, 0, 0, 0b001];
    let node = |valid: Value| json!({ "n": 3, "b": [[0, 0, 8]], "v": valid });
    let frame = read(&one_column(int64(), node(json!([0, 8, 1]))), &buffer).unwrap();
    let expected: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![Some(7), None, None]));
    assert_eq!(frame.batches[0].column(0), &expected);
    for valid in [Value::Null, json!([0, 0, 1])] {
        let error = read(&one_column(int64(), node(valid)), &buffer).unwrap_err();
        assert_eq!((error.code, error.column.as_deref()), (Code::InvalidFrame, Some("c")));
    }
}

#[test]
fn offsets_may_start_anywhere_and_end_early_before_nulls() {
    let mut buffer: Vec<u8> = [100i32, 102].iter().flat_map(|i| i.to_le_bytes()).collect();
    buffer.extend(*b"ab\x01");
    let node = json!({ "n": 3, "v": [0, 10, 1], "b": [[0, 0, 8], [0, 8, 2]] });
    let frame = read(&one_column(json!({ "kind": "utf8" }), node), &buffer).unwrap();
    let expected: ArrayRef =
        Arc::new(arrow::array::StringArray::from(vec![Some("ab"), None, None]));
    assert_eq!(frame.batches[0].column(0), &expected);
}

#[test]
fn what_is_not_sound_is_refused_naming_the_column() {
    let text = json!({ "kind": "utf8" });
    let dictionary = json!({ "kind": "dictionary", "keys": { "kind": "int", "bits": 8, "signed": true }, "values": text });
    for (what, data_type, node) in [
        ("a region outside", int64(), json!({ "n": 1, "b": [[0, 1u64 << 40, 8]] })),
        ("a buffer that is not there", int64(), json!({ "n": 1, "b": [[7, 0, 8]] })),
        ("too many rows", json!({ "kind": "null" }), json!({ "n": 1u64 << 50 })),
        ("bad UTF-8", text.clone(), json!({ "n": 1, "b": [[0, 0, 8], [0, 8, 1]] })),
        ("no children", json!({ "kind": "list", "children": [] }), json!({ "n": 0 })),
        ("a dictionary that is not there", dictionary, json!({ "n": 1, "b": [[0, 0, 1]], "d": 3 })),
        (
            "an int of 7 bits",
            json!({ "kind": "int", "bits": 7, "signed": true }),
            json!({ "n": 0 }),
        ),
        (
            "a precision of 0",
            json!({ "kind": "decimal", "bits": 128, "precision": 0, "scale": 0 }),
            json!({ "n": 0 }),
        ),
        ("a negative size", json!({ "kind": "fixedSizeBinary", "size": -1 }), json!({ "n": 0 })),
    ] {
        let buffer = [0, 0, 0, 0, 1, 0, 0, 0, 0xff];
        let error = read(&one_column(data_type, node), &buffer).expect_err(what);
        assert_eq!(
            (error.code, error.column.as_deref()),
            (Code::InvalidFrame, Some("c")),
            "{what}: {error}"
        );
    }
    let union = one_column(json!({ "kind": "union" }), json!({ "n": 0 }));
    assert_eq!(read(&union, &[]).unwrap_err().code, Code::UnsupportedType);
    for descriptor in ["", "[]", "{}", "{\"fields\":[],\"columns\":[[]]}"] {
        assert_eq!(from_raw(descriptor, Vec::new()).unwrap_err().code, Code::InvalidFrame);
    }
}

#[test]
fn batches_without_columns_keep_their_rows() {
    let descriptor = json!({ "fields": [], "columns": [], "batches": [3, 4] });
    assert_eq!(read(&descriptor, &[]).unwrap().rows, 7);
}

/// Every number and every list of a JSON value, by the order in which a walk meets them.
fn mutate(value: &mut Value, at: &mut usize, replacement: u64) {
    match value {
        Value::Number(number) => {
            if *at == 0 {
                *number = replacement.into();
            }
            *at = at.wrapping_sub(1);
        }
        Value::Array(items) => {
            if *at == 0 {
                items.truncate(replacement as usize % (items.len() + 1));
            }
            *at = at.wrapping_sub(1);
            items.iter_mut().for_each(|item| mutate(item, at, replacement));
        }
        Value::Object(fields) => {
            fields.values_mut().for_each(|field| mutate(field, at, replacement))
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// A panic is the end of the worker: whatever arrives is a frame or an error.
    #[test]
    fn damaged_tables_never_panic(
        which in 0usize..1000,
        places in prop::collection::vec((0usize..4000, prop_oneof![0u64..70, 0u64..1 << 34, any::<u64>()]), 0..3),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let fixtures = fixtures();
        let fixture = &fixtures[which % fixtures.len()];
        let mut descriptor: Value = serde_json::from_str(&fixture.descriptor).unwrap();
        for (mut at, replacement) in places {
            at %= fixture.descriptor.len() / 12;
            mutate(&mut descriptor, &mut at, replacement);
        }
        let mut buffer = fixture.buffers[0].to_vec();
        if !buffer.is_empty() {
            for (at, byte) in flips {
                let at = at.index(buffer.len());
                buffer[at] = byte;
            }
        }
        if let Ok(frame) = read(&descriptor, &buffer) {
            // What was accepted can be walked.
            let _ = format!("{:?}", frame.batches);
        }
    }
}
