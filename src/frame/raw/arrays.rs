//! Nodes to arrays: takes the buffers that a type's layout has, makes good what libraries leave
//! out, and lets the Arrow crate validate everything.

use arrow::array::{ArrayData, ArrayDataBuilder, ArrayRef, BooleanArray, make_array};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::datatypes::{DataType, IntervalUnit};
use serde::Deserialize;

use super::regions::{Region, Regions};
use super::{MAX_CHUNK_ROWS, invalid};
use crate::error::Result;

/// The most bytes that are made up for rows that are null and have none; what apache-arrow's
/// padding of a shorter column can lead to.
const MAX_PADDING_BYTES: usize = 64 << 20;

/// A chunk of a column, or a child of one; the layout is told in the module above.
#[derive(Deserialize)]
pub struct Node {
    n: usize,
    #[serde(default)]
    o: usize,
    v: Option<Region>,
    #[serde(default)]
    b: Vec<Region>,
    #[serde(default)]
    c: Vec<Node>,
    d: Option<usize>,
}

/// What nodes refer to.
pub struct Arrays {
    regions: Regions,
    /// The dictionaries read so far.
    pub dictionaries: Vec<ArrayRef>,
}

impl Arrays {
    pub fn new(regions: Regions) -> Self {
        Arrays { regions, dictionaries: Vec::new() }
    }

    /// The array of a node.
    pub fn read(&self, data_type: &DataType, node: &Node) -> Result<ArrayRef> {
        Ok(make_array(self.data(data_type, node)?))
    }

    fn data(&self, data_type: &DataType, node: &Node) -> Result<ArrayData> {
        let n = node.n;
        if n > MAX_CHUNK_ROWS {
            return Err(invalid(format!("a chunk claims {n} rows")));
        }
        let nulls = self.nulls(node)?;
        let mut builder = ArrayData::builder(data_type.clone());
        match data_type {
            DataType::Boolean => {
                let mut bitmap = self.buffer(node, 0)?;
                let bytes = node.o.saturating_add(n).div_ceil(8);
                if bitmap.len() < bytes {
                    let rows = (bitmap.len() * 8).saturating_sub(node.o);
                    nulls_from(nulls.as_ref(), rows, n)?;
                    bitmap = padded(bitmap, bytes)?;
                }
                let values = self.bits(node, bitmap)?;
                return Ok(BooleanArray::new(values, nulls).into());
            }
            DataType::Null => {}
            DataType::Utf8 | DataType::Binary => {
                builder = builder
                    .add_buffer(self.offsets::<4>(node, nulls.as_ref())?)
                    .add_buffer(self.buffer(node, 1)?);
            }
            DataType::LargeUtf8 | DataType::LargeBinary => {
                builder = builder
                    .add_buffer(self.offsets::<8>(node, nulls.as_ref())?)
                    .add_buffer(self.buffer(node, 1)?);
            }
            DataType::Utf8View | DataType::BinaryView => {
                builder = builder.add_buffer(self.fixed(node, 0, 16, nulls.as_ref())?);
                for i in 1..node.b.len() {
                    builder = builder.add_buffer(self.buffer(node, i)?);
                }
            }
            DataType::List(field) | DataType::Map(field, _) => {
                builder = builder
                    .add_buffer(self.offsets::<4>(node, nulls.as_ref())?)
                    .add_child_data(self.child(field.data_type(), node, 0)?);
            }
            DataType::LargeList(field) => {
                builder = builder
                    .add_buffer(self.offsets::<8>(node, nulls.as_ref())?)
                    .add_child_data(self.child(field.data_type(), node, 0)?);
            }
            DataType::ListView(field) => {
                let child = self.child(field.data_type(), node, 0)?;
                builder = self.views::<4>(builder, node, nulls.as_ref(), child)?;
            }
            DataType::LargeListView(field) => {
                let child = self.child(field.data_type(), node, 0)?;
                builder = self.views::<8>(builder, node, nulls.as_ref(), child)?;
            }
            DataType::FixedSizeList(field, size) => {
                let child = self.child(field.data_type(), node, 0)?;
                let needed = usize::try_from(*size).ok().and_then(|s| s.checked_mul(n));
                if needed.is_none_or(|needed| needed > child.len()) {
                    return Err(invalid("a fixed-size list has too few values"));
                }
                builder = builder.add_child_data(child);
            }
            DataType::Struct(fields) => {
                for (i, field) in fields.iter().enumerate() {
                    builder = builder.add_child_data(self.child(field.data_type(), node, i)?);
                }
            }
            DataType::RunEndEncoded(ends, values) => {
                builder = builder
                    .offset(node.o)
                    .add_child_data(self.child(ends.data_type(), node, 0)?)
                    .add_child_data(self.child(values.data_type(), node, 1)?);
            }
            DataType::Dictionary(keys, values) => {
                let width = fixed_width(keys).unwrap_or(0);
                let dictionary = node.d.and_then(|d| self.dictionaries.get(d));
                let dictionary = dictionary
                    .filter(|dictionary| dictionary.data_type() == &**values)
                    .ok_or_else(|| invalid("a dictionary is missing"))?;
                builder = builder
                    .add_buffer(self.fixed(node, 0, width, nulls.as_ref())?)
                    .add_child_data(dictionary.to_data());
            }
            other => {
                let width = fixed_width(other)
                    .ok_or_else(|| invalid(format!("no layout is known for {other}")))?;
                builder = builder.add_buffer(self.fixed(node, 0, width, nulls.as_ref())?);
            }
        }
        builder.len(n).nulls(nulls).align_buffers(true).build().map_err(invalid)
    }

    fn child(&self, data_type: &DataType, node: &Node, i: usize) -> Result<ArrayData> {
        let child = node.c.get(i).ok_or_else(|| invalid("a child is missing"))?;
        self.data(data_type, child)
    }

    /// Buffer `i` of a node; what is absent is empty.
    fn buffer(&self, node: &Node, i: usize) -> Result<Buffer> {
        match node.b.get(i) {
            None => Ok(Buffer::from_vec(Vec::<u8>::new())),
            Some(region) => self.region(*region),
        }
    }

    fn region(&self, region: Region) -> Result<Buffer> {
        self.regions.get(region).ok_or_else(|| invalid("a region lies outside the buffers"))
    }

    fn nulls(&self, node: &Node) -> Result<Option<NullBuffer>> {
        let Some(region) = node.v else {
            return Ok(None);
        };
        let nulls = NullBuffer::new(self.bits(node, self.region(region)?)?);
        Ok(Some(nulls).filter(|nulls| nulls.null_count() > 0))
    }

    /// A node's rows in a bitmap.
    fn bits(&self, node: &Node, bitmap: Buffer) -> Result<BooleanBuffer> {
        let bits = node.o.checked_add(node.n).filter(|_| node.o < 8);
        if bits.is_none_or(|bits| bits.div_ceil(8) > bitmap.len()) {
            return Err(invalid("a bitmap is too short"));
        }
        Ok(BooleanBuffer::new(bitmap, node.o, node.n))
    }

    /// Buffer `i`, `width` bytes a row; bytes that are missing must belong to rows that are null.
    fn fixed(
        &self,
        node: &Node,
        i: usize,
        width: usize,
        nulls: Option<&NullBuffer>,
    ) -> Result<Buffer> {
        let buffer = self.buffer(node, i)?;
        let needed = node.n.checked_mul(width);
        let needed = needed.ok_or_else(|| invalid("a buffer is too short"))?;
        if buffer.len() < needed {
            nulls_from(nulls, buffer.len() / width, node.n)?;
        }
        padded(buffer, needed)
    }

    /// The offsets, `W` bytes each, moved so that the first is 0.
    fn offsets<const W: usize>(&self, node: &Node, nulls: Option<&NullBuffer>) -> Result<Buffer> {
        let buffer = self.buffer(node, 0)?;
        let read = |i: usize| integer::<W>(&buffer, i);
        let count = buffer.len() / W;
        let first = if count == 0 { 0 } else { read(0) };
        if count > node.n && first == 0 {
            return padded(buffer, (node.n + 1) * W);
        }
        if count <= node.n {
            nulls_from(nulls, count.saturating_sub(1), node.n)?;
        }
        let bytes = (node.n + 1).checked_mul(W);
        let bytes = bytes.filter(|bytes| *bytes <= buffer.len() + MAX_PADDING_BYTES);
        let mut moved = Vec::with_capacity(bytes.ok_or_else(|| invalid("offsets are missing"))?);
        let mut last = 0;
        for i in 0..=node.n {
            if i < count {
                last = read(i)
                    .checked_sub(first)
                    .filter(|offset| *offset >= 0)
                    .ok_or_else(|| invalid("its offsets run backwards"))?;
            }
            moved.extend_from_slice(&last.to_le_bytes()[..W]);
        }
        Ok(Buffer::from_vec(moved))
    }

    /// Offsets and sizes, each checked against the child.
    fn views<const W: usize>(
        &self,
        builder: ArrayDataBuilder,
        node: &Node,
        nulls: Option<&NullBuffer>,
        child: ArrayData,
    ) -> Result<ArrayDataBuilder> {
        let offsets = self.fixed(node, 0, W, nulls)?;
        let sizes = self.fixed(node, 1, W, nulls)?;
        for i in 0..node.n {
            let (offset, size) = (integer::<W>(&offsets, i), integer::<W>(&sizes, i));
            let end = offset.checked_add(size).filter(|_| offset >= 0 && size >= 0);
            if end.is_none_or(|end| end as u64 > child.len() as u64) {
                return Err(invalid("a list lies outside its values"));
            }
        }
        Ok(builder.add_buffer(offsets).add_buffer(sizes).add_child_data(child))
    }
}

/// The little-endian integer number `i` of `W` bytes; the caller knows that it is there.
fn integer<const W: usize>(buffer: &[u8], i: usize) -> i64 {
    let bytes = &buffer[i * W..(i + 1) * W];
    match <[u8; 4]>::try_from(bytes) {
        Ok(four) => i64::from(i32::from_le_bytes(four)),
        Err(_) => bytes.try_into().map_or(0, i64::from_le_bytes),
    }
}

/// Exactly `needed` bytes: cut, or filled up with zeros.
fn padded(buffer: Buffer, needed: usize) -> Result<Buffer> {
    if buffer.len() >= needed {
        return Ok(buffer.slice_with_length(0, needed));
    }
    if needed - buffer.len() > MAX_PADDING_BYTES {
        return Err(invalid("a buffer is too short"));
    }
    let mut filled = Vec::with_capacity(needed);
    filled.extend_from_slice(&buffer);
    filled.resize(needed, 0);
    Ok(Buffer::from_vec(filled))
}

/// Whether the rows from `from` to `to` are null.
fn nulls_from(nulls: Option<&NullBuffer>, from: usize, to: usize) -> Result<()> {
    let from = from.min(to);
    let missing = to - from;
    let null = nulls.map_or(0, |nulls| nulls.slice(from, missing).null_count());
    if null == missing {
        return Ok(());
    }
    Err(invalid("a buffer is too short"))
}

/// Bytes per value of the types that have one buffer of values.
fn fixed_width(data_type: &DataType) -> Option<usize> {
    match data_type {
        DataType::FixedSizeBinary(size) => usize::try_from(*size).ok(),
        DataType::Decimal128(..) | DataType::Interval(IntervalUnit::MonthDayNano) => Some(16),
        DataType::Decimal256(..) => Some(32),
        other => other.primitive_width(),
    }
}
