//! An object of any class, written as it is.

use crate::packet::RawObject;
use crate::writer::{EncodeObject, Sink};

/// Class, C-Type and contents of an object that is written as given; the contents are padded with
/// zeros to a multiple of 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a> {
    /// Class-Num.
    pub class: u8,
    /// C-Type.
    pub ctype: u8,
    /// What follows the object's header.
    pub body: &'a [u8],
}

impl EncodeObject for Raw<'_> {
    fn class_and_ctype(&self) -> (u8, u8) {
        (self.class, self.ctype)
    }

    fn encode_body(&self, sink: &mut Sink<'_>) {
        let start = sink.position();
        sink.put(self.body);
        sink.pad(start);
    }
}

impl EncodeObject for RawObject<'_> {
    fn class_and_ctype(&self) -> (u8, u8) {
        (self.class, self.ctype)
    }

    fn encode_body(&self, sink: &mut Sink<'_>) {
        sink.put(self.body);
    }
}
