//! The calls of the page, taken apart: arguments checked, frames decoded, defaults filled in. Nothing here
//! decides.

use crate::error::{Code, Error, Result};
use crate::frame::Frame;
use crate::frame::options::AppendOptions;
use crate::frame::packed::Packed;
use crate::frame::{early, ident, raw};
use crate::ladder::Fallback;
use crate::node::{Call, OutboxCall, TxId};
use crate::policy::RetryPolicy;
use crate::store::{AppendRequest, Content, PackOptions};
use crate::web::bytes::PageBytes;
use crate::web::convert::{self, get, number, read, text};
use crate::web::driver::{epoch_ms, performance_now, random_bytes, said_at_ms};
use arrow::buffer::Buffer;
use js_sys::{Array, Reflect, Uint8Array};
use std::collections::BTreeSet;
use wasm_bindgen::prelude::*;
use xxhash_rust::xxh3::Xxh3;

/// How long statements wait for the lock, unless told otherwise.
const TIMEOUT_MS: f64 = 15_000.0;
/// Rows of one batch of `stream`, unless told otherwise.
const STREAM_ROWS: f64 = 10_000.0;

/// An id that nobody else makes.
pub fn uuid() -> String {
    uuid::Builder::from_unix_timestamp_millis(epoch_ms() as u64, &random_bytes())
        .into_uuid()
        .to_string()
}

/// The call that an operation's name and arguments stand for; frames of tables in `forwarded` are
/// forwarded unless the call says otherwise.
///
/// # Errors
/// `INVALID_ARGUMENT`, and what is wrong with the frame.
pub fn parse_call(
    op: &str,
    args: &JsValue,
    buffers: &Array,
    forwarded: &BTreeSet<String>,
) -> Result<Call> {
    let tx = number(args, "tx").map(|tx| tx as TxId);
    let timeout_ms = timeout(args)?;
    let sql = || text(args, "sql");
    let params = || convert::params(&get(args, "params"));
    let open_tx = || tx.ok_or_else(|| Error::new(Code::InvalidArgument, "no transaction named"));
    Ok(match op {
        "append" => return parse_append(args, buffers, tx, forwarded),
        "exec" => Call::Exec { sql: sql()?, params: params()?, timeout_ms, tx },
        "query" => {
            let options = PackOptions {
                int64_as_number: get(args, "int64").as_string().as_deref() == Some("number"),
                dates: get(args, "dates").is_truthy(),
            };
            Call::Query { sql: sql()?, params: params()?, options, timeout_ms, tx }
        }
        "queryArrow" | "streamOpen" => {
            let rows = number(args, "batchRows").unwrap_or(STREAM_ROWS);
            let batch_rows = (op == "streamOpen").then_some(rows as usize);
            Call::QueryArrow { sql: sql()?, params: params()?, batch_rows, timeout_ms, tx }
        }
        "begin" => Call::Begin { timeout_ms: begin_timeout(args, timeout_ms)? },
        "commit" => Call::Commit { tx: open_tx()? },
        "rollback" => Call::Rollback { tx: open_tx()? },
        "status" => Call::Status,
        "whenCommitted" => Call::WhenCommitted { frame_id: text(args, "frameId")? },
        "drain" => Call::Drain { timeout_ms },
        "rejected" => Call::Rejected,
        "retryRejected" => Call::RetryRejected { frame_id: text(args, "frameId")? },
        "discardRejected" => Call::DiscardRejected { frame_id: text(args, "frameId")? },
        "export" | "exportBlob" => Call::Export { timeout_ms },
        "import" => Call::Import { file: Box::new(PageBytes(page_bytes(buffers, 0)?)), timeout_ms },
        "forwarding" => Call::Outbox { what: outbox_call(args)?, timeout_ms },
        "close" => Call::Close,
        other => {
            return Err(Error::new(Code::InvalidArgument, format!("no operation {other:?}")));
        }
    })
}

fn outbox_call(args: &JsValue) -> Result<OutboxCall> {
    let id = || {
        let missing = || Error::new(Code::InvalidArgument, "no dead letter named");
        number(args, "letter").map(|id| id as i64).ok_or_else(missing)
    };
    Ok(match &*text(args, "what")? {
        "pause" => OutboxCall::Pause,
        "resume" => OutboxCall::Resume,
        "restart" => OutboxCall::Restart,
        "deadLetters" => OutboxCall::DeadLetters,
        "retry" => OutboxCall::Retry(id()?),
        "discard" => OutboxCall::Discard(id()?),
        other => {
            let message = format!("nothing called {other:?} can be done about forwarding");
            return Err(Error::new(Code::InvalidArgument, message));
        }
    })
}

fn timeout(args: &JsValue) -> Result<f64> {
    match number(args, "timeoutMs") {
        None => Ok(TIMEOUT_MS),
        Some(ms) if (0.0..=86_400_000.0).contains(&ms) => Ok(ms),
        Some(ms) => Err(Error::new(Code::InvalidArgument, format!("timeoutMs must not be {ms}"))),
    }
}

/// A transaction waits for the lock as its retry policy would, all attempts together.
fn begin_timeout(args: &JsValue, timeout_ms: f64) -> Result<f64> {
    let retry = get(args, "retry");
    if retry.is_undefined() {
        return Ok(timeout_ms);
    }
    let policy: RetryPolicy = read(retry, "retry")?;
    policy.check()?;
    Ok(policy.longest_wait_ms().min(timeout_ms))
}

fn buffer(buffers: &Array, index: u32) -> Result<Vec<u8>> {
    page_bytes(buffers, index).map(|bytes| bytes.to_vec())
}

fn page_bytes(buffers: &Array, index: u32) -> Result<Uint8Array> {
    buffers
        .get(index)
        .dyn_into::<Uint8Array>()
        .map_err(|_| Error::new(Code::InvalidArgument, "the bytes are missing"))
}

fn parse_append(
    args: &JsValue,
    buffers: &Array,
    tx: Option<TxId>,
    forwarded: &BTreeSet<String>,
) -> Result<Call> {
    let table = text(args, "table")?;
    ident::check_table_name(&table)?;
    let options = get(args, "options");
    let options = if options.is_object() { options } else { js_sys::Object::new().into() };
    let take = |key: &str| {
        let value = get(&options, key);
        let ours: &js_sys::Object = options.unchecked_ref();
        let _deleted = Reflect::delete_property(ours, &key.into());
        value
    };
    let retry = take("retry");
    let policy: RetryPolicy =
        if retry.is_undefined() { RetryPolicy::default() } else { read(retry, "retry")? };
    policy.check()?;
    let fallback = take("fallback");
    let fallback: Fallback =
        if fallback.is_undefined() { Fallback::default() } else { read(fallback, "fallback")? };
    let (frame_id, own_id) = match take("frameId") {
        missing if missing.is_undefined() => (uuid(), true),
        given => (check_frame_id(given.as_string())?, false),
    };
    let forward = take("forward");
    let forward = forward.as_bool().unwrap_or_else(|| forwarded.contains(&ident::fold(&table)));
    let options: AppendOptions =
        read(options, "options").map_err(|error| error.in_table(&table))?;
    if forward && !options.mode.only_adds() {
        let message = "a forwarded table only grows: of the modes, create, append and createAppend \
                       can be forwarded; forward: false writes this frame here only";
        return Err(Error::new(Code::InvalidArgument, message).in_table(&table));
    }
    let (content, digest) = parse_content(args, buffers, &table)?;
    if forward && content.rows() > 0 && content.has_no_columns() {
        let message = "rows without columns, which are rows of defaults, cannot be forwarded";
        return Err(Error::new(Code::SchemaMismatch, message).in_table(&table));
    }
    let looked_at = match &content {
        Content::Frame(frame) => early::check_frame(&table, frame, &options),
        Content::Packed(packed) => early::check_packed(&table, packed, &options),
    };
    looked_at.map_err(|error| error.in_table(&table))?;
    let request =
        Box::new(AppendRequest { frame_id, own_id, table, options, content, digest, forward });
    Ok(match tx {
        Some(tx) => {
            Call::JoinedAppend { request, tx, until_ms: since_ms(args) + policy.deadline_ms }
        }
        None => Call::Append { request, policy, fallback, since_ms: since_ms(args) },
    })
}

/// When the page made the call, on the node's clock. It may have stood in line here since.
fn since_ms(args: &JsValue) -> f64 {
    number(args, "calledAt").map_or_else(performance_now, said_at_ms)
}

fn check_frame_id(id: Option<String>) -> Result<String> {
    match id {
        Some(id) if (1..=128).contains(&id.chars().count()) => Ok(id),
        _ => Err(Error::new(Code::InvalidArgument, "a frameId is a string of 1 to 128 characters")),
    }
}

/// The rows, decoded and checked, and the digest of what was sent.
fn parse_content(args: &JsValue, buffers: &Array, table: &str) -> Result<(Content, [u8; 16])> {
    let form = text(args, "form")?;
    let mut parts =
        (0..buffers.length()).map(|i| buffer(buffers, i)).collect::<Result<Vec<_>>>()?;
    let descriptor = get(args, "descriptor").as_string().unwrap_or_default();
    let mut hasher = Xxh3::new();
    for part in [table.as_bytes(), form.as_bytes(), descriptor.as_bytes()] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    for part in &parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let digest = hasher.digest128().to_le_bytes();
    let in_table = |e: Error| e.in_table(table);
    let content = match form.as_str() {
        "ipc" => {
            let bytes = parts.pop().unwrap_or_default();
            Content::Frame(Frame::decode(Buffer::from_vec(bytes)).map_err(in_table)?)
        }
        "raw" => {
            let buffers = parts.into_iter().map(Buffer::from_vec).collect();
            Content::Frame(raw::from_raw(&descriptor, buffers).map_err(in_table)?)
        }
        "packed" => {
            let buffers = parts.into_iter().map(Buffer::from_vec).collect();
            Content::Packed(Packed::parse(&descriptor, buffers).map_err(in_table)?)
        }
        _ => {
            return Err(Error::new(Code::InvalidArgument, format!("no frame form {form:?}")));
        }
    };
    Ok((content, digest))
}
