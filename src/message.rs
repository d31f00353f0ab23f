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

use serde::{Deserialize, Serialize};

/// The version of everything that tabs share: lock names, channels, queue files.
pub const PROTOCOL: u32 = 1;
const MAGIC: &[u8; 4] = b"FLM1";
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

/// The name of the channel on which the tabs of a database speak.
pub fn channel_name(database: &str) -> String {
    format!("framelock/{PROTOCOL}/{database}")
}

/// A message; `from` is the sender's handle id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Message {
    /// The sender waits for the lease.
    Want { from: String },
    /// The sender committed.
    Committed { from: String, tables: Vec<String>, frame_ids: Vec<String> },
}

impl Message {
    /// The bytes of the message with its payload.
    pub fn encode(&self, payload: &[u8]) -> Vec<u8> {
        let header = serde_json::to_vec(self).unwrap_or_default();
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
        Some((serde_json::from_slice(header).ok()?, payload))
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
            frame_ids: vec!["1".into()],
        };
        let bytes = message.encode(b"payload");
        assert_eq!(Message::decode(&bytes), Some((message, &b"payload"[..])));
    }

    #[test]
    fn hostile_bytes_are_ignored() {
        let bytes = Message::Want { from: "a".into() }.encode(b"");
        for end in 0..bytes.len() {
            assert_eq!(Message::decode(&bytes[..end]), None);
        }
        assert_eq!(Message::decode(b"FLM1\xff\xff\xff\xff{}"), None);
        assert_eq!(Message::decode(b"FLM2\x02\0\0\0{}"), None);
    }
}
