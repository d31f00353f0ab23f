//! What tabs say to each other: one type, one format.
//!
//! ```text
//! "FLM1"  4 bytes: magic and version. Another version is another channel; see `channel_name`.
//! length  u32 little-endian: bytes of the header
//! header  JSON: the message without its payload
//! payload the rest: an envelope, for `Offer`; else empty
//! ```
//!
//! Anybody in the origin may post to a channel, so nothing read here is trusted: what does not
//! parse is ignored, and whatever is claimed is checked again where it matters (by the lease, by
//! the frame's checksum, by the applied ids).

use crate::error::{Code, Error};
use crate::forward::Report;
use crate::json;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The version of everything that tabs share: lock names, channels, queue files.
pub const PROTOCOL: u32 = 1;
const MAGIC: &[u8; 4] = b"FLM1";
/// The field of the header that says which message it is.
const KIND: &str = "kind";
/// Larger headers are not ours.
const MAX_HEADER_BYTES: usize = 1 << 20;

/// The name of the lock that guards a database.
pub fn lock_name(database: &str) -> String {
    format!("framelock/{PROTOCOL}/{database}")
}

/// The name of the lock that every open handle shares; who gets it alone, is alone.
pub fn presence_name(database: &str) -> String {
    format!("framelock/{PROTOCOL}/{database}/open")
}

/// The name of the lock that the one handle which forwards holds.
pub fn sender_name(database: &str) -> String {
    format!("framelock/{PROTOCOL}/{database}/forward")
}

/// The name of the channel on which the tabs of a database speak.
pub fn channel_name(database: &str) -> String {
    format!("framelock/{PROTOCOL}/{database}")
}

/// A message. `from` is always the sender's handle id.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Message {
    Want(Want),
    Committed(Committed),
    /// The sender put frames into the durable queue.
    Queued(Plain),
    Rejected(RejectedFrame),
    Offer(Offer),
    Answer(AnswerTo),
    /// The sender holds the lease, is writing, and takes frames along: no need to wait for the lease.
    Invite(Plain),
    /// It does not any more.
    Over(Plain),
    Forwarding(Forwarding),
    OutboxChanged(OutboxChanged),
}

/// What says no more than its kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plain {
    pub from: String,
}

/// The sender waits for the lease; or it has but frames that it would rather hand over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Want {
    pub from: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hands_over: bool,
}

/// The sender committed: these tables changed, these frames are in, and some of them are to be
/// forwarded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Committed {
    pub from: String,
    pub tables: Vec<String>,
    pub frames: Vec<FrameName>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forwarded: bool,
}

/// A queued frame was refused by the database, and is on the rejected list now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RejectedFrame {
    pub from: String,
    pub frame: FrameName,
    pub error: Refusal,
}

/// To whoever holds the lease: please apply the frame in the payload, an envelope, once the
/// frames `after` are all in (frames of one handle and table keep their order; the last of them
/// alone would not do, since another tab may have sent the same one).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Offer {
    pub from: String,
    pub call: u32,
    pub frame_id: String,
    pub after: Vec<String>,
}

/// To the sender of an offer; `call` tells which, since an id may be offered more than once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnswerTo {
    pub from: String,
    pub to: String,
    pub call: u32,
    pub frame_id: String,
    pub answer: Answer,
}

/// From the one who forwards: how it goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forwarding {
    pub from: String,
    pub report: Report,
}

/// To the one who forwards: the outbox was changed by hand; `resume` forgets what stopped it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutboxChanged {
    pub from: String,
    pub resume: bool,
}

/// A frame, as others need to know it; the digest tells it from another one under the same id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FrameName {
    pub frame_id: String,
    pub table: String,
    pub rows: u64,
    pub digest: [u8; 16],
    /// Once it is in: values changed on the way in, by column.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub coerced: BTreeMap<String, u64>,
}

/// What became of an offer. No answer is one too: the sender then queues the frame.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "is", rename_all = "camelCase")]
pub enum Answer {
    /// It is committed.
    Applied { rows: u64, coerced: BTreeMap<String, u64>, duplicate: bool },
    /// The database refuses it; nothing was written.
    Refused { error: Refusal },
}

/// How it is read: by [`json::untagged`].
#[derive(Deserialize)]
#[serde(remote = "Answer", rename_all = "camelCase")]
enum AnswerRead {
    Applied { rows: u64, coerced: BTreeMap<String, u64>, duplicate: bool },
    Refused { error: Refusal },
}

impl<'de> Deserialize<'de> for Answer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = json::untagged(Value::deserialize(deserializer)?, "is");
        value.and_then(AnswerRead::deserialize).map_err(D::Error::custom)
    }
}

/// An [`Error`] on its way to another tab.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    pub code: String,
    pub message: String,
    pub table: Option<String>,
    pub column: Option<String>,
    pub row: Option<u64>,
    pub sqlite_code: Option<i32>,
}

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Self {
        Refusal {
            code: error.code.as_str().to_owned(),
            message: error.message.clone(),
            table: error.table.clone(),
            column: error.column.clone(),
            row: error.row,
            sqlite_code: error.sqlite_code,
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let mut error = Error::new(Code::from_text(&refusal.code), refusal.message);
        error.table = refusal.table;
        error.column = refusal.column;
        error.row = refusal.row;
        error.sqlite_code = refusal.sqlite_code;
        error
    }
}

impl Message {
    /// The bytes of the message with its payload.
    pub fn encode(&self, payload: &[u8]) -> Vec<u8> {
        let header = json::write_tagged(self, KIND).unwrap_or_default();
        let mut bytes = Vec::with_capacity(8 + header.len() + payload.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&(header.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(payload);
        bytes
    }

    /// The message and its payload, or nothing when these bytes are none of ours.
    pub fn decode(bytes: &[u8]) -> Option<(Message, &[u8])> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        if length > MAX_HEADER_BYTES || length > rest.len() {
            return None;
        }
        let (header, payload) = rest.split_at(length);
        Some((Message::read(header).ok()?, payload))
    }

    fn read(header: &[u8]) -> serde_json::Result<Message> {
        let mut fields = json::read(header)?;
        let kind = json::take_tag(&mut fields, KIND)?;
        Ok(match &*kind {
            "want" => Message::Want(json::read_value(fields)?),
            "committed" => Message::Committed(json::read_value(fields)?),
            "queued" => Message::Queued(json::read_value(fields)?),
            "rejected" => Message::Rejected(json::read_value(fields)?),
            "offer" => Message::Offer(json::read_value(fields)?),
            "answer" => Message::Answer(json::read_value(fields)?),
            "invite" => Message::Invite(json::read_value(fields)?),
            "over" => Message::Over(json::read_value(fields)?),
            "forwarding" => Message::Forwarding(json::read_value(fields)?),
            "outboxChanged" => Message::OutboxChanged(json::read_value(fields)?),
            other => return Err(serde_json::Error::unknown_variant(other, &[])),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::{Happened, Status};

    fn frame() -> FrameName {
        FrameName {
            frame_id: "1".into(),
            table: "t".into(),
            rows: 7,
            digest: [7; 16],
            coerced: BTreeMap::from([("c".into(), 3)]),
        }
    }

    fn messages() -> Vec<Message> {
        let from = || "a".to_owned();
        let error = Refusal::from(&Error::new(Code::Constraint, "no").in_table("t").at_row(3));
        let applied = Answer::Applied { rows: 7, coerced: BTreeMap::new(), duplicate: true };
        let answer = |answer| AnswerTo {
            from: from(),
            to: "b".into(),
            call: 7,
            frame_id: "1".into(),
            answer,
        };
        let committed = Committed {
            from: from(),
            tables: vec!["t".into()],
            frames: vec![frame()],
            forwarded: true,
        };
        let offer = Offer { from: from(), call: 7, frame_id: "1".into(), after: vec!["0".into()] };
        let what = Happened::Forked;
        let report = Report { what, status: Status::default(), dead_letter: None };
        let rejected = RejectedFrame { from: from(), frame: frame(), error: error.clone() };
        vec![
            Message::Want(Want { from: from(), hands_over: true }),
            Message::Committed(committed),
            Message::Queued(Plain { from: from() }),
            Message::Rejected(rejected),
            Message::Offer(offer),
            Message::Answer(answer(applied)),
            Message::Answer(answer(Answer::Refused { error })),
            Message::Invite(Plain { from: from() }),
            Message::Over(Plain { from: from() }),
            Message::Forwarding(Forwarding { from: from(), report }),
            Message::OutboxChanged(OutboxChanged { from: from(), resume: true }),
        ]
    }

    #[test]
    fn messages_survive_the_trip() {
        for message in messages() {
            let bytes = message.encode(b"payload");
            assert_eq!(Message::decode(&bytes), Some((message, &b"payload"[..])));
        }
    }

    #[test]
    fn a_commit_of_nothing_to_forward_is_told_as_ever() {
        let (from, tables, frames) = ("a".into(), vec!["t".into()], vec![]);
        let committed = Committed { from, tables, frames, forwarded: false };
        let bytes = Message::Committed(committed).encode(&[]);
        let header = String::from_utf8_lossy(&bytes[8..]).into_owned();
        assert_eq!(header, r#"{"kind":"committed","from":"a","tables":["t"],"frames":[]}"#);
    }

    #[test]
    fn hostile_bytes_are_ignored() {
        let bytes = Message::Want(Want { from: "a".into(), hands_over: true }).encode(b"");
        for end in 0..bytes.len() {
            assert_eq!(Message::decode(&bytes[..end]), None);
        }
        assert_eq!(Message::decode(b"FLM1\xff\xff\xff\xff{}"), None);
        assert_eq!(Message::decode(b"FLM2\x02\0\0\0{}"), None);
    }
}
