//! The catalogue: the table in which each column's Arrow field is kept, so that reads restore it.
//!
//! Layout, version 1: one row for each column that framelock has typed.
//!
//! ```text
//! table_name, column_name   the column, compared as SQLite compares names
//! arrow_type                the type's name, for people; nothing reads it
//! field                     an IPC Schema message (flatbuffer, no prefix) with exactly this field:
//!                           name, type, nullability, dictionary, metadata; a date or time that is
//!                           stored as text has `framelock:storage` = `iso8601` in its metadata
//! ```

use arrow::buffer::Buffer;
use arrow::datatypes::{Field, Schema};
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteOptions};
use arrow::ipc::{convert::try_fb_to_schema, root_as_message};

use super::storage::{Affinity, Encoding};
use super::verify_schema::{Dictionaries, check_field, check_flatbuffer};
use crate::error::{Code, Error, Result};

/// Makes the catalogue where there is none.
pub const COLUMNS_DDL: &str = "CREATE TABLE IF NOT EXISTS main._framelock_columns(\
    table_name TEXT NOT NULL COLLATE NOCASE, \
    column_name TEXT NOT NULL COLLATE NOCASE, \
    arrow_type TEXT NOT NULL, \
    field BLOB NOT NULL, \
    PRIMARY KEY(table_name, column_name)) WITHOUT ROWID";

/// Writes one row; parameters: table, column, type's name, field.
pub const UPSERT_SQL: &str = "INSERT INTO main._framelock_columns\
    (table_name, column_name, arrow_type, field) VALUES(?1, ?2, ?3, ?4) \
    ON CONFLICT(table_name, column_name) DO UPDATE SET \
    arrow_type = excluded.arrow_type, field = excluded.field";

/// Forgets a table's columns; parameter: table.
pub const DELETE_SQL: &str = "DELETE FROM main._framelock_columns WHERE table_name = ?1";

/// A field as the bytes of the `field` column. The same field gives the same bytes.
///
/// # Errors
/// None known; a type that Arrow cannot write would be `UNSUPPORTED_TYPE`.
pub fn encode_field(field: &Field) -> Result<Vec<u8>> {
    let schema = Schema::new(vec![field.clone()]);
    let mut dictionaries = DictionaryTracker::new(false);
    let encoded = IpcDataGenerator::default().schema_to_bytes_with_dictionary_tracker(
        &schema,
        &mut dictionaries,
        &IpcWriteOptions::default(),
    );
    Ok(encoded.ipc_message)
}

/// The field that [`encode_field`] wrote.
///
/// # Errors
/// `CORRUPT` for bytes that are not such a message: somebody has written to the catalogue.
pub fn decode_field(bytes: &[u8]) -> Result<Field> {
    let corrupt = || Error::new(Code::Corrupt, "the type catalogue holds bytes that are no type");
    let aligned = Buffer::from_slice_ref(bytes);
    let message = root_as_message(&aligned).map_err(|_| corrupt())?;
    let schema = message.header_as_schema().ok_or_else(corrupt)?;
    check_flatbuffer(schema).map_err(|_| corrupt())?;
    let schema = try_fb_to_schema(schema).map_err(|_| corrupt())?;
    let [field] = schema.fields().as_ref() else {
        return Err(corrupt());
    };
    check_field(field, &mut Dictionaries::new()).map_err(|_| corrupt())?;
    Ok(field.as_ref().clone())
}

/// The metadata key that says how a column is stored where its type has a choice.
const STORAGE_KEY: &str = "framelock:storage";

/// A field with the mark of a column that is stored as ISO 8601 text.
pub fn mark_iso8601(mut field: Field) -> Field {
    field.metadata_mut().insert(STORAGE_KEY, "iso8601");
    field
}

/// Whether a catalogue field's column is stored as ISO 8601 text.
pub fn is_iso8601(field: &Field) -> bool {
    field.metadata().get(STORAGE_KEY).is_some_and(|storage| storage == "iso8601")
}

/// A catalogue field as it was written: without our mark.
pub fn unmarked(mut field: Field) -> Field {
    field.metadata_mut().remove(STORAGE_KEY);
    field
}

/// Whether a catalogue row can be about a column that is declared `declared`. It cannot when the
/// table was dropped and made anew by plain SQL, with other types: then the row is stale.
pub fn applies(field: &Field, declared: &str, strict: bool) -> bool {
    let affinity = Affinity::of(declared, strict);
    let encoding = Encoding::of(field.data_type(), is_iso8601(field));
    encoding.is_ok_and(|encoding| match affinity {
        Affinity::Blob | Affinity::Numeric => true,
        other => other == Affinity::of(encoding.declared().as_sql(), false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{DataType, TimeUnit};
    use std::sync::Arc;

    #[test]
    fn a_field_comes_back_whole() {
        let item = Field::new("item", DataType::Utf8View, false)
            .with_metadata([("deep".to_owned(), "1".to_owned())]);
        for data_type in [
            DataType::Int8,
            DataType::Timestamp(TimeUnit::Nanosecond, Some("+05:30".into())),
            DataType::Dictionary(Box::new(DataType::UInt16), Box::new(DataType::Utf8)),
            DataType::List(Arc::new(item)),
            DataType::Decimal256(76, -3),
        ] {
            let field = Field::new("ä \"b\"", data_type, false)
                .with_metadata([("k".to_owned(), "v".to_owned()), ("j".to_owned(), String::new())]);
            let bytes = encode_field(&field).unwrap();
            assert_eq!(bytes, encode_field(&field).unwrap());
            assert_eq!(decode_field(&bytes).unwrap(), field);
        }
    }

    #[test]
    fn damaged_fields_are_corrupt() {
        let bytes = encode_field(&Field::new("a", DataType::Int8, true)).unwrap();
        for end in 0..bytes.len() - 16 {
            if let Err(error) = decode_field(&bytes[..end]) {
                assert_eq!(error.code, Code::Corrupt);
            }
        }
        assert_eq!(decode_field(b"").unwrap_err().code, Code::Corrupt);
    }
}
