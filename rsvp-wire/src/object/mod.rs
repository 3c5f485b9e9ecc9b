//! The objects: one value type or checked view per class.
//!
//! Value types are decoded from a [`RawObject`](crate::RawObject) with `decode` and written
//! through [`EncodeObject`](crate::EncodeObject).

mod address;
mod adspec;
mod adspec_update;
mod diagnostic;
mod error_spec;
mod filter;
mod float;
mod flowspec;
mod hello;
mod hop;
mod integrity;
mod intserv;
mod message_id;
mod message_id_list;
mod policy_data;
mod raw;
mod scope;
mod session;
mod style;
mod tunnel;

pub use adspec::{Adspec, AdspecService, AdspecView, GuaranteedTerms};
pub use adspec_update::{AdspecHop, update_adspec};
pub use diagnostic::{DiagResponse, DiagSelect, Diagnostic, Route};
pub use error_spec::{ErrorFlags, ErrorSpec, ResvConfirm};
pub use filter::{Filter, FilterSpec, FlowId, SenderTemplate};
pub use float::Float;
pub use flowspec::{FlowSpec, SenderTspec, Tspec};
pub use hello::{Challenge, Hello};
pub use hop::{Hop, TimeValues};
pub use integrity::Integrity;
pub use message_id::{MessageId, MessageIdAck};
pub use message_id_list::{ListEntries, ListEntry, ListKind, MessageIdList, MessageIds};
pub use policy_data::{PolicyData, PolicyElement, PolicyElements, write_element};
pub use raw::Raw;
pub use scope::{Scope, ScopeIter};
pub use session::Session;
pub use style::Style;
pub use tunnel::{NodeChar, SessionAssoc};
