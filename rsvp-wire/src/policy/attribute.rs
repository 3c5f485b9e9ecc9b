//! Attributes as RFC 3182 section 3.3 and RFC 3520 section 3.3 both frame them: length (header and
//! value, without padding), type, sub-type, value; padded to a multiple of 4.

use crate::object::PolicyElement;
use crate::policy::PolicyError;
use crate::writer::Sink;

const HEADER_LEN: usize = 4;

/// One attribute as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attribute<'a> {
    /// A-Type or X-Type.
    pub kind: u8,
    /// SubType.
    pub subtype: u8,
    /// Bytes from the start of the policy element to the attribute.
    pub offset: usize,
    /// The value, without padding.
    pub value: &'a [u8],
}

/// The attributes of a checked element, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Attributes<'a> {
    pub(super) const fn new(element: &PolicyElement<'a>) -> Self {
        Self { rest: element.data, offset: HEADER_LEN }
    }

    /// Fails unless the bytes are attributes from end to end.
    pub(super) fn check(mut self, element: &PolicyElement<'a>) -> Result<(), PolicyError> {
        while !self.rest.is_empty() {
            let length = self.rest.first_chunk::<2>().map_or(0, |l| u16::from_be_bytes(*l));
            let offset = self.offset;
            if self.next().is_none() {
                return Err(element.fault(offset, "attribute length", length.into()));
            }
        }
        Ok(())
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let (&[l1, l0, kind, subtype], after) = self.rest.split_first_chunk::<HEADER_LEN>()?;
        let length = usize::from(u16::from_be_bytes([l1, l0]));
        let value = after.get(..length.checked_sub(HEADER_LEN)?)?;
        let padded = length.next_multiple_of(4);
        let rest = self.rest.get(padded..)?;
        let attribute = Attribute { kind, subtype, offset: self.offset, value };
        self.rest = rest;
        self.offset += padded;
        Some(attribute)
    }
}

/// Appends an attribute with its padding.
pub(super) fn put_attribute(
    sink: &mut Sink<'_>,
    kind: u8,
    subtype: u8,
    value: impl FnOnce(&mut Sink<'_>),
) {
    let start = sink.position();
    sink.put(&[0, 0, kind, subtype]);
    value(sink);
    sink.set_u16(start, sink.position() - start);
    sink.pad(start);
}
