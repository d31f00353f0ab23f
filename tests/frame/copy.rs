//! Frames as PostgreSQL's binary COPY: every type, read back by a reader that knows only the format.
//! What the server makes of the bytes is for `tests/server` to see.

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::Buffer;
use arrow::datatypes::*;
use framelock::copy::{
    ColumnType, Declared, Description, Job, Kind, Limits, Plan, Policy, Reason, Refusal, Target,
    declare,
};
use framelock::frame::Frame;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::harness::{frame, one};
use super::random::{Rng, array, column_type};

const LIMITS: Limits = Limits { max_rows: 1 << 20, max_bytes: 64 << 20 };

/// The type that a declaration gives, as a server would describe it.
fn described(sql: &str) -> ColumnType {
    let (sql, array) = sql.strip_suffix("[]").map_or((sql, false), |item| (item, true));
    let (word, digits) = sql.split_once('(').unwrap_or((sql, ""));
    let digits = digits.trim_end_matches(')');
    let modifier = match (word, digits.split_once(',')) {
        ("numeric", Some((p, s))) => {
            let (p, s): (i32, i32) = (p.parse().expect("digits"), s.parse().expect("digits"));
            ((p << 16) | (s & 0x7ff)) + 4
        }
        ("varchar", _) if !digits.is_empty() => digits.parse::<i32>().expect("a length") + 4,
        ("timestamp", _) if !digits.is_empty() => digits.parse().expect("digits"),
        _ => -1,
    };
    let name = match word {
        "boolean" => "bool",
        "smallint" => "int2",
        "integer" => "int4",
        "bigint" => "int8",
        "real" => "float4",
        "double precision" => "float8",
        other => other,
    };
    ColumnType { array, modifier, ..ColumnType::named(name) }
}

/// The description of a table of columns with types in SQL.
fn table(columns: &[(&str, &str)]) -> Description {
    let columns: Vec<_> = columns
        .iter()
        .map(|(name, sql)| {
            let ColumnType { name: of, oid, modifier, array } = described(sql);
            json!({ "name": name, "type": of, "oid": oid, "modifier": modifier, "array": array,
                "sql": sql, "generated": false })
        })
        .collect();
    serde_json::from_value(json!({ "noCopy": false, "columns": columns })).expect("a table")
}

fn target(policy: Policy, description: Option<Description>) -> Target {
    Target { namespace: None, table: "t".into(), policy, description }
}

fn open(bytes: Vec<u8>) -> Result<Job, Refusal> {
    Job::open(bytes, &Map::new(), LIMITS)
}

/// The bytes of a COPY of a frame into the table that would be made for it, in pieces.
pub fn written(bytes: Vec<u8>, piece: usize) -> Result<Vec<u8>, Refusal> {
    let schema = Frame::decode(Buffer::from_vec(bytes.clone()))?.schema;
    let mut columns = Vec::new();
    for field in schema.fields() {
        columns.push((field.name().as_str(), declare(field)?.sql));
    }
    let columns: Vec<_> = columns.iter().map(|(name, sql)| (*name, sql.as_str())).collect();
    let mut job = open(bytes)?;
    job.plan(&target(Policy::Strict, Some(table(&columns))))?;
    all(&mut job, piece)
}

fn all(job: &mut Job, piece: usize) -> Result<Vec<u8>, Refusal> {
    let mut all = Vec::new();
    while let Some(bytes) = job.next(piece)? {
        all.extend(bytes);
    }
    Ok(all)
}

/// The COPY of an array into a column of a type.
fn copied(array: ArrayRef, sql: &str) -> Result<Vec<Option<Vec<u8>>>, Refusal> {
    let mut job = open(one(array).encode().expect("bytes"))?;
    job.plan(&target(Policy::Strict, Some(table(&[("c", sql)]))))?;
    Ok(rows_of(&all(&mut job, 1)?).into_iter().map(|mut row| row.remove(0)).collect())
}

/// A COPY's rows, each value as bytes. It panics for what PostgreSQL would refuse as such.
fn rows_of(mut bytes: &[u8]) -> Vec<Vec<Option<Vec<u8>>>> {
    fn take<'b>(bytes: &mut &'b [u8], count: usize) -> &'b [u8] {
        let (taken, rest) = bytes.split_at(count);
        *bytes = rest;
        taken
    }
    assert_eq!(take(&mut bytes, 19), b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0");
    let mut rows = Vec::new();
    loop {
        let count = i16::from_be_bytes(take(&mut bytes, 2).try_into().expect("two"));
        if count < 0 {
            assert_eq!((count, bytes.len()), (-1, 0), "the trailer is the end");
            return rows;
        }
        let row = (0..count).map(|_| {
            let length = i32::from_be_bytes(take(&mut bytes, 4).try_into().expect("four"));
            (length >= 0).then(|| take(&mut bytes, length as usize).to_vec())
        });
        rows.push(row.collect());
    }
}

fn reason(result: Result<impl Sized, Refusal>) -> Reason {
    result.map(|_| ()).expect_err("a refusal").reason
}

#[test]
fn every_type_has_the_declaration_that_the_document_says() {
    use DataType::*;
    let list = |item| DataType::new_list(item, true);
    for (data_type, sql) in [
        (Int8, "smallint"),
        (Int16, "smallint"),
        (UInt8, "smallint"),
        (Int32, "integer"),
        (UInt16, "integer"),
        (Int64, "bigint"),
        (UInt32, "bigint"),
        (UInt64, "numeric(20,0)"),
        (Float16, "real"),
        (Float32, "real"),
        (Float64, "double precision"),
        (Decimal32(9, 2), "numeric(9,2)"),
        (Decimal256(76, 0), "numeric(76,0)"),
        (Decimal64(5, -3), "numeric(8,0)"),
        (LargeUtf8, "text"),
        (FixedSizeBinary(3), "bytea"),
        (Date64, "date"),
        (Time32(TimeUnit::Second), "time"),
        (Timestamp(TimeUnit::Nanosecond, None), "timestamp"),
        (Timestamp(TimeUnit::Second, Some("UTC".into())), "timestamptz"),
        (Duration(TimeUnit::Second), "interval"),
        (Dictionary(Box::new(Int8), Box::new(Utf8)), "text"),
        (list(Int32), "integer[]"),
        (list(Dictionary(Box::new(Int8), Box::new(Utf8))), "text[]"),
        (list(list(Int32)), "jsonb"),
        (Struct(vec![Field::new("a", Int8, true)].into()), "jsonb"),
    ] {
        let found = declare(&Field::new("c", data_type.clone(), true)).expect("a declaration").sql;
        assert_eq!(found, sql, "{data_type}");
    }
    let zoned = Timestamp(TimeUnit::Microsecond, Some("America/New_York".into()));
    let Declared { comment, .. } = declare(&Field::new("c", zoned, true)).expect("a declaration");
    assert_eq!(comment.as_deref(), Some("timestamp[us, America/New_York]"));
}

#[test]
fn values_that_the_column_cannot_hold_exactly_are_refused_with_their_row() {
    let micros = |value| Arc::new(TimestampMicrosecondArray::from(vec![0, value])) as ArrayRef;
    let nanos = |value| Arc::new(TimestampNanosecondArray::from(vec![0, value])) as ArrayRef;
    let text = |value| Arc::new(StringArray::from(vec![None, Some(value)])) as ArrayRef;
    let decimal = |value| Arc::new(Decimal128Array::from(vec![0, value])) as ArrayRef;
    for (array, sql, reason) in [
        (micros(i64::MIN), "timestamp", Reason::ValueOutOfRange),
        (micros(i64::MIN + 946_684_800_000_000), "timestamp", Reason::ValueOutOfRange),
        (
            micros(-211_813_488_000_000_001 + 946_684_800_000_000),
            "timestamp",
            Reason::ValueOutOfRange,
        ),
        (nanos(1), "timestamp", Reason::ValueOutOfRange),
        (micros(1), "timestamp(3)", Reason::ValueOutOfRange),
        (text("a\0b"), "text", Reason::NulInText),
        (text("abcd"), "varchar(3)", Reason::ValueOutOfRange),
        (text("not a uuid"), "uuid", Reason::ValueOutOfRange),
        (Arc::new(Int64Array::from(vec![0, 32_768])), "smallint", Reason::ValueOutOfRange),
        (Arc::new(UInt64Array::from(vec![0, u64::MAX])), "bigint", Reason::ValueOutOfRange),
        (Arc::new(Int64Array::from(vec![0, 1000])), "numeric(5,2)", Reason::ValueOutOfRange),
        (Arc::new(Date64Array::from(vec![0, 1])), "date", Reason::ValueOutOfRange),
        (Arc::new(Date32Array::from(vec![0, i32::MIN])), "date", Reason::ValueOutOfRange),
        // decimal128(38, 10): one digit more than the column has after the point.
        (decimal(1), "numeric(38,9)", Reason::ValueOutOfRange),
    ] {
        let refusal = copied(Arc::clone(&array), sql).expect_err(sql);
        assert_eq!((refusal.reason, refusal.row), (reason, Some(1)), "{sql}: {refusal}");
        assert_eq!(refusal.column.as_deref(), Some("c"));
        assert!(copied(array.slice(0, 1), sql).is_ok(), "{sql}");
    }
}

#[test]
fn values_are_written_as_the_format_says() {
    let bytes = |array: ArrayRef, sql: &str| copied(array, sql).expect(sql);
    let some = |bytes: &[u8]| Some(bytes.to_vec());
    let int = Arc::new(Int8Array::from(vec![Some(-2), None]));
    assert_eq!(bytes(int.clone(), "smallint"), [some(&[255, 254]), None]);
    assert_eq!(bytes(int, "bigint")[0], some(&(-2_i64).to_be_bytes()));
    let float = Arc::new(Float32Array::from(vec![0.1]));
    assert_eq!(bytes(float, "double precision"), [some(&f64::from(0.1_f32).to_be_bytes())]);
    let moment = Arc::new(TimestampSecondArray::from(vec![946_684_801]));
    assert_eq!(bytes(moment, "timestamp"), [some(&1_000_000_i64.to_be_bytes())]);
    let uuid = Arc::new(StringArray::from(vec!["00000000-0000-0000-0000-0000000000ff"]));
    assert_eq!(bytes(uuid, "uuid")[0].as_ref().map(|uuid| uuid[15]), Some(255));
    let list = ListArray::from_iter_primitive::<Int16Type, _, _>([Some(vec![Some(7), None])]);
    let list = bytes(Arc::new(list), "smallint[]").remove(0).expect("an array");
    assert_eq!(list[..20], [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 21, 0, 0, 0, 2, 0, 0, 0, 1]);
    assert_eq!(list[20..], [0, 0, 0, 2, 0, 7, 255, 255, 255, 255]);
    let keys = Int8Array::from(vec![Some(1), None, Some(0)]);
    let values = StringArray::from(vec!["x", "yy"]);
    let dictionary = DictionaryArray::new(keys, Arc::new(values));
    assert_eq!(bytes(Arc::new(dictionary), "text"), [some(b"yy"), None, some(b"x")]);
}

#[test]
fn types_that_do_not_go_together_are_a_mismatch_even_without_rows() {
    for (array, sql) in [
        (Arc::new(Float64Array::from(vec![1.0])) as ArrayRef, "real"),
        (Arc::new(Float64Array::from(vec![1.0])), "numeric"),
        (Arc::new(StringArray::from(vec!["1"])), "integer"),
        (Arc::new(TimestampSecondArray::from(vec![1])), "timestamptz"),
        (Arc::new(Int32Array::from(vec![1])), "integer[]"),
        (Arc::new(Int32Array::from(vec![1])), "money"),
    ] {
        assert_eq!(reason(copied(array.slice(0, 0), sql)), Reason::SchemaMismatch, "{sql}");
    }
}

#[test]
fn a_plan_changes_only_what_its_policy_lets_it() {
    let bytes = one(Arc::new(Int32Array::from(vec![1]))).encode().expect("bytes");
    let plan = |policy, description| -> Result<Plan, Refusal> {
        open(bytes.clone())?.plan(&target(policy, description))
    };
    for policy in [Policy::Strict, Policy::AddColumns] {
        assert_eq!(reason(plan(policy, None)), Reason::SchemaMismatch);
    }
    assert_eq!(
        plan(Policy::Create, None).expect("a plan").schema,
        ["CREATE TABLE IF NOT EXISTS \"t\" (\"c\" integer)"]
    );
    let other = || Some(table(&[("d", "text")]));
    assert_eq!(reason(plan(Policy::Strict, other())), Reason::SchemaMismatch);
    assert_eq!(
        plan(Policy::AddColumns, other()).expect("a plan").schema,
        ["ALTER TABLE \"t\" ADD COLUMN IF NOT EXISTS \"c\" integer"]
    );
    let there = plan(Policy::Strict, Some(table(&[("d", "text"), ("c", "bigint")])));
    let there = there.expect("a plan");
    assert_eq!(there.copy, "COPY \"t\" (\"c\") FROM STDIN (FORMAT binary)");
    assert_eq!(there.types[0].kind(), Kind::Int8);
}

#[test]
fn a_column_of_nulls_alone_is_not_made_and_not_written_until_a_table_has_it() {
    let fields = ["a", "b"].map(|name| {
        let data_type = if name == "a" { DataType::Null } else { DataType::Int8 };
        Field::new(name, data_type, true)
    });
    let arrays: Vec<ArrayRef> =
        vec![Arc::new(NullArray::new(1)), Arc::new(Int8Array::from(vec![7]))];
    let bytes = frame(fields.to_vec(), arrays).encode().expect("bytes");
    let given = json!({ "org": "x", "none": null }).as_object().expect("an object").clone();
    let mut job = Job::open(bytes, &given, LIMITS).expect("a job");
    let mut plan = |policy, description| job.plan(&target(policy, description));
    let made = plan(Policy::Create, None).expect("a plan").schema;
    assert_eq!(made, ["CREATE TABLE IF NOT EXISTS \"t\" (\"b\" smallint, \"org\" text)"]);
    let added = plan(Policy::AddColumns, Some(table(&[("b", "smallint")]))).expect("a plan").schema;
    assert_eq!(added, ["ALTER TABLE \"t\" ADD COLUMN IF NOT EXISTS \"org\" text"]);
    let narrow = [("b", "smallint"), ("org", "text")];
    assert_eq!(reason(plan(Policy::Strict, Some(table(&narrow)))), Reason::SchemaMismatch);
    let narrow = plan(Policy::Create, Some(table(&narrow))).expect("a plan");
    assert!(narrow.copy.contains("(\"b\", \"org\")"), "{}", narrow.copy);
    let rows = rows_of(&all(&mut job, 1 << 20).expect("bytes"));
    assert_eq!(rows, [[Some(vec![0, 7]), Some(b"x".to_vec())]]);
    // Where the table has it, a NULL is a NULL and not the column's default.
    let wide = [("b", "smallint"), ("a", "integer"), ("none", "date"), ("org", "text")];
    let wide = job.plan(&target(Policy::Create, Some(table(&wide)))).expect("a plan");
    assert!(wide.copy.contains("(\"a\", \"b\", \"org\", \"none\")"), "{}", wide.copy);
    let rows = rows_of(&all(&mut job, 1 << 20).expect("bytes"));
    assert_eq!(rows, [[None, Some(vec![0, 7]), Some(b"x".to_vec()), None]]);
    // Lists of NULLs say as little, and a column of texts would refuse the lists of numbers that come later.
    let lists = DataType::new_list(DataType::Null, true);
    let fields = vec![Field::new("l", lists.clone(), true), Field::new("b", DataType::Int8, true)];
    let arrays: Vec<ArrayRef> = vec![new_null_array(&lists, 1), Arc::new(Int8Array::from(vec![7]))];
    let bytes = frame(fields, arrays).encode().expect("bytes");
    let made = open(bytes).expect("a job").plan(&target(Policy::Create, None)).expect("a plan");
    assert_eq!(made.schema, ["CREATE TABLE IF NOT EXISTS \"t\" (\"b\" smallint)"]);
    // Rows of nothing, for a table that has none of it.
    let bytes = one(Arc::new(NullArray::new(2))).encode().expect("bytes");
    for description in [None, Some(table(&[("n", "integer")]))] {
        let plan = open(bytes.clone()).expect("a job").plan(&target(Policy::Create, description));
        assert_eq!(reason(plan), Reason::SchemaMismatch);
    }
}

#[test]
fn a_table_with_policies_for_rows_is_staged() {
    let bytes = one(Arc::new(Int32Array::from(vec![1]))).encode().expect("bytes");
    let description = Description { no_copy: true, ..table(&[("c", "numeric(5,0)")]) };
    let plan = open(bytes).expect("a job").plan(&target(Policy::Strict, Some(description)));
    let plan = plan.expect("a plan");
    assert_eq!(
        plan.before,
        ["CREATE TEMPORARY TABLE framelock_stage (\"c\" numeric(5,0)) ON COMMIT DROP"]
    );
    assert!(plan.copy.contains("pg_temp.framelock_stage"), "{}", plan.copy);
    let insert = "INSERT INTO \"t\" (\"c\") OVERRIDING SYSTEM VALUE";
    assert_eq!(plan.after, [format!("{insert} SELECT \"c\" FROM pg_temp.framelock_stage")]);
}

#[test]
fn names_that_would_be_cut_are_refused() {
    let long = "ä".repeat(32);
    let named = |name: &str| {
        let field = Field::new(name, DataType::Int8, true);
        frame(vec![field], vec![Arc::new(Int8Array::from(vec![1]))]).encode().expect("bytes")
    };
    let plan = |bytes, table: &str| {
        open(bytes)?.plan(&Target { table: table.into(), ..target(Policy::Create, None) })
    };
    assert_eq!(reason(plan(named(&long), "t")), Reason::InvalidName);
    assert_eq!(reason(plan(named("c"), &long)), Reason::InvalidName);
    assert_eq!(reason(plan(named(""), "t")), Reason::InvalidName);
    for system in ["xmin", "xmax", "cmin", "cmax", "ctid", "tableoid"] {
        assert_eq!(reason(plan(named(system), "t")), Reason::InvalidName, "{system}");
    }
    assert!(plan(named(&long[..62]), &"x".repeat(63)).is_ok());
}

#[test]
fn a_zone_with_a_nul_is_refused_whether_the_table_is_there_or_not() {
    let at = TimestampMillisecondArray::from(vec![0]).with_timezone("UTC\0");
    let bytes = one(Arc::new(at)).encode().expect("bytes");
    for description in [None, Some(table(&[("c", "timestamptz")]))] {
        let plan = open(bytes.clone()).expect("a job").plan(&target(Policy::Create, description));
        assert_eq!(reason(plan), Reason::NulInText);
    }
}

#[test]
fn constants_are_the_servers_alone() {
    let bytes = one(Arc::new(Int32Array::from(vec![1, 2]))).encode().expect("bytes");
    let constants = |json: Value| json.as_object().expect("an object").clone();
    let forged = Job::open(bytes.clone(), &constants(json!({ "c": 1 })), LIMITS);
    assert_eq!(reason(forged), Reason::SchemaMismatch);
    let given = constants(json!({ "tenant": "a", "n": 1, "no": null }));
    let mut job = Job::open(bytes, &given, LIMITS).expect("a job");
    let types = [("c", "integer"), ("tenant", "text"), ("n", "smallint"), ("no", "text")];
    let plan = job.plan(&target(Policy::Strict, Some(table(&types)))).expect("a plan");
    assert!(plan.copy.contains("(\"c\", \"tenant\", \"n\", \"no\")"), "{}", plan.copy);
    let rows = rows_of(&all(&mut job, 1 << 20).expect("bytes"));
    for (row, value) in rows.iter().zip([1, 2]) {
        let wanted = [Some(vec![0, 0, 0, value]), Some(b"a".to_vec()), Some(vec![0, 1]), None];
        assert_eq!(row[..], wanted);
    }
}

#[test]
fn rows_and_bytes_are_limited() {
    let rows = one(Arc::new(Int32Array::from(vec![1; 11]))).encode().expect("bytes");
    let open = |bytes: &[u8], max_rows, max_bytes| {
        Job::open(bytes.to_vec(), &Map::new(), Limits { max_rows, max_bytes })
    };
    assert_eq!(reason(open(&rows, 10, 1 << 20)), Reason::TooLarge);
    // A dictionary says a long text once and means it a thousand times.
    let values = StringArray::from(vec!["x".repeat(10_000)]);
    let keys = Int16Array::from(vec![0; 1000]);
    let bomb = one(Arc::new(DictionaryArray::new(keys, Arc::new(values)))).encode().expect("bytes");
    let mut job = open(&bomb, 1000, 1 << 20).expect("a job");
    job.plan(&target(Policy::Strict, Some(table(&[("c", "text")])))).expect("a plan");
    assert_eq!(reason(all(&mut job, 64 << 10)), Reason::TooLarge);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(4_000),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_frame_is_written_or_refused_for_a_value(
        types in proptest::collection::vec(column_type(), 1..4),
        batches in proptest::collection::vec((0..3_usize, 0..5_usize), 1..3),
        piece in 1..200_usize,
        seed in any::<u64>(),
    ) {
        let mut rng = Rng(seed);
        let fields = types.iter().enumerate();
        let fields: Vec<_> =
            fields.map(|(i, t)| Field::new(format!("c{i}"), t.clone(), true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let batches: Vec<_> = batches.iter().map(|(skip, rows)| {
            let columns =
                types.iter().map(|t| array(t, skip + rows, true, &mut rng).slice(*skip, *rows));
            RecordBatch::try_new(schema.clone(), columns.collect()).expect("a batch")
        }).collect();
        let frame = Frame::new(schema, batches);
        let bytes = frame.encode().expect("bytes");
        let whole = match written(bytes.clone(), usize::MAX) {
            Ok(whole) => whole,
            Err(refusal) => {
                let values = [Reason::ValueOutOfRange, Reason::NulInText];
                let twins = refusal.reason == Reason::UnsupportedType;
                prop_assert!(values.contains(&refusal.reason) || twins, "{}", refusal);
                prop_assert_eq!(refusal.row.is_some(), !twins, "{}", refusal);
                return Ok(());
            }
        };
        // However it is cut, it is the same.
        prop_assert_eq!(&written(bytes, piece).expect("the same"), &whole);
        let rows = rows_of(&whole);
        prop_assert_eq!(rows.len() as u64, frame.rows);
        let mut rows = rows.iter();
        for batch in &frame.batches {
            for i in 0..batch.num_rows() {
                let row = rows.next().expect("a row");
                for (column, value) in batch.columns().iter().zip(row) {
                    let null = column.logical_nulls().is_some_and(|nulls| nulls.is_null(i));
                    let null = null || *column.data_type() == DataType::Null;
                    prop_assert_eq!(value.is_none(), null);
                    if let (DataType::Utf8, Some(value)) = (column.data_type(), value) {
                        prop_assert_eq!(&value[..], column.as_string::<i32>().value(i).as_bytes());
                    }
                    if let (DataType::Int64, Some(value)) = (column.data_type(), value) {
                        let wanted = column.as_primitive::<Int64Type>().value(i);
                        prop_assert_eq!(&value[..], wanted.to_be_bytes());
                    }
                }
            }
        }
    }
}
