//! The types in a descriptor, under the names that `www/client/arrow/types.ts` gives them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{
    DataType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, DecimalType, Field,
    FieldRef, IntervalUnit, TimeUnit, validate_decimal_precision_and_scale,
};
use serde::Deserialize;

use super::invalid;
use crate::error::{Code, Error, Result};

/// Metadata as pairs.
pub type Pairs = Vec<(String, String)>;

/// A field of the schema or of a nested type.
#[derive(Deserialize)]
pub struct FieldDescriptor {
    pub name: String,
    nullable: bool,
    #[serde(default)]
    metadata: Pairs,
    r#type: TypeDescriptor,
}

/// A type. Which of the parameters there are depends on `kind`; `unit` is the Arrow format's
/// number of it.
#[derive(Deserialize)]
pub struct TypeDescriptor {
    kind: String,
    bits: Option<u16>,
    signed: Option<bool>,
    precision: Option<u8>,
    scale: Option<i8>,
    unit: Option<u8>,
    timezone: Option<String>,
    size: Option<i32>,
    #[serde(default)]
    sorted: bool,
    #[serde(default)]
    children: Vec<FieldDescriptor>,
    keys: Option<Box<TypeDescriptor>>,
    values: Option<Box<TypeDescriptor>>,
}

impl FieldDescriptor {
    /// The Arrow field.
    pub fn read(&self) -> Result<Field> {
        let field = Field::new(&self.name, self.r#type.read()?, self.nullable)
            .with_metadata(metadata(&self.metadata));
        Ok(match &*self.r#type.kind {
            "dictionary" => field.with_dict_is_ordered(self.r#type.sorted),
            _ => field,
        })
    }
}

impl TypeDescriptor {
    /// The Arrow type. Depth is bounded by the JSON reader's limit.
    pub fn read(&self) -> Result<DataType> {
        Ok(match &*self.kind {
            "null" => DataType::Null,
            "bool" => DataType::Boolean,
            "int" => self.int()?,
            "float" => match self.precision {
                Some(0) => DataType::Float16,
                Some(1) => DataType::Float32,
                Some(2) => DataType::Float64,
                _ => return Err(self.wrong()),
            },
            "decimal" => self.decimal()?,
            "date" => match self.unit {
                Some(0) => DataType::Date32,
                Some(1) => DataType::Date64,
                _ => return Err(self.wrong()),
            },
            "time" => match (self.bits, self.time_unit()?) {
                (Some(32), unit @ (TimeUnit::Second | TimeUnit::Millisecond)) => {
                    DataType::Time32(unit)
                }
                (Some(64), unit @ (TimeUnit::Microsecond | TimeUnit::Nanosecond)) => {
                    DataType::Time64(unit)
                }
                _ => return Err(self.wrong()),
            },
            "timestamp" => {
                DataType::Timestamp(self.time_unit()?, self.timezone.as_deref().map(Arc::from))
            }
            "duration" => DataType::Duration(self.time_unit()?),
            "interval" => DataType::Interval(match self.unit {
                Some(0) => IntervalUnit::YearMonth,
                Some(1) => IntervalUnit::DayTime,
                Some(2) => IntervalUnit::MonthDayNano,
                _ => return Err(self.wrong()),
            }),
            "utf8" => DataType::Utf8,
            "largeUtf8" => DataType::LargeUtf8,
            "utf8View" => DataType::Utf8View,
            "binary" => DataType::Binary,
            "largeBinary" => DataType::LargeBinary,
            "binaryView" => DataType::BinaryView,
            "fixedSizeBinary" => DataType::FixedSizeBinary(self.size()?),
            "list" => DataType::List(self.only_child()?),
            "largeList" => DataType::LargeList(self.only_child()?),
            "listView" => DataType::ListView(self.only_child()?),
            "largeListView" => DataType::LargeListView(self.only_child()?),
            "fixedSizeList" => DataType::FixedSizeList(self.only_child()?, self.size()?),
            "struct" => DataType::Struct(
                self.children.iter().map(FieldDescriptor::read).collect::<Result<Vec<_>>>()?.into(),
            ),
            "map" => DataType::Map(Arc::new(self.entries()?), self.sorted),
            "runEndEncoded" => self.run_ends()?,
            "dictionary" => self.dictionary()?,
            kind => {
                let what = format!("the Arrow type {kind} is not stored");
                return Err(Error::new(Code::UnsupportedType, what));
            }
        })
    }

    fn int(&self) -> Result<DataType> {
        Ok(match (self.bits, self.signed) {
            (Some(8), Some(true)) => DataType::Int8,
            (Some(16), Some(true)) => DataType::Int16,
            (Some(32), Some(true)) => DataType::Int32,
            (Some(64), Some(true)) => DataType::Int64,
            (Some(8), Some(false)) => DataType::UInt8,
            (Some(16), Some(false)) => DataType::UInt16,
            (Some(32), Some(false)) => DataType::UInt32,
            (Some(64), Some(false)) => DataType::UInt64,
            _ => return Err(self.wrong()),
        })
    }

    fn decimal(&self) -> Result<DataType> {
        let (Some(precision), Some(scale)) = (self.precision, self.scale) else {
            return Err(self.wrong());
        };
        // Negative scales are legal; the library bounds positive ones.
        fn checked<T: DecimalType>(precision: u8, scale: i8) -> Result<DataType> {
            validate_decimal_precision_and_scale::<T>(precision, scale).map_err(invalid)?;
            Ok(T::TYPE_CONSTRUCTOR(precision, scale))
        }
        match self.bits {
            Some(32) => checked::<Decimal32Type>(precision, scale),
            Some(64) => checked::<Decimal64Type>(precision, scale),
            Some(128) => checked::<Decimal128Type>(precision, scale),
            Some(256) => checked::<Decimal256Type>(precision, scale),
            _ => Err(self.wrong()),
        }
    }

    fn time_unit(&self) -> Result<TimeUnit> {
        Ok(match self.unit {
            Some(0) => TimeUnit::Second,
            Some(1) => TimeUnit::Millisecond,
            Some(2) => TimeUnit::Microsecond,
            Some(3) => TimeUnit::Nanosecond,
            _ => return Err(self.wrong()),
        })
    }

    fn size(&self) -> Result<i32> {
        self.size.filter(|size| *size >= 0).ok_or_else(|| self.wrong())
    }

    fn only_child(&self) -> Result<FieldRef> {
        match self.children.as_slice() {
            [child] => Ok(Arc::new(child.read()?)),
            _ => Err(self.wrong()),
        }
    }

    /// The entries of a map. Libraries let one declare them and their keys nullable, which the
    /// format does not allow; nulls in them are refused with the values.
    fn entries(&self) -> Result<Field> {
        let [entries] = self.children.as_slice() else {
            return Err(self.wrong());
        };
        let [key, value] = entries.r#type.children.as_slice() else {
            return Err(self.wrong());
        };
        let pair = vec![key.read()?.with_nullable(false), value.read()?];
        Ok(Field::new(&entries.name, DataType::Struct(pair.into()), false)
            .with_metadata(metadata(&entries.metadata)))
    }

    /// Run ends are never null, whatever the library declares.
    fn run_ends(&self) -> Result<DataType> {
        let [ends, values] = self.children.as_slice() else {
            return Err(self.wrong());
        };
        let ends = ends.read()?.with_nullable(false);
        if !ends.data_type().is_run_ends_type() {
            return Err(self.wrong());
        }
        Ok(DataType::RunEndEncoded(Arc::new(ends), Arc::new(values.read()?)))
    }

    fn dictionary(&self) -> Result<DataType> {
        let (Some(keys), Some(values)) = (&self.keys, &self.values) else {
            return Err(self.wrong());
        };
        let keys = keys.read()?;
        if !keys.is_dictionary_key_type() {
            return Err(self.wrong());
        }
        Ok(DataType::Dictionary(Box::new(keys), Box::new(values.read()?)))
    }

    fn wrong(&self) -> Error {
        invalid(format!("the parameters of its type {} make no sense", self.kind))
    }
}

/// Pairs as Arrow keeps them.
pub fn metadata(pairs: &Pairs) -> HashMap<String, String> {
    pairs.iter().cloned().collect()
}
