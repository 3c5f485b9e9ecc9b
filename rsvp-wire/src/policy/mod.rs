//! Policy elements of the RFCs: priorities (3181, 6401), identities (3182, 2872), session
//! authorization (3520). The charging elements have a module of their own.

mod attribute;
mod identity;
mod priority;
mod session_auth;

pub use attribute::{Attribute, Attributes};
pub use identity::{
    AuthAttribute, AuthData, CredentialType, IdentityError, LocatorType, locator_field,
    locator_fields, write_auth_data, write_policy_error,
};
pub use priority::{
    AdmissionPri, Alrp, AppResourcePri, MergeStrategy, PreemptionPri, PriorityError,
    write_app_resource_pri,
};
pub use session_auth::{
    AddressSpec, AuthSession, EntityType, PortList, Resources, SessionAttribute, write_auth_session,
};

use core::fmt;

use crate::iana::ptype;
use crate::object::PolicyElement;

/// What is wrong with a policy element; to be answered with ERR_PE_BAD (RFC 2750 appendix A).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PolicyError {
    /// The P-Type.
    pub ptype: u16,
    /// Bytes from the start of the element.
    pub offset: usize,
    /// The field at fault.
    pub field: &'static str,
    /// What was found there.
    pub value: u64,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ptype, offset, field, value } = self;
        match crate::iana::ptype_name(*ptype) {
            Some(name) => write!(f, "policy element {name}: ")?,
            None => write!(f, "policy element of P-Type {ptype:#06x}: ")?,
        }
        write!(f, "{field} is {value} at offset {offset}")
    }
}

impl core::error::Error for PolicyError {}

impl PolicyElement<'_> {
    pub(crate) const fn fault(
        &self,
        offset: usize,
        field: &'static str,
        value: u64,
    ) -> PolicyError {
        PolicyError { ptype: self.ptype, offset, field, value }
    }
}

/// A policy element, read by its P-Type.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Element<'a> {
    /// RFC 3181.
    PreemptionPri(PreemptionPri),
    /// RFC 3182.
    AuthUser(AuthData<'a>),
    /// RFC 3182 and RFC 2872.
    AuthApp(AuthData<'a>),
    /// RFC 3520.
    AuthSession(AuthSession<'a>),
    /// RFC 6401.
    AdmissionPri(AdmissionPri),
    /// RFC 6401.
    AppResourcePri(AppResourcePri<'a>),
    /// An element that only deletes the state of its type (RFC 2750 section 3.4).
    Empty(PolicyElement<'a>),
    /// Any other, byte for byte; the charging elements among them.
    Other(PolicyElement<'a>),
}

impl<'a> Element<'a> {
    /// Reads an element.
    ///
    /// # Errors
    /// A fault in an element of a known P-Type.
    pub fn parse(element: &PolicyElement<'a>) -> Result<Self, PolicyError> {
        if element.is_empty() {
            return Ok(Self::Empty(*element));
        }
        Ok(match element.ptype {
            ptype::PREEMPTION_PRI => Self::PreemptionPri(PreemptionPri::parse(element)?),
            ptype::AUTH_USER => Self::AuthUser(AuthData::parse(element)?),
            ptype::AUTH_APP => Self::AuthApp(AuthData::parse(element)?),
            ptype::AUTH_SESSION => Self::AuthSession(AuthSession::parse(element)?),
            ptype::ADMISSION_PRI => Self::AdmissionPri(AdmissionPri::parse(element)?),
            ptype::APP_RESOURCE_PRI => Self::AppResourcePri(AppResourcePri::parse(element)?),
            _ => Self::Other(*element),
        })
    }
}
