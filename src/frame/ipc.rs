//! Arrow IPC bytes to batches and back.
//!
//! One walk serves both formats: a stream is its messages one after the other; a file is a footer
//! that says where its messages are. Layout of a message, both formats:
//!
//! ```text
//! [FF FF FF FF]  continuation marker (absent before Arrow 0.15)
//! i32 LE         length of the metadata, 0 = end of stream
//! metadata       a flatbuffer Message, padded
//! body           the buffers, bodyLength bytes
//! ```

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayData, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::convert::try_fb_to_schema;
use arrow::ipc::reader::read_record_batch;
use arrow::ipc::writer::StreamWriter;
use arrow::ipc::{
    DictionaryBatch, Message, MessageHeader, MetadataVersion, RecordBatch as IpcBatch,
    root_as_footer, root_as_message,
};

use super::Frame;
use super::ident::{check_columns, names};
use super::inflate::inflate;
use super::join::join;
use super::nested::with_children;
use super::storage::Encoding;
use super::verify::{Ledger, check_batch};
use super::verify_schema::{Dictionaries, check_field, check_flatbuffer};
use crate::error::{Code, Error, Result};

const CONTINUATION: [u8; 4] = [0xff; 4];
const MAGIC: &[u8; 6] = b"ARROW1";
/// The most zeros after the end of a stream: a buffer may be filled up to a multiple of 64 bytes.
const MAX_PADDING: usize = 63;

/// Reads a stream or a file; see [`Frame::decode`].
pub fn decode(bytes: Buffer, ledger: Ledger) -> Result<Frame> {
    if bytes.starts_with(MAGIC) {
        decode_file(&bytes, ledger)
    } else {
        decode_stream(&bytes, ledger)
    }
}

/// Writes a stream; see [`Frame::encode`].
pub fn encode(frame: &Frame) -> Result<Vec<u8>> {
    // Growing megabytes by doubling copies them all again. Alignment and messages come on top.
    let bytes = bytes_of(&frame.batches);
    let out = Vec::with_capacity(usize::try_from(bytes + bytes / 64 + 4096).unwrap_or(0));
    let mut writer = StreamWriter::try_new(out, &frame.schema).map_err(invalid)?;
    for batch in &frame.batches {
        writer.write(batch).map_err(invalid)?;
    }
    writer.into_inner().map_err(invalid)
}

/// About how many bytes batches of one schema take in a stream, which has a dictionary again only where
/// it is another one.
pub fn bytes_of(batches: &[RecordBatch]) -> u64 {
    let size = |data: &ArrayData| data.get_slice_memory_size().unwrap_or(0) as u64;
    let mut bytes = 0;
    for (nth, batch) in batches.iter().enumerate() {
        for (column, array) in batch.columns().iter().enumerate() {
            bytes += size(&array.to_data());
            let values = |batch: &RecordBatch| {
                Some(batch.column(column).as_any_dictionary_opt()?.values().to_data())
            };
            if let Some(before) = nth.checked_sub(1)
                && let Some(own) = values(batch)
                && values(&batches[before]).is_some_and(|earlier| own.ptr_eq(&earlier))
            {
                bytes -= size(&own);
            }
        }
    }
    bytes
}

/// What has been read so far.
struct Reader {
    schema: SchemaRef,
    /// The value types of the dictionaries that the schema has.
    types: Dictionaries,
    /// The dictionaries as they are now; looked up only, never walked.
    dictionaries: HashMap<i64, ArrayRef>,
    batches: Vec<RecordBatch>,
    ledger: Ledger,
}

impl Reader {
    fn new(schema: arrow::ipc::Schema<'_>, ledger: Ledger) -> Result<Self> {
        check_flatbuffer(schema)?;
        let schema = try_fb_to_schema(schema).map_err(invalid)?;
        let fields: Vec<_> = schema.fields().iter().map(without_null_ends).collect();
        let schema = Schema::new_with_metadata(fields, schema.metadata);
        check_columns(&names(&schema))?;
        let mut types = Dictionaries::new();
        for field in schema.fields() {
            check_field(field, &mut types)?;
            Encoding::of(field.data_type(), false).map_err(|e| e.in_column(field.name()))?;
        }
        Ok(Reader {
            schema: Arc::new(schema),
            types,
            dictionaries: HashMap::new(),
            batches: Vec::new(),
            ledger,
        })
    }

    /// Takes in one dictionary or record batch message with its body.
    fn read(&mut self, message: Message<'_>, body: &Buffer) -> Result<()> {
        let version = message.version();
        if let Some(batch) = message.header_as_record_batch() {
            let schema = Arc::clone(&self.schema);
            let batch = self.read_batch(schema, batch, version, body)?;
            self.batches.push(batch);
            Ok(())
        } else if let Some(batch) = message.header_as_dictionary_batch() {
            self.read_dictionary(batch, version, body)
        } else {
            Err(malformed("a message that is neither a batch nor a dictionary"))
        }
    }

    fn read_batch(
        &mut self,
        schema: SchemaRef,
        batch: IpcBatch<'_>,
        version: MetadataVersion,
        body: &Buffer,
    ) -> Result<RecordBatch> {
        let fields = schema.fields().iter().map(AsRef::as_ref);
        check_batch(fields, batch, version, body, &mut self.ledger)?;
        let dictionaries = &self.dictionaries;
        let read = match batch.compression() {
            None => read_record_batch(body, batch, schema, dictionaries, None, &version),
            Some(compression) => {
                let inflated = inflate(batch, compression.codec(), body, &self.ledger)?;
                let batch = inflated.batch()?;
                read_record_batch(&inflated.body, batch, schema, dictionaries, None, &version)
            }
        };
        read.map_err(invalid)
    }

    fn read_dictionary(
        &mut self,
        batch: DictionaryBatch<'_>,
        version: MetadataVersion,
        body: &Buffer,
    ) -> Result<()> {
        let (id, data) = (batch.id(), batch.data());
        let (Some(values), Some(data)) = (self.types.get(&id), data) else {
            return Err(malformed("a dictionary that no column has"));
        };
        let field = Field::new("", values.clone(), true);
        let schema = Arc::new(Schema::new(vec![field]));
        let mut values = Arc::clone(self.read_batch(schema, data, version, body)?.column(0));
        if batch.isDelta() {
            let Some(known) = self.dictionaries.get(&id) else {
                return Err(malformed("a dictionary that grows before it is there"));
            };
            // The old values are copied together with the new ones.
            self.ledger.allocate(known.get_buffer_memory_size() as u64 + body.len() as u64)?;
            values = join(&[known, &values]).map_err(invalid)?;
        }
        self.dictionaries.insert(id, values);
        Ok(())
    }

    fn finish(self) -> Frame {
        Frame::new(self.schema, self.batches)
    }
}

fn decode_stream(bytes: &Buffer, ledger: Ledger) -> Result<Frame> {
    let mut ledger = Some(ledger);
    let mut reader = None;
    let mut at = 0;
    while let Some((metadata, body_at)) = metadata_at(bytes, at)? {
        let message = message(&metadata)?;
        let body = body_of(bytes, body_at, &message)?;
        at = body_at + body.len();
        match (&mut reader, message.header_as_schema(), ledger.take()) {
            (None, Some(schema), Some(ledger)) => reader = Some(Reader::new(schema, ledger)?),
            (Some(reader), None, _) => reader.read(message, &body)?,
            (Some(_), Some(_), _) => return Err(malformed("a second schema")),
            (None, ..) => return Err(malformed("the first message is not a schema")),
        }
    }
    let reader = reader.ok_or_else(|| malformed("no schema"))?;
    check_end(&bytes[at.min(bytes.len())..])?;
    Ok(reader.finish())
}

/// Checks what is left after a stream's last message: its mark, which need not be there, and some
/// padding. More is another stream or part of one, whose rows would be lost without a word.
fn check_end(rest: &[u8]) -> Result<()> {
    let rest = rest.strip_prefix(&CONTINUATION).unwrap_or(rest);
    let rest = rest.strip_prefix(&[0; 4]).unwrap_or(rest);
    if rest.len() <= MAX_PADDING && rest.iter().all(|byte| *byte == 0) {
        return Ok(());
    }
    let bytes = if rest.len() == 1 { "byte follows" } else { "bytes follow" };
    let length = rest.len();
    Err(malformed(format!("{length} {bytes} the end of the stream; one call takes one stream")))
}

fn decode_file(bytes: &Buffer, ledger: Ledger) -> Result<Frame> {
    let tail = bytes.len().checked_sub(10).filter(|tail| *tail >= 8);
    let tail = tail.ok_or_else(|| malformed("the file ends before its footer"))?;
    if &bytes[tail + 4..] != MAGIC {
        return Err(malformed("the file does not end with ARROW1"));
    }
    let length = length_at(bytes, tail)?;
    let start = tail.checked_sub(length).filter(|start| *start >= 8);
    let start = start.ok_or_else(|| malformed("the footer is longer than the file"))?;
    let footer = aligned(bytes, start, length);
    let footer =
        root_as_footer(&footer).map_err(|e| malformed(format!("the footer is damaged: {e}")))?;
    let schema = footer.schema().ok_or_else(|| malformed("the footer has no schema"))?;
    let mut reader = Reader::new(schema, ledger)?;
    let blocks = [
        (footer.dictionaries(), MessageHeader::DictionaryBatch),
        (footer.recordBatches(), MessageHeader::RecordBatch),
    ];
    for (blocks, kind) in blocks {
        for block in blocks.into_iter().flatten() {
            let at = usize::try_from(block.offset()).map_err(|_| malformed("a block's offset"))?;
            let Some((metadata, body_at)) = metadata_at(bytes, at)? else {
                return Err(malformed("a block without a message"));
            };
            let message = message(&metadata)?;
            if message.header_type() != kind {
                return Err(malformed("a block with the wrong kind of message"));
            }
            let body = body_of(bytes, body_at, &message)?;
            reader.read(message, &body)?;
        }
    }
    Ok(reader.finish())
}

/// The metadata of the message at `at`, and where its body starts; `None` at the end of the
/// stream, which is a marker or simply the last byte.
fn metadata_at(bytes: &Buffer, mut at: usize) -> Result<Option<(Buffer, usize)>> {
    if at >= bytes.len() {
        return Ok(None);
    }
    if bytes[at..].starts_with(&CONTINUATION) {
        at += 4;
    }
    let length = length_at(bytes, at)?;
    at += 4;
    if length == 0 {
        return Ok(None);
    }
    if length > bytes.len() - at {
        return Err(malformed("a message is longer than the bytes"));
    }
    Ok(Some((aligned(bytes, at, length), at + length)))
}

/// Run ends are never null, whatever the writer declares: flechette's are nullable, and arrow-rs makes no array of
/// such a type.
fn without_null_ends(field: &FieldRef) -> FieldRef {
    fn settled(data_type: &DataType) -> DataType {
        match data_type {
            DataType::RunEndEncoded(ends, values) => {
                let ends = ends.as_ref().clone().with_nullable(false);
                DataType::RunEndEncoded(Arc::new(ends), without_null_ends(values))
            }
            DataType::Dictionary(keys, values) => {
                DataType::Dictionary(keys.clone(), Box::new(settled(values)))
            }
            other => with_children(other, &mut |_, field| without_null_ends(field)),
        }
    }
    Arc::new(field.as_ref().clone().with_data_type(settled(field.data_type())))
}

/// The non-negative i32 at `at`.
fn length_at(bytes: &Buffer, at: usize) -> Result<usize> {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk::<4>())
        .and_then(|chunk| usize::try_from(i32::from_le_bytes(*chunk)).ok())
        .ok_or_else(|| malformed("a message's length is missing or negative"))
}

/// `bytes[at..at + length]`, copied when it does not start at a multiple of 8: flatbuffers are
/// read in place and must be aligned.
fn aligned(bytes: &Buffer, at: usize, length: usize) -> Buffer {
    let slice = bytes.slice_with_length(at, length);
    if slice.as_ptr().align_offset(8) == 0 { slice } else { Buffer::from_slice_ref(&*slice) }
}

fn message(metadata: &Buffer) -> Result<Message<'_>> {
    root_as_message(metadata).map_err(|e| malformed(format!("a message is damaged: {e}")))
}

fn body_of(bytes: &Buffer, at: usize, message: &Message<'_>) -> Result<Buffer> {
    usize::try_from(message.bodyLength())
        .ok()
        .filter(|length| *length <= bytes.len() - at)
        .map(|length| bytes.slice_with_length(at, length))
        .ok_or_else(|| malformed("a message's body is longer than the bytes"))
}

pub(super) fn malformed(what: impl std::fmt::Display) -> Error {
    Error::new(Code::InvalidFrame, format!("not a well-formed Arrow IPC frame: {what}"))
}

/// Something well-formed that is not read.
pub(super) fn unsupported(what: &str) -> Error {
    Error::new(Code::UnsupportedType, what)
}

fn invalid(error: ArrowError) -> Error {
    malformed(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{DictionaryArray, Int64Array, RunArray, StringArray};
    use arrow::datatypes::Int32Type;
    use arrow::ipc::writer::FileWriter;

    fn batch() -> RecordBatch {
        RecordBatch::try_from_iter([
            ("a", Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef),
            ("b", Arc::new(StringArray::from(vec![Some("x"), None, Some("")]))),
        ])
        .unwrap()
    }

    #[test]
    fn a_stream_and_a_file_read_back_as_written() {
        let batch = batch();
        let frame = Frame::new(batch.schema(), vec![batch.clone(), batch.slice(1, 1)]);
        let stream = frame.encode().unwrap();
        assert_eq!(Frame::decode(stream.into()).unwrap(), frame);

        let mut writer = FileWriter::try_new(Vec::new(), &frame.schema).unwrap();
        for batch in &frame.batches {
            writer.write(batch).unwrap();
        }
        let file = writer.into_inner().unwrap();
        assert_eq!(Frame::decode(file.into()).unwrap(), frame);
    }

    #[test]
    fn run_ends_that_are_declared_nullable_are_read() {
        let ends = |nullable| Arc::new(Field::new("run_ends", DataType::Int32, nullable));
        let values = Arc::new(Field::new("values", DataType::Utf8, true));
        let runs = |nullable| DataType::RunEndEncoded(ends(nullable), Arc::clone(&values));
        let list = |nullable| DataType::new_list(runs(nullable), true);
        let schema = |nullable| {
            let fields = [("r", runs(nullable)), ("l", list(nullable))];
            Schema::new(fields.map(|(name, data_type)| Field::new(name, data_type, true)).to_vec())
        };
        let words = [Some("a"), Some("a"), None, Some("b")];
        let column: ArrayRef = Arc::new(words.into_iter().collect::<RunArray<Int32Type>>());
        let batch = RecordBatch::try_new(
            Arc::new(schema(false)),
            vec![column, arrow::array::new_null_array(&list(false), words.len())],
        );
        let batch = batch.unwrap();
        let mut writer = StreamWriter::try_new(Vec::new(), &schema(true)).unwrap();
        writer.write(&batch).unwrap();
        let bytes = writer.into_inner().unwrap();
        let frame = Frame::new(batch.schema(), vec![batch]);
        assert_eq!(Frame::decode(bytes.into()).unwrap(), frame);
    }

    #[test]
    fn bytes_after_the_end_of_a_stream_are_refused() {
        let batch = batch();
        let frame = Frame::new(batch.schema(), vec![batch]);
        let stream = frame.encode().unwrap();
        let followed_by = |more: &[u8]| Frame::decode([&stream, more].concat().into());
        for padding in [0, 1, 8, 63] {
            assert_eq!(followed_by(&vec![0; padding]).unwrap(), frame);
        }
        for more in [&stream[..], &[0; 64], &[0, 0, 1], b"\n"] {
            let error = followed_by(more).unwrap_err();
            assert_eq!(error.code, Code::InvalidFrame);
            let bytes = format!(" {} byte", more.len());
            assert!(error.message.contains(&bytes), "{}", error.message);
            assert!(error.message.contains("one stream"), "{}", error.message);
        }
        // A stream need not have a mark at its end, and an old one has but four bytes.
        let unmarked = &stream[..stream.len() - 8];
        assert_eq!(Frame::decode(unmarked.to_vec().into()).unwrap(), frame);
        assert_eq!(Frame::decode([unmarked, &[0; 4]].concat().into()).unwrap(), frame);
        let error = Frame::decode([unmarked, &[0; 4], &stream].concat().into()).unwrap_err();
        assert!(error.message.contains(&format!(" {} bytes", stream.len())), "{}", error.message);
    }

    #[test]
    fn a_dictionary_that_batches_share_takes_room_once() {
        let words = (0..1000).map(|word| format!("{word:0>100}"));
        let values: ArrayRef = Arc::new(StringArray::from_iter_values(words));
        let batch = |key: i64| {
            let keys = Int64Array::from(vec![key; 3]);
            let words = DictionaryArray::new(keys, Arc::clone(&values));
            RecordBatch::try_from_iter([("w", Arc::new(words) as ArrayRef)]).unwrap()
        };
        let batches: Vec<_> = (0..100).map(batch).collect();
        let frame = Frame::new(batches[0].schema(), batches);
        let bytes = frame.encode().unwrap();
        let read = Frame::decode(bytes.clone().into()).unwrap();
        assert_eq!(read, frame);
        for frame in [frame, read] {
            let estimate = frame.bytes_estimate() as usize;
            assert!(estimate.abs_diff(bytes.len()) < 50_000, "{estimate} for {}", bytes.len());
            assert!(frame.encode().unwrap().capacity() < 2 * bytes.len());
        }
    }

    #[test]
    fn bytes_at_an_odd_address_read_alike() {
        let batch = batch();
        let frame = Frame::new(batch.schema(), vec![batch]);
        let mut bytes = vec![0];
        bytes.extend(frame.encode().unwrap());
        let odd = Buffer::from(bytes).slice(1);
        assert_eq!(Frame::decode(odd).unwrap(), frame);
    }
}
