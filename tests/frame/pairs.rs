//! Every type into a column of every other: it widens and reads back as the column's type, or the
//! frame is refused before the first row and the table stays as it was.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::*;
use framelock::error::Code;

use super::harness::*;

fn samples() -> Vec<ArrayRef> {
    let texts = vec![Some("1"), None];
    let blobs: Vec<Option<&[u8]>> = vec![Some(b"1"), None];
    let decimal = |p, s| Decimal128Array::from(vec![Some(1), None]).with_precision_and_scale(p, s);
    let text_dictionary: DictionaryArray<Int8Type> = texts.clone().into_iter().collect();
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1)]), None]);
    let views: ListViewArray = list.clone().into();
    let fields = Fields::from(vec![Field::new("a", DataType::Int8, true)]);
    let children: Vec<ArrayRef> = vec![Arc::new(Int8Array::from(vec![Some(1), None]))];
    vec![
        Arc::new(NullArray::new(2)),
        Arc::new(BooleanArray::from(vec![Some(true), None])),
        Arc::new(Int8Array::from(vec![Some(1), None])),
        Arc::new(Int32Array::from(vec![Some(1), None])),
        Arc::new(Int64Array::from(vec![Some(1), None])),
        Arc::new(UInt8Array::from(vec![Some(1), None])),
        Arc::new(UInt64Array::from(vec![Some(1), None])),
        Arc::new(Float32Array::from(vec![Some(1.0), None])),
        Arc::new(Float64Array::from(vec![Some(1.0), None])),
        Arc::new(StringArray::from(texts.clone())),
        Arc::new(LargeStringArray::from(texts.clone())),
        Arc::new(StringViewArray::from(texts)),
        Arc::new(BinaryArray::from(blobs.clone())),
        Arc::new(BinaryViewArray::from(blobs)),
        Arc::new(Date32Array::from(vec![Some(1), None])),
        Arc::new(Date64Array::from(vec![Some(86_400_000), None])),
        Arc::new(Time32SecondArray::from(vec![Some(1), None])),
        Arc::new(Time64NanosecondArray::from(vec![Some(1), None])),
        Arc::new(TimestampSecondArray::from(vec![Some(1), None])),
        Arc::new(TimestampNanosecondArray::from(vec![Some(1), None]).with_timezone("UTC")),
        Arc::new(DurationMillisecondArray::from(vec![Some(1), None])),
        Arc::new(IntervalYearMonthArray::from(vec![Some(1), None])),
        Arc::new(decimal(10, 2).expect("a decimal")),
        Arc::new(decimal(38, 9).expect("a decimal")),
        Arc::new(text_dictionary),
        Arc::new(list),
        Arc::new(views),
        Arc::new(StructArray::new(fields, children, None)),
    ]
}

#[test]
fn every_type_into_every_column() {
    let mut widened: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for known in samples() {
        for array in samples() {
            let what = format!("{} into {}", array.data_type(), known.data_type());
            let db = Db::new();
            db.append("t", &one(known.clone()), &options("{}")).expect("the first frame");
            let result = db.append("t", &one(array.clone()), &options("{}"));
            let batch = db.read("t").expect(&what);
            let same = batch.column(0).slice(0, 2);
            if *known.data_type() != DataType::Null {
                assert_eq!(batch.schema().field(0).data_type(), known.data_type(), "{what}");
                assert_eq!(&same, &known, "{what}");
            }
            match result {
                Ok(coerced) => {
                    assert!(coerced.is_empty(), "{what}");
                    assert_eq!(batch.num_rows(), 4, "{what}");
                    let null = *array.data_type() == DataType::Null;
                    let read = batch.column(0).logical_nulls().is_some_and(|n| n.is_null(2));
                    assert_eq!(read, null, "{what}");
                    if array.data_type() != known.data_type() {
                        let into = known.data_type().to_string();
                        widened.entry(into).or_default().push(array.data_type().to_string());
                    }
                }
                Err(error) => {
                    assert_eq!(error.code, Code::SchemaMismatch, "{what}");
                    assert_eq!(error.column.as_deref(), Some("c"), "{what}");
                    assert_eq!(batch.num_rows(), 2, "{what}");
                }
            }
        }
    }
    let into = |name: &str| widened[name].join(" ");
    assert_eq!(into("Int64"), "Null Int8 Int32 UInt8");
    assert_eq!(into("UInt64"), "Null UInt8");
    assert_eq!(into("Float64"), "Null Int8 Int32 Int64 UInt8 UInt64 Float32");
    assert_eq!(into("Boolean"), "Null");
    assert_eq!(into("Decimal128(38, 9)"), "Null Int8 Int32 Int64 UInt8 UInt64 Decimal128(10, 2)");
    assert_eq!(into("Utf8"), "Null LargeUtf8 Utf8View Dictionary(Int8, Utf8)");
}
