//! A column as the encoder of images reads it.

use super::{Column, Source};
use crate::frame::cell::Cell;
use crate::frame::convert::Step;
use arrow::buffer::NullBuffer;
use framelock_image as image;

impl Column<'_> {
    /// The column for an image: a slice where the commonest values stand as they are.
    pub fn as_image(&self) -> image::Column<'_> {
        let values = match (&self.step, &self.source) {
            (Step::Keep, Source::Bool(values)) => {
                let bits = values.values();
                image::Values::Bools(image::Bits::new(bits.values(), bits.offset()))
            }
            (Step::Keep, Source::I32(values)) => image::Values::I32(values),
            (Step::Keep, Source::I64(values)) => image::Values::I64(values),
            (Step::Keep, Source::F64(values)) => image::Values::F64(values),
            (Step::Keep, Source::Utf8(values)) => {
                image::Values::Texts { offsets: values.value_offsets(), bytes: values.value_data() }
            }
            (Step::Keep, Source::FixedBinary(values)) => image::Values::Blobs {
                length: values.value_length() as usize,
                bytes: values.value_data(),
            },
            _ => image::Values::Other(self),
        };
        let nulls = self.nulls.as_ref().map(NullBuffer::inner);
        let nulls = nulls.map(|bits| image::Bits::new(bits.values(), bits.offset()));
        image::Column { nulls, ..image::Column::new(values) }
    }
}

impl image::Source for Column<'_> {
    fn give(&self, row: usize, to: &mut dyn FnMut(image::Value<'_>)) {
        let cell = self.cell(row);
        to(match &cell {
            Cell::Null => image::Value::Null,
            Cell::Integer(value) => image::Value::Integer(*value),
            Cell::Real(value) => image::Value::Real(*value),
            Cell::Text(text) => image::Value::Text(text),
            Cell::Blob(bytes) => image::Value::Blob(bytes),
        });
    }
}
