//! What must hold of an IPC batch before arrow-rs reads it.
//!
//! A walk over the batch's nodes and buffers as its types call for them, with nothing read but the
//! numbers: each buffer lies within the body and is as long as its node's rows need, each length is
//! one that the bytes can have, and what will be allocated is counted before it is.

use arrow::datatypes::{DataType, Field};
use arrow::ipc::{Buffer as IpcBuffer, CompressionType, FieldNode, MetadataVersion, RecordBatch};

use super::ipc::{malformed, unsupported};
use super::storage::value_type;
use crate::error::Result;

/// Rows that cost no bytes (null columns, runs, empty structs): a frame may claim so many, and
/// eight more for each byte it has.
const FREE_ROWS: u64 = 1 << 24;

/// Bytes that decoding may allocate, and so many times the frame's own size.
const FREE_BYTES: u64 = 256 << 20;
const BYTES_PER_BYTE: u64 = 16;

/// A claim worth asking the allocator about.
const LARGE_BYTES: u64 = 1 << 20;

/// What a frame has claimed so far.
#[derive(Debug)]
pub struct Ledger {
    input_bytes: u64,
    limit_bytes: u64,
    allocated_bytes: u64,
    rows: u64,
}

impl Ledger {
    /// For a frame of so many bytes.
    pub fn new(input_bytes: usize) -> Self {
        Ledger::within(input_bytes, FREE_BYTES + BYTES_PER_BYTE * input_bytes as u64)
    }

    /// For a frame of so many bytes that may ask for at most `limit_bytes`.
    pub fn within(input_bytes: usize, limit_bytes: u64) -> Self {
        Ledger { input_bytes: input_bytes as u64, limit_bytes, allocated_bytes: 0, rows: 0 }
    }

    /// Counts bytes that are about to be allocated.
    ///
    /// # Errors
    /// `INVALID_FRAME` when they are more than the frame may ask for, or than there are.
    pub fn allocate(&mut self, bytes: u64) -> Result<()> {
        self.allocated_bytes = self.allocated_bytes.saturating_add(bytes);
        if self.allocated_bytes > self.limit_bytes {
            return Err(malformed(format!(
                "it asks for more than {} bytes of memory when decompressed",
                self.limit_bytes
            )));
        }
        self.probe(bytes)
    }

    /// Asks the allocator for bytes that will be allocated without asking.
    ///
    /// # Errors
    /// `INVALID_FRAME` when there are less.
    pub fn probe(&self, bytes: u64) -> Result<()> {
        let bytes_needed = usize::try_from(bytes).unwrap_or(usize::MAX);
        if bytes >= LARGE_BYTES && Vec::<u8>::new().try_reserve_exact(bytes_needed).is_err() {
            return Err(malformed(format!("it asks for {bytes} bytes of memory; there are less")));
        }
        Ok(())
    }

    fn row_limit(&self) -> u64 {
        FREE_ROWS + 8 * (self.input_bytes + self.allocated_bytes)
    }
}

/// Checks a record batch, or the one inside a dictionary batch, against the fields it is of.
///
/// # Errors
/// `INVALID_FRAME`; `UNSUPPORTED_TYPE` for metadata before version 4 and unknown compression.
pub fn check_batch<'f>(
    fields: impl IntoIterator<Item = &'f Field>,
    batch: RecordBatch<'_>,
    version: MetadataVersion,
    body: &[u8],
    ledger: &mut Ledger,
) -> Result<()> {
    if version != MetadataVersion::V4 && version != MetadataVersion::V5 {
        return Err(unsupported("metadata before version 4 is not read"));
    }
    let codec = batch.compression().map(|compression| compression.codec());
    if codec
        .is_some_and(|codec| codec != CompressionType::LZ4_FRAME && codec != CompressionType::ZSTD)
    {
        return Err(unsupported("the body's compression is not known"));
    }
    let (Some(nodes), Some(buffers)) = (batch.nodes(), batch.buffers()) else {
        return Err(malformed("a batch without nodes or buffers"));
    };
    let counts = batch.variadicBufferCounts();
    let mut walk = Walk {
        nodes: nodes.iter(),
        buffers: buffers.iter(),
        variadic: counts.into_iter().flatten().collect::<Vec<_>>().into_iter(),
        codec,
        body,
        ledger,
    };
    let rows = u64::try_from(batch.length()).map_err(|_| malformed("a negative number of rows"))?;
    for field in fields {
        let length = walk.field(field)?;
        if length != rows {
            return Err(malformed(format!("a column of {length} rows in a batch of {rows}"))
                .in_column(field.name()));
        }
    }
    let left = walk.nodes.len() + walk.buffers.len() + walk.variadic.len();
    if left > 0 {
        return Err(malformed("a batch with more nodes or buffers than its schema"));
    }
    ledger.rows = ledger.rows.saturating_add(rows);
    match ledger.rows > ledger.row_limit() {
        true => Err(malformed("it claims more rows than its bytes can have")),
        false => Ok(()),
    }
}

struct Walk<'w, N, B> {
    nodes: N,
    buffers: B,
    variadic: std::vec::IntoIter<i64>,
    codec: Option<CompressionType>,
    body: &'w [u8],
    ledger: &'w mut Ledger,
}

impl<'n, N, B> Walk<'_, N, B>
where
    N: Iterator<Item = &'n FieldNode>,
    B: Iterator<Item = &'n IpcBuffer>,
{
    /// Goes past one field; answers its number of rows.
    fn field(&mut self, field: &Field) -> Result<u64> {
        use DataType::*;
        let node = self.nodes.next().ok_or_else(|| malformed("a batch with too few nodes"))?;
        let length = u64::try_from(node.length()).map_err(|_| malformed("a negative length"))?;
        let nulls = u64::try_from(node.null_count()).unwrap_or(u64::MAX);
        // No product below can overflow, and no length is beyond an address.
        if length > (1 << 48) || nulls > length || usize::try_from(length).is_err() {
            return Err(malformed("a length or a number of nulls that no column has"));
        }
        if !matches!(field.data_type(), Null | RunEndEncoded(..)) {
            self.at_least(if nulls > 0 { length.div_ceil(8) } else { 0 })?;
        }
        let offsets = if length == 0 { 0 } else { length + 1 };
        match field.data_type() {
            Null => {}
            Boolean => {
                self.at_least(length.div_ceil(8))?;
            }
            Utf8 | Binary => {
                self.items(offsets, 4)?;
                self.at_least(0)?;
            }
            LargeUtf8 | LargeBinary => {
                self.items(offsets, 8)?;
                self.at_least(0)?;
            }
            Utf8View | BinaryView => {
                self.items(length, 16)?;
                let count = self.variadic.next().and_then(|count| u32::try_from(count).ok());
                let count = count.ok_or_else(|| malformed("no count of a view's buffers"))?;
                for _ in 0..count {
                    self.at_least(0)?;
                }
            }
            FixedSizeBinary(size) => {
                self.at_least(length * u64::from(size.unsigned_abs()))?;
            }
            List(item) | Map(item, _) => {
                self.items(offsets, 4)?;
                self.field(item)?;
            }
            LargeList(item) => {
                self.items(offsets, 8)?;
                self.field(item)?;
            }
            ListView(item) => {
                self.items(length, 4)?;
                self.items(length, 4)?;
                self.field(item)?;
            }
            LargeListView(item) => {
                self.items(length, 8)?;
                self.items(length, 8)?;
                self.field(item)?;
            }
            FixedSizeList(item, size) => {
                let items = self.field(item)?;
                if items < length.saturating_mul(u64::from(size.unsigned_abs())) {
                    return Err(malformed("a fixed-size list with too few items"));
                }
            }
            Struct(fields) => {
                for field in fields {
                    if self.field(field)? != length {
                        return Err(malformed("a struct whose children differ in length"));
                    }
                }
            }
            RunEndEncoded(ends, values) => {
                let runs = self.field(ends)?;
                if self.field(values)? < runs || (runs == 0 && length > 0) {
                    return Err(malformed("a run-end encoding with too few runs"));
                }
            }
            Dictionary(keys, _) => {
                self.items(length, width(keys)?)?;
            }
            Union(..) => return Err(unsupported("unions are not stored")),
            other => {
                self.at_least(length * width(other)?)?;
            }
        }
        match length > self.ledger.row_limit() {
            true => Err(malformed("it claims more rows than its bytes can have")),
            false => Ok(length),
        }
    }

    /// Goes past one buffer of offsets, keys or views. arrow-rs looks at the whole buffer as such,
    /// beyond the last row too, and panics when it ends inside one.
    fn items(&mut self, count: u64, width: u64) -> Result<()> {
        match self.at_least(count * width)?.is_multiple_of(width) {
            true => Ok(()),
            false => Err(malformed("a buffer that ends inside an offset, a key or a view")),
        }
    }

    /// Goes past one buffer, which must have so many bytes once decompressed; answers how many it
    /// has.
    fn at_least(&mut self, needed: u64) -> Result<u64> {
        let buffer =
            self.buffers.next().ok_or_else(|| malformed("a batch with too few buffers"))?;
        let length = match self.codec {
            Some(codec) => self.inflated(codec, &claim(buffer, self.body)?)?,
            None => {
                let bytes = bytes_of(buffer, self.body)?;
                // arrow-rs copies what is not aligned.
                if bytes.as_ptr().align_offset(16) != 0 {
                    self.ledger.allocate(bytes.len() as u64)?;
                }
                bytes.len() as u64
            }
        };
        match length < needed {
            true => Err(malformed("a buffer that is too short for its rows")),
            false => Ok(length),
        }
    }

    /// The size a compressed buffer claims to have, if its bytes can have it.
    fn inflated(&mut self, codec: CompressionType, claim: &Claim<'_>) -> Result<u64> {
        let (bytes, size) = (claim.bytes.len() as u64, claim.inflated_bytes as u64);
        // LZ4 stores at best 255 bytes in one, ZSTD a block of 128 KiB in four.
        let possible = match codec {
            CompressionType::LZ4_FRAME => bytes.saturating_mul(255),
            _ => bytes.saturating_mul(32 << 10).saturating_add(128 << 10),
        };
        if size > possible {
            return Err(malformed("a compressed buffer that claims more than it can have"));
        }
        self.ledger.allocate(size)?;
        Ok(size)
    }
}

/// A buffer of a compressed body, and what it says of itself.
pub struct Claim<'b> {
    /// What follows the size.
    pub bytes: &'b [u8],
    /// Its size when inflated.
    pub inflated_bytes: usize,
    /// Whether the bytes are a frame of the body's codec, not the content itself.
    pub is_compressed: bool,
}

/// Reads what a buffer of a compressed body says of itself; it may be a lie.
///
/// # Errors
/// `INVALID_FRAME` when it lies outside its body, or its size is missing or none.
pub fn claim<'b>(buffer: &IpcBuffer, body: &'b [u8]) -> Result<Claim<'b>> {
    let bytes = bytes_of(buffer, body)?;
    if bytes.is_empty() {
        return Ok(Claim { bytes, inflated_bytes: 0, is_compressed: false });
    }
    let (prefix, bytes) = bytes
        .split_first_chunk::<8>()
        .ok_or_else(|| malformed("a compressed buffer without its size"))?;
    match i64::from_le_bytes(*prefix) {
        -1 => Ok(Claim { bytes, inflated_bytes: bytes.len(), is_compressed: false }),
        size => usize::try_from(size)
            .map(|inflated_bytes| Claim { bytes, inflated_bytes, is_compressed: true })
            .map_err(|_| malformed("a compressed buffer's size")),
    }
}

fn bytes_of<'b>(buffer: &IpcBuffer, body: &'b [u8]) -> Result<&'b [u8]> {
    usize::try_from(buffer.offset())
        .ok()
        .zip(usize::try_from(buffer.length()).ok())
        .and_then(|(start, length)| body.get(start..start.checked_add(length)?))
        .ok_or_else(|| malformed("a buffer outside its body"))
}

fn width(data_type: &DataType) -> Result<u64> {
    value_type(data_type)
        .primitive_width()
        .map(|width| width as u64)
        .ok_or_else(|| malformed("a type without a width"))
}
