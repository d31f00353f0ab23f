//! A frame in bytes, with everything needed to apply it later or elsewhere: the one format of the
//! durable queue and of handoff.
//!
//! ```text
//! "FLF1"   4 bytes   magic and version; a newer version is refused, and left alone. A frame that is to
//!                    be forwarded is "FLF2": who does not know how must not apply it
//! header   u32       bytes of the header, little-endian
//! content  u64       bytes of the content
//! checksum 16 bytes  xxh3-128 of header and content
//! header             JSON: `Header`
//! content            an Arrow IPC stream, or packed values (`Form`)
//! ```
//!
//! Length and checksum tell a whole envelope from a torn one; nothing is applied that fails them.

use crate::error::{Code, Error, Result};
use crate::frame::Frame;
use crate::frame::options::AppendOptions;
use crate::frame::packed::Packed;
use crate::json;
use crate::store::{AppendRequest, Content};
use arrow::buffer::Buffer;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

const MAGIC: &[u8; 3] = b"FLF";
const VERSION: u8 = b'1';
/// The version of a frame that is to be forwarded.
const FORWARDED: u8 = b'2';
const FIXED_BYTES: usize = 4 + 4 + 8 + 16;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    frame_id: String,
    own_id: bool,
    table: String,
    options: AppendOptions,
    digest: [u8; 16],
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Form {
    Ipc,
    Packed,
}

/// The bytes of a request.
///
/// # Errors
/// What Arrow says of a frame that it cannot write.
pub fn encode(request: &AppendRequest) -> Result<Vec<u8>> {
    let (form, content) = match &request.content {
        Content::Frame(frame) => (Form::Ipc, frame.encode()?),
        Content::Packed(packed) => (Form::Packed, packed.encode()),
    };
    let header = Header {
        frame_id: request.frame_id.clone(),
        own_id: request.own_id,
        table: request.table.clone(),
        options: request.options.clone(),
        digest: request.digest,
        form,
    };
    let header = serde_json::to_vec(&header)
        .map_err(|e| Error::new(Code::InvalidArgument, format!("options: {e}")))?;
    let mut bytes = Vec::with_capacity(FIXED_BYTES + header.len() + content.len());
    bytes.extend_from_slice(MAGIC);
    bytes.push(if request.forward { FORWARDED } else { VERSION });
    bytes.extend_from_slice(&(header.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&(content.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&checksum(request.forward, &header, &content));
    bytes.extend_from_slice(&header);
    bytes.extend_from_slice(&content);
    Ok(bytes)
}

/// The request in these bytes.
///
/// # Errors
/// `PROTOCOL_VERSION` for a newer format; `INVALID_FRAME` for anything torn, damaged or foreign.
pub fn decode(bytes: &[u8]) -> Result<AppendRequest> {
    let broken = |what: &str| Error::new(Code::InvalidFrame, format!("the envelope is {what}"));
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| broken("none of ours"))?;
    let (version, rest) = rest.split_first().ok_or_else(|| broken("cut off"))?;
    if ![VERSION, FORWARDED].contains(version) {
        let message = "the frame was written by another version of framelock";
        return Err(Error::new(Code::ProtocolVersion, message));
    }
    let fixed = rest.split_first_chunk::<4>();
    let (header_bytes, rest) = fixed.ok_or_else(|| broken("cut off"))?;
    let (content_bytes, rest) = rest.split_first_chunk::<8>().ok_or_else(|| broken("cut off"))?;
    let (sum, rest) = rest.split_first_chunk::<16>().ok_or_else(|| broken("cut off"))?;
    let header_bytes = u32::from_le_bytes(*header_bytes) as usize;
    let content_bytes = u64::from_le_bytes(*content_bytes);
    if header_bytes > rest.len() || (rest.len() - header_bytes) as u64 != content_bytes {
        return Err(broken("cut off"));
    }
    let (header, content) = rest.split_at(header_bytes);
    let forward = *version == FORWARDED;
    if checksum(forward, header, content) != *sum {
        return Err(broken("damaged"));
    }
    let header: Header = json::read(header).map_err(|_| broken("none of ours"))?;
    let content = Buffer::from_slice_ref(content);
    let content = match header.form {
        Form::Ipc => Content::Frame(Frame::decode(content)?),
        Form::Packed => Content::Packed(Packed::decode(content)?),
    };
    Ok(AppendRequest {
        frame_id: header.frame_id,
        own_id: header.own_id,
        table: header.table,
        options: header.options,
        content,
        digest: header.digest,
        forward,
    })
}

/// Whether these bytes are a whole envelope that this version can apply.
pub fn is_whole(bytes: &[u8]) -> bool {
    decode(bytes).is_ok()
}

/// The version is part of it where there is more than one.
fn checksum(forward: bool, header: &[u8], content: &[u8]) -> [u8; 16] {
    let mut hasher = Xxh3::new();
    if forward {
        hasher.update(&[FORWARDED]);
    }
    hasher.update(&(header.len() as u64).to_le_bytes());
    hasher.update(header);
    hasher.update(content);
    hasher.digest128().to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, RecordBatch};
    use std::sync::Arc;

    fn request() -> AppendRequest {
        let column: arrow::array::ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
        AppendRequest {
            frame_id: "id".into(),
            own_id: true,
            table: "t".into(),
            options: AppendOptions::default(),
            content: Content::Frame(Frame::new(batch.schema(), vec![batch])),
            digest: [7; 16],
            forward: false,
        }
    }

    fn forwarded() -> AppendRequest {
        AppendRequest { forward: true, ..request() }
    }

    #[test]
    fn a_request_survives_the_trip() {
        let decoded = decode(&encode(&request()).unwrap()).unwrap();
        assert_eq!((decoded.frame_id.as_str(), decoded.table.as_str()), ("id", "t"));
        assert_eq!(decoded.options, AppendOptions::default());
        assert_eq!((decoded.content.rows(), decoded.digest), (3, [7; 16]));
        assert!(!decoded.forward);
    }

    #[test]
    fn the_wish_to_forward_makes_the_trip_and_a_version() {
        let bytes = encode(&forwarded()).unwrap();
        assert_eq!(&bytes[..4], b"FLF2");
        assert!(decode(&bytes).unwrap().forward);
        assert_eq!(&encode(&request()).unwrap()[..4], b"FLF1");
        let newer = [b"FLF3", &bytes[4..]].concat();
        assert_eq!(decode(&newer).err().unwrap().code, Code::ProtocolVersion);
    }

    #[test]
    fn a_torn_or_damaged_envelope_is_never_applied() {
        for whole in [encode(&request()).unwrap(), encode(&forwarded()).unwrap()] {
            for end in 0..whole.len() {
                assert!(decode(&whole[..end]).is_err(), "cut at {end}");
            }
            // The lowest bits tell the versions apart.
            for (at, bits) in (0..whole.len()).flat_map(|at| [(at, 0x10), (at, 0x03)]) {
                let mut damaged = whole.clone();
                damaged[at] ^= bits;
                assert!(decode(&damaged).is_err(), "flipped at {at}");
            }
        }
    }
}
