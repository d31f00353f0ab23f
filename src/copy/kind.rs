//! PostgreSQL's types, as far as values are written into them.

use serde::Deserialize;

/// How a value of a type is laid out in a binary COPY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One byte.
    Bool,
    /// Two bytes, big-endian as all that follows.
    Int2,
    /// Four bytes.
    Int4,
    /// Eight bytes.
    Int8,
    /// IEEE single.
    Float4,
    /// IEEE double.
    Float8,
    /// Digits to the base of 10,000.
    Numeric,
    /// UTF-8: text, varchar, bpchar, citext, and the labels of an enum.
    Text,
    /// Bytes.
    Bytea,
    /// Days since 2000-01-01.
    Date,
    /// Microseconds since midnight.
    Time,
    /// Microseconds since 2000-01-01.
    Timestamp,
    /// Microseconds since 2000-01-01 UTC.
    Timestamptz,
    /// Microseconds, days, months.
    Interval,
    /// Sixteen bytes.
    Uuid,
    /// JSON as text.
    Json,
    /// A version byte, then JSON as text.
    Jsonb,
    /// Anything else: nothing is written into it.
    Other,
}

/// Names as `pg_type` has them, with the fixed ids that array headers want.
const KINDS: [(Kind, &str, u32); 21] = [
    (Kind::Bool, "bool", 16),
    (Kind::Bytea, "bytea", 17),
    (Kind::Int8, "int8", 20),
    (Kind::Int2, "int2", 21),
    (Kind::Int4, "int4", 23),
    (Kind::Text, "text", 25),
    (Kind::Json, "json", 114),
    (Kind::Float4, "float4", 700),
    (Kind::Float8, "float8", 701),
    (Kind::Text, "bpchar", 1042),
    (Kind::Text, "varchar", 1043),
    (Kind::Date, "date", 1082),
    (Kind::Time, "time", 1083),
    (Kind::Timestamp, "timestamp", 1114),
    (Kind::Timestamptz, "timestamptz", 1184),
    (Kind::Interval, "interval", 1186),
    (Kind::Numeric, "numeric", 1700),
    (Kind::Uuid, "uuid", 2950),
    (Kind::Jsonb, "jsonb", 3802),
    // Extensions and enums have no fixed id; the description brings theirs.
    (Kind::Text, "citext", 0),
    (Kind::Text, "enum", 0),
];

impl Kind {
    /// The kind of a type by its name in `pg_type`; an enum's is `enum`.
    pub fn of(name: &str) -> Kind {
        KINDS.iter().find(|(_, known, _)| *known == name).map_or(Kind::Other, |(kind, ..)| *kind)
    }
}

/// What a numeric(p, s) holds; PostgreSQL has up to a thousand digits, more than any decimal here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digits {
    /// How many there are.
    pub precision: i32,
    /// How many of them stand after the point; negative for zeros before it.
    pub scale: i32,
}

/// The type of a column, or of an array column's items.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ColumnType {
    /// The name in `pg_type` of the type, of a domain's base type, or of an array's items; `enum`
    /// for an enum's.
    #[serde(rename = "type")]
    pub name: String,
    /// The id of that type.
    pub oid: u32,
    /// The type modifier, −1 for none: the length of a varchar, the digits of a numeric.
    pub modifier: i32,
    /// Whether the column is an array of it.
    pub array: bool,
}

impl ColumnType {
    /// A type by its name, without modifier, for columns that are not described by a server.
    pub fn named(name: &str) -> Self {
        let oid = KINDS.iter().find(|(_, known, _)| *known == name).map_or(0, |(.., oid)| *oid);
        ColumnType { name: name.to_owned(), oid, modifier: -1, array: false }
    }

    /// The layout of its values, or of its items' when it is an array.
    pub fn kind(&self) -> Kind {
        Kind::of(&self.name)
    }

    /// The items of an array.
    pub fn item(&self) -> Self {
        ColumnType { array: false, ..self.clone() }
    }

    /// The most characters of a varchar(n) or char(n).
    pub fn max_chars(&self) -> Option<usize> {
        let has_length = matches!(self.name.as_str(), "varchar" | "bpchar");
        usize::try_from(self.modifier - 4).ok().filter(|_| has_length && self.modifier >= 4)
    }

    /// The digits of a numeric(p, s).
    pub fn digits(&self) -> Option<Digits> {
        let bits = self.modifier.checked_sub(4).filter(|bits| *bits >= 0)?;
        // The scale is eleven bits with a sign.
        Some(Digits { precision: (bits >> 16) & 0xffff, scale: ((bits & 0x7ff) ^ 1024) - 1024 })
    }

    /// The digits after the second's point that a time or timestamp keeps.
    pub fn second_digits(&self) -> u32 {
        u32::try_from(self.modifier).map_or(6, |digits| digits.min(6))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modifiers_read_as_postgresql_writes_them() {
        let with = |name: &str, modifier| ColumnType { modifier, ..ColumnType::named(name) };
        let digits = |precision, scale| Some(Digits { precision, scale });
        assert_eq!(with("numeric", ((38 << 16) | 9) + 4).digits(), digits(38, 9));
        assert_eq!(with("numeric", ((5 << 16) | (0x7ff & -2)) + 4).digits(), digits(5, -2));
        assert_eq!(with("numeric", -1).digits(), None);
        assert_eq!(with("varchar", 24).max_chars(), Some(20));
        assert_eq!(with("varchar", -1).max_chars(), None);
        assert_eq!(with("text", -1).max_chars(), None);
        assert_eq!(with("timestamp", 3).second_digits(), 3);
        assert_eq!(with("timestamp", -1).second_digits(), 6);
    }
}
