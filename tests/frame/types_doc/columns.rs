//! A frame's type into a column of another type, and into columns of other people's.

use std::sync::Arc;

use arrow::array::*;
use framelock::frame::convert::{Fit, fit};
use framelock::frame::types;

use super::super::harness::*;
use super::{TYPES, code, parse, refusal, row, section};

pub fn widening(page: &mut String) {
    section(
        page,
        "Into a column of another type",
        "A frame's type need not be the column's.\n\
         \n\
         - What *goes in* keeps its meaning, and is taken without being asked for.\n\
         - What *goes in when asked* needs `types: { c: '<the column's type>' }`, because only some of its values fit.\n\
         - Everything else is `SCHEMA_MISMATCH`, before the first row.\n\
         \n\
         Reads give the column's type. Dictionaries and run-end encoded columns go where their values go. A column of nulls only takes the type of the first \
         frame that has values.",
        &["column", "goes in", "goes in when asked"],
    );
    let mut previous: Option<(Vec<&str>, String, String)> = None;
    for to in TYPES.iter().filter(|name| **name != "null") {
        let with = |wanted: &[Fit]| {
            let names = TYPES.iter().filter(|from| *from != to);
            let names = names.filter(|from| {
                fit(&parse(from), &parse(to)).is_some_and(|found| wanted.contains(&found))
            });
            names.map(|name| code(name)).collect::<Vec<_>>().join(", ")
        };
        let cells = (with(&[Fit::Same, Fit::Widens]), with(&[Fit::Narrows]));
        match &mut previous {
            Some((names, same, asked)) if (&*same, &*asked) == (&cells.0, &cells.1) => {
                names.push(to)
            }
            _ => {
                put(page, previous.replace((vec![to], cells.0, cells.1)));
            }
        }
    }
    put(page, previous);
}

fn put(page: &mut String, cells: Option<(Vec<&str>, String, String)>) {
    if let Some((names, same, asked)) = cells {
        let names = names.iter().map(|name| code(name)).collect::<Vec<_>>().join(", ");
        row(page, &[names, same, asked]);
    }
}

pub fn losses(page: &mut String) {
    section(
        page,
        "Values that do not fit the column's type",
        "The types go together, but the value does not fit. It is `LOSSY_VALUE`; with `lossy: 'warn'` or `'allow'` the nearest value is stored.",
        &["value", "into", "nearest"],
    );
    let decimal = |value, p, s| {
        let array = Decimal128Array::from(vec![value]).with_precision_and_scale(p, s);
        Arc::new(array.expect("a decimal")) as ArrayRef
    };
    let cases: Vec<(&str, ArrayRef, &str)> = vec![
        ("`int64` 2^53 + 1", Arc::new(Int64Array::from(vec![(1 << 53) + 1])), "float64"),
        ("`int64` 128", Arc::new(Int64Array::from(vec![128])), "int8"),
        ("`int64` -1", Arc::new(Int64Array::from(vec![-1])), "uint8"),
        ("`float64` 0.1", Arc::new(Float64Array::from(vec![0.1])), "float32"),
        ("`float64` 1e300", Arc::new(Float64Array::from(vec![1e300])), "float16"),
        ("`int8` 100", Arc::new(Int8Array::from(vec![100])), "decimal32(3, 1)"),
        ("`decimal128(38, 3)` 0.129", decimal(129, 38, 3), "decimal64(10, 2)"),
        ("`timestamp[ms]` -1", Arc::new(TimestampMillisecondArray::from(vec![-1])), "timestamp[s]"),
        (
            "`timestamp[s]` 2^62",
            Arc::new(TimestampSecondArray::from(vec![1 << 62])),
            "timestamp[ns]",
        ),
        ("`time32[ms]` 1999", Arc::new(Time32MillisecondArray::from(vec![1999])), "time32[s]"),
        ("`duration[ms]` -1", Arc::new(DurationMillisecondArray::from(vec![-1])), "duration[s]"),
    ];
    for (value, array, into) in cases {
        let json = format!(r#"{{"types":{{"c":"{into}"}}}}"#);
        let error = Db::new().append("t", &one(Arc::clone(&array)), &options(&json));
        assert_eq!(refusal(&error.expect_err(value)), "`LOSSY_VALUE`", "{value}");
        let json = format!(r#"{{"lossy":"allow","types":{{"c":"{into}"}}}}"#);
        let db = Db::new();
        let coerced = db.append("t", &one(array), &options(&json)).expect(value);
        assert_eq!(coerced["c"], 1, "{value}");
        row(page, &[value.into(), code(into), code(&db.stored("t", "c"))]);
    }
}

/// What stands in a cell of the matrix: whether the column takes the type, and what reads say.
fn taken(declared: &str, strict: bool, array: &ArrayRef, rows_before: bool) -> String {
    let db = Db::new();
    let strict = if strict { " STRICT" } else { "" };
    db.exec(&format!("CREATE TABLE t(c {declared}){strict}"));
    if rows_before {
        db.exec("INSERT INTO t VALUES(NULL)");
    }
    match db.append("t", &one(Arc::clone(array)), &options("{}")) {
        Err(error) => {
            assert_eq!(refusal(&error), "`SCHEMA_MISMATCH`", "{declared}");
            "—".into()
        }
        Ok(coerced) => {
            assert!(coerced.is_empty());
            let read = db.read("t").expect("a read");
            let read = read.schema().field(0).data_type().clone();
            if &read == array.data_type() { "yes".into() } else { types::name(&read) }
        }
    }
}

pub fn other_peoples(page: &mut String) {
    let samples: Vec<(&str, ArrayRef)> = vec![
        ("int64", Arc::new(Int64Array::from(vec![5]))),
        ("float64", Arc::new(Float64Array::from(vec![0.5]))),
        ("utf8", Arc::new(StringArray::from(vec!["x"]))),
        ("binary", Arc::new(BinaryArray::from(vec![&b"x"[..]]))),
        ("bool", Arc::new(BooleanArray::from(vec![true]))),
        ("date32", Arc::new(Date32Array::from(vec![5]))),
        ("timestamp[s]", Arc::new(TimestampSecondArray::from(vec![5]))),
        ("decimal128(10, 2)", sample_decimal(10)),
        ("decimal128(38, 2)", sample_decimal(38)),
        ("interval[year_month]", Arc::new(IntervalYearMonthArray::from(vec![1]))),
    ];
    let mut heads = vec!["declared"];
    heads.extend(samples.iter().map(|(name, _)| *name));
    let declarations = [
        ("INTEGER", false),
        ("BIGINT", false),
        ("REAL", false),
        ("DOUBLE", false),
        ("TEXT", false),
        ("VARCHAR(20)", false),
        ("BLOB", false),
        ("", false),
        ("NUMERIC", false),
        ("DECIMAL(10,2)", false),
        ("BOOLEAN", false),
        ("DATETIME", false),
        ("INTEGER", true),
        ("REAL", true),
        ("TEXT", true),
        ("BLOB", true),
        ("ANY", true),
    ];
    let texts = [
        (
            "Tables made by others, empty",
            false,
            "A column without a catalogue type takes what its affinity gives back unchanged (`yes`, or the type that reads give). An empty table takes the frame's \
             types into the catalogue. Everything else is `SCHEMA_MISMATCH` (—). Text that looks like a number is `LOSSY_VALUE` in a column that would make it one \
             (`DATETIME`, `NUMERIC` …). Views, virtual tables and computed columns are not written to.",
        ),
        (
            "Tables made by others, with rows",
            true,
            "Nobody knows what the integers that are already there count. So the column stays without a catalogue type, and reads give what plain SQL sees.",
        ),
    ];
    for (title, rows_before, text) in texts {
        section(page, title, text, &heads);
        for (declared, strict) in declarations {
            let name = if declared.is_empty() { "(nothing)".into() } else { code(declared) };
            let mut cells = vec![if strict { format!("{name}, `STRICT`") } else { name }];
            cells.extend(
                samples.iter().map(|(_, array)| taken(declared, strict, array, rows_before)),
            );
            row(page, &cells);
        }
    }
}

fn sample_decimal(precision: u8) -> ArrayRef {
    let array = Decimal128Array::from(vec![5]).with_precision_and_scale(precision, 2);
    Arc::new(array.expect("a decimal"))
}
