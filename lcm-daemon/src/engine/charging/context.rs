//! What all flows of this node share.

use std::collections::BTreeMap;
use std::net::IpAddr;
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
    pub(crate) ptypes: PTypes,
    /// What holds within the house, and with neighbours that nothing else was agreed with.
    pub(crate) general: Contract,
    neighbours: BTreeMap<IpAddr, Contract>,
    /// For senders elsewhere.
    pub(crate) transit: Arc<FlowConfig>,
    /// For senders on this node.
    pub(crate) origin: Arc<FlowConfig>,
}

/// What was agreed with a neighbour.
#[derive(Debug, Clone)]
pub(crate) struct Contract {
    /// The account that we name when we pay and when we are to be paid from upstream.
    pub(crate) account: Account,
    pub(crate) on_missing_payment: MissingPayment,
    /// Accounts that may not pay on a sender's behalf.
    pub(crate) refused_sender_accounts: Box<[Account]>,
}

impl Contract {
    fn new(agreed: &config::Contract) -> Self {
        let anonymous = || Account::new(AccountKind::Opaque, &[]);
        Self {
            account: agreed.account.as_ref().map_or_else(anonymous, wire_account),
            on_missing_payment: agreed.on_missing_payment,
            refused_sender_accounts: agreed
                .refused_sender_accounts
                .iter()
                .map(wire_account)
                .collect(),
        }
    }
}

impl Context {
    /// The contract with a neighbour, or the one that holds in general.
    pub(crate) fn contract(&self, neighbour: Option<IpAddr>) -> &Contract {
        neighbour.and_then(|hop| self.neighbours.get(&hop)).unwrap_or(&self.general)
    }

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
        let neighbours = charging.neighbours.iter();
        Some(Self {
            currency: charging.currency.numeric(),
            ptypes: charging.p_types,
            general: Contract::new(&charging.general),
            neighbours: neighbours.map(|(hop, agreed)| (*hop, Contract::new(agreed))).collect(),
            transit: Arc::new(transit),
            origin: Arc::new(origin),
        })
    }
}

/// An account of the configuration as the ACCOUNT TLV names it.
pub fn wire_account(account: &config::Account) -> Account {
    Account::new(AccountKind::from(account.kind.id_type()), &account.id)
}
