//! One value as SQLite has it.

use std::borrow::Cow;

/// A value on its way into or out of SQLite: one of its five storage classes. Text and blobs are
/// borrowed from Arrow's buffers, or from SQLite's, wherever they stand there as they are.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell<'a> {
    /// No value.
    Null,
    /// A 64-bit integer.
    Integer(i64),
    /// A double.
    Real(f64),
    /// UTF-8 text, which may contain U+0000: bind it with its length.
    Text(Cow<'a, str>),
    /// Bytes; no bytes is a blob of length zero, not NULL.
    Blob(Cow<'a, [u8]>),
}

impl Cell<'_> {
    /// What the value is, for messages.
    pub fn class(&self) -> &'static str {
        match self {
            Cell::Null => "NULL",
            Cell::Integer(_) => "an integer",
            Cell::Real(_) => "a real number",
            Cell::Text(_) => "text",
            Cell::Blob(_) => "a blob",
        }
    }
}
