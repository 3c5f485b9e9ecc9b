//! What all flows of this node share.

use std::sync::Arc;

use charging_model::Span;
use charging_model::flow::FlowConfig;
use rsvp_wire::charging::{Account, AccountKind};

use crate::config::{self, Config, MissingPayment, OnInconsistency, PTypes};

/// Charging settings in the shape in which messages need them.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// ISO 4217 numeric code.
    pub(crate) currency: u16,
    /// The account that we name when we pay and when we are to be paid from upstream.
    pub(crate) account: Account,
    pub(crate) on_missing_payment: MissingPayment,
    pub(crate) ptypes: PTypes,
    /// Accounts that may not pay on a sender's behalf.
    pub(crate) refused_sender_accounts: Box<[Account]>,
    /// For senders elsewhere.
    pub(crate) transit: Arc<FlowConfig>,
    /// For senders on this node.
    pub(crate) origin: Arc<FlowConfig>,
}

impl Context {
    /// `None` on a policy-ignorant node.
    pub(crate) fn new(config: &Config) -> Option<Self> {
        let charging = config.charging.as_ref()?;
        let transit = FlowConfig {
            refresh: Span(u64::from(config.rsvp.refresh_ms)),
            honour_quote: charging.honour_quote,
            require_established: charging.require_established,
            audit: true,
            refuse_inconsistent: charging.on_inconsistency == OnInconsistency::Refuse,
            ..FlowConfig::default()
        };
        let origin = FlowConfig { origin: true, ..transit.clone() };
        let anonymous = || Account::new(AccountKind::Opaque, &[]);
        Some(Self {
            currency: charging.currency.numeric(),
            account: charging.account.as_ref().map_or_else(anonymous, wire_account),
            on_missing_payment: charging.on_missing_payment,
            ptypes: charging.p_types,
            refused_sender_accounts: charging
                .refused_sender_accounts
                .iter()
                .map(wire_account)
                .collect(),
            transit: Arc::new(transit),
            origin: Arc::new(origin),
        })
    }
}

/// An account of the configuration as the ACCOUNT TLV names it.
pub fn wire_account(account: &config::Account) -> Account {
    Account::new(AccountKind::from(account.kind.id_type()), &account.id)
}
