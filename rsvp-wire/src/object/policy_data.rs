//! POLICY_DATA (RFC 2750 section 3): options that look like objects, then policy elements.

use crate::error::{DecodeError, ErrorKind};
use crate::iana::class;
use crate::object::{FilterSpec, Hop, Integrity, ScopeIter, TimeValues};
use crate::packet::{Objects, RawObject};
use crate::writer::Sink;

/// Bytes before the options: object header, data offset, reserved.
const FIXED_LEN: usize = 8;

/// A checked POLICY_DATA object: its options and the framing of its elements are right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyData<'a> {
    raw: RawObject<'a>,
    options: &'a [u8],
    elements: &'a [u8],
}

impl<'a> PolicyData<'a> {
    /// Checks a POLICY_DATA object.
    ///
    /// # Errors
    /// An unknown C-Type; otherwise [`ErrorKind::BadPolicy`]: a data offset outside the object, an
    /// option that is malformed or of a class that is none, more than two hops, senders given both
    /// as FILTER_SPEC and as SCOPE, an element whose length is below 4, no multiple of 4, or over
    /// the object.
    pub fn decode(raw: &RawObject<'a>) -> Result<Self, DecodeError> {
        let policy = Self::split(raw)?;
        policy.check_options()?;
        policy.check_elements()?;
        Ok(policy)
    }

    /// Checks a POLICY_DATA object without keeping it.
    pub(crate) fn check(raw: &RawObject<'a>) -> Result<(), DecodeError> {
        let policy = Self::split(raw)?;
        policy.check_options()?;
        policy.check_elements()
    }

    /// Splits at the data offset.
    #[inline(always)]
    fn split(raw: &RawObject<'a>) -> Result<Self, DecodeError> {
        if raw.ctype != 1 {
            return Err(raw.bad_ctype());
        }
        let Some((&[high, low, _, _], _)) = raw.body.split_first_chunk::<4>() else {
            return Err(raw.fault(ErrorKind::BadPolicy, 0, "length", raw.bytes.len() as u64));
        };
        let offset = usize::from(u16::from_be_bytes([high, low]));
        let fault = || raw.fault(ErrorKind::BadPolicy, 4, "data offset", offset as u64);
        let (front, elements) = raw.bytes.split_at_checked(offset).ok_or_else(fault)?;
        let options = front.get(FIXED_LEN..).ok_or_else(fault)?;
        Ok(Self { raw: *raw, options, elements })
    }

    /// An object that was checked before.
    pub(crate) fn checked(raw: &RawObject<'a>) -> Option<Self> {
        Self::split(raw).ok()
    }

    fn check_options(&self) -> Result<(), DecodeError> {
        let mut options = self.options();
        let (mut hops, mut filters, mut scopes) = (0, 0, 0);
        for option in options.by_ref() {
            let allowed = match option.class {
                class::RSVP_HOP => {
                    hops += 1;
                    Hop::decode(&option).map_err(bad_policy)?;
                    hops <= 2
                }
                class::FILTER_SPEC => {
                    filters += 1;
                    FilterSpec::decode(&option).map_err(bad_policy)?;
                    scopes == 0
                }
                class::SCOPE => {
                    scopes += 1;
                    ScopeIter::decode(&option).map_err(bad_policy)?;
                    filters == 0 && scopes == 1
                }
                class::INTEGRITY => Integrity::decode(&option).map(|_| true).map_err(bad_policy)?,
                class::TIME_VALUES => {
                    TimeValues::decode(&option).map(|_| true).map_err(bad_policy)?
                }
                class::NULL => true,
                _ => false,
            };
            if !allowed {
                let class = option.class.into();
                let fault = option.fault(ErrorKind::BadPolicy, 2, "option class", class);
                return Err(bad_policy(fault));
            }
        }
        // The options end at the data offset; what does not frame up to there is a fault.
        if options.is_empty() { Ok(()) } else { options.check().map_err(bad_policy) }
    }

    fn check_elements(&self) -> Result<(), DecodeError> {
        let mut elements = self.elements();
        for _ in elements.by_ref() {}
        if elements.rest.is_empty() {
            return Ok(());
        }
        let at = self.raw.bytes.len() - elements.rest.len();
        let length = elements.rest.first_chunk::<2>().map_or(0, |l| u16::from_be_bytes(*l));
        Err(self.raw.fault(ErrorKind::BadPolicy, at, "policy element length", length.into()))
    }

    /// The whole object as it came, header included: what a policy-ignorant node forwards.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.raw.bytes
    }

    /// The object with its place in the message.
    #[must_use]
    pub const fn raw(&self) -> &RawObject<'a> {
        &self.raw
    }

    /// The options in order.
    #[must_use]
    pub const fn options(&self) -> Objects<'a> {
        Objects::new(self.options, self.raw.offset + FIXED_LEN)
    }

    fn hops(&self) -> impl Iterator<Item = Hop> + use<'a> {
        let of_class = self.options().filter(|option| option.class == class::RSVP_HOP);
        of_class.filter_map(|option| Hop::decode(&option).ok())
    }

    /// The policy node that made the object; none means the message's own RSVP_HOP.
    #[must_use]
    pub fn originating_hop(&self) -> Option<Hop> {
        self.hops().next()
    }

    /// The policy node that the object is for, if it is for one only.
    #[must_use]
    pub fn destination_hop(&self) -> Option<Hop> {
        self.hops().nth(1)
    }

    /// The senders that the object speaks of; none means all of the session.
    pub fn filter_specs(&self) -> impl Iterator<Item = FilterSpec> + Clone + use<'a> {
        let of_class = self.options().filter(|option| option.class == class::FILTER_SPEC);
        of_class.filter_map(|option| FilterSpec::decode(&option).ok())
    }

    /// The first of [`PolicyData::filter_specs`].
    #[must_use]
    pub fn filter_spec(&self) -> Option<FilterSpec> {
        self.filter_specs().next()
    }

    /// The senders by address, if the object names them so.
    #[must_use]
    pub fn scope(&self) -> Option<ScopeIter<'a>> {
        let option = self.options().find(|option| option.class == class::SCOPE)?;
        ScopeIter::decode(&option).ok()
    }

    /// The digest over the object (RFC 2750 appendix B).
    #[must_use]
    pub fn integrity(&self) -> Option<Integrity<'a>> {
        let option = self.options().find(|option| option.class == class::INTEGRITY)?;
        Integrity::decode(&option).ok()
    }

    /// The policy refresh time.
    #[must_use]
    pub fn time_values(&self) -> Option<TimeValues> {
        let option = self.options().find(|option| option.class == class::TIME_VALUES)?;
        TimeValues::decode(&option).ok()
    }

    /// The policy elements in order.
    #[must_use]
    pub const fn elements(&self) -> PolicyElements<'a> {
        PolicyElements { rest: self.elements }
    }

    /// The first element of a type.
    #[must_use]
    pub fn element(&self, ptype: u16) -> Option<PolicyElement<'a>> {
        self.elements().find(|element| element.ptype == ptype)
    }
}

/// A fault in an option counts as a fault of the POLICY_DATA object.
#[cold]
fn bad_policy(error: DecodeError) -> DecodeError {
    DecodeError { kind: ErrorKind::BadPolicy, object: Some((class::POLICY_DATA, 1)), ..error }
}

/// One policy element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PolicyElement<'a> {
    /// The P-Type.
    pub ptype: u16,
    /// The whole element, header included.
    pub bytes: &'a [u8],
    /// What follows the element's header.
    pub data: &'a [u8],
}

impl PolicyElement<'_> {
    /// Whether the element only deletes the state of its type (RFC 2750 section 3.4).
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.data.is_empty()
    }
}

/// The elements of a checked POLICY_DATA object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyElements<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for PolicyElements<'a> {
    type Item = PolicyElement<'a>;

    /// The next element; ends early only on bytes that were not checked.
    fn next(&mut self) -> Option<PolicyElement<'a>> {
        let (&[l1, l0, p1, p0], _) = self.rest.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([l1, l0]));
        if length % 4 != 0 {
            return None;
        }
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        let data = bytes.get(4..)?;
        self.rest = rest;
        Some(PolicyElement { ptype: u16::from_be_bytes([p1, p0]), bytes, data })
    }
}

/// Appends a policy element: header, what `data` writes, zeros up to a multiple of 4.
pub fn write_element(sink: &mut Sink<'_>, ptype: u16, data: impl FnOnce(&mut Sink<'_>)) {
    let start = sink.position();
    sink.put_u16(0);
    sink.put_u16(ptype);
    data(sink);
    sink.pad(start);
    sink.set_u16(start, sink.position() - start);
}
