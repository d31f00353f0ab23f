//! What a caller may say about an append, as plain data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::types::{self, ColumnType};

/// The options of `appendFrame` that concern the table; the ladder's stand with the ladder.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct AppendOptions {
    /// What becomes of the table and of rows that are there.
    pub mode: Mode,
    /// For upsert and ignore: the columns that identify a row; default the table's primary key.
    pub key: Option<Vec<String>>,
    /// How the frame's columns find the table's.
    #[serde(rename = "match")]
    pub matching: Match,
    /// What becomes of a column that the table does not have.
    pub extra_columns: ExtraColumns,
    /// What becomes of a column that the frame does not have.
    pub missing_columns: MissingColumns,
    /// The types of columns, by their names in the frame.
    pub types: BTreeMap<String, ColumnType>,
    /// What becomes of values that cannot be kept exactly.
    pub lossy: Lossy,
}

/// What becomes of the table and of rows that are there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// The table must not exist.
    Create,
    /// The table must exist.
    Append,
    /// The table is created when it does not exist.
    #[default]
    CreateAppend,
    /// The table is dropped and created anew.
    Replace,
    /// The table's rows are deleted first; it is created when it does not exist.
    DeleteRows,
    /// A row with a known key takes the frame's values.
    Upsert,
    /// A row with a known key stays as it is.
    Ignore,
}

impl Mode {
    /// Whether a key identifies rows.
    pub fn is_keyed(self) -> bool {
        matches!(self, Mode::Upsert | Mode::Ignore)
    }

    /// Whether rows are only ever added: what a server's table can follow.
    pub fn only_adds(self) -> bool {
        matches!(self, Mode::Create | Mode::Append | Mode::CreateAppend)
    }
}

/// How the frame's columns find the table's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Match {
    /// By name, as SQLite compares names.
    #[default]
    Name,
    /// The first to the first, the second to the second.
    Position,
}

/// What becomes of a column that the table does not have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ExtraColumns {
    /// `SCHEMA_MISMATCH`.
    #[default]
    Error,
    /// It is not written.
    Drop,
    /// The table gets it.
    Add,
}

/// What becomes of a column that the frame does not have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MissingColumns {
    /// `SCHEMA_MISMATCH`.
    Error,
    /// Its `DEFAULT`, else NULL.
    #[default]
    Default,
}

/// What becomes of values that cannot be kept exactly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Lossy {
    /// `LOSSY_VALUE`, and nothing is written.
    #[default]
    Error,
    /// They are changed and counted, and the caller wants to hear of it.
    Warn,
    /// They are changed and counted.
    Allow,
}

impl Serialize for ColumnType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            ColumnType::Arrow(data_type) => serializer.serialize_str(&types::name(data_type)),
            ColumnType::Iso8601 => serializer.serialize_str("iso8601"),
        }
    }
}

impl<'de> Deserialize<'de> for ColumnType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        types::parse(&text).map_err(|error| serde::de::Error::custom(error.message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::DataType;

    #[test]
    fn options_read_as_the_contract_spells_them() {
        let options: AppendOptions = serde_json::from_str(
            r#"{"mode":"deleteRows","match":"position","extraColumns":"add","lossy":"warn",
                "missingColumns":"error","key":["id"],"types":{"a":"int64","b":"iso8601"}}"#,
        )
        .unwrap();
        assert_eq!(options.mode, Mode::DeleteRows);
        assert_eq!(options.matching, Match::Position);
        assert_eq!(options.extra_columns, ExtraColumns::Add);
        assert_eq!(options.missing_columns, MissingColumns::Error);
        assert_eq!(options.types["a"], ColumnType::Arrow(DataType::Int64));
        assert_eq!(options.types["b"], ColumnType::Iso8601);
        let default: AppendOptions = serde_json::from_str("{}").unwrap();
        assert_eq!(default, AppendOptions::default());
    }

    #[test]
    fn unknown_words_are_refused() {
        for text in [
            r#"{"mode":"merge"}"#,
            r#"{"moed":"append"}"#,
            r#"{"types":{"a":"int65"}}"#,
            r#"{"key":"id"}"#,
        ] {
            assert!(serde_json::from_str::<AppendOptions>(text).is_err(), "{text}");
        }
    }
}
