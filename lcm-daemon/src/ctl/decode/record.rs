//! JSON objects whose members keep their order.

use std::fmt::Display;

use serde::ser::{Serialize, SerializeMap, Serializer};

/// A member's value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Field {
    Null,
    Bool(bool),
    Number(u64),
    Signed(i64),
    Real(f64),
    Text(String),
    Record(Record),
    List(Vec<Field>),
}

/// An object under construction.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Record(Vec<(&'static str, Field)>);

impl Record {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Appends a member.
    pub(super) fn put(&mut self, name: &'static str, value: impl Into<Field>) {
        self.0.push((name, value.into()));
    }

    /// Appends a member if there is a value for it.
    pub(super) fn put_some(&mut self, name: &'static str, value: Option<impl Into<Field>>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    /// Appends a member that is told by its text.
    pub(super) fn put_text(&mut self, name: &'static str, value: impl Display) {
        self.put(name, value.to_string());
    }

    /// As [`Record::put`], to be chained.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<Field>) -> Self {
        self.put(name, value);
        self
    }

    /// As [`Record::put_text`], to be chained.
    pub(super) fn with_text(mut self, name: &'static str, value: impl Display) -> Self {
        self.put_text(name, value);
        self
    }

    /// Appends the members of another record.
    pub(super) fn extend(&mut self, other: Record) {
        self.0.extend(other.0);
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Serialize for Field {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(value) => serializer.serialize_u64(*value),
            Self::Signed(value) => serializer.serialize_i64(*value),
            Self::Real(value) => serializer.serialize_f64(*value),
            Self::Text(value) => serializer.serialize_str(value),
            Self::Record(value) => value.serialize(serializer),
            Self::List(value) => value.serialize(serializer),
        }
    }
}

macro_rules! from_unsigned {
    ($($int:ty),+) => { $(
        impl From<$int> for Field {
            fn from(value: $int) -> Self {
                Self::Number(value.into())
            }
        }
    )+ };
}
from_unsigned!(u8, u16, u32, u64);

impl From<i8> for Field {
    fn from(value: i8) -> Self {
        Self::Signed(value.into())
    }
}

impl From<bool> for Field {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<String> for Field {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&str> for Field {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<Record> for Field {
    fn from(value: Record) -> Self {
        Self::Record(value)
    }
}

impl<T: Into<Field>> From<Vec<T>> for Field {
    fn from(value: Vec<T>) -> Self {
        Self::List(value.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Field>> From<Option<T>> for Field {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A rate or size of RFC 2210. Infinity, which JSON cannot say, becomes null: there is no limit.
impl From<rsvp_wire::object::Float> for Field {
    fn from(value: rsvp_wire::object::Float) -> Self {
        if value.is_finite() { Self::Real(value.to_f32().into()) } else { Self::Null }
    }
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for nibble in [byte >> 4, byte & 0x0f] {
            text.extend(char::from_digit(nibble.into(), 16));
        }
    }
    text
}
