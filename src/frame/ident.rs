//! Names: what may be one, how it is quoted, when two are the same.

use arrow::datatypes::Schema;

use crate::error::{Code, Error, Result};
use crate::sorted::SortedMap;

/// SQLite's default limit on the columns of a table.
pub const MAX_COLUMNS: usize = 2_000;

/// A name as a quoted SQL identifier: `my "table"` becomes `"my ""table"""`.
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table as SQL names it, in the database's file: without the schema's name, a TEMP table or view of the same name, which
/// is one connection's alone, would come first.
pub fn qualified(table: &str) -> String {
    format!("main.{}", quote(table))
}

/// The form under which SQLite takes two names for one: ASCII letters lowered, nothing else.
pub fn fold(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// Whether a table of this name may be written.
///
/// # Errors
/// `INVALID_ARGUMENT` for an empty name, one with U+0000, and the prefixes `sqlite_` and
/// `_framelock_` in any case.
pub fn check_table_name(name: &str) -> Result<()> {
    let refuse = |why: &str| Err(Error::new(Code::InvalidArgument, format!("a table name {why}")));
    let folded = fold(name);
    if name.is_empty() {
        refuse("must not be empty")
    } else if name.contains('\0') {
        refuse("must not contain U+0000")
    } else if folded.starts_with("sqlite_") || folded.starts_with("_framelock_") {
        refuse("must not start with sqlite_ or _framelock_")
    } else {
        Ok(())
    }
}

/// The names of a schema's columns.
pub fn names(schema: &Schema) -> Vec<&str> {
    schema.fields().iter().map(|field| &**field.name()).collect()
}

/// Whether a table can have columns of these names.
///
/// # Errors
/// `INVALID_FRAME` for two names that SQLite takes for one and for more than [`MAX_COLUMNS`];
/// `INVALID_ARGUMENT` for a name with U+0000.
pub fn check_columns(names: &[&str]) -> Result<()> {
    if names.len() > MAX_COLUMNS {
        let why = format!("{} columns, but SQLite has at most {MAX_COLUMNS}", names.len());
        return Err(Error::new(Code::InvalidFrame, why));
    }
    let mut seen = SortedMap::new();
    for name in names {
        if name.contains('\0') {
            return Err(Error::new(Code::InvalidArgument, "a column name must not contain U+0000")
                .in_column(name));
        }
        if let Some(first) = seen.insert(fold(name), name) {
            let why = match first == name {
                true => format!("two columns are named {name:?}"),
                false => format!("two column names differ only in case: {first:?} and {name:?}"),
            };
            return Err(Error::new(Code::InvalidFrame, why).in_column(name));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_quoted_or_refused() {
        assert_eq!(quote("a\"b"), "\"a\"\"b\"");
        assert_eq!(qualified("t"), "main.\"t\"");
        assert_eq!(quote(""), "\"\"");
        for name in ["ticks", "select", "a\"; DROP TABLE b; --", "😀", "__proto__", " "] {
            assert!(check_table_name(name).is_ok(), "{name:?}");
        }
        for name in ["", "a\0b", "sqlite_master", "SQLITE_x", "_FrameLock_columns"] {
            let error = check_table_name(name).unwrap_err();
            assert_eq!(error.code, Code::InvalidArgument, "{name:?}");
        }
    }

    #[test]
    fn names_that_differ_only_by_ascii_case_are_one() {
        let check = |names: &[&str]| check_columns(names).map_err(|error| error.code);
        assert_eq!(check(&["a", "b", "", "ä", "Ä"]), Ok(()));
        assert_eq!(check(&["a", "A"]), Err(Code::InvalidFrame));
        assert_eq!(check(&["a\0"]), Err(Code::InvalidArgument));
    }
}
