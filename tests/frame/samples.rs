//! Small IPC streams and files that have, among them, everything the format has.

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::*;
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{DictionaryHandling, FileWriter, IpcWriteOptions, StreamWriter};

/// Names and bytes.
pub fn all() -> Vec<(&'static str, Vec<u8>)> {
    let plain = IpcWriteOptions::default;
    let packed = |codec| plain().try_with_compression(Some(codec)).expect("a codec");
    let delta = || plain().with_dictionary_handling(DictionaryHandling::Delta);
    let flat = [flat()];
    vec![
        ("flat stream", stream(&flat, plain())),
        ("flat file", file(&flat, plain())),
        ("flat LZ4 stream", stream(&flat, packed(CompressionType::LZ4_FRAME))),
        ("flat ZSTD file", file(&flat, packed(CompressionType::ZSTD))),
        ("text stream", stream(&[text(), text().slice(1, 2)], plain())),
        ("text ZSTD stream", stream(&[text()], packed(CompressionType::ZSTD))),
        ("nested stream", stream(&[nested()], plain())),
        ("nested file", file(&[nested(), nested().slice(1, 1)], plain())),
        ("nested LZ4 stream", stream(&[nested()], packed(CompressionType::LZ4_FRAME))),
        ("dictionary stream", stream(&dictionaries(), plain())),
        ("dictionary delta stream", stream(&dictionaries()[..2], delta())),
        ("dictionary delta file", file(&dictionaries()[..2], delta())),
    ]
}

fn stream(batches: &[RecordBatch], options: IpcWriteOptions) -> Vec<u8> {
    let schema = batches[0].schema();
    let mut writer =
        StreamWriter::try_new_with_options(Vec::new(), &schema, options).expect("a writer");
    batches.iter().for_each(|batch| writer.write(batch).expect("a batch"));
    writer.into_inner().expect("a stream")
}

fn file(batches: &[RecordBatch], options: IpcWriteOptions) -> Vec<u8> {
    let schema = batches[0].schema();
    let mut writer =
        FileWriter::try_new_with_options(Vec::new(), &schema, options).expect("a writer");
    batches.iter().for_each(|batch| writer.write(batch).expect("a batch"));
    writer.into_inner().expect("a file")
}

fn batch(columns: Vec<ArrayRef>) -> RecordBatch {
    let named = columns.into_iter().enumerate();
    RecordBatch::try_from_iter(named.map(|(i, column)| (format!("c{i}"), column))).expect("a batch")
}

fn flat() -> RecordBatch {
    batch(vec![
        Arc::new(Int8Array::from(vec![Some(1), None, Some(3)])),
        Arc::new(UInt16Array::from(vec![1, 2, 3])),
        Arc::new(Int32Array::from(vec![Some(1), None, Some(3)])),
        Arc::new(UInt64Array::from(vec![1, 2, 3])),
        Arc::new(Float16Array::from(vec![None, None, None])),
        Arc::new(Float64Array::from(vec![Some(0.5), None, Some(1.5)])),
        Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
        Arc::new(NullArray::new(3)),
        Arc::new(Date32Array::from(vec![1, 2, 3])),
        Arc::new(Time64NanosecondArray::from(vec![1, 2, 3])),
        Arc::new(
            TimestampMillisecondArray::from(vec![Some(1), None, Some(3)]).with_timezone("UTC"),
        ),
        Arc::new(Decimal128Array::from(vec![Some(1), None, Some(3)])),
        Arc::new(Decimal256Array::from(vec![Some(i256::ONE), None, None])),
        Arc::new(IntervalMonthDayNanoArray::from(vec![
            None,
            None,
            Some(IntervalMonthDayNano::ONE),
        ])),
    ])
}

fn text() -> RecordBatch {
    let long = "a text that is longer than a view has room for";
    let texts = vec![Some("é"), None, Some(long)];
    let blobs: Vec<Option<&[u8]>> = vec![Some(b"\0"), None, Some(long.as_bytes())];
    let fixed = [Some([1_u8, 2]), None, Some([3, 4])].into_iter();
    batch(vec![
        Arc::new(StringArray::from(texts.clone())),
        Arc::new(LargeStringArray::from(texts.clone())),
        Arc::new(StringViewArray::from(texts)),
        Arc::new(BinaryArray::from(blobs.clone())),
        Arc::new(LargeBinaryArray::from(blobs.clone())),
        Arc::new(BinaryViewArray::from(blobs)),
        Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(fixed, 2).expect("an array")),
    ])
}

fn nested() -> RecordBatch {
    let ints: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, Some(3), Some(4)]));
    let item = || Arc::new(Field::new_list_field(DataType::Int32, true));
    let nulls = || Some(NullBuffer::from(vec![true, false]));
    let list =
        ListArray::new(item(), OffsetBuffer::new(vec![0, 2, 4].into()), ints.clone(), nulls());
    let large = OffsetBuffer::new(vec![0_i64, 2, 4].into());
    let large = LargeListArray::new(item(), large, ints.clone(), None);
    let views =
        ListViewArray::new(item(), vec![2, 0].into(), vec![2, 3].into(), ints.clone(), nulls());
    let large_views = LargeListViewArray::new(
        item(),
        vec![0_i64, 1].into(),
        vec![1_i64, 3].into(),
        ints.clone(),
        None,
    );
    let fixed = FixedSizeListArray::new(item(), 2, ints.clone(), nulls());
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    for key in ["a", "a", "b"] {
        map.keys().append_value(key);
        map.values().append_value(7);
    }
    map.append(true).expect("a map");
    map.append(false).expect("a map");
    let map = map.finish();
    let runs =
        RunArray::try_new(&Int16Array::from(vec![1, 2]), &StringArray::from(vec![Some("a"), None]));
    let dictionary: DictionaryArray<Int8Type> = [Some("x"), None].into_iter().collect();
    let fields = Fields::from(vec![
        Field::new("l", list.data_type().clone(), true),
        Field::new("m", map.data_type().clone(), true),
        Field::new("d", dictionary.data_type().clone(), true),
    ]);
    let children: Vec<ArrayRef> =
        vec![Arc::new(list.clone()), Arc::new(map.clone()), Arc::new(dictionary)];
    let structs = StructArray::new(fields, children, nulls());
    batch(vec![
        Arc::new(list),
        Arc::new(large),
        Arc::new(views),
        Arc::new(large_views),
        Arc::new(fixed),
        Arc::new(map),
        Arc::new(runs.expect("runs")),
        Arc::new(structs),
        Arc::new(StructArray::new_empty_fields(2, nulls())),
    ])
}

/// The second batch's dictionaries begin with the first's (a delta), the third's do not.
fn dictionaries() -> Vec<RecordBatch> {
    let one = |texts: &[Option<&str>], key: i8| {
        let texts: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..texts.len() as i64));
        let keys = Int8Array::from(vec![Some(0), None, Some(key)]);
        let wide = UInt32Array::from(vec![Some(0), None, Some(key as u32)]);
        batch(vec![
            Arc::new(DictionaryArray::new(keys, texts)),
            Arc::new(DictionaryArray::new(wide, numbers)),
        ])
    };
    vec![
        one(&[Some("a"), None], 1),
        one(&[Some("a"), None, Some("b"), Some("c")], 3),
        one(&[Some("z")], 0),
    ]
}
