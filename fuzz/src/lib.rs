//! The targets: each takes bytes, and a panic is a find. What is read is used up: all that an
//! append and a read would do, which must agree with itself.
//!
//! `cargo fuzz` runs them through `fuzz_targets/`; `tests/frame/mutations.rs` runs the same
//! functions on seeded mutations, without a fuzzer, in every `cargo test`.

use arrow::array::Array;
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field};
use framelock::error::Code;
use framelock::frame::Frame;
use framelock::frame::cell::Cell;
use framelock::frame::column::Column;
use framelock::frame::options::{AppendOptions, Lossy};
use framelock::frame::packed::Packed;
use framelock::frame::plan::{Plan, TableState};
use framelock::frame::raw::from_raw;
use framelock::frame::read::{BatchReader, ReadColumn};
use framelock::frame::storage::Storage;
use framelock::frame::types::{self, ColumnType};
use framelock::frame::values::check_values;

/// Frames of more rows are not used up: time would go into rows, not into cases.
const MAX_ROWS: u64 = 2_000;

/// Arrow IPC bytes.
pub fn decode(bytes: &[u8]) {
    match Frame::decode(Buffer::from_slice_ref(bytes)) {
        Ok(frame) => use_up(&frame),
        Err(error) => {
            let codes = [Code::InvalidFrame, Code::UnsupportedType, Code::InvalidArgument];
            assert!(codes.contains(&error.code), "{error}");
        }
    }
}

/// A table object's own buffers: a descriptor and what it points into.
pub fn tables(bytes: &[u8]) {
    let Some((descriptor, buffers)) = parts(bytes) else {
        return;
    };
    match from_raw(descriptor, buffers) {
        Ok(frame) => use_up(&frame),
        Err(error) => {
            let codes = [Code::InvalidFrame, Code::UnsupportedType];
            assert!(codes.contains(&error.code), "{error}");
        }
    }
}

/// Plain values: a byte for the type, a descriptor and what it points into.
pub fn rows(bytes: &[u8]) {
    let Some((choice, bytes)) = bytes.split_first() else {
        return;
    };
    let Some((descriptor, buffers)) = parts(bytes) else {
        return;
    };
    let packed = match Packed::parse(descriptor, buffers) {
        Ok(packed) if packed.rows() <= MAX_ROWS => packed,
        Ok(_) => return,
        Err(error) => return assert_eq!(error.code, Code::InvalidFrame, "{error}"),
    };
    let again = Packed::decode(packed.encode().into()).expect("our own bytes");
    assert_eq!(again.encode(), packed.encode());
    for wanted in [None, Some(data_type(*choice))] {
        let types = |_: usize, _: &str| wanted.clone();
        let strict = packed.into_frame(&types, Lossy::Error);
        let lenient = packed.into_frame(&types, Lossy::Allow);
        if let Err(error) = &strict {
            let codes = [Code::InvalidArgument, Code::LossyValue, Code::UnsupportedType];
            assert!(codes.contains(&error.code), "{error}");
        }
        match lenient {
            // What is changed is what would have been refused.
            Ok((frame, coerced)) => {
                assert_eq!(strict.is_ok(), coerced.is_empty());
                use_up(&frame);
            }
            Err(_) => assert!(strict.is_err()),
        }
    }
}

/// Text that somebody wrote by SQL into a column that has a type: a byte for the type, the text.
pub fn texts(bytes: &[u8]) {
    let Some((choice, bytes)) = bytes.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let field = Field::new("c", data_type(*choice), true);
    let column = ReadColumn { name: "c".into(), field: Some(field) };
    let mut reader = BatchReader::new(vec![column]).expect("a type that is read back");
    if reader.push(0, Cell::Text(text.into())).is_ok() {
        let batch = reader.take().expect("a batch");
        // What was read can be written and read again.
        use_up(&Frame::new(batch.schema(), vec![batch]));
    }
}

/// Plans, checks, stores, reads back and encodes a frame.
fn use_up(frame: &Frame) {
    if frame.rows > MAX_ROWS {
        return;
    }
    let options = AppendOptions { lossy: Lossy::Allow, ..AppendOptions::default() };
    let plan = match Plan::new("t", frame, &TableState::default(), &options) {
        Ok(plan) => plan,
        Err(error) => {
            let codes = [
                Code::SchemaMismatch,
                Code::InvalidFrame,
                Code::InvalidArgument,
                Code::UnsupportedType,
            ];
            assert!(codes.contains(&error.code), "{error}");
            return;
        }
    };
    let coerced = check_values(frame, &plan, Lossy::Allow).expect("allowed");
    let strict = check_values(frame, &plan, Lossy::Error);
    assert_eq!(strict.is_ok(), coerced.is_empty());
    for batch in &frame.batches {
        for (index, array) in batch.columns().iter().enumerate() {
            let field = plan.catalogue[index].1.clone();
            let planned = &plan.columns[index];
            let column = Column::new(array, &planned.storage).expect("a plan");
            let read = ReadColumn { name: "c".into(), field: Some(field) };
            let mut reader = BatchReader::new(vec![read]).expect("a planned type");
            for row in 0..column.rows() {
                reader.push(0, column.cell(row)).expect("what was written is read");
            }
            let read = reader.take().expect("a batch");
            let back = Storage::new(read.column(0).data_type(), false).expect("a type");
            let back = Column::new(read.column(0), &back).expect("a column");
            assert_eq!(read.num_rows(), array.len());
            for row in 0..column.rows() {
                assert_eq!(back.cell(row), column.cell(row), "column {index}, row {row}");
            }
        }
    }
    if let Ok(bytes) = frame.encode() {
        let again = Frame::decode(Buffer::from_vec(bytes)).expect("our own bytes");
        assert_eq!(again.rows, frame.rows);
    }
}

/// A type by a byte.
fn data_type(choice: u8) -> DataType {
    let names = [
        "null",
        "bool",
        "int8",
        "int64",
        "uint16",
        "uint64",
        "float16",
        "float32",
        "float64",
        "utf8",
        "utf8_view",
        "binary",
        "binary_view",
        "fixed_size_binary(2)",
        "decimal32(5, 2)",
        "decimal64(18, -2)",
        "decimal128(38, 9)",
        "decimal256(76, 76)",
        "date32",
        "date64",
        "time32[s]",
        "time64[ns]",
        "timestamp[s]",
        "timestamp[ns, UTC]",
        "duration[us]",
        "interval[year_month]",
        "interval[day_time]",
        "interval[month_day_nano]",
        "dictionary<int8, utf8>",
        "list<decimal128(38, 2)>",
        "large_list_view<float32>",
        "fixed_size_list<timestamp[ns, UTC], 2>",
        "struct<a: map<utf8, float16>, é: binary, d: dictionary<int8, utf8>>",
        "map<int64, list<bool>>",
    ];
    match types::parse(names[usize::from(choice) % names.len()]) {
        Ok(ColumnType::Arrow(data_type)) => data_type,
        other => panic!("{other:?}"),
    }
}

/// A descriptor and buffers, from bytes: each part preceded by its length as u32 LE, the last one
/// as long as what is left.
fn parts(mut bytes: &[u8]) -> Option<(&str, Vec<Buffer>)> {
    let mut parts = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let (part, rest) = rest.split_at(rest.len().min(u32::from_le_bytes(*length) as usize));
        parts.push(part);
        bytes = rest;
    }
    let (descriptor, buffers) = parts.split_first()?;
    let buffers = buffers.iter().map(Buffer::from_slice_ref).collect();
    Some((std::str::from_utf8(descriptor).ok()?, buffers))
}
