//! The columns that rows are read from: slices, as Arrow has them.

/// A column of values.
pub struct Column<'a> {
    /// The values, those under a NULL included.
    pub values: Values<'a>,
    /// Which of the values are there; all of them by default.
    pub nulls: Option<Bits<'a>>,
    /// Whole doubles are stored as integers. SQLite does so in columns of REAL affinity, and nowhere else
    /// (<https://www.sqlite.org/datatype3.html#storage_classes_and_datatypes>).
    pub whole_as_integers: bool,
    /// A NULL is refused.
    pub not_null: bool,
}

/// The values of a column.
pub enum Values<'a> {
    /// Stored as 0 and 1.
    Bools(Bits<'a>),
    /// Integers.
    I32(&'a [i32]),
    /// Integers.
    I64(&'a [i64]),
    /// Doubles; NaN is stored as NULL.
    F64(&'a [f64]),
    /// Texts of UTF-8, each from one offset to the next.
    Texts {
        /// One more than there are texts, ascending.
        offsets: &'a [i32],
        /// The bytes of all of them.
        bytes: &'a [u8],
    },
    /// Blobs of one length.
    Blobs {
        /// The length.
        length: usize,
        /// The bytes of all of them.
        bytes: &'a [u8],
    },
    /// Whatever else.
    Other(&'a dyn Source),
}

/// Gives values one by one.
pub trait Source {
    /// Gives the value of a row on, once.
    fn give(&self, row: usize, to: &mut dyn FnMut(Value<'_>));
}

/// One value.
pub enum Value<'a> {
    /// No value.
    Null,
    /// An integer.
    Integer(i64),
    /// A double; NaN is stored as NULL.
    Real(f64),
    /// Text in UTF-8.
    Text(&'a str),
    /// Bytes.
    Blob(&'a [u8]),
}

/// Bits, the lowest of each byte first.
#[derive(Clone, Copy)]
pub struct Bits<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Bits<'a> {
    /// The bits from one of them on.
    pub fn new(bytes: &'a [u8], offset: usize) -> Bits<'a> {
        Bits { bytes, offset }
    }

    /// Whether a bit is set.
    #[inline(always)]
    pub fn get(&self, nth: usize) -> bool {
        let at = self.offset + nth;
        self.bytes[at >> 3] >> (at & 7) & 1 == 1
    }
}

impl<'a> Column<'a> {
    /// Values without a NULL among them.
    pub fn new(values: Values<'a>) -> Column<'a> {
        Column { values, nulls: None, whole_as_integers: false, not_null: false }
    }

    /// The integer of a row, if it is one.
    pub(crate) fn integer(&self, row: usize) -> Option<i64> {
        if self.is_null(row) {
            return None;
        }
        match &self.values {
            Values::I32(values) => Some(values[row].into()),
            Values::I64(values) => Some(values[row]),
            Values::Other(source) => {
                let mut integer = None;
                source.give(row, &mut |value| {
                    if let Value::Integer(value) = value {
                        integer = Some(value);
                    }
                });
                integer
            }
            _ => None,
        }
    }

    #[inline(always)]
    pub(crate) fn is_null(&self, row: usize) -> bool {
        matches!(&self.nulls, Some(there) if !there.get(row))
    }
}
