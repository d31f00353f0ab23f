//! Malformed Arrow IPC: cut anywhere, bits flipped anywhere, hand-made lies. Every one is read or
//! refused with a code; none panics. `FRAMELOCK_FUZZ=<n>` sets the number of flips per sample.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::Buffer;
use arrow::datatypes::*;
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{DictionaryHandling, FileWriter, IpcWriteOptions, StreamWriter};
use framelock::error::Code;
use framelock::frame::Frame;
use framelock::frame::cell::Cell;
use framelock::frame::column::Column;
use framelock::frame::options::Lossy;
use framelock::frame::plan::{Plan, TableState};
use framelock::frame::read::{BatchReader, ReadColumn};
use framelock::frame::storage::Storage;
use framelock::frame::types::{self, ColumnType};
use framelock::frame::values::check_values;

use super::harness::options;
use super::samples;

/// A small generator of numbers; the seed is the sample's.
struct Rng(u64);

impl Rng {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below.max(1) as u64) as usize
    }
}

/// Decodes, and where that succeeds does with the frame all that an append would.
fn use_up(bytes: &[u8]) {
    let frame = match Frame::decode(Buffer::from_slice_ref(bytes)) {
        Ok(frame) => frame,
        Err(error) => {
            let codes = [Code::InvalidFrame, Code::UnsupportedType, Code::InvalidArgument];
            assert!(codes.contains(&error.code), "{error}");
            return;
        }
    };
    let plan = Plan::new("t", &frame, &TableState::default(), &options("{}"));
    if let Ok(plan) = plan {
        let _ = check_values(&frame, &plan, Lossy::Allow);
    }
    for batch in &frame.batches {
        for array in batch.columns() {
            let storage = Storage::new(array.data_type(), false).expect("decode has looked");
            let column = Column::new(array, &storage).expect("decode has looked");
            for row in (0..column.rows().min(8)).chain(column.rows().checked_sub(1)) {
                std::hint::black_box(column.cell(row));
            }
        }
    }
    if frame.rows < 10_000 {
        let _ = frame.encode();
        let _ = super::copy::written(bytes.to_vec(), 64 << 10);
    }
}

fn survives(what: &str, bytes: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| use_up(bytes))).is_err() {
        let path = std::env::temp_dir().join("framelock-hostile.arrow");
        std::fs::write(&path, bytes).expect("a note of the bytes");
        panic!("{what} panics; its bytes are in {}", path.display());
    }
}

#[test]
fn samples_decode_whole() {
    for (name, bytes) in samples::all() {
        let frame = Frame::decode(Buffer::from(bytes.clone())).expect(name);
        assert!(frame.rows > 0, "{name}");
        let again = Frame::decode(Buffer::from(frame.encode().expect(name))).expect(name);
        assert_eq!(again.rows, frame.rows, "{name}");
        use_up(&bytes);
    }
}

#[test]
fn no_cut_panics() {
    for (name, bytes) in samples::all() {
        for end in 0..bytes.len() {
            survives(&format!("{name} cut at {end}"), &bytes[..end]);
        }
    }
}

#[test]
fn no_flip_panics() {
    let flips = std::env::var("FRAMELOCK_FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000);
    for (seed, (name, bytes)) in samples::all().into_iter().enumerate() {
        let mut rng = Rng(0x9e37_79b9_7f4a_7c15 ^ (seed as u64 + 1));
        let mut hostile = bytes.clone();
        for flip in 0..flips {
            hostile.copy_from_slice(&bytes);
            for _ in 0..=rng.next(3) {
                let at = rng.next(bytes.len());
                hostile[at] = match rng.next(6) {
                    0 => 0,
                    1 => 0xff,
                    2 => 0x7f,
                    3 => rng.next(256) as u8,
                    _ => hostile[at] ^ (1 << rng.next(8)),
                };
            }
            survives(&format!("{name} flip {flip}"), &hostile);
        }
    }
}

/// The places where a lie does most: the eight-byte numbers of lengths, offsets and counts.
#[test]
fn no_lie_about_a_number_panics() {
    let mut lies = vec![255, 1 << 31, i64::MAX, -1];
    if std::env::var("FRAMELOCK_FUZZ").is_ok() {
        lies.extend([0, 1, 7, 1 << 16, 1 << 32, (1 << 40) + 1, i64::MIN, -8]);
    }
    for (name, bytes) in samples::all() {
        let mut hostile = bytes.clone();
        for at in (0..bytes.len().saturating_sub(8)).step_by(8) {
            for lie in &lies {
                hostile[at..at + 8].copy_from_slice(&lie.to_le_bytes());
                survives(&format!("{name} lie {lie} at {at}"), &hostile);
            }
            hostile[at..at + 8].copy_from_slice(&bytes[at..at + 8]);
        }
    }
}

#[test]
fn a_bomb_is_refused_before_it_goes_off() {
    let zeros: ArrayRef = Arc::new(Int64Array::from(vec![0; 1 << 20]));
    for compression in [CompressionType::ZSTD, CompressionType::LZ4_FRAME] {
        let batch = RecordBatch::try_from_iter([("c", Arc::clone(&zeros))]).unwrap();
        let options = IpcWriteOptions::default().try_with_compression(Some(compression)).unwrap();
        let mut writer =
            StreamWriter::try_new_with_options(Vec::new(), &batch.schema(), options).unwrap();
        // The honest ones add up to more than a frame of this size may ask for.
        for _ in 0..64 {
            writer.write(&batch).unwrap();
        }
        let bytes = writer.into_inner().unwrap();
        let error = Frame::decode(Buffer::from(bytes.clone())).unwrap_err();
        assert_eq!(error.code, Code::InvalidFrame);
        assert!(error.message.contains("memory"), "{error}");
        // A single lie about the size.
        let size = (8_i64 << 20).to_le_bytes();
        let at = bytes.windows(8).position(|window| window == size).unwrap();
        for lie in [1_i64 << 31, 1 << 40, i64::MAX] {
            let mut hostile = bytes.clone();
            hostile[at..at + 8].copy_from_slice(&lie.to_le_bytes());
            let error = Frame::decode(Buffer::from(hostile)).unwrap_err();
            assert_eq!(error.code, Code::InvalidFrame);
        }
    }
}

#[test]
fn rows_without_bytes_are_bounded() {
    let nulls: ArrayRef = Arc::new(NullArray::new(1 << 24));
    let batch = RecordBatch::try_from_iter([("c", nulls)]).unwrap();
    let one = Frame::new(batch.schema(), vec![batch.clone()]);
    assert!(Frame::decode(Buffer::from(one.encode().unwrap())).is_ok());
    let two = Frame::new(batch.schema(), vec![batch.clone(), batch]);
    let error = Frame::decode(Buffer::from(two.encode().unwrap())).unwrap_err();
    assert_eq!(error.code, Code::InvalidFrame);
}

#[test]
fn growing_a_dictionary_without_end_is_refused() {
    let long = "x".repeat(1 << 20);
    let texts: Vec<String> = (0..64).map(|i| format!("{i}{long}")).collect();
    let batches = (1..texts.len()).map(|end| {
        let values: ArrayRef = Arc::new(StringArray::from(texts[..end].to_vec()));
        let keys = Int32Array::from(vec![end as i32 - 1]);
        RecordBatch::try_from_iter([(
            "c",
            Arc::new(DictionaryArray::new(keys, values)) as ArrayRef,
        )])
    });
    let batches: Vec<_> = batches.map(Result::unwrap).collect();
    let options = IpcWriteOptions::default().with_dictionary_handling(DictionaryHandling::Delta);
    let schema = batches[0].schema();
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &schema, options).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    let bytes = writer.into_inner().unwrap();
    let error = Frame::decode(Buffer::from(bytes)).unwrap_err();
    assert!(error.message.contains("memory"), "{error}");
}

/// Text that somebody wrote into a column of a type by SQL.
#[test]
fn no_text_in_a_typed_column_panics() {
    let texts = [
        r#"[1,null,"9007199254740993"]"#,
        r#"{"a":[["k\u0000\ud83d\ude00é",1.5e300]],"é":"AAE=","d":"x"}"#,
        r#"[[["k",{"a":null}]],[]]"#,
        "+12024-02-29T23:59:59.999999999+05:30",
        "-25:00:00.000",
        "P-1M2DT-0.000000003S",
        "-123456789012345678901234567890.50",
    ];
    let types = [
        "list<int64>",
        "struct<a: map<utf8, float16>, é: binary, d: dictionary<int8, utf8>>",
        "map<utf8, struct<a: date32>>",
        "fixed_size_list<decimal256(76, 2), 3>",
        "large_list_view<dictionary<uint8, list<bool>>>",
        "timestamp[ns, UTC]",
        "time64[us]",
        "date64",
        "interval[month_day_nano]",
        "interval[day_time]",
        "interval[year_month]",
        "decimal128(38, 2)",
        "decimal32(5, -2)",
    ];
    let mut rng = Rng(7);
    for name in types {
        let Ok(ColumnType::Arrow(data_type)) = types::parse(name) else {
            panic!("{name} is a type");
        };
        let field = Field::new("c", data_type, true);
        for text in texts {
            for _ in 0..400 {
                let mut chars: Vec<char> = text.chars().collect();
                for _ in 0..rng.next(4) {
                    let at = rng.next(chars.len());
                    let new =
                        ['"', '\\', '[', ']', '{', '}', ',', ':', '9', '-', '.', 'é', 'u', 'T'];
                    match rng.next(3) {
                        0 => chars.truncate(at),
                        1 => chars.insert(at, new[rng.next(new.len())]),
                        _ if at < chars.len() => chars[at] = new[rng.next(new.len())],
                        _ => {}
                    }
                }
                let text: String = chars.into_iter().collect();
                let outcome = catch_unwind(AssertUnwindSafe(|| {
                    let column = ReadColumn { name: "c".into(), field: Some(field.clone()) };
                    let mut reader = BatchReader::new(vec![column]).expect("a reader");
                    if reader.push(0, Cell::Text(text.as_str().into())).is_ok() {
                        let _ = reader.take();
                    }
                }));
                assert!(outcome.is_ok(), "{text:?} as {name} panics");
            }
        }
    }
}

#[test]
fn nonsense_is_refused_with_a_code() {
    for bytes in [&b""[..], b"ARROW1", b"ARROW1\0\0", b"SQLite format 3\0", &[0; 64], &[0xff; 64]] {
        let error = Frame::decode(Buffer::from_slice_ref(bytes)).unwrap_err();
        assert_eq!(error.code, Code::InvalidFrame, "{bytes:?}");
    }
}

#[test]
fn unions_and_twins_are_refused_by_name() {
    let ids = arrow::buffer::ScalarBuffer::from(vec![0_i8]);
    let children: Vec<ArrayRef> = vec![Arc::new(Int8Array::from(vec![1]))];
    let fields = UnionFields::from_fields([Field::new("a", DataType::Int8, true)]);
    let union: ArrayRef = Arc::new(UnionArray::try_new(fields, ids, None, children).unwrap());
    let batch = RecordBatch::try_from_iter([("u", union)]).unwrap();
    let mut writer = FileWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    let error = Frame::decode(Buffer::from(writer.into_inner().unwrap())).unwrap_err();
    assert_eq!((error.code, error.column.as_deref()), (Code::UnsupportedType, Some("u")));

    let ints: ArrayRef = Arc::new(Int8Array::from(vec![1]));
    let batch = RecordBatch::try_from_iter([("a", Arc::clone(&ints)), ("A", ints)]).unwrap();
    let bytes = Frame::new(batch.schema(), vec![batch]).encode().unwrap();
    let error = Frame::decode(Buffer::from(bytes)).unwrap_err();
    assert_eq!(error.code, Code::InvalidFrame);
}

#[test]
fn a_type_that_is_refused_inside_another_is_named_by_its_column() {
    let inner = |data_type: DataType| Arc::new(Field::new("inner", data_type, true));
    let fields = UnionFields::from_fields([Field::new("a", DataType::Int8, true)]);
    let union = DataType::Union(fields, UnionMode::Sparse);
    let deep = (0..40).fold(DataType::Int8, |item, _| DataType::List(inner(item)));
    let decimal = DataType::Decimal128(99, 0);
    for (data_type, code) in [
        (DataType::List(inner(union.clone())), Code::UnsupportedType),
        (DataType::Struct(vec![inner(DataType::List(inner(union)))].into()), Code::UnsupportedType),
        (deep, Code::InvalidFrame),
        (DataType::List(inner(decimal)), Code::InvalidFrame),
    ] {
        let fields =
            vec![Field::new("n", DataType::Int8, true), Field::new("outer", data_type, true)];
        let stream = StreamWriter::try_new(Vec::new(), &Schema::new(fields)).unwrap();
        let error = Frame::decode(stream.into_inner().unwrap().into()).unwrap_err();
        assert_eq!((error.code, error.column.as_deref()), (code, Some("outer")), "{error}");
    }
}
