//! Nested values as canonical JSON, which SQLite's JSON functions read.
//!
//! ```text
//! list, large_list, views, fixed_size_list   [1,2,3]
//! struct                                     {"a":1,"b":null}      every field, in the type's order
//! map                                        [["k",1],["k",2]]     pairs: order and twins are kept
//! integers, dates, times, durations          12, beyond ±(2^53−1) a string: "9007199254740993"
//! floats                                     1.5, -0.0, "NaN", "Infinity", "-Infinity"
//! decimals, intervals                        "12.50", "P1M2DT0.000000000S"
//! binary                                     base64 with padding: "AAE="
//! ```
//!
//! No space is written; the same value always gives the same text.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, make_array};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, i256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::cell::Cell;
use super::column::{Column, broken};
use super::decimal;
use super::storage::{Storage, value_type};
use crate::error::Result;

/// The greatest integer that JSON readers, JavaScript's among them, keep exactly.
pub const MAX_SAFE: u64 = (1 << 53) - 1;

/// The longest text of one value. Views and dictionaries inside each other can repeat their items
/// without end; what is longer is not written at all. A server has many senders at once, and less
/// for each.
const MAX_BYTES: usize = match (cfg!(test), cfg!(feature = "browser")) {
    (true, _) => 1 << 20,
    (false, true) => 256 << 20,
    (false, false) => 16 << 20,
};

/// Writes the values of one array.
#[derive(Debug)]
pub struct Writer<'a> {
    nulls: Option<NullBuffer>,
    node: Node<'a>,
    /// More bytes than the values of the whole array have together.
    most_bytes: u64,
}

#[derive(Debug)]
enum Node<'a> {
    Leaf(DataType, Column<'a>),
    List(Ranges, Box<Writer<'a>>),
    Map(OffsetBuffer<i32>, Box<Writer<'a>>, Box<Writer<'a>>),
    /// Each child after its name with quotes and colon.
    Struct(Vec<(String, Writer<'a>)>),
}

/// Which items each row of a list has.
#[derive(Debug)]
pub enum Ranges {
    /// The row's items end where the next row's begin.
    Offsets(OffsetBuffer<i32>),
    /// The same with 64 bits.
    LargeOffsets(OffsetBuffer<i64>),
    /// Where the row's items begin, and how many there are.
    Views(ScalarBuffer<i32>, ScalarBuffer<i32>),
    /// The same with 64 bits.
    LargeViews(ScalarBuffer<i64>, ScalarBuffer<i64>),
    /// Every row has so many.
    Fixed(usize),
}

impl<'a> Writer<'a> {
    /// Looks at an array, nested or not.
    ///
    /// # Errors
    /// As [`Column::new`].
    pub fn new(array: &'a dyn Array) -> Result<Self> {
        Ok(Writer {
            nulls: array.nulls().cloned(),
            most_bytes: most_bytes(array),
            node: Node::new(array)?,
        })
    }

    /// The JSON of a row's value; `None` when it is longer than any that is written.
    pub fn text(&self, row: usize) -> Option<String> {
        let mut out = String::new();
        self.write(row, &mut out)?;
        Some(out)
    }

    /// Whether some value may be too long; `false` spares the caller the look at each.
    pub fn may_be_too_long(&self) -> bool {
        self.most_bytes > MAX_BYTES as u64
    }

    /// Writes a row's value; `None` when it gets too long.
    fn write(&self, row: usize, out: &mut String) -> Option<()> {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            out.push_str("null");
            return Some(());
        }
        match &self.node {
            Node::Leaf(data_type, column) => {
                if data_type.is_nested() && column.loss(row).is_some() {
                    return None;
                }
                leaf(data_type, column.cell(row), out);
            }
            Node::List(ranges, items) => {
                separated('[', ']', ranges.of(row), out, |item, out| items.write(item, out))?;
            }
            Node::Map(offsets, keys, values) => {
                let entries = offsets[row] as usize..offsets[row + 1] as usize;
                separated('[', ']', entries, out, |entry, out| {
                    out.push('[');
                    keys.write(entry, out)?;
                    out.push(',');
                    values.write(entry, out)?;
                    out.push(']');
                    Some(())
                })?;
            }
            Node::Struct(children) => {
                separated('{', '}', 0..children.len(), out, |child, out| {
                    let (name, child) = &children[child];
                    out.push_str(name);
                    child.write(row, out)
                })?;
            }
        }
        (out.len() <= MAX_BYTES).then_some(())
    }
}

impl<'a> Node<'a> {
    fn new(array: &'a dyn Array) -> Result<Self> {
        use DataType::*;
        let boxed = |child: &'a ArrayRef| Writer::new(child.as_ref()).map(Box::new);
        let node = match array.data_type() {
            List(_) | LargeList(_) | ListView(_) | LargeListView(_) | FixedSizeList(..) => {
                let (ranges, items) = Ranges::of_list(array).ok_or_else(|| broken(array))?;
                Node::List(ranges, boxed(items)?)
            }
            Map(..) => match array.as_map_opt() {
                Some(map) => {
                    Node::Map(map.offsets().clone(), boxed(map.keys())?, boxed(map.values())?)
                }
                None => return Err(broken(array)),
            },
            Struct(fields) => {
                let structs = array.as_struct_opt().ok_or_else(|| broken(array))?;
                let children = fields.iter().zip(structs.columns()).map(|(field, child)| {
                    let name = serde_json::Value::from(field.name().as_str());
                    Ok((format!("{name}:"), Writer::new(child.as_ref())?))
                });
                Node::Struct(children.collect::<Result<_>>()?)
            }
            other => {
                let leaf = value_type(other).clone();
                let column = match leaf {
                    UInt64 => Column::new(array, &Storage::new(&Decimal128(20, 0), false)?)?,
                    _ => Column::raw(array)?,
                };
                Node::Leaf(leaf, column)
            }
        };
        Ok(node)
    }
}

impl Ranges {
    /// The ranges and the items of a list of any kind; `None` for another array.
    pub fn of_list(array: &dyn Array) -> Option<(Self, &ArrayRef)> {
        use DataType::*;
        Some(match array.data_type() {
            List(_) => {
                let list = array.as_list_opt::<i32>()?;
                (Ranges::Offsets(list.offsets().clone()), list.values())
            }
            LargeList(_) => {
                let list = array.as_list_opt::<i64>()?;
                (Ranges::LargeOffsets(list.offsets().clone()), list.values())
            }
            ListView(_) => {
                let list = array.as_list_view_opt::<i32>()?;
                (Ranges::Views(list.offsets().clone(), list.sizes().clone()), list.values())
            }
            LargeListView(_) => {
                let list = array.as_list_view_opt::<i64>()?;
                (Ranges::LargeViews(list.offsets().clone(), list.sizes().clone()), list.values())
            }
            FixedSizeList(_, size) => {
                let list = array.as_fixed_size_list_opt()?;
                (Ranges::Fixed(usize::try_from(*size).ok()?), list.values())
            }
            _ => return None,
        })
    }

    /// The row's items. Offsets and sizes are within the child: Arrow's validation has seen to it.
    pub fn of(&self, row: usize) -> Range<usize> {
        match self {
            Ranges::Offsets(offsets) => offsets[row] as usize..offsets[row + 1] as usize,
            Ranges::LargeOffsets(offsets) => offsets[row] as usize..offsets[row + 1] as usize,
            Ranges::Views(offsets, sizes) => {
                let start = offsets[row] as usize;
                start..start + sizes[row] as usize
            }
            Ranges::LargeViews(offsets, sizes) => {
                let start = offsets[row] as usize;
                start..start + sizes[row] as usize
            }
            Ranges::Fixed(size) => row * size..(row + 1) * size,
        }
    }
}

fn separated(
    open: char,
    close: char,
    items: Range<usize>,
    out: &mut String,
    mut write: impl FnMut(usize, &mut String) -> Option<()>,
) -> Option<()> {
    let start = items.start;
    out.push(open);
    for item in items {
        if item > start {
            out.push(',');
        }
        write(item, out)?;
    }
    out.push(close);
    Some(())
}

/// An upper bound, however the array's own rows overlap: nothing is read but sizes.
fn most_bytes(array: &dyn Array) -> u64 {
    use DataType::*;
    let rows = array.len() as u64;
    let below = |array: &dyn Array| {
        let children = array.to_data();
        let children = children
            .child_data()
            .iter()
            .map(|child| most_bytes(make_array(child.clone()).as_ref()));
        children.fold(0_u64, u64::saturating_add)
    };
    match array.data_type() {
        List(_) | LargeList(_) | FixedSizeList(..) | Map(..) => {
            below(array).saturating_add(rows.saturating_mul(16))
        }
        Struct(fields) => {
            let names: usize = fields.iter().map(|field| 6 * field.name().len() + 8).sum();
            below(array).saturating_add(rows.saturating_mul(names as u64 + 8))
        }
        // One row may have it all, and each may have the same.
        ListView(_) | LargeListView(_) | Dictionary(..) | RunEndEncoded(..) => {
            below(array).saturating_mul(rows).saturating_add(rows.saturating_mul(16))
        }
        _ => {
            let bytes = array.get_buffer_memory_size() as u64;
            rows.saturating_mul(128).saturating_add(bytes.saturating_mul(6))
        }
    }
}

fn leaf(data_type: &DataType, cell: Cell<'_>, out: &mut String) {
    match (data_type, cell) {
        (_, Cell::Null) => out.push_str("null"),
        (DataType::Boolean, Cell::Integer(value)) => {
            out.push_str(if value != 0 { "true" } else { "false" });
        }
        (DataType::UInt64, Cell::Text(digits)) => {
            let safe = digits.parse().is_ok_and(|value: u64| value <= MAX_SAFE);
            number(&digits, safe, out);
        }
        (data_type, Cell::Integer(value)) => match decimal::shape(data_type) {
            Some(shape) => {
                number(&decimal::format(i256::from_i128(value.into()), shape.scale), false, out)
            }
            None => number(&value.to_string(), value.unsigned_abs() <= MAX_SAFE, out),
        },
        (data_type, Cell::Real(value)) => real(data_type, value, out),
        (data_type, Cell::Text(text)) if data_type.is_nested() => out.push_str(&text),
        (_, Cell::Text(text)) => quoted(&text, out),
        (data_type, Cell::Blob(digits)) if decimal::shape(data_type).is_some() => {
            number(&String::from_utf8_lossy(&digits), false, out);
        }
        (_, Cell::Blob(bytes)) => {
            out.push('"');
            BASE64.encode_string(bytes, out);
            out.push('"');
        }
    }
}

/// A number, in quotes unless every reader keeps it.
fn number(digits: &str, safe: bool, out: &mut String) {
    let quote = if safe { "" } else { "\"" };
    out.extend([quote, digits, quote]);
}

/// The shortest digits that read back as the same float of its width.
fn real(data_type: &DataType, value: f64, out: &mut String) {
    out.push_str(&match value {
        value if value.is_nan() => "\"NaN\"".to_owned(),
        f64::INFINITY => "\"Infinity\"".to_owned(),
        f64::NEG_INFINITY => "\"-Infinity\"".to_owned(),
        value if *data_type == DataType::Float64 => format!("{value:?}"),
        value => format!("{:?}", value as f32),
    });
}

fn quoted(text: &str, out: &mut String) {
    out.push('"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[plain..at]);
        plain = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            control => out.push_str(&format!("\\u{control:04x}")),
        }
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::*;
    use arrow::datatypes::{Field, Int32Type};
    use std::sync::Arc;

    #[test]
    fn lists_write_as_arrays() {
        let list = ListArray::from_iter_primitive::<Int32Type, _, _>([
            Some(vec![Some(1), None, Some(-3)]),
            None,
            Some(vec![]),
        ]);
        let writer = Writer::new(&list).unwrap();
        assert_eq!(writer.text(0).unwrap(), "[1,null,-3]");
        assert_eq!(writer.text(1).unwrap(), "null");
        assert_eq!(writer.text(2).unwrap(), "[]");
        let slice = list.slice(2, 1);
        assert_eq!(Writer::new(&slice).unwrap().text(0).unwrap(), "[]");
    }

    #[test]
    fn leaves_are_exact() {
        let fields: Vec<(&str, ArrayRef, &str)> = vec![
            ("i", Arc::new(Int64Array::from(vec![(1_i64 << 53) + 1])), "\"9007199254740993\""),
            ("u", Arc::new(UInt64Array::from(vec![u64::MAX])), "\"18446744073709551615\""),
            ("s", Arc::new(UInt64Array::from(vec![7])), "7"),
            ("f", Arc::new(Float64Array::from(vec![-0.0])), "-0.0"),
            ("n", Arc::new(Float64Array::from(vec![f64::NAN])), "\"NaN\""),
            ("g", Arc::new(Float32Array::from(vec![0.1])), "0.1"),
            ("t", Arc::new(StringArray::from(vec!["a\0\"\\é"])), "\"a\\u0000\\\"\\\\é\""),
            ("b", Arc::new(BinaryArray::from(vec![&b"\0\x01"[..]])), "\"AAE=\""),
            ("o", Arc::new(BooleanArray::from(vec![true])), "true"),
        ];
        let expected: Vec<_> =
            fields.iter().map(|(name, _, json)| format!("\"{name}\":{json}")).collect();
        let structs = StructArray::from(
            fields
                .into_iter()
                .map(|(name, array, _)| {
                    (Arc::new(Field::new(name, array.data_type().clone(), true)), array)
                })
                .collect::<Vec<_>>(),
        );
        let text = Writer::new(&structs).unwrap().text(0).unwrap();
        assert_eq!(text, format!("{{{}}}", expected.join(",")));
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
    }

    #[test]
    fn maps_keep_twins() {
        let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
        for value in [1, 2] {
            map.keys().append_value("k");
            map.values().append_value(value);
        }
        map.append(true).unwrap();
        let map = map.finish();
        assert_eq!(Writer::new(&map).unwrap().text(0).unwrap(), "[[\"k\",1],[\"k\",2]]");
    }

    #[test]
    fn what_repeats_without_end_is_not_written() {
        // Each level has two rows, and each row both items of the level below, 2^40 of them in all.
        let mut array: ArrayRef = Arc::new(Int8Array::from(vec![1, 2]));
        for _ in 0..40 {
            let item = Arc::new(Field::new_list_field(array.data_type().clone(), true));
            let (offsets, sizes) = (vec![0, 0].into(), vec![2, 2].into());
            array = Arc::new(ListViewArray::new(item, offsets, sizes, array, None));
        }
        let writer = Writer::new(array.as_ref()).unwrap();
        assert!(writer.may_be_too_long());
        assert_eq!(writer.text(0), None);
    }
}
