//! The columns that identify a row, for upsert and ignore.

use std::collections::BTreeSet;

use arrow::datatypes::Schema;

use super::ident::{fold, qualified, quote};
use super::options::{AppendOptions, Mode};
use super::plan::{PlannedColumn, argument, mismatch};
use super::table::TableState;
use crate::error::{Error, Result};

/// The error of a key's column that is not there.
pub fn not_in_frame(name: &str) -> Error {
    mismatch("the frame does not have this key column").in_column(name)
}

/// The key's columns in a frame that makes its table.
pub fn in_frame(schema: &Schema, options: &AppendOptions) -> Result<Vec<usize>> {
    let mut key = Vec::new();
    for name in options.key.iter().flatten() {
        let fields = schema.fields();
        let index = fields.iter().position(|field| field.name().eq_ignore_ascii_case(name));
        key.push(index.ok_or_else(|| not_in_frame(name))?);
    }
    if key.is_empty() && options.mode.is_keyed() {
        return Err(argument("the table does not exist yet, so key must name the columns"));
    }
    Ok(key)
}

/// The key's columns in a table that is there, all of them written by the plan; and, where the table
/// is one of ours and nothing makes its rows unique by them, what does.
pub fn in_table(
    table: &str,
    state: &TableState,
    options: &AppendOptions,
    columns: &[PlannedColumn],
) -> Result<(Vec<String>, Option<String>)> {
    if !options.mode.is_keyed() {
        return Ok((Vec::new(), None));
    }
    let primary = state.primary_key();
    let key = options.key.clone().unwrap_or_else(|| primary.clone());
    if key.is_empty() {
        return Err(argument("the table has no primary key, so key must name the columns"));
    }
    for name in &key {
        if !columns.iter().any(|column| column.name.eq_ignore_ascii_case(name)) {
            return Err(not_in_frame(name));
        }
    }
    let set = |names: &[String]| {
        let mut set = BTreeSet::new();
        // Not `collect`, which brings a sort of its own: 8 KB of wasm for a handful of names.
        set.extend(names.iter().map(|name| fold(name)));
        set
    };
    let wanted = set(&key);
    if set(&primary) == wanted || state.unique.iter().any(|names| set(names) == wanted) {
        return Ok((key, None));
    }
    if state.columns.iter().all(|column| column.field.is_none()) {
        return Err(mismatch(format!(
            "rows are not unique by {}; CREATE UNIQUE INDEX would make them so",
            list(&key)
        )));
    }
    let index = qualified(&index_name(table, &key, &state.taken));
    let ddl = format!("CREATE UNIQUE INDEX {index} ON {}({})", quote(table), list(&key));
    Ok((key, Some(ddl)))
}

/// A name that nothing has: `t` by `a` and `b` is `key_t_a_b`, as is `t_a` by `b`.
fn index_name(table: &str, key: &[String], taken: &[String]) -> String {
    let wanted = format!("key_{table}_{}", key.join("_"));
    let mut name = wanted.clone();
    let mut nth = 2;
    while taken.iter().any(|taken| taken.eq_ignore_ascii_case(&name)) {
        name = format!("{wanted}_{nth}");
        nth += 1;
    }
    name
}

/// What follows an insert's values.
pub fn conflict(mode: Mode, key: &[String], columns: &[PlannedColumn]) -> String {
    let in_key = |name: &str| key.iter().any(|key| key.eq_ignore_ascii_case(name));
    let set: Vec<_> = columns
        .iter()
        .filter(|column| !in_key(&column.name))
        .map(|column| format!("{0}=excluded.{0}", quote(&column.name)))
        .collect();
    match mode {
        Mode::Upsert if !set.is_empty() => {
            format!(" ON CONFLICT({}) DO UPDATE SET {}", list(key), set.join(","))
        }
        Mode::Upsert | Mode::Ignore => format!(" ON CONFLICT({}) DO NOTHING", list(key)),
        _ => String::new(),
    }
}

/// Names, quoted, with commas between them.
pub fn list(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|name| quote(name)).collect();
    names.join(",")
}
