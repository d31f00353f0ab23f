//! `docs/types.md` is written from what the code does: every cell of its tables is the outcome of
//! an append, a read or a question to the code. A test fails when the page is stale;
//! `FRAMELOCK_WRITE_DOCS=1 cargo test --test frame types_doc` writes it anew.

mod columns;
mod plain;
mod stored;

use std::fmt::Write as _;

use arrow::datatypes::DataType;
use framelock::error::Error;
use framelock::frame::types::{self, ColumnType};

const INTRODUCTION: &str = "\
# How Arrow types are stored, and read back

<!-- Written by tests/frame/types_doc from what the code does. To write it anew:
     FRAMELOCK_WRITE_DOCS=1 cargo test --test frame types_doc -->

Nothing is changed silently. SQL sees ordinary values, and `queryArrow` gives back the types that were written.

The columns that framelock makes are declared `INTEGER`, `REAL`, `TEXT` or `BLOB` and nothing else, because SQLite rewrites text in columns declared `DATE`, `BOOLEAN`
or `DECIMAL` (`'0123'` becomes 123). The exact Arrow field, with its nullability and metadata (extension types too), is kept in the table `_framelock_columns`, the
*catalogue*, and is checked before the first row of an append.
";

const READING: &str = "\n\
## What a query gives

A column of the result that is a plain reference to a table's column has the type that the catalogue has, also through joins, subqueries and views. Anything else has
the type of its values.

So has what may come out of a compound SELECT, because its branches may count in different units. If `UNION`, `INTERSECT`, `EXCEPT`, or `VALUES` with several rows, is
in the statement or in a view that it names, no column of the result has a catalogue type. There are three exceptions:

- A query that is a compound at its outermost level keeps the types in which its branches agree.
- A compound behind `IN` or `EXISTS` changes nothing.
- A compound in a common table expression that lists its columns (`WITH RECURSIVE n(i) AS (…)`) only affects the columns that come out of it.

With `dates: true`, timestamps, `date32` and `date64` come back as `Date`s, cut off to milliseconds, whether they are stored as integers or as ISO 8601. One that is more
than 8.64e15 milliseconds from 1970 is `LOSSY_VALUE`, naming row and column.

By default columns of `int64` and `uint64` come back as bigints, and an expression's integer as a number where that is exact and as a bigint where it is not. With
`int64: 'number'` both are numbers, and an integer beyond 2^53 − 1 is `LOSSY_VALUE`.

## The row id

In a table that was made by SQL, the one `INTEGER PRIMARY KEY` (without `DESC`) is the table's row id: SQLite makes up a number for a row that comes without one.

- NULL in that column is `LOSSY_VALUE`. `lossy: 'warn'` and `'allow'` let SQLite number it where the frame is taken without the column, too.
- A frame without that column is taken if the column has no catalogue type, or one of integers of 32 or 64 bits. If it counts something else, or has less
  room, the frame is `SCHEMA_MISMATCH`.
";

#[test]
fn docs_types_md_says_what_the_code_does() {
    let mut page = INTRODUCTION.to_owned();
    stored::every_type(&mut page);
    columns::widening(&mut page);
    columns::losses(&mut page);
    columns::other_peoples(&mut page);
    plain::inference(&mut page);
    plain::kinds(&mut page);
    plain::nearest(&mut page);
    page.push_str(READING);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/types.md");
    if std::env::var_os("FRAMELOCK_WRITE_DOCS").is_some() {
        std::fs::write(path, &page).expect("docs/types.md");
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    let differs = page.lines().zip(found.lines()).find(|(now, then)| now != then);
    assert!(
        page == found,
        "docs/types.md is stale; FRAMELOCK_WRITE_DOCS=1 cargo test --test frame types_doc writes \
         it anew. The first line that differs: {differs:?}"
    );
}

/// Every type without parameters, and some of each kind that has them.
const TYPES: &[&str] = &[
    "null",
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
    "utf8",
    "large_utf8",
    "utf8_view",
    "binary",
    "large_binary",
    "binary_view",
    "fixed_size_binary(16)",
    "decimal32(9, 2)",
    "decimal64(18, 2)",
    "decimal128(38, 2)",
    "decimal128(38, 9)",
    "decimal256(76, 0)",
    "date32",
    "date64",
    "time32[s]",
    "time32[ms]",
    "time64[us]",
    "time64[ns]",
    "timestamp[s]",
    "timestamp[ns]",
    "timestamp[ms, UTC]",
    "timestamp[ns, UTC]",
    "duration[s]",
    "duration[ns]",
    "interval[year_month]",
    "interval[day_time]",
    "interval[month_day_nano]",
    "list<int64>",
    "large_list<int64>",
    "list_view<int64>",
    "large_list_view<int64>",
    "fixed_size_list<int64, 2>",
    "struct<a: int64>",
    "map<utf8, int64>",
];

fn parse(name: &str) -> DataType {
    match types::parse(name) {
        Ok(ColumnType::Arrow(data_type)) => data_type,
        other => panic!("{name}: {other:?}"),
    }
}

fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}

/// What an error says, in backticks.
fn refusal(error: &Error) -> String {
    code(error.code.as_str())
}

/// A heading, what stands below it, and the head of a table.
fn section(page: &mut String, title: &str, text: &str, columns: &[&str]) {
    let rule = "|---".repeat(columns.len());
    write!(page, "\n## {title}\n\n{text}\n\n| {} |\n{rule}|\n", columns.join(" | "))
        .expect("a string takes all");
}

fn row(page: &mut String, cells: &[String]) {
    writeln!(page, "| {} |", cells.join(" | ")).expect("a string takes all");
}
