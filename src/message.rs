//! What tabs say to each other: one type, one format.
//!
//! ```text
//! "FLM1"  4 bytes: magic and version. Another version is another channel; see `channel_name`.
//! length  u32 little-endian: bytes of the header
//! header  JSON: the message without its payload
//! payload the rest: an envelope, for `Offer`; else empty
//! ```
//!
//! What a tab says at one time goes out at one time: every message that is posted costs each tab something.
//!
//! ```text
//! "FLS1"  4 bytes: magic and version
//! length  u32 little-endian: bytes of the message } once for
//! message                                         } each
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
const SEVERAL: &[u8; 4] = b"FLS1";
/// The field of the header that says which message it is.
const KIND: &str = "kind";

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

/// A message; `from` is the sender's handle id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Message {
    /// The sender waits for the lease; or it has but frames that it would rather hand over.
    Want {
        from: String,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        hands_over: bool,
    },
    /// The sender committed: these tables changed, these frames are in, and some of them are to be
    /// forwarded.
    Committed {
        from: String,
        tables: Vec<String>,
        frames: Vec<FrameName>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        forwarded: bool,
    },
    /// The sender put frames into the durable queue.
    Queued { from: String },
    /// So many frames wait in the queue and so many were refused, as the sender counts now, and did not before.
    Counted { from: String, queued: u64, rejected: u64 },
    /// A queued frame was refused by the database, and is on the rejected list now.
    Rejected { from: String, frame: FrameName, error: Refusal },
    /// To whoever holds the lease: please apply the frame in the payload, an envelope, once the
    /// frames `after` are all in. Frames of one handle and table keep their order: these are all before
    /// it, back to one whose id framelock made. One of a given id alone would not do, since another tab
    /// may have sent the same one.
    Offer { from: String, call: u32, frame_id: String, after: Vec<String> },
    /// To the sender of an offer; `call` tells which, since an id may be offered more than once.
    Answer { from: String, to: String, call: u32, frame_id: String, answer: Answer },
    /// The sender holds the lease, is writing, and takes frames along: no need to wait for the lease.
    Invite { from: String },
    /// It does not any more.
    Over { from: String },
    /// From the one who forwards: how it goes.
    Forwarding { from: String, report: Report },
    /// To the one who forwards: the outbox was changed by hand; `resume` forgets what stopped it. Or it is that of
    /// another file, which was `imported`.
    OutboxChanged {
        from: String,
        resume: bool,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        imported: bool,
    },
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
    /// Once it is in: whose copy that was, by node id. Of an id that framelock made there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
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

/// Messages as one; there is at least one.
pub fn join(mut messages: Vec<Vec<u8>>) -> Vec<u8> {
    if messages.len() == 1 {
        return messages.swap_remove(0);
    }
    let mut bytes = SEVERAL.to_vec();
    for message in messages {
        bytes.extend_from_slice(&(message.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&message);
    }
    bytes
}

/// The messages that [`join`] made one of, up to where they are no more whole.
pub fn split(bytes: &[u8]) -> Vec<&[u8]> {
    let Some(mut rest) = bytes.strip_prefix(SEVERAL) else {
        return vec![bytes];
    };
    let mut messages = Vec::new();
    while let Some((length, more)) = rest.split_first_chunk::<4>()
        && let Some((message, more)) = more.split_at_checked(u32::from_le_bytes(*length) as usize)
    {
        messages.push(message);
        rest = more;
    }
    messages
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
        let (header, payload) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let message = json::untagged(json::read(header).ok()?, KIND).ok()?;
        Some((Message::deserialize(message).ok()?, payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_the_trip() {
        let message = Message::Committed {
            from: "a".into(),
            tables: vec!["t".into()],
            frames: vec![FrameName {
                frame_id: "1".into(),
                table: "t".into(),
                rows: 7,
                digest: [7; 16],
                coerced: BTreeMap::new(),
                by: Some("b".into()),
            }],
            forwarded: true,
        };
        let bytes = message.encode(b"payload");
        assert_eq!(Message::decode(&bytes), Some((message, &b"payload"[..])));
    }

    #[test]
    fn a_commit_of_a_transaction_that_thousands_of_frames_joined_is_heard() {
        let name = |nth: u32| FrameName {
            frame_id: format!("{nth:036}"),
            table: "t".into(),
            rows: 1,
            digest: [200; 16],
            coerced: BTreeMap::new(),
            by: None,
        };
        let (from, tables, frames) =
            ("a".into(), vec!["t".into()], (0..10_000).map(name).collect());
        let message = Message::Committed { from, tables, frames, forwarded: false };
        assert!(Message::decode(&message.encode(&[])) == Some((message, &[][..])));
    }

    #[test]
    fn a_commit_of_nothing_to_forward_is_told_as_ever() {
        let (from, tables, frames) = ("a".into(), vec!["t".into()], vec![]);
        let bytes = Message::Committed { from, tables, frames, forwarded: false }.encode(&[]);
        let header = String::from_utf8_lossy(&bytes[8..]).into_owned();
        assert_eq!(header, r#"{"kind":"committed","from":"a","tables":["t"],"frames":[]}"#);
    }

    #[test]
    fn several_messages_go_as_one() {
        let messages = [b"one".to_vec(), vec![], b"three".to_vec()];
        let bytes = join(messages.to_vec());
        assert_eq!(split(&bytes), messages.iter().map(Vec::as_slice).collect::<Vec<_>>());
        assert_eq!(join(vec![b"one".to_vec()]), b"one");
        assert_eq!(split(b"one"), [b"one"]);
        for end in 4..bytes.len() {
            assert!(split(&bytes[..end]).len() < 3);
        }
        assert_eq!(split(b"FLS1\xff\xff\xff\xffone"), [b""; 0]);
    }

    #[test]
    fn hostile_bytes_are_ignored() {
        let bytes = Message::Want { from: "a".into(), hands_over: true }.encode(b"");
        for end in 0..bytes.len() {
            assert_eq!(Message::decode(&bytes[..end]), None);
        }
        assert_eq!(Message::decode(b"FLM1\xff\xff\xff\xff{}"), None);
        assert_eq!(Message::decode(b"FLM2\x02\0\0\0{}"), None);
    }
}
