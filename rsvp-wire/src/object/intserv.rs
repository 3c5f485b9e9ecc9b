//! The three-level framing that FLOWSPEC, SENDER_TSPEC and ADSPEC share (RFC 2210 appendix 1).
//!
//! ```text
//! message header      version (4 bits), unused (12), overall length in words after this one
//!   service header    service (8), break bit, reserved (7), length in words after this one
//!     parameter       number (8), flags (8), length in words after this one; data
//! ```

/// Bit 23 of a service header: the service was not supported somewhere on the path.
pub(crate) const BREAK_BIT: u8 = 0x80;

/// One service's block of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Service<'a> {
    pub(crate) number: u8,
    pub(crate) break_bit: bool,
    /// Bytes from the start of the object's body to the service header.
    pub(crate) offset: usize,
    pub(crate) data: &'a [u8],
}

/// One parameter of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parameter<'a> {
    pub(crate) number: u8,
    /// Bytes from the start of the object's body to the parameter header.
    pub(crate) offset: usize,
    pub(crate) data: &'a [u8],
}

/// A fault in the framing: bytes from the start of the object's body, field, value.
pub(crate) type Fault = (usize, &'static str, u64);

/// Takes a block with this kind of header (octet, octet, length in words) off the front.
fn split_block(bytes: &[u8]) -> Option<(u8, u8, &[u8], &[u8])> {
    let (&[first, second, high, low], rest) = bytes.split_first_chunk::<4>()?;
    let words = usize::from(u16::from_be_bytes([high, low]));
    let (data, rest) = rest.split_at_checked(words * 4)?;
    Some((first, second, data, rest))
}

/// The services of a body, whose message header is checked here.
pub(crate) fn services(body: &[u8]) -> Result<Services<'_>, Fault> {
    let Some((&[first, _, high, low], rest)) = body.split_first_chunk::<4>() else {
        return Err((0, "bytes", body.len() as u64));
    };
    if first >> 4 != 0 {
        return Err((0, "IntServ version", u64::from(first >> 4)));
    }
    let words = u16::from_be_bytes([high, low]);
    if usize::from(words) * 4 != rest.len() {
        return Err((2, "overall length", words.into()));
    }
    Ok(Services { rest, offset: 4 })
}

/// The services in a body, in order; an error ends the iteration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Services<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Services<'a> {
    /// A body that was checked before; ends where it is malformed.
    pub(crate) fn checked(body: &'a [u8]) -> Self {
        services(body).unwrap_or(Self { rest: &[], offset: 0 })
    }
}

impl<'a> Iterator for Services<'a> {
    type Item = Result<Service<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let offset = self.offset;
        let Some((number, flags, data, rest)) = split_block(self.rest) else {
            let left = self.rest.len() as u64;
            self.rest = &[];
            return Some(Err((offset, "bytes left for a service", left)));
        };
        self.offset += 4 + data.len();
        self.rest = rest;
        Some(Ok(Service { number, break_bit: flags & BREAK_BIT != 0, offset, data }))
    }
}

impl<'a> Service<'a> {
    /// The parameters in order; an error ends the iteration.
    pub(crate) const fn parameters(&self) -> Parameters<'a> {
        Parameters { rest: self.data, offset: self.offset + 4 }
    }
}

/// The parameters of a service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parameters<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Iterator for Parameters<'a> {
    type Item = Result<Parameter<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let offset = self.offset;
        let Some((number, _flags, data, rest)) = split_block(self.rest) else {
            let left = self.rest.len() as u64;
            self.rest = &[];
            return Some(Err((offset, "bytes left for a parameter", left)));
        };
        self.offset += 4 + data.len();
        self.rest = rest;
        Some(Ok(Parameter { number, offset, data }))
    }
}
