//! A compressed batch without its compression: the same batch, and a body with its buffers inflated.
//!
//! Every buffer of a compressed body stands for itself:
//!
//! ```text
//! i64 LE   bytes when inflated; -1: the rest was not compressed
//! rest     an LZ4 or a ZSTD frame
//! ```
//!
//! arrow-ipc inflates too, but its writer names zstd's compressor, which is a tenth of the wasm when it
//! is linked, and which nothing here calls. What buffers claim was checked and counted by `verify`.

use std::io::Read;

use arrow::buffer::{Buffer, MutableBuffer};
use arrow::ipc::{Buffer as IpcBuffer, CompressionType, RecordBatch, RecordBatchArgs};
use flatbuffers::FlatBufferBuilder;
use lz4_flex::frame::FrameDecoder;
use zstd_safe::DCtx;

use super::ipc::malformed;
use super::verify::{Claim, Ledger, claim};
use crate::error::Result;

/// Where each buffer of the new body starts: fit for every type, so that none is copied again.
const ALIGNMENT: usize = 64;

/// A batch whose body is not compressed.
pub struct Inflated {
    metadata: Vec<u8>,
    /// Where the table stands in `metadata`.
    start: usize,
    /// The buffers.
    pub body: Buffer,
}

impl Inflated {
    /// The batch that the body is of.
    ///
    /// # Errors
    /// None: these are our own bytes.
    pub fn batch(&self) -> Result<RecordBatch<'_>> {
        flatbuffers::root::<RecordBatch<'_>>(&self.metadata[self.start..])
            .map_err(|e| malformed(format!("a batch that was just written: {e}")))
    }
}

/// Inflates a batch that `verify` has checked.
///
/// # Errors
/// `INVALID_FRAME` when a buffer is not what it claims to be, or memory is short.
pub fn inflate(
    batch: RecordBatch<'_>,
    codec: CompressionType,
    body: &[u8],
    ledger: &Ledger,
) -> Result<Inflated> {
    let packed = batch.buffers().into_iter().flatten();
    let packed = packed.map(|buffer| claim(buffer, body)).collect::<Result<Vec<_>>>()?;
    let mut at = 0;
    let buffers: Vec<_> = (packed.iter())
        .map(|claim| {
            let start = at;
            at = (start + claim.inflated_bytes).next_multiple_of(ALIGNMENT);
            IpcBuffer::new(start as i64, claim.inflated_bytes as i64)
        })
        .collect();
    ledger.probe(at as u64)?;
    let mut inflated = MutableBuffer::from_len_zeroed(at);
    let mut inflater = Inflater::new(codec)?;
    for (claim, buffer) in packed.iter().zip(&buffers) {
        let start = buffer.offset() as usize;
        inflater.inflate(claim, &mut inflated[start..start + claim.inflated_bytes])?;
    }
    let (metadata, start) = without_compression(batch, &buffers);
    Ok(Inflated { metadata, start, body: inflated.into() })
}

/// The batch's metadata with other buffers.
fn without_compression(batch: RecordBatch<'_>, buffers: &[IpcBuffer]) -> (Vec<u8>, usize) {
    let mut fbb = FlatBufferBuilder::new();
    let nodes: Vec<_> = batch.nodes().into_iter().flatten().copied().collect();
    let counts: Option<Vec<_>> = batch.variadicBufferCounts().map(|counts| counts.iter().collect());
    let args = RecordBatchArgs {
        length: batch.length(),
        nodes: Some(fbb.create_vector(&nodes)),
        buffers: Some(fbb.create_vector(buffers)),
        compression: None,
        variadicBufferCounts: counts.map(|counts| fbb.create_vector(&counts)),
    };
    let root = RecordBatch::create(&mut fbb, &args);
    fbb.finish(root, None);
    fbb.collapse()
}

enum Inflater {
    Lz4,
    /// zstd's tables: a hundred KB, shared by all buffers of a batch.
    Zstd(DCtx<'static>),
}

impl Inflater {
    fn new(codec: CompressionType) -> Result<Self> {
        if codec == CompressionType::LZ4_FRAME {
            return Ok(Inflater::Lz4);
        }
        let context = DCtx::try_create().ok_or_else(|| malformed("no memory to inflate it"))?;
        Ok(Inflater::Zstd(context))
    }

    /// Fills `out` with exactly what the buffer claims to have.
    fn inflate(&mut self, claim: &Claim<'_>, out: &mut [u8]) -> Result<()> {
        let whole = match self {
            _ if !claim.is_compressed => {
                out.copy_from_slice(claim.bytes);
                true
            }
            // Nothing is claimed, so nothing is looked for: writers leave such frames out.
            _ if out.is_empty() => true,
            Inflater::Lz4 => {
                let mut frame = FrameDecoder::new(claim.bytes);
                frame.read_exact(out).is_ok() && matches!(frame.read(&mut [0]), Ok(0))
            }
            Inflater::Zstd(context) => {
                context.decompress(out, claim.bytes).is_ok_and(|length| length == out.len())
            }
        };
        match whole {
            true => Ok(()),
            false => Err(malformed("a compressed buffer that is not what it claims to be")),
        }
    }
}
