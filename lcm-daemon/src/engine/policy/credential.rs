//! An AUTH_USER or AUTH_APP element made and judged (RFC 3182 sections 3.3 and 6.3).
//!
//! RFC 3182 leaves it to the kind of credential how an element is signed, and says nothing of a
//! name that is signed with a shared secret. Ours is: HMAC-SHA-256 over the element up to the
//! DIGITAL_SIGNATURE, and before that an attribute of the private range that says for which session
//! and until when it is good. So what is overheard opens no other session, and this one not for
//! long; within that time it is for INTEGRITY to tell who says it (section 9).
//!
//! ```text
//! CREDENTIAL (2), ASCII_ID or UNICODE_ID    the name; Unicode is UTF-16, big-endian
//! private (128), SubType 1                  until, in seconds since 1970 (8 bytes) · SESSION, flags 0
//! DIGITAL_SIGNATURE (3), SubType 0          32 bytes
//! ```

use rsvp_wire::digest::{self, Algorithm, Key};
use rsvp_wire::iana::ptype;
use rsvp_wire::object::{PolicyElement, Session};
use rsvp_wire::policy::{
    Attribute, AuthAttribute, AuthData, CredentialType, IdentityError, write_auth_data,
};
use rsvp_wire::{EncodeObject as _, Sink};

use crate::config::{Admitted, Credential, IDENTITY_BYTES_MAX, IdentityKind, IdentityRule};

/// A-Type of what a signature is good for.
const BINDING: u8 = 128;
const BINDING_SUBTYPE: u8 = 1;
/// Bytes of the instant in it.
const UNTIL_BYTES: usize = 8;
/// What is signed is good until the end of the period after this one, in seconds. It changes once a
/// period: what changed more often could not be refreshed by number.
const PERIOD_S: u64 = 600;
/// So far clocks may be apart, in seconds.
const SKEW_S: u64 = 300;
const SIGNATURE_BYTES: usize = 32;
/// Bytes of the longest element: a name in UTF-16, a session of IPv6.
pub(super) const ELEMENT_BYTES_MAX: usize = 4 * 4 + 2 * IDENTITY_BYTES_MAX + 80;

/// Why an identity is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// There is none.
    Missing,
    /// The element is no list of attributes.
    Malformed(u16),
    /// A Kerberos ticket, a certificate, or nothing.
    Unsupported(u16),
    /// Nobody of that name is let in.
    Unknown(u16),
    /// Not signed, not by the key, or for another session.
    Signature(u16),
    /// Signed too long ago, or by a clock that goes wrong.
    Expired(u16),
}

impl Doubt {
    /// P-Type of the element, and what RFC 3182 section 3.3.4 calls the reason.
    pub(super) fn error(self) -> (u16, IdentityError) {
        match self {
            Self::Missing => (ptype::AUTH_USER, IdentityError::InsufficientPrivileges),
            Self::Malformed(kind) => (kind, IdentityError::NoMoreInfo),
            Self::Unsupported(kind) => (kind, IdentityError::UnsupportedCredential),
            // A stranger does not learn whether the name or the signature was wrong.
            Self::Unknown(kind) | Self::Signature(kind) => {
                (kind, IdentityError::InsufficientPrivileges)
            }
            Self::Expired(kind) => (kind, IdentityError::ExpiredCredential),
        }
    }
}

/// The P-Type of a kind of identity.
fn ptype_of(kind: IdentityKind) -> u16 {
    match kind {
        IdentityKind::User => ptype::AUTH_USER,
        IdentityKind::Application => ptype::AUTH_APP,
    }
}

/// What a signature made at `unix_s` is good for.
fn binding(session: &Session, until: u64) -> Vec<u8> {
    let session = session.key();
    let mut bytes = vec![0; UNTIL_BYTES + session.encoded_len()];
    if let Some((head, tail)) = bytes.split_at_mut_checked(UNTIL_BYTES) {
        head.copy_from_slice(&until.to_be_bytes());
        // The buffer is as long as the object.
        let _ = session.encode(tail);
    }
    bytes
}

/// Writes the element that presents an identity in a session. One whose key was not read is not
/// written: unsigned it would be refused, and with a worse reason.
pub(super) fn write(sink: &mut Sink<'_>, ours: &Credential, session: &Session, unix_s: u32) {
    let wide: Vec<u8> = ours.name.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let name = match ours.name.is_ascii() {
        true => AuthAttribute::Credential(CredentialType::AsciiId, ours.name.as_bytes()),
        false => AuthAttribute::Credential(CredentialType::UnicodeId, &wide),
    };
    let Some(key) = &ours.key else {
        return write_auth_data(sink, ptype_of(ours.kind), &[name]);
    };
    let Some(secret) = &key.secret else { return };
    let until = (u64::from(unix_s) / PERIOD_S + 2) * PERIOD_S;
    let value = binding(session, until);
    let bound = Attribute { kind: BINDING, subtype: BINDING_SUBTYPE, offset: 0, value: &value };
    let attributes =
        [name, AuthAttribute::Other(bound), AuthAttribute::DigitalSignature(&[0; SIGNATURE_BYTES])];
    let mut buffer = [0; ELEMENT_BYTES_MAX];
    let mut own = Sink::new(&mut buffer);
    write_auth_data(&mut own, ptype_of(ours.kind), &attributes);
    let length = own.position();
    let Some(element) = buffer.get_mut(..length) else { return };
    let Some(at) = length.checked_sub(SIGNATURE_BYTES) else { return };
    let Some((signed, signature)) = element.split_at_mut_checked(at) else { return };
    let key = Key { algorithm: Algorithm::HmacSha256, secret: secret.bytes() };
    // The attribute's header is not signed.
    let covered = signed.get(..at - 4).unwrap_or_default();
    if digest::sign_bytes(covered, &key, signature).is_ok() {
        sink.put(element);
    }
}

/// Judges one element by a rule.
pub(super) fn judge<'r>(
    rule: &'r IdentityRule,
    element: &PolicyElement<'_>,
    session: &Session,
    unix_s: u32,
) -> Result<(&'r str, &'r Admitted), Doubt> {
    let kind = element.ptype;
    let data = AuthData::parse(element).map_err(|_| Doubt::Malformed(kind))?;
    let (found, admitted) = named(rule, element.ptype, &data)?;
    let Some(key) = &admitted.key else { return Ok((found, admitted)) };
    let doubt = Doubt::Signature(kind);
    let secret = key.secret.as_ref().ok_or(doubt)?;
    let key = Key { algorithm: Algorithm::HmacSha256, secret: secret.bytes() };
    let (signed, signature) = data.signed_bytes().zip(data.signature()).ok_or(doubt)?;
    digest::verify_bytes(signed, &key, signature).map_err(|_| doubt)?;
    let bound = data.attributes().find_map(|attribute| match attribute {
        AuthAttribute::Other(Attribute {
            kind: BINDING, subtype: BINDING_SUBTYPE, value, ..
        }) => value.split_first_chunk::<UNTIL_BYTES>(),
        _ => None,
    });
    let (until, _) = bound.ok_or(doubt)?;
    let until = u64::from_be_bytes(*until);
    let whole = bound.is_some_and(|(_, of)| binding(session, until).get(UNTIL_BYTES..) == Some(of));
    if !whole {
        return Err(doubt);
    }
    let now = u64::from(unix_s);
    if until.saturating_add(SKEW_S) < now || until > now + 2 * PERIOD_S + SKEW_S {
        return Err(Doubt::Expired(kind));
    }
    Ok((found, admitted))
}

/// Whom an element names, among those that a rule lets in.
pub(super) fn named<'r>(
    rule: &'r IdentityRule,
    of: u16,
    data: &AuthData<'_>,
) -> Result<(&'r str, &'r Admitted), Doubt> {
    let name = match data.credential() {
        Some((CredentialType::AsciiId, name)) => core::str::from_utf8(name).map(str::to_owned).ok(),
        Some((CredentialType::UnicodeId, name)) => {
            let units = name.chunks(2).map(|pair| match pair {
                [high, low] => u16::from_be_bytes([*high, *low]),
                _ => 0,
            });
            char::decode_utf16(units).collect::<Result<String, _>>().ok()
        }
        _ => return Err(Doubt::Unsupported(of)),
    };
    let kind = if of == ptype::AUTH_USER { IdentityKind::User } else { IdentityKind::Application };
    let found = name.and_then(|name| rule.admit.get_key_value(&(kind, name)));
    found.map(|((_, name), admitted)| (name.as_str(), admitted)).ok_or(Doubt::Unknown(of))
}
