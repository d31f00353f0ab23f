//! JavaScript values in and out: the arguments of calls, and what is posted to the page.

use crate::error::{Code, Error, Result};
use crate::ladder::Attempt;
use crate::node::{Notice, Rejected, Reply, Status};
use crate::store::{PackedColumn, Params, Value};
use js_sys::{Array, BigInt, Function, Object, Reflect, Uint8Array};
use serde::Serialize;
use wasm_bindgen::prelude::*;

/// Sends a message to the page: `(message, transfer)`.
pub type Post = Function;

const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

/// What the platform knows for `status`.
pub struct Facts {
    pub in_memory: bool,
    pub persisted: bool,
    pub bytes: u64,
}

/// A property, or `undefined`.
pub fn get(object: &JsValue, key: &str) -> JsValue {
    Reflect::get(object, &key.into()).unwrap_or(JsValue::UNDEFINED)
}

/// A property that must be text.
///
/// # Errors
/// `INVALID_ARGUMENT` naming it.
pub fn text(object: &JsValue, key: &str) -> Result<String> {
    get(object, key)
        .as_string()
        .ok_or_else(|| Error::new(Code::InvalidArgument, format!("{key} must be a string")))
}

/// A property that may be a number.
pub fn number(object: &JsValue, key: &str) -> Option<f64> {
    get(object, key).as_f64()
}

/// Reads a plain object into a struct that says which fields there are.
///
/// # Errors
/// `INVALID_ARGUMENT` with what serde says, naming the option.
pub fn read<T: serde::de::DeserializeOwned>(value: JsValue, what: &str) -> Result<T> {
    serde_wasm_bindgen::from_value(value).map_err(|error| {
        // As JavaScript prints an error, it begins with its kind.
        let said = error.to_string();
        let why = said.strip_prefix("Error: ").unwrap_or(&said);
        Error::new(Code::InvalidArgument, format!("{what}: {why}"))
    })
}

/// Statement parameters: an array, an object, or nothing.
///
/// # Errors
/// `INVALID_ARGUMENT` for a value of the wrong kind or a bigint outside int64.
pub fn params(value: &JsValue) -> Result<Params> {
    if value.is_undefined() || value.is_null() {
        return Ok(Params::None);
    }
    if let Some(array) = value.dyn_ref::<Array>() {
        if array.length() == 0 {
            return Ok(Params::None);
        }
        return array.iter().map(|v| sql_value(&v)).collect::<Result<_>>().map(Params::Positional);
    }
    let entries = Object::entries(value.unchecked_ref());
    let mut named = Vec::new();
    for entry in entries.iter() {
        let entry: Array = entry.unchecked_into();
        named.push((entry.get(0).as_string().unwrap_or_default(), sql_value(&entry.get(1))?));
    }
    Ok(if named.is_empty() { Params::None } else { Params::Named(named) })
}

fn sql_value(value: &JsValue) -> Result<Value> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    if let Some(number) = value.as_f64() {
        let integral = number.trunc() == number && number.abs() <= MAX_SAFE_INTEGER;
        let negative_zero = number == 0.0 && number.is_sign_negative();
        return Ok(if integral && !negative_zero {
            Value::Integer(number as i64)
        } else {
            Value::Real(number)
        });
    }
    if let Some(text) = value.as_string() {
        return Ok(Value::Text(text));
    }
    if let Some(truth) = value.as_bool() {
        return Ok(Value::Integer(i64::from(truth)));
    }
    if let Some(bytes) = value.dyn_ref::<Uint8Array>() {
        return Ok(Value::Blob(bytes.to_vec()));
    }
    if let Some(big) = value.dyn_ref::<BigInt>() {
        return i64::try_from(big.clone())
            .map(Value::Integer)
            .map_err(|_| Error::new(Code::InvalidArgument, "a bigint parameter outside int64"));
    }
    Err(Error::new(Code::InvalidArgument, "a parameter of a kind that SQLite does not have"))
}

fn to_js(value: &impl Serialize) -> JsValue {
    let serializer = serde_wasm_bindgen::Serializer::json_compatible();
    value.serialize(&serializer).unwrap_or(JsValue::UNDEFINED)
}

/// A plain object of these.
pub fn object(entries: &[(&str, JsValue)]) -> Object {
    let object = Object::new();
    for (key, value) in entries {
        // Setting a property of an object of our own making does not fail.
        let _always = Reflect::set(&object, &(*key).into(), value);
    }
    object
}

/// An error as the plain object that the page makes a `FramelockError` of.
pub fn error_object(error: &Error, attempts: &[Attempt]) -> JsValue {
    let mut entries: Vec<(&str, JsValue)> =
        vec![("code", error.code.as_str().into()), ("message", error.message.as_str().into())];
    if let Some(table) = &error.table {
        entries.push(("table", table.as_str().into()));
    }
    if let Some(column) = &error.column {
        entries.push(("column", column.as_str().into()));
    }
    if let Some(row) = error.row {
        entries.push(("row", JsValue::from_f64(row as f64)));
    }
    if let Some(sqlite_code) = error.sqlite_code {
        entries.push(("sqliteCode", sqlite_code.into()));
    }
    if !attempts.is_empty() || error.code == Code::Busy {
        entries.push(("attempts", to_js(&attempts)));
    }
    object(&entries).into()
}

fn post(to: &Post, message: &Object, transfer: &Array) {
    if let Err(error) = to.call2(&JsValue::UNDEFINED, message, transfer) {
        // The page cannot be told anything if posting fails; the console is what is left.
        web_sys::console::error_1(&error);
    }
}

/// Settles a call on the page.
pub fn post_reply(
    to: &Post,
    call: u32,
    outcome: Result<Reply>,
    attempts: &[Attempt],
    facts: &Facts,
) {
    match outcome {
        Err(error) => post_error(to, call, &error, attempts),
        Ok(reply) => {
            let transfer = Array::new();
            let value = reply_value(reply, facts, &transfer);
            post_value(to, call, &value, &transfer);
        }
    }
}

/// Answers a call on the page.
pub fn post_value(to: &Post, call: u32, value: &JsValue, transfer: &Array) {
    let message =
        object(&[("kind", "reply".into()), ("id", call.into()), ("value", value.clone())]);
    post(to, &message, transfer);
}

/// Bytes as an array of the page's own.
fn bytes(bytes: &[u8], transfer: &Array) -> JsValue {
    let array = Uint8Array::from(bytes);
    transfer.push(&array.buffer());
    array.into()
}

/// Refuses a call on the page.
pub fn post_error(to: &Post, call: u32, error: &Error, attempts: &[Attempt]) {
    let message = object(&[
        ("kind", "error".into()),
        ("id", call.into()),
        ("error", error_object(error, attempts)),
    ]);
    post(to, &message, &Array::new());
}

/// Asks the page for a token; it answers with the same `id`.
pub fn post_token(to: &Post, id: u32, refresh: bool) {
    let message =
        object(&[("kind", "token".into()), ("id", id.into()), ("refresh", refresh.into())]);
    post(to, &message, &Array::new());
}

/// Tells the page that an append begins.
pub fn post_taken(to: &Post, call: u32) {
    post(to, &object(&[("kind", "taken".into()), ("id", call.into())]), &Array::new());
}

/// Tells the page how far an append is.
pub fn post_progress(to: &Post, call: u32, rows: u64, total_rows: u64) {
    let message = object(&[
        ("kind", "progress".into()),
        ("id", call.into()),
        ("rows", JsValue::from_f64(rows as f64)),
        ("totalRows", JsValue::from_f64(total_rows as f64)),
    ]);
    post(to, &message, &Array::new());
}

/// Raises an event on the page.
pub fn post_notice(to: &Post, notice: &Notice) {
    let message = object(&[
        ("kind", "event".into()),
        ("event", notice.name().into()),
        ("detail", to_js(notice)),
    ]);
    post(to, &message, &Array::new());
}

fn reply_value(reply: Reply, facts: &Facts, transfer: &Array) -> JsValue {
    match reply {
        Reply::Nothing => JsValue::UNDEFINED,
        Reply::Drained { applied, rejected, remaining } => object(&[
            ("applied", JsValue::from_f64(applied as f64)),
            ("rejected", JsValue::from_f64(rejected as f64)),
            ("remaining", JsValue::from_f64(remaining as f64)),
        ])
        .into(),
        Reply::RejectedList(list) => {
            let entry = |rejected: &Rejected| {
                object(&[
                    ("frameId", rejected.frame_id.as_str().into()),
                    ("table", rejected.table.as_str().into()),
                    ("rows", JsValue::from_f64(rejected.rows as f64)),
                    ("error", error_object(&rejected.error.clone().into(), &[])),
                ])
            };
            list.iter().map(entry).collect::<Array>().into()
        }
        Reply::Receipt(receipt) => to_js(&*receipt),
        Reply::Exec(result) => object(&[
            ("changes", JsValue::from_f64(result.changes as f64)),
            ("lastInsertRowid", BigInt::from(result.last_insert_rowid).into()),
        ])
        .into(),
        Reply::Rows(count, rows) => {
            let columns: Array = rows.columns.iter().map(|c| column(c, transfer)).collect();
            object(&[("rows", JsValue::from_f64(count as f64)), ("columns", columns.into())]).into()
        }
        Reply::Bytes(content) => bytes(&content, transfer),
        // The driver has put the batches away and answers with their cursor; it has the file, too.
        Reply::Batches | Reply::Exported => JsValue::UNDEFINED,
        Reply::Cursor(cursor) => object(&[("cursor", cursor.into())]).into(),
        Reply::Transaction(tx) => object(&[("tx", tx.into())]).into(),
        Reply::Status(status) => status_value(&status, facts),
        Reply::DeadLetters(letters) => to_js(&letters),
    }
}

fn status_value(status: &Status, facts: &Facts) -> JsValue {
    let value = to_js(status);
    let storage = if facts.in_memory { "memory" } else { "opfs" };
    let versions = object(&[
        ("framelock", env!("CARGO_PKG_VERSION").into()),
        ("sqlite", rusqlite::version().into()),
        ("arrow", arrow::ARROW_VERSION.into()),
    ]);
    for (key, field) in [
        ("storage", storage.into()),
        ("persisted", facts.persisted.into()),
        ("bytes", JsValue::from_f64(facts.bytes as f64)),
        ("versions", versions.into()),
    ] {
        let _always = Reflect::set(&value, &key.into(), &field);
    }
    value
}

fn column(column: &PackedColumn, transfer: &Array) -> JsValue {
    let out = object(&[("name", column.name.as_str().into())]);
    if let Some(array) = column.array {
        let _always = Reflect::set(&out, &"array".into(), &array.into());
    }
    let set = |key: &str, value: &JsValue, buffer: &JsValue| {
        transfer.push(buffer);
        let _always = Reflect::set(&out, &key.into(), value);
    };
    match column.uniform_tag() {
        Some(tag) => {
            let _always = Reflect::set(&out, &"tag".into(), &tag.into());
        }
        None => {
            let tags = Uint8Array::from(&column.tags[..]);
            set("tags", &tags, &tags.buffer());
        }
    }
    if !column.numbers.is_empty() {
        let numbers = js_sys::Float64Array::from(&column.numbers[..]);
        set("numbers", &numbers, &numbers.buffer());
    }
    if !column.bigints.is_empty() {
        let bigints = js_sys::BigInt64Array::from(&column.bigints[..]);
        set("bigints", &bigints, &bigints.buffer());
    }
    if !column.text_ends.is_empty() {
        let text = Uint8Array::from(&column.text[..]);
        set("text", &text, &text.buffer());
        let ends = js_sys::Uint32Array::from(&column.text_ends[..]);
        set("textEnds", &ends, &ends.buffer());
    }
    if !column.blob_ends.is_empty() {
        let blobs = Uint8Array::from(&column.blobs[..]);
        set("blobs", &blobs, &blobs.buffer());
        let ends = js_sys::Uint32Array::from(&column.blob_ends[..]);
        set("blobEnds", &ends, &ends.buffer());
    }
    out.into()
}
