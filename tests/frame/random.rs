//! Random frames of random types: out as IPC, in again, into SQLite, and back, the same.
//!
//! proptest picks the types and a seed and shrinks both; `PROPTEST_CASES` sets the number.

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::concat_batches;
use arrow::datatypes::*;
use framelock::frame::Frame;
use framelock::frame::cell::Cell;
use framelock::frame::column::Column;
use framelock::frame::storage::Storage;
use proptest::prelude::*;

use super::harness::*;

fn flat_type() -> impl Strategy<Value = DataType> {
    use DataType::*;
    let unit = prop_oneof![
        Just(TimeUnit::Second),
        Just(TimeUnit::Millisecond),
        Just(TimeUnit::Microsecond),
        Just(TimeUnit::Nanosecond)
    ];
    let zone = prop_oneof![Just(None), Just(Some("UTC")), Just(Some("+05:30"))];
    let simple = [
        Null,
        Boolean,
        Int8,
        Int16,
        Int32,
        Int64,
        UInt8,
        UInt16,
        UInt32,
        UInt64,
        Float16,
        Float32,
        Float64,
        Utf8,
        LargeUtf8,
        Utf8View,
        Binary,
        LargeBinary,
        BinaryView,
        Date32,
        Date64,
        Time32(TimeUnit::Second),
        Time32(TimeUnit::Millisecond),
        Time64(TimeUnit::Microsecond),
        Time64(TimeUnit::Nanosecond),
        Interval(IntervalUnit::YearMonth),
        Interval(IntervalUnit::DayTime),
        Interval(IntervalUnit::MonthDayNano),
    ];
    prop_oneof![
        8 => proptest::sample::select(simple.to_vec()),
        1 => (unit.clone(), zone).prop_map(|(unit, zone)| Timestamp(unit, zone.map(Arc::from))),
        1 => unit.prop_map(Duration),
        1 => (1..20_i32).prop_map(FixedSizeBinary),
        2 => (1..=76_u8, -10..=10_i8).prop_map(|(p, s)| {
            let s = s.min(p as i8);
            match p {
                1..=9 => Decimal32(p, s),
                10..=18 => Decimal64(p, s),
                19..=38 => Decimal128(p, s),
                _ => Decimal256(p, s),
            }
        }),
    ]
}

pub fn any_type() -> impl Strategy<Value = DataType> {
    flat_type().prop_recursive(3, 12, 3, |inner| {
        use DataType::*;
        let item = |name: &str, t| Arc::new(Field::new(name, t, true));
        let named = ("[a-z\" é]{0,3}", inner.clone());
        let fields = proptest::collection::vec(named, 0..4);
        prop_oneof![
            inner.clone().prop_map(move |t| List(item("item", t))),
            inner.clone().prop_map(move |t| LargeList(item("x", t))),
            inner.clone().prop_map(move |t| ListView(item("item", t))),
            inner.clone().prop_map(move |t| LargeListView(item("item", t))),
            (inner.clone(), 0..3_i32).prop_map(move |(t, n)| FixedSizeList(item("item", t), n)),
            fields.prop_map(|fields| Struct(
                fields.into_iter().map(|(n, t)| Field::new(n, t, true)).collect()
            )),
            (inner.clone(), inner).prop_map(|(k, v)| {
                let k = if k == Null { Int8 } else { k };
                let fields = vec![Field::new("key", k, false), Field::new("value", v, true)];
                Map(Arc::new(Field::new("entries", Struct(fields.into()), false)), false)
            }),
        ]
    })
}

/// A type, now and then as a dictionary's values.
pub fn column_type() -> impl Strategy<Value = DataType> {
    let keys = proptest::sample::select(vec![DataType::Int8, DataType::UInt16, DataType::Int64]);
    prop_oneof![
        4 => any_type(),
        1 => (keys, flat_type()).prop_map(|(k, v)| DataType::Dictionary(Box::new(k), Box::new(v))),
    ]
}

pub struct Rng(pub u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Often small, often an extreme.
    fn int(&mut self) -> i64 {
        match self.next() % 6 {
            0 => i64::MAX - (self.next() % 3) as i64,
            1 => i64::MIN + (self.next() % 3) as i64,
            2 => (1 << 53) + (self.next() % 5) as i64 - 2,
            3 => self.next() as i64,
            _ => (self.next() % 200) as i64 - 100,
        }
    }

    fn float(&mut self) -> f64 {
        let value = match self.next() % 6 {
            0 => f64::INFINITY,
            1 => f64::NEG_INFINITY,
            2 => 5e-324,
            3 => (self.next() % 1_000) as f64,
            _ => f64::from_bits(self.next()),
        };
        if value.is_nan() || value == 0.0 { 1e21 } else { value }
    }

    fn text(&mut self) -> String {
        let pieces = [
            "",
            "0123",
            "a\0b",
            "é",
            "😀",
            "\"\\\n",
            "1e5",
            "null",
            "a text longer than twelve bytes",
        ];
        (0..self.next() % 3).map(|_| pieces[self.next() as usize % pieces.len()]).collect()
    }

    fn nulls(&mut self, rows: usize) -> Option<NullBuffer> {
        let valid: Vec<_> = (0..rows).map(|_| !self.next().is_multiple_of(4)).collect();
        (self.next().is_multiple_of(2)).then(|| NullBuffer::from(valid))
    }
}

/// An array of a type; `null` says whether its own rows may be null.
pub fn array(data_type: &DataType, rows: usize, null: bool, rng: &mut Rng) -> ArrayRef {
    use DataType::*;
    let nulls = if null { rng.nulls(rows) } else { None };
    let fixed = |width: usize, bytes: Vec<u8>| {
        assert_eq!(bytes.len(), width * rows);
        let data = ArrayData::builder(data_type.clone())
            .len(rows)
            .nulls(nulls.clone())
            .add_buffer(Buffer::from_vec(bytes))
            .align_buffers(true);
        make_array(data.build().expect("an array"))
    };
    let ends = |rng: &mut Rng| {
        let mut end = 0;
        let ends: Vec<_> = (0..rows)
            .map(|_| {
                end += rng.next() as usize % 3;
                end
            })
            .collect();
        std::iter::once(0).chain(ends).collect::<Vec<_>>()
    };
    match data_type {
        Null => Arc::new(NullArray::new(rows)),
        Boolean => Arc::new(BooleanArray::new(
            (0..rows).map(|_| rng.next().is_multiple_of(2)).collect(),
            nulls,
        )),
        Float16 => {
            let values = (0..rows).map(|_| rng.next() as u16 % 0x7c00 + 1);
            fixed(2, values.flat_map(u16::to_le_bytes).collect())
        }
        Float32 => {
            let one = |rng: &mut Rng| match rng.float() as f32 {
                0.0 => 0.1,
                value => value,
            };
            fixed(4, (0..rows).flat_map(|_| one(rng).to_le_bytes()).collect())
        }
        Float64 => fixed(8, (0..rows).flat_map(|_| rng.float().to_le_bytes()).collect()),
        UInt64 => fixed(8, (0..rows).flat_map(|_| (rng.int() & i64::MAX).to_le_bytes()).collect()),
        Decimal32(p, _) | Decimal64(p, _) | Decimal128(p, _) | Decimal256(p, _) => {
            let width = data_type.primitive_width().expect("a width");
            let one = |rng: &mut Rng| {
                let digits: String = (0..1 + rng.next() % u64::from(*p))
                    .map(|_| char::from(b'0' + (rng.next() % 10) as u8))
                    .collect();
                let value = i256::from_string(&digits).expect("digits");
                let value = if rng.next().is_multiple_of(2) { value } else { value.wrapping_neg() };
                value.to_le_bytes()[..width].to_vec()
            };
            fixed(width, (0..rows).flat_map(|_| one(rng)).collect())
        }
        Utf8 => Arc::new(StringArray::from_iter(
            (0..rows).map(|i| nulls.as_ref().is_none_or(|n| n.is_valid(i)).then(|| rng.text())),
        )),
        LargeUtf8 => Arc::new(LargeStringArray::from_iter(
            (0..rows).map(|i| nulls.as_ref().is_none_or(|n| n.is_valid(i)).then(|| rng.text())),
        )),
        Utf8View => Arc::new(StringViewArray::from_iter(
            (0..rows).map(|i| nulls.as_ref().is_none_or(|n| n.is_valid(i)).then(|| rng.text())),
        )),
        Binary => Arc::new(BinaryArray::from_iter((0..rows).map(|i| {
            nulls.as_ref().is_none_or(|n| n.is_valid(i)).then(|| rng.text().into_bytes())
        }))),
        LargeBinary => Arc::new(LargeBinaryArray::from_iter((0..rows).map(|i| {
            nulls.as_ref().is_none_or(|n| n.is_valid(i)).then(|| rng.text().into_bytes())
        }))),
        BinaryView => Arc::new(BinaryViewArray::from_iter((0..rows).map(|i| {
            nulls.as_ref().is_none_or(|n| n.is_valid(i)).then(|| rng.text().into_bytes())
        }))),
        FixedSizeBinary(n) => {
            fixed(*n as usize, (0..rows * *n as usize).map(|_| rng.next() as u8).collect())
        }
        List(item) => {
            let ends = ends(rng);
            let items = array(item.data_type(), *ends.last().expect("one"), true, rng);
            let offsets = OffsetBuffer::new(ends.iter().map(|end| *end as i32).collect());
            Arc::new(ListArray::new(item.clone(), offsets, items, nulls))
        }
        LargeList(item) => {
            let ends = ends(rng);
            let items = array(item.data_type(), *ends.last().expect("one"), true, rng);
            let offsets = OffsetBuffer::new(ends.iter().map(|end| *end as i64).collect());
            Arc::new(LargeListArray::new(item.clone(), offsets, items, nulls))
        }
        ListView(item) => {
            let items = array(item.data_type(), 5, true, rng);
            let starts: Vec<_> = (0..rows).map(|_| rng.next() as i32 % 3 + 2).collect();
            let sizes: ScalarBuffer<i32> = starts.iter().map(|start| 5 - start).collect();
            Arc::new(ListViewArray::new(item.clone(), starts.into(), sizes, items, nulls))
        }
        LargeListView(item) => {
            let items = array(item.data_type(), 5, true, rng);
            let starts: Vec<_> = (0..rows).map(|_| (rng.next() % 5) as i64).collect();
            let sizes: ScalarBuffer<i64> = starts.iter().map(|start| 5 - start).collect();
            Arc::new(LargeListViewArray::new(item.clone(), starts.into(), sizes, items, nulls))
        }
        FixedSizeList(item, n) => {
            let items = array(item.data_type(), rows * *n as usize, true, rng);
            let list =
                FixedSizeListArray::try_new_with_length(item.clone(), *n, items, nulls, rows);
            Arc::new(list.expect("a list"))
        }
        Struct(fields) if fields.is_empty() => Arc::new(StructArray::new_empty_fields(rows, nulls)),
        Struct(fields) => {
            let children = fields.iter().map(|f| array(f.data_type(), rows, f.is_nullable(), rng));
            let children = children.collect();
            Arc::new(StructArray::new(fields.clone(), children, nulls))
        }
        Map(entries, sorted) => {
            let ends = ends(rng);
            let children = array(entries.data_type(), *ends.last().expect("one"), false, rng);
            let offsets = OffsetBuffer::new(ends.iter().map(|end| *end as i32).collect());
            let structs = children.as_struct().clone();
            Arc::new(MapArray::new(entries.clone(), offsets, structs, nulls, *sorted))
        }
        Dictionary(keys, values) => {
            let values = array(values, 4, false, rng);
            let indexes: Vec<_> = (0..rows)
                .map(|i| nulls.as_ref().is_none_or(|n| n.is_valid(i)).then(|| rng.next() % 4))
                .collect();
            match keys.as_ref() {
                Int8 => Arc::new(DictionaryArray::new(
                    indexes.iter().map(|i| i.map(|i| i as i8)).collect::<Int8Array>(),
                    values,
                )),
                UInt16 => Arc::new(DictionaryArray::new(
                    indexes.iter().map(|i| i.map(|i| i as u16)).collect::<UInt16Array>(),
                    values,
                )),
                _ => Arc::new(DictionaryArray::new(
                    indexes.iter().map(|i| i.map(|i| i as i64)).collect::<Int64Array>(),
                    values,
                )),
            }
        }
        other => {
            let width = other.primitive_width().expect("a width");
            let one = |rng: &mut Rng| match width {
                1 | 2 | 4 => rng.int().to_le_bytes()[..width].to_vec(),
                width => (0..width / 8).flat_map(|_| rng.int().to_le_bytes()).collect(),
            };
            fixed(width, (0..rows).flat_map(|_| one(rng)).collect())
        }
    }
}

/// The values as SQLite sees them, which say more than equality where that is loose (dictionaries).
pub fn cells(array: &dyn Array) -> Vec<Cell<'static>> {
    let storage = Storage::new(array.data_type(), false).expect("a type");
    let column = Column::new(array, &storage).expect("a column");
    let owned = |cell: Cell<'_>| match cell {
        Cell::Null => Cell::Null,
        Cell::Integer(value) => Cell::Integer(value),
        Cell::Real(value) => Cell::Real(value),
        Cell::Text(text) => Cell::Text(text.into_owned().into()),
        Cell::Blob(bytes) => Cell::Blob(bytes.into_owned().into()),
    };
    (0..array.len()).map(|row| owned(column.cell(row))).collect()
}

/// A random frame; each batch is sliced off so many rows.
pub fn random_frame(types: &[DataType], batches: &[(usize, usize)], seed: u64) -> Frame {
    let mut rng = Rng(seed);
    let fields: Vec<_> = types
        .iter()
        .enumerate()
        .map(|(i, data_type)| Field::new(format!("c{i}"), data_type.clone(), true))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let batches: Vec<_> = batches
        .iter()
        .map(|(skip, rows)| {
            let columns =
                types.iter().map(|t| array(t, skip + rows, true, &mut rng).slice(*skip, *rows));
            RecordBatch::try_new(schema.clone(), columns.collect()).expect("a batch")
        })
        .collect();
    Frame::new(schema, batches)
}

fn check(types: &[DataType], batches: &[(usize, usize)], seed: u64) {
    let frame = random_frame(types, batches, seed);
    let schema = frame.schema.clone();
    let bytes = frame.encode().expect("bytes");
    let decoded = Frame::decode(Buffer::from_vec(bytes)).expect("a frame");
    let db = Db::new();
    let coerced = db.append("t", &decoded, &options("{}")).expect("an append");
    assert!(coerced.is_empty(), "{coerced:?}");
    let read = db.read("t").expect("a read");
    assert_eq!(read.schema().fields(), schema.fields());
    let wanted = concat_batches(&schema, &frame.batches).expect("one batch");
    for (read, wanted) in read.columns().iter().zip(wanted.columns()) {
        assert_eq!(cells(read), cells(wanted));
        if !matches!(wanted.data_type(), DataType::Dictionary(..)) {
            assert_eq!(read, wanted);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_frame_comes_back(
        types in proptest::collection::vec(column_type(), 1..4),
        batches in proptest::collection::vec((0..3_usize, 0..5_usize), 1..3),
        seed in any::<u64>(),
    ) {
        check(&types, &batches, seed);
    }
}
