//! AUTH_USER and AUTH_APP (RFC 3182), with the application identifiers of RFC 2872.

use super::attribute::put_attribute;
use crate::iana::open_enum;
use crate::object::{PolicyElement, write_element};
use crate::policy::{Attribute, Attributes, PolicyError};
use crate::writer::Sink;

mod a_type {
    pub(super) const POLICY_LOCATOR: u8 = 1;
    pub(super) const CREDENTIAL: u8 = 2;
    pub(super) const DIGITAL_SIGNATURE: u8 = 3;
    pub(super) const POLICY_ERROR: u8 = 4;
}

open_enum! {
    /// SubType of a POLICY_LOCATOR (RFC 3182 section 3.3.1).
    pub enum LocatorType(u8) {
        /// X.500 DN in ASCII.
        AsciiDn = 1 => "ASCII_DN",
        /// X.500 DN in Unicode.
        UnicodeDn = 2 => "UNICODE_DN",
        /// Encrypted X.500 DN in ASCII.
        AsciiDnEncrypt = 3 => "ASCII_DN_ENCRYPT",
        /// Encrypted X.500 DN in Unicode.
        UnicodeDnEncrypt = 4 => "UNICODE_DN_ENCRYPT",
    }
}

open_enum! {
    /// SubType of a CREDENTIAL (RFC 3182 section 3.3.2).
    pub enum CredentialType(u8) {
        /// A name in ASCII.
        AsciiId = 1 => "ASCII_ID",
        /// A name in Unicode.
        UnicodeId = 2 => "UNICODE_ID",
        /// A Kerberos ticket.
        KerberosTicket = 3 => "KERBEROS_TKT",
        /// An X.509 certificate, version 3.
        X509V3Cert = 4 => "X509_V3_CERT",
        /// A PGP certificate.
        PgpCert = 5 => "PGP_CERT",
    }
}

open_enum! {
    /// ErrorValue of a POLICY_ERROR_OBJECT (RFC 3182 section 3.3.4).
    pub enum IdentityError(u16) {
        /// No information is available.
        NoMoreInfo = 1 => "ERROR_NO_MORE_INFO",
        /// This type of credentials is not supported.
        UnsupportedCredential = 2 => "UNSUPPORTED_CREDENTIAL_TYPE",
        /// The credentials do not have sufficient privilege.
        InsufficientPrivileges = 3 => "INSUFFICIENT_PRIVILEGES",
        /// The credential has expired.
        ExpiredCredential = 4 => "EXPIRED_CREDENTIAL",
        /// Identity has changed.
        IdentityChanged = 5 => "IDENTITY_CHANGED",
    }
}

/// An authentication attribute, read by its A-Type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthAttribute<'a> {
    /// POLICY_LOCATOR: where the policy for the user or application is found.
    PolicyLocator(LocatorType, &'a [u8]),
    /// CREDENTIAL.
    Credential(CredentialType, &'a [u8]),
    /// DIGITAL_SIGNATURE over all data of the element before it.
    DigitalSignature(&'a [u8]),
    /// POLICY_ERROR_OBJECT: why policy control failed, and what the node says about it.
    PolicyError(IdentityError, &'a [u8]),
    /// Any other.
    Other(Attribute<'a>),
}

impl<'a> AuthAttribute<'a> {
    fn read(attribute: &Attribute<'a>) -> Option<Self> {
        let Attribute { kind, subtype, value, .. } = *attribute;
        Some(match kind {
            a_type::POLICY_LOCATOR => Self::PolicyLocator(subtype.into(), value),
            a_type::CREDENTIAL => Self::Credential(subtype.into(), value),
            a_type::DIGITAL_SIGNATURE => Self::DigitalSignature(value),
            a_type::POLICY_ERROR => {
                let (&[_, _, e1, e0], text) = value.split_first_chunk::<4>()?;
                Self::PolicyError(u16::from_be_bytes([e1, e0]).into(), text)
            }
            _ => Self::Other(*attribute),
        })
    }

    /// Appends the attribute.
    pub fn write(&self, sink: &mut Sink<'_>) {
        match *self {
            Self::PolicyLocator(subtype, value) => {
                put_attribute(sink, a_type::POLICY_LOCATOR, subtype.into(), |s| s.put(value));
            }
            Self::Credential(subtype, value) => {
                put_attribute(sink, a_type::CREDENTIAL, subtype.into(), |s| s.put(value));
            }
            Self::DigitalSignature(value) => {
                put_attribute(sink, a_type::DIGITAL_SIGNATURE, 0, |s| s.put(value));
            }
            Self::PolicyError(error, text) => write_policy_error(sink, error, text),
            Self::Other(Attribute { kind, subtype, value, .. }) => {
                put_attribute(sink, kind, subtype, |s| s.put(value));
            }
        }
    }
}

/// Appends a POLICY_ERROR_OBJECT attribute with a text for people.
pub fn write_policy_error(sink: &mut Sink<'_>, error: IdentityError, text: &[u8]) {
    put_attribute(sink, a_type::POLICY_ERROR, 0, |sink| {
        sink.put_u16(0);
        sink.put_u16(error.into());
        sink.put(text);
    });
}

/// An AUTH_USER or AUTH_APP element: a checked list of attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthData<'a> {
    element: PolicyElement<'a>,
}

impl<'a> AuthData<'a> {
    /// Reads the element.
    ///
    /// # Errors
    /// An attribute whose length is below 4 (8 for POLICY_ERROR_OBJECT) or over the element, or one
    /// behind the DIGITAL_SIGNATURE.
    pub fn parse(element: &PolicyElement<'a>) -> Result<Self, PolicyError> {
        let attributes = Attributes::new(element);
        attributes.check(element)?;
        let mut signed = false;
        for attribute in attributes {
            if signed {
                let kind = attribute.kind.into();
                return Err(element.fault(attribute.offset, "A-Type behind the signature", kind));
            }
            signed = attribute.kind == a_type::DIGITAL_SIGNATURE;
            if AuthAttribute::read(&attribute).is_none() {
                let length = attribute.value.len() as u64 + 4;
                return Err(element.fault(attribute.offset, "attribute length", length));
            }
        }
        Ok(Self { element: *element })
    }

    /// The attributes in order.
    pub fn attributes(&self) -> impl Iterator<Item = AuthAttribute<'a>> + Clone + use<'a> {
        Attributes::new(&self.element).filter_map(|attribute| AuthAttribute::read(&attribute))
    }

    /// The first POLICY_LOCATOR.
    #[must_use]
    pub fn policy_locator(&self) -> Option<(LocatorType, &'a [u8])> {
        self.attributes().find_map(|attribute| match attribute {
            AuthAttribute::PolicyLocator(kind, value) => Some((kind, value)),
            _ => None,
        })
    }

    /// The first CREDENTIAL.
    #[must_use]
    pub fn credential(&self) -> Option<(CredentialType, &'a [u8])> {
        self.attributes().find_map(|attribute| match attribute {
            AuthAttribute::Credential(kind, value) => Some((kind, value)),
            _ => None,
        })
    }

    /// The DIGITAL_SIGNATURE.
    #[must_use]
    pub fn signature(&self) -> Option<&'a [u8]> {
        self.attributes().find_map(|attribute| match attribute {
            AuthAttribute::DigitalSignature(value) => Some(value),
            _ => None,
        })
    }

    /// The first POLICY_ERROR_OBJECT, with its text.
    #[must_use]
    pub fn policy_error(&self) -> Option<(IdentityError, &'a [u8])> {
        self.attributes().find_map(|attribute| match attribute {
            AuthAttribute::PolicyError(error, text) => Some((error, text)),
            _ => None,
        })
    }

    /// What a DIGITAL_SIGNATURE signs: the element up to it, header included; none without one.
    #[must_use]
    pub fn signed_bytes(&self) -> Option<&'a [u8]> {
        let mut attributes = Attributes::new(&self.element);
        let signature = attributes.find(|a| a.kind == a_type::DIGITAL_SIGNATURE)?;
        self.element.bytes.get(..signature.offset)
    }
}

/// Appends an AUTH_USER or AUTH_APP element ([`crate::iana::ptype`]).
pub fn write_auth_data(sink: &mut Sink<'_>, ptype: u16, attributes: &[AuthAttribute<'_>]) {
    write_element(sink, ptype, |sink| {
        for attribute in attributes {
            attribute.write(sink);
        }
    });
}

/// The fields of an application's policy locator, such as `APP=SAP, VER=1.1, SAPP=Print` (RFC 2872
/// section 2), in order. Parts without `=` are left out; a comma inside a value has to be escaped
/// with a backslash, which is kept (RFC 1779).
pub fn locator_fields(dn: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
    let mut escaped = false;
    let parts = dn.split(move |&byte| {
        let separates = byte == b',' && !escaped;
        escaped = byte == b'\\' && !escaped;
        separates
    });
    parts.filter_map(|part| {
        let equals = part.iter().position(|&byte| byte == b'=')?;
        let (key, value) = part.split_at_checked(equals)?;
        Some((key.trim_ascii(), value.get(1..)?.trim_ascii()))
    })
}

/// The first value of a key (`APP`, `VER`, `SAPP`, `GUID`; in any case) in a policy locator.
#[must_use]
pub fn locator_field<'a>(dn: &'a [u8], key: &str) -> Option<&'a [u8]> {
    let found = locator_fields(dn).find(|(name, _)| name.eq_ignore_ascii_case(key.as_bytes()));
    found.map(|(_, value)| value)
}
