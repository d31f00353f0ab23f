//! An item of the outbox: the rows of a frame, or of a piece of a large one, as an Arrow IPC stream;
//! its digest; and several items joined into one body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::Digest as _;

/// An Arrow IPC stream ends with this: a continuation marker and a length of zero.
const END_OF_STREAM: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
const CONTINUATION: [u8; 4] = [0xff; 4];

/// The stamp's value: this, and as many digits.
const STAMP: &str = "framelock:frame:";
const STAMP_DIGITS: usize = 32;

/// A SHA-256, written as RFC 9530 writes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(sha2::Sha256::digest(bytes).into())
    }

    /// `sha-256=:…:`, the value of a `Content-Digest` header.
    pub fn text(&self) -> String {
        format!("sha-256=:{}:", STANDARD.encode(self.0))
    }

    /// The digest that such a text names.
    pub fn parse(text: &str) -> Option<Digest> {
        let encoded = text.strip_prefix("sha-256=:")?.strip_suffix(':')?;
        STANDARD.decode(encoded).ok()?.try_into().ok().map(Digest)
    }
}

/// What an item says to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Rows, as an Arrow IPC stream.
    Frame(Vec<u8>),
    /// The server refused the rows, for this reason; it is told that they will not come.
    Skip { digest: Digest, code: String },
}

/// A numbered item of the outbox. Numbers have no gaps; a stream's sequence numbers are these
/// numbers less its base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub number: i64,
    pub table: String,
    pub rows: u64,
    pub content: Content,
}

impl Item {
    /// What the server records for this item.
    pub fn digest(&self) -> Digest {
        match &self.content {
            Content::Frame(ipc) => Digest::of(ipc),
            Content::Skip { digest, .. } => *digest,
        }
    }

    /// Bytes of its rows.
    pub fn bytes(&self) -> usize {
        match &self.content {
            Content::Frame(ipc) => ipc.len(),
            Content::Skip { .. } => 0,
        }
    }

    /// Whether `next` may go in the same body: rows of the same table, in the same schema, byte for
    /// byte but for the stamps.
    pub fn joins(&self, next: &Item) -> bool {
        let (Content::Frame(ours), Content::Frame(theirs)) = (&self.content, &next.content) else {
            return false;
        };
        let (Some(ours), Some(theirs)) = (schema_of(ours), schema_of(theirs)) else {
            return false;
        };
        self.table == next.table && around_stamp(ours) == around_stamp(theirs)
    }
}

/// What the items of a frame have in the metadata of their schema: 16 random bytes, drawn when they are put into the
/// outbox and as good as a name. What two copies of a database put there differs by it, whatever its rows and its
/// frame's id are, so neither takes the other's items, and those before them, for its own.
pub fn stamp(random: [u8; 16]) -> (String, String) {
    ("framelock".to_owned(), format!("{STAMP}{}", digits(random)))
}

/// Gives an item that is put into the outbox again a stamp of its own, in the place of the one that it has.
pub fn stamp_anew(ipc: &mut [u8], random: [u8; 16]) {
    let at = schema_of(ipc).and_then(digits_at).and_then(|at| ipc.get_mut(at..at + STAMP_DIGITS));
    if let Some(place) = at {
        place.copy_from_slice(digits(random).as_bytes());
    }
}

fn digits(random: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(random))
}

/// Where a stamp's digits begin. The first that looks like one is it: the metadata of a schema stand before its fields.
fn digits_at(schema: &[u8]) -> Option<usize> {
    let at = schema.windows(STAMP.len()).position(|bytes| bytes == STAMP.as_bytes())?;
    Some(at + STAMP.len())
}

/// A schema message before and behind its stamp; all of it when it has none.
fn around_stamp(schema: &[u8]) -> (&[u8], &[u8]) {
    let (before, stamped) = schema.split_at(digits_at(schema).unwrap_or(schema.len()));
    (before, stamped.get(STAMP_DIGITS..).unwrap_or_default())
}

/// The schema message at the start of a stream, as our own writer makes it: continuation marker,
/// length of the metadata (i32, little-endian), metadata; a schema has no body.
fn schema_of(ipc: &[u8]) -> Option<&[u8]> {
    let length = ipc.strip_prefix(&CONTINUATION)?.first_chunk::<4>()?;
    let end = 8 + usize::try_from(i32::from_le_bytes(*length)).ok()?;
    (end > 8 && ipc.ends_with(&END_OF_STREAM) && end + END_OF_STREAM.len() <= ipc.len())
        .then(|| &ipc[..end])
}

/// The rows of items that [`Item::joins`] each other, one stream: the schema once, then everybody's
/// messages in order, then the end.
pub fn joined<'i>(items: impl Iterator<Item = &'i Item>) -> Vec<u8> {
    let (mut body, items) = (Vec::new(), items.collect::<Vec<_>>());
    body.reserve(items.iter().map(|item| item.bytes()).sum());
    for item in items {
        let Content::Frame(ipc) = &item.content else {
            continue;
        };
        if body.is_empty() {
            body.extend_from_slice(ipc);
        } else if let Some(schema) = schema_of(ipc) {
            body.truncate(body.len() - END_OF_STREAM.len());
            body.extend_from_slice(&ipc[schema.len()..]);
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Frame;
    use arrow::array::{ArrayRef, DictionaryArray, Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Int32Type, Schema};
    use std::sync::Arc;

    fn item(number: i64, table: &str, columns: Vec<(&str, ArrayRef)>) -> Item {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let rows = batch.num_rows() as u64;
        let ipc = Frame::new(batch.schema(), vec![batch]).encode().unwrap();
        Item { number, table: table.into(), rows, content: Content::Frame(ipc) }
    }

    fn numbers(number: i64, values: Vec<i64>) -> Item {
        item(number, "t", vec![("n", Arc::new(Int64Array::from(values)))])
    }

    #[test]
    fn a_digest_is_written_as_rfc_9530_does() {
        let digest = Digest::of(b"hello world\n");
        // printf 'hello world\n' | openssl dgst -sha256 -binary | base64
        assert_eq!(digest.text(), "sha-256=:qUiQTy8PR5uPgZdpSzAYSw0u0cHNKh7A+4XSmaGSpEc=:");
        assert_eq!(Digest::parse(&digest.text()), Some(digest));
        for bad in ["", "sha-256=::", "sha-256=:AAAA:", "md5=:AAAA:", "sha-256=:qUiQ"] {
            assert_eq!(Digest::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn joined_items_are_one_stream_with_all_rows_in_order() {
        let items = [numbers(1, vec![1, 2]), numbers(2, vec![3]), numbers(3, vec![4, 5, 6])];
        assert!(items[0].joins(&items[1]) && items[1].joins(&items[2]));
        let frame = Frame::decode(joined(items.iter()).into()).unwrap();
        let batches: Vec<&Int64Array> = frame
            .batches
            .iter()
            .map(|batch| batch.column(0).as_any().downcast_ref().unwrap())
            .collect();
        let all: Vec<i64> = batches.iter().flat_map(|batch| batch.values().to_vec()).collect();
        assert_eq!(all, [1, 2, 3, 4, 5, 6]);
        let Content::Frame(ipc) = &items[0].content else { panic!() };
        assert_eq!(&joined(items[..1].iter()), ipc, "one alone is as it was");
    }

    #[test]
    fn frames_of_the_same_rows_have_digests_of_their_own_and_join() {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let of_frame = |number, random| {
            // A column that is called as a stamp is none.
            let name = stamp([9; 16]).1;
            let schema = Schema::new(vec![Field::new(name, DataType::Int64, false)]);
            let schema = Arc::new(schema.with_metadata([stamp(random)]));
            let batch = RecordBatch::try_new(schema.clone(), vec![column.clone()]).unwrap();
            let ipc = Frame::new(schema, vec![batch]).encode().unwrap();
            Item { number, table: "t".into(), rows: 2, content: Content::Frame(ipc) }
        };
        let [one, two] = [of_frame(1, [1; 16]), of_frame(2, [0xa2; 16])];
        assert_ne!(one.digest(), two.digest());
        assert!(one.joins(&two));
        let (Content::Frame(ipc), Content::Frame(other)) = (&one.content, &two.content) else {
            panic!()
        };
        let mut again = ipc.clone();
        stamp_anew(&mut again, [0xa2; 16]);
        assert!(again == *other, "nothing but the stamp is another");
        assert_eq!(Frame::decode(joined([one, two].iter()).into()).unwrap().rows, 4);
    }

    #[test]
    fn each_keeps_its_dictionary() {
        let words = |number, words: Vec<&str>| {
            let column: DictionaryArray<Int32Type> = words.into_iter().collect();
            item(number, "t", vec![("w", Arc::new(column))])
        };
        let items = [words(1, vec!["a", "b"]), words(2, vec!["c", "c", "d"])];
        assert!(items[0].joins(&items[1]));
        let frame = Frame::decode(joined(items.iter()).into()).unwrap();
        for (batch, item) in frame.batches.iter().zip(&items) {
            let Content::Frame(ipc) = &item.content else { panic!() };
            let alone = Frame::decode(ipc.clone().into()).unwrap();
            assert_eq!(*batch, alone.batches[0]);
        }
        assert_eq!(frame.rows, 5);
    }

    #[test]
    fn other_tables_other_schemas_and_skips_go_alone() {
        let first = numbers(1, vec![1]);
        let other_type =
            item(2, "t", vec![("n", Arc::new(arrow::array::Int32Array::from(vec![1])))]);
        let other_table = Item { table: "u".into(), ..numbers(2, vec![1]) };
        let content = Content::Skip { digest: first.digest(), code: "CONSTRAINT".into() };
        let skip = Item { content, ..numbers(2, vec![1]) };
        for other in [other_type, other_table, skip] {
            assert!(!first.joins(&other) && !other.joins(&first), "{other:?}");
        }
    }
}
