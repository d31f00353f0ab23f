//! Reading nested values back from JSON: the inverse of [`super::json`], led by the type.
//!
//! It reads what we write and what SQLite's JSON functions make of it (spaces, other escapes, a
//! struct's fields in another order). Anything else is a misfit, never a guess.

use std::borrow::Cow;

use arrow::datatypes::DataType;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::build::{Builder, Misfit, Push, Values};
use super::cell::Cell;
use super::decimal;

/// The deepest nesting that is skipped over; the type bounds what is read.
const MAX_DEPTH: usize = 64;

/// Reads one JSON value into a builder of a nested type.
///
/// # Errors
/// A [`Misfit`] when the text is not JSON, or not a value of the type.
pub fn read(text: &str, builder: &mut Builder) -> Push {
    let mut reader = Reader { text, at: 0 };
    reader.value(builder)?;
    reader.space();
    match reader.at == text.len() {
        true => Ok(()),
        false => Err(Misfit::Value),
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

type Read<T> = Result<T, Misfit>;

impl<'t> Reader<'t> {
    /// Reads a value of the builder's type.
    fn value(&mut self, builder: &mut Builder) -> Push {
        self.space();
        if self.word("null") {
            builder.push_null();
            return Ok(());
        }
        match &mut builder.values {
            Values::List(_, items) => {
                if matches!(builder.data_type, DataType::Map(..)) {
                    self.sequence('[', ']', |reader| reader.entry(items))?;
                } else {
                    self.sequence('[', ']', |reader| reader.value(items))?;
                }
                builder.end_list()
            }
            Values::FixedList(items, _) => {
                self.sequence('[', ']', |reader| reader.value(items))?;
                builder.end_list()
            }
            Values::Struct(children) => {
                let DataType::Struct(fields) = &builder.data_type else {
                    return Err(Misfit::Value);
                };
                let mut seen = vec![false; fields.len()];
                self.sequence('{', '}', |reader| {
                    let name = reader.string()?;
                    reader.expect(':')?;
                    let unseen = |(at, _): &(usize, _)| !seen[*at];
                    let named = fields.iter().enumerate().filter(unseen);
                    let mut named = named.filter(|(_, field)| *field.name() == name);
                    let (at, _) = named.next().ok_or(Misfit::Value)?;
                    seen[at] = true;
                    reader.value(&mut children[at])
                })?;
                for (child, seen) in children.iter_mut().zip(seen) {
                    if !seen {
                        child.push_null();
                    }
                }
                builder.count_valid();
                Ok(())
            }
            Values::Dictionary(keys, dictionary) => {
                let start = self.at;
                self.skip(0)?;
                let span = &self.text[start..self.at];
                let key = dictionary.key(span.as_bytes().to_vec(), |values| {
                    let mut reader = Reader { text: span, at: 0 };
                    reader.value(values)
                })?;
                keys.push(key);
                builder.count_valid();
                Ok(())
            }
            _ => self.leaf(builder),
        }
    }

    /// Reads a map's `[key, value]`.
    fn entry(&mut self, entries: &mut Builder) -> Push {
        let Values::Struct(children) = &mut entries.values else {
            return Err(Misfit::Value);
        };
        let mut children = children.iter_mut();
        self.sequence('[', ']', |reader| reader.value(children.next().ok_or(Misfit::Value)?))?;
        if children.next().is_some() {
            return Err(Misfit::Value);
        }
        entries.count_valid();
        Ok(())
    }

    fn leaf(&mut self, builder: &mut Builder) -> Push {
        let data_type = builder.data_type.clone();
        if data_type == DataType::Boolean {
            return match () {
                () if self.word("true") => builder.push_integer(1),
                () if self.word("false") => builder.push_integer(0),
                () => Err(Misfit::Value),
            };
        }
        let token: Cow<'_, str> = match self.peek() {
            Some('"') => self.string()?,
            _ => Cow::Borrowed(self.number()?),
        };
        if let Some(shape) = decimal::shape(&data_type) {
            return builder
                .push_unscaled(decimal::parse_wide(&token, shape.scale).ok_or(Misfit::Value)?);
        }
        match data_type {
            DataType::Float16 | DataType::Float32 | DataType::Float64 => {
                let value = real(&token, &data_type).ok_or(Misfit::Value)?;
                builder.push_real(value)
            }
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => {
                let bytes = BASE64.decode(token.as_bytes()).map_err(|_| Misfit::Value)?;
                builder.push_bytes(&bytes)
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                builder.push(Cell::Text(token))
            }
            _ => match token.parse::<i128>() {
                Ok(value) => builder.push_integer(value),
                Err(_) => builder.push(Cell::Text(token)),
            },
        }
    }

    /// Reads `open item, item close`.
    fn sequence(
        &mut self,
        open: char,
        close: char,
        mut item: impl FnMut(&mut Self) -> Push,
    ) -> Push {
        self.expect(open)?;
        if self.optional(close) {
            return Ok(());
        }
        loop {
            item(self)?;
            if self.optional(close) {
                return Ok(());
            }
            self.expect(',')?;
        }
    }

    /// Goes past one value of any kind.
    fn skip(&mut self, depth: usize) -> Push {
        if depth > MAX_DEPTH {
            return Err(Misfit::Value);
        }
        match self.peek() {
            Some('"') => self.string().map(drop),
            Some('[') => self.sequence('[', ']', |reader| reader.skip(depth + 1)),
            Some('{') => self.sequence('{', '}', |reader| {
                reader.string()?;
                reader.expect(':')?;
                reader.skip(depth + 1)
            }),
            _ if ["null", "true", "false"].iter().any(|word| self.word(word)) => Ok(()),
            _ => self.number().map(drop),
        }
    }

    fn string(&mut self) -> Read<Cow<'t, str>> {
        self.expect('"')?;
        let text = self.text;
        let start = self.at;
        let mut owned: Option<String> = None;
        let mut plain = start;
        loop {
            let rest = &text.as_bytes()[self.at..];
            let length = rest.iter().position(|byte| *byte == b'"' || *byte == b'\\');
            self.at += length.ok_or(Misfit::Value)?;
            let piece = &text[plain..self.at];
            if text.as_bytes()[self.at] == b'"' {
                self.at += 1;
                return Ok(match owned {
                    None => Cow::Borrowed(piece),
                    Some(owned) => Cow::Owned(owned + piece),
                });
            }
            self.at += 1;
            let escaped = self.escape()?;
            let owned = owned.get_or_insert_default();
            owned.push_str(piece);
            owned.push(escaped);
            plain = self.at;
        }
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Read<char> {
        let letter = self.text[self.at..].chars().next().ok_or(Misfit::Value)?;
        self.at += letter.len_utf8();
        Ok(match letter {
            '"' | '\\' | '/' => letter,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let high = self.hex()?;
                let code = match high {
                    0xd800..0xdc00 if self.text[self.at..].starts_with("\\u") => {
                        self.at += 2;
                        let low = self.hex()?.checked_sub(0xdc00).filter(|low| *low < 0x400);
                        0x10000 + ((high - 0xd800) << 10) + low.ok_or(Misfit::Value)?
                    }
                    code => code,
                };
                char::from_u32(code).ok_or(Misfit::Value)?
            }
            _ => return Err(Misfit::Value),
        })
    }

    fn hex(&mut self) -> Read<u32> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(Misfit::Value)?;
        self.at += 4;
        let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let code = hex.then(|| u32::from_str_radix(digits, 16).ok()).flatten();
        code.ok_or(Misfit::Value)
    }

    fn number(&mut self) -> Read<&'t str> {
        let rest = &self.text[self.at..];
        let digit = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
        let end = rest.find(|c| !digit(c)).unwrap_or(rest.len());
        self.at += end;
        match end {
            0 => Err(Misfit::Value),
            _ => Ok(&rest[..end]),
        }
    }

    fn peek(&mut self) -> Option<char> {
        self.space();
        self.text[self.at..].chars().next()
    }

    fn word(&mut self, word: &str) -> bool {
        let found = self.text[self.at..].starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    fn optional(&mut self, token: char) -> bool {
        let found = self.peek() == Some(token);
        if found {
            self.at += token.len_utf8();
        }
        found
    }

    fn expect(&mut self, token: char) -> Push {
        match self.optional(token) {
            true => Ok(()),
            false => Err(Misfit::Value),
        }
    }

    fn space(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }
}

/// A float of the type's own width, so that the shortest digits read back as what they were.
fn real(token: &str, data_type: &DataType) -> Option<f64> {
    match token {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        token if !token.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b)) => None,
        token if *data_type == DataType::Float64 => token.parse().ok(),
        token => token.parse::<f32>().ok().map(f64::from),
    }
}
