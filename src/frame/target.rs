//! The column a value goes to: whether a frame's type may go there, and how it is stored.
//!
//! A column whose type is known takes that type and what widens to it. A column of other people's
//! takes what its affinity keeps: SQLite must give back what it was given.

use arrow::datatypes::{DataType, Field};

use super::catalogue;
use super::convert::{Fit, fit};
use super::decimal;
use super::iso;
use super::storage::{Affinity, Encoding, Storage, value_type};
use super::types;
use crate::error::{Code, Error, Result};

/// A column of a table that is there.
pub struct Target<'a> {
    /// Its declared type.
    pub declared: &'a str,
    /// Whether the table is `STRICT`.
    pub strict: bool,
    /// Whether the catalogue will say what its values mean.
    pub adopts: bool,
}

impl Target<'_> {
    /// How `wanted` is stored where the catalogue says `known`.
    ///
    /// # Errors
    /// `SCHEMA_MISMATCH` when it does not widen to it, or is not stored as ISO 8601 there.
    pub fn known(&self, known: &Field, wanted: &DataType, iso8601: bool) -> Result<Storage> {
        let affinity = Affinity::of(self.declared, self.strict);
        let spelled = catalogue::is_iso8601(known);
        let known = known.data_type();
        if iso8601 && !spelled {
            return Err(mismatch("the column was not made for ISO 8601 text".into()));
        }
        match fit(wanted, known) {
            Some(Fit::Same | Fit::Widens) => Ok(Storage {
                data_type: known.clone(),
                encoding: Encoding::of(known, spelled)?,
                affinity,
            }),
            Some(Fit::Narrows) | None => Err(mismatch(format!(
                "the column is {}, the frame has {}",
                types::name(known),
                types::name(wanted)
            ))),
        }
    }

    /// How `wanted` is stored in a column that nobody has typed.
    ///
    /// # Errors
    /// `SCHEMA_MISMATCH` when the column would change the values, or hide what they mean.
    pub fn unknown(&self, wanted: &DataType, iso8601: bool) -> Result<Storage> {
        let affinity = Affinity::of(self.declared, self.strict);
        let mut data_type = wanted.clone();
        let mut encoding = Encoding::of(wanted, iso8601)?;
        if encoding == Encoding::Integer
            && affinity == Affinity::Real
            && value_type(wanted).is_integer()
        {
            data_type = DataType::Float64;
            encoding = Encoding::Real;
        }
        if !self.keeps(encoding, affinity, wanted) {
            return Err(mismatch(format!(
                "a column declared {:?} would not keep {}{}",
                self.declared,
                types::name(wanted),
                self.hint(encoding, wanted)
            )));
        }
        Ok(Storage { data_type, encoding, affinity })
    }

    /// Whether the column gives back what it is given, and says what it is.
    fn keeps(&self, encoding: Encoding, affinity: Affinity, wanted: &DataType) -> bool {
        if encoding == Encoding::Nothing {
            return true;
        }
        let any = affinity == Affinity::Blob
            && !(self.strict && self.declared.eq_ignore_ascii_case("BLOB"));
        // A scaled integer is not the number it stands for; only a catalogue entry says so, and
        // nothing could in a column that was made to hold the number itself.
        let scaled = decimal::shape(value_type(wanted)).is_some_and(|shape| shape.scale != 0);
        match encoding {
            Encoding::Scaled if scaled && (!self.adopts || affinity == Affinity::Numeric) => false,
            Encoding::Integer | Encoding::Scaled => {
                any || matches!(affinity, Affinity::Integer | Affinity::Numeric)
            }
            Encoding::Real => any || matches!(affinity, Affinity::Real | Affinity::Numeric),
            Encoding::Digits => any || affinity == Affinity::Text,
            Encoding::Text | Encoding::Interval | Encoding::Json | Encoding::Iso8601 => {
                any || matches!(affinity, Affinity::Text | Affinity::Numeric)
            }
            Encoding::Blob => matches!(affinity, Affinity::Blob | Affinity::Numeric),
            Encoding::Nothing => true,
        }
    }

    fn hint(&self, encoding: Encoding, wanted: &DataType) -> &'static str {
        let dated = iso::Kind::of(value_type(wanted)).is_some();
        match encoding {
            Encoding::Integer if dated => "; types 'iso8601' stores it as text",
            Encoding::Scaled => {
                " as the number it is: it is stored as its digits without the point"
            }
            _ => "",
        }
    }
}

fn mismatch(why: String) -> Error {
    Error::new(Code::SchemaMismatch, why)
}
