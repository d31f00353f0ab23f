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
    match value.as_object_mut().and_then(|fields| fields.remove(tag)) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    enum Said {
        GoodBye { to: String, times: u64 },
        Nothing { why: Option<String> },
    }

    #[test]
    fn a_variant_says_what_it_is_among_its_fields() {
        let cases = [
            (
                Said::GoodBye { to: "a:\"{}".into(), times: u64::MAX },
                r#"{"kind":"goodBye","to":"a:\"{}","times":18446744073709551615}"#,
            ),
            (Said::Nothing { why: None }, r#"{"kind":"nothing","why":null}"#),
        ];
        for (said, text) in cases {
            assert_eq!(write_tagged(&said, "kind").as_deref(), Some(text.as_bytes()));
            let value = untagged(read(text.as_bytes()).unwrap(), "kind").unwrap();
            assert_eq!(Said::deserialize(value).unwrap(), said);
        }
    }

    #[test]
    fn what_does_not_say_it_is_refused() {
        for text in ["{}", "[]", "null", r#"{"kind":1}"#, r#"{"is":"nothing"}"#] {
            assert!(untagged(read(text.as_bytes()).unwrap(), "kind").is_err(), "{text}");
        }
        let other = untagged(read(br#"{"kind":"other"}"#).unwrap(), "kind").unwrap();
        assert!(Said::deserialize(other).is_err());
    }
}
