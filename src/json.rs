//! JSON that is read into types: all of it by way of a [`Value`].
//!
//! serde compiles a reader for every pair of a type and a format. By way of a value there is one
//! format: the text is parsed in one place, and serde's own detour for tagged and flattened types,
//! which is a format too, is not taken.

use serde::de::{DeserializeOwned, Deserializer, Error};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Result, Value};

/// Reads a type from JSON.
///
/// # Errors
/// When it is none, or of another shape.
pub fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T> {
    T::deserialize(serde_json::from_slice::<Value>(text)?)
}

/// `{"want":{"from":"a"}}`, serde's form of an enum, as `{"kind":"want","from":"a"}`. Every variant
/// has fields.
pub fn write_tagged<T: Serialize>(variant: &T, tag: &str) -> Option<Vec<u8>> {
    let text = serde_json::to_vec(variant).ok()?;
    let colon = text.iter().position(|byte| *byte == b':')?;
    let (name, fields) = (text.get(1..colon)?, text.get(colon + 2..text.len() - 1)?);
    Some([b"{\"", tag.as_bytes(), b"\":", name, b",", fields].concat())
}

/// The way back: `{"kind":"want","from":"a"}` as `{"want":{"from":"a"}}`.
///
/// # Errors
/// When it does not say what it is.
pub fn untagged(mut value: Value, tag: &str) -> Result<Value> {
    match value.as_object_mut().and_then(|fields| fields.shift_remove(tag)) {
        Some(Value::String(name)) => Ok(Value::Object(Map::from_iter([(name, value)]))),
        _ => Err(Error::custom("it does not say what it is")),
    }
}

/// Reads two types whose fields are side by side.
pub fn both<'de, D, A, B>(deserializer: D) -> std::result::Result<(A, B), D::Error>
where
    D: Deserializer<'de>,
    A: DeserializeOwned,
    B: DeserializeOwned,
{
    let value = Value::deserialize(deserializer)?;
    let a = A::deserialize(value.clone()).map_err(D::Error::custom)?;
    Ok((a, B::deserialize(value).map_err(D::Error::custom)?))
}
