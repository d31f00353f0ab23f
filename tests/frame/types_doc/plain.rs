//! Plain JavaScript values: the types they suggest, and what goes into a known type.

use arrow::array::Array;
use arrow::buffer::Buffer;
use arrow::datatypes::DataType;
use framelock::error::Result;
use framelock::frame::options::Lossy;
use framelock::frame::packed::Packed;
use framelock::frame::types;
use serde_json::json;

use super::super::harness::*;
use super::{TYPES, code, parse, refusal, row, section};

/// A value as JavaScript has it.
#[derive(Clone, Copy)]
pub enum Js {
    Null,
    Number(f64),
    BigInt(i64),
    Digits(&'static str),
    Text(&'static str),
    Bytes(&'static [u8]),
    Bool(bool),
    Date(f64),
}

/// One column `c`, packed as the page packs it: the layout of src/frame/packed/cells.rs.
pub fn packed(values: &[Js]) -> Packed {
    let mut pools: [Vec<u8>; 7] = Default::default();
    for value in values {
        let [tags, numbers, ints, texts, text_lengths, blobs, blob_lengths] = &mut pools;
        let mut text = |text: &str| {
            texts.extend(text.bytes());
            text_lengths.extend((text.len() as u32).to_le_bytes());
        };
        tags.push(match value {
            Js::Null => 0,
            Js::Number(number) => {
                numbers.extend(number.to_le_bytes());
                1
            }
            Js::BigInt(integer) => {
                ints.extend(integer.to_le_bytes());
                2
            }
            Js::Text(value) => {
                text(value);
                3
            }
            Js::Bytes(bytes) => {
                blobs.extend(*bytes);
                blob_lengths.extend((bytes.len() as u32).to_le_bytes());
                4
            }
            Js::Bool(value) => 5 + u8::from(*value),
            Js::Date(ms) => {
                numbers.extend(ms.to_le_bytes());
                7
            }
            Js::Digits(value) => {
                text(value);
                9
            }
        });
    }
    let names = ["tags", "numbers", "ints", "texts", "textLengths", "blobs", "blobLengths"];
    let mut column = json!({ "name": "c", "kind": "cells" });
    for (i, (name, pool)) in names.iter().zip(&pools).enumerate() {
        column[name] = json!([i, 0, pool.len()]);
    }
    let descriptor = json!({ "rows": values.len(), "columns": [column] });
    let buffers = pools.map(Buffer::from_vec).to_vec();
    Packed::parse(&descriptor.to_string(), buffers).expect("what the page packs")
}

/// The type the values have in a new table.
fn inferred(packed: &Packed) -> Result<String> {
    let (frame, _) = packed.into_frame(&|_, _| None, Lossy::Error)?;
    Ok(types::name(frame.schema.field(0).data_type()))
}

pub fn inference(page: &mut String) {
    section(
        page,
        "JavaScript values: the type they suggest",
        "In `{ column: array }` and in row objects the type is the one in `options.types`, else the table's, else the one in this table. `undefined`, a missing \
         key and a hole count as `null`. All such columns are nullable.",
        &["values", "type"],
    );
    for kind in [
        "Int8",
        "Int16",
        "Int32",
        "Uint8",
        "Uint16",
        "Uint32",
        "Float32",
        "Float64",
        "BigInt64",
        "BigUint64",
    ] {
        let name = kind.to_lowercase().replace("big", "");
        let column = json!([{ "name": "c", "kind": name, "values": [0, 0, 0] }]);
        let descriptor = json!({ "rows": 0, "columns": column }).to_string();
        let packed =
            Packed::parse(&descriptor, vec![Buffer::from_vec(Vec::<u8>::new())]).expect(&name);
        row(page, &[code(&format!("{kind}Array")), code(&inferred(&packed).expect(&name))]);
    }
    for (shown, values) in [
        ("`[1, 2, null]`: safe integers", vec![Js::Number(1.0), Js::Number(2.0), Js::Null]),
        ("`[1, 0.5]`", vec![Js::Number(1.0), Js::Number(0.5)]),
        ("`[1, 2 ** 53]`, `[1, -0]`, `[1, NaN]`", vec![Js::Number(1.0), Js::Number(-0.0)]),
        ("`[1n]`", vec![Js::BigInt(1)]),
        ("`[true]`", vec![Js::Bool(true)]),
        ("`['a']`", vec![Js::Text("a")]),
        ("`[new Date()]`", vec![Js::Date(0.0)]),
        ("`[new Uint8Array()]`, `[new ArrayBuffer()]`", vec![Js::Bytes(b"")]),
        ("`[null]`, `[]`", vec![Js::Null]),
    ] {
        row(page, &[shown.into(), code(&inferred(&packed(&values)).expect(shown))]);
    }
    let mixed = inferred(&packed(&[Js::Number(1.0), Js::Text("a")])).expect_err("mixed kinds");
    row(page, &["`[1, 'a']`: two kinds".into(), refusal(&mixed)]);
}

/// A value of each kind that is as easy to keep as can be.
const KINDS: [(&str, Js); 6] = [
    ("number", Js::Number(0.0)),
    ("bigint", Js::BigInt(0)),
    ("string", Js::Text("0")),
    ("boolean", Js::Bool(false)),
    ("Date", Js::Date(0.0)),
    ("Uint8Array", Js::Bytes(&[0; 16])),
];

pub fn kinds(page: &mut String) {
    let mut heads = vec!["type"];
    heads.extend(KINDS.iter().map(|(kind, _)| *kind));
    section(
        page,
        "JavaScript values into a known type",
        "A value of another kind is `INVALID_ARGUMENT`, naming row and column. Text is never read as a number or a date, but `'12.50'` is a decimal. Numbers go \
         into dates, times, timestamps and durations as the stored integer. Intervals, lists, structs and maps have no plain value: as plain values they take \
         nulls only, so give them as Arrow.",
        &heads,
    );
    let mut lines: Vec<(Vec<&str>, Vec<String>)> = Vec::new();
    for name in TYPES {
        let data_type = parse(name);
        let goes = KINDS.map(|(_, value)| {
            let frame = packed(&[value]).into_frame(&|_, _| Some(data_type.clone()), Lossy::Error);
            if frame.is_ok() { "yes".to_owned() } else { "—".to_owned() }
        });
        match lines.iter_mut().find(|(_, cells)| *cells == goes) {
            Some((names, _)) => names.push(name),
            None => lines.push((vec![name], goes.to_vec())),
        }
    }
    for (names, mut cells) in lines {
        let names = names.iter().map(|name| code(name)).collect::<Vec<_>>().join(", ");
        cells.insert(0, names);
        row(page, &cells);
    }
}

pub fn nearest(page: &mut String) {
    section(
        page,
        "JavaScript values that do not fit",
        "The value is of the right kind, but has no exact form. It is `LOSSY_VALUE`, naming row and column; with `lossy: 'warn'` or `'allow'` the nearest value \
         is stored and counted in the receipt. A lone surrogate in a string becomes U+FFFD.",
        &["value", "into", "nearest"],
    );
    let long = "123456789012345678901";
    for (shown, value, into) in [
        ("300", Js::Number(300.0), "int8"),
        ("-1n", Js::BigInt(-1), "uint8"),
        ("-1.9", Js::Number(-1.9), "int32"),
        ("NaN", Js::Number(f64::NAN), "int64"),
        ("NaN", Js::Number(f64::NAN), "float64"),
        ("-0", Js::Number(-0.0), "float64"),
        ("123456789012345678901n", Js::Digits(long), "int64"),
        ("2n ** 53n + 1n", Js::BigInt((1 << 53) + 1), "float64"),
        ("0.1", Js::Number(0.1), "float32"),
        ("0.29", Js::Number(0.29), "decimal64(5, 2)"),
        ("'1.009'", Js::Text("1.009"), "decimal64(5, 2)"),
        ("'1000'", Js::Text("1000"), "decimal64(5, 2)"),
        ("new Date(-1)", Js::Date(-1.0), "date32"),
        ("new Date(1999)", Js::Date(1999.0), "timestamp[s]"),
        ("new Uint8Array(3)", Js::Bytes(&[0; 3]), "fixed_size_binary(16)"),
    ] {
        let data_type: DataType = parse(into);
        let packed = packed(&[value]);
        let append = |db: &Db, lossy| {
            let (frame, changed) = packed.into_frame(&|_, _| Some(data_type.clone()), lossy)?;
            let json = if lossy == Lossy::Error { "{}" } else { r#"{"lossy":"allow"}"# };
            let coerced = db.append("t", &frame, &options(json))?;
            Ok((changed.get("c").unwrap_or(&0) + coerced.get("c").unwrap_or(&0), frame))
        };
        let refused: Result<(u64, _)> = append(&Db::new(), Lossy::Error);
        assert_eq!(refusal(&refused.expect_err(shown)), "`LOSSY_VALUE`", "{shown}");
        let db = Db::new();
        let (count, frame) = append(&db, Lossy::Allow).expect(shown);
        assert_eq!((count, frame.batches[0].column(0).len()), (1, 1), "{shown}");
        row(page, &[code(shown), code(into), code(&db.stored("t", "c"))]);
    }
}
