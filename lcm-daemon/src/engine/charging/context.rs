//! What all flows of this node share.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use charging_model::Span;
use charging_model::flow::FlowConfig;
use rsvp_wire::charging::{Account, AccountKind};

use super::super::Core;
use super::super::interfaces::{Interfaces, Port};
use crate::config::{
    self, Config, Exchange, HopRecords, LinkRole, MissingPayment, OnInconsistency, PTypes,
};
use crate::ledger::record::Neighbour;
use crate::tariff::Split;

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
    /// By the interface of the previous hop, where what it charges is not shared equally.
    shared: BTreeMap<u32, Shared>,
    /// For senders on this node.
    pub(crate) origin: Arc<FlowConfig>,
}

/// How what is charged on an interface is shared.
#[derive(Debug, Clone)]
struct Shared {
    split: Split,
    joining: BTreeMap<u32, u64>,
    version: u32,
    config: Arc<FlowConfig>,
}

/// What was agreed with a neighbour.
#[derive(Debug, Clone)]
pub(crate) struct Contract {
    /// The account that we name when we pay and when we are to be paid from upstream.
    pub(crate) account: Account,
    pub(crate) on_missing_payment: MissingPayment,
    /// What it is told of where its charges arise, if it asks.
    pub(crate) hop_record: HopRecords,
    /// Accounts that may not pay on a sender's behalf.
    pub(crate) refused_sender_accounts: Box<[Account]>,
    /// What it is to this node, where that is not as its interface says.
    role: Option<LinkRole>,
    /// The currency in which it announces and is paid, if that is not ours.
    pub(crate) exchange: Option<Exchange>,
}

impl Contract {
    fn new(agreed: &config::Contract) -> Self {
        let anonymous = || Account::new(AccountKind::Opaque, &[]);
        Self {
            account: agreed.account.as_ref().map_or_else(anonymous, wire_account),
            on_missing_payment: agreed.on_missing_payment,
            hop_record: agreed.hop_record,
            refused_sender_accounts: agreed
                .refused_sender_accounts
                .iter()
                .map(wire_account)
                .collect(),
            role: agreed.role,
            exchange: agreed.exchange,
        }
    }
}

impl Context {
    /// The contract with a neighbour, or the one that holds in general.
    pub(crate) fn contract(&self, neighbour: Option<IpAddr>) -> &Contract {
        neighbour.and_then(|hop| self.neighbours.get(&hop)).unwrap_or(&self.general)
    }

    /// Whether a neighbour is a node of the same provider: what it pays and is paid is internal
    /// cost accounting.
    pub(crate) fn is_internal(&self, interfaces: &Interfaces, who: Neighbour) -> bool {
        let by_interface = || interfaces.get(who.interface).map(|port| port.settings.role);
        let role = self.contract(Some(who.address)).role.or_else(by_interface);
        role == Some(LinkRole::Interior)
    }

    /// What flows share whose previous hop is behind an interface.
    pub(crate) fn sharing(&self, incoming: u32) -> &Arc<FlowConfig> {
        self.shared.get(&incoming).map_or(&self.transit, |shared| &shared.config)
    }

    /// The version of the split of what is charged on an interface.
    pub(crate) fn split_version(&self, incoming: u32) -> u32 {
        self.shared.get(&incoming).map_or(0, |shared| shared.version)
    }

    /// Takes up how the interfaces have it shared now.
    pub(crate) fn share(&mut self, interfaces: &Interfaces) {
        let mut old = std::mem::take(&mut self.shared);
        for port in interfaces.iter().filter(|port| !port.settings.tariff.split.is_equal()) {
            let (index, split) = (port.kernel.index, &port.settings.tariff.split);
            let joining = joining(interfaces, split);
            let same = |was: &Shared| was.split == *split && was.joining == joining;
            // What is the same stays the same: nobody is quoted anew.
            let shared = old.remove(&index).filter(same).unwrap_or_else(|| {
                let policy = split.policy(&joining);
                let config = Arc::new(FlowConfig { policy, ..(*self.transit).clone() });
                Shared { split: split.clone(), version: split.version(), joining, config }
            });
            self.shared.insert(index, shared);
        }
    }

    /// `None` on a policy-ignorant node.
    pub(crate) fn new(config: &Config) -> Option<Self> {
        let charging = config.charging.as_ref()?;
        let transit = FlowConfig {
            refresh: Span(u64::from(config.rsvp.refresh_ms)),
            honour_quote: charging.honour_quote,
            require_established: charging.require_established,
            audit: true,
            receivers_most: config.limits.max_receivers_below,
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
            shared: BTreeMap::new(),
            origin: Arc::new(origin),
        })
    }
}

/// What a next hop that nobody knows yet may come to weigh on each interface: as one that is listed
/// and reached there, or reached nowhere directly, or as any other.
fn joining(interfaces: &Interfaces, split: &Split) -> BTreeMap<u32, u64> {
    let Split::Weights { neighbours, otherwise } = split else { return BTreeMap::new() };
    let distant = |hop: &IpAddr| !interfaces.iter().any(|port| port.reaches(*hop));
    let most = |port: &Port| {
        let listed = neighbours.iter().filter(|(hop, _)| port.reaches(**hop) || distant(hop));
        listed.map(|(_, weight)| *weight).fold(*otherwise, u64::max)
    };
    interfaces.iter().map(|port| (port.kernel.index, most(port))).collect()
}

impl Core {
    /// How what is charged for a sender is shared, where the interfaces changed.
    pub(crate) fn share(&mut self) {
        if let Some(context) = &mut self.charging {
            context.share(&self.interfaces);
        }
    }

    /// What consents record of how a link was priced: the version of its tariff, and of the split
    /// of what is carried over it, by exclusive or.
    pub(super) fn price_version(&self, incoming: u32, outgoing: u32) -> u32 {
        let tariff = self.interfaces.get(outgoing).map_or(0, |port| port.tariff_version);
        tariff ^ self.charging.as_ref().map_or(0, |context| context.split_version(incoming))
    }

    /// As [`Context::is_internal`].
    pub(super) fn is_internal(&self, who: Neighbour) -> bool {
        self.charging.as_ref().is_some_and(|context| context.is_internal(&self.interfaces, who))
    }
}

/// An account of the configuration as the ACCOUNT TLV names it.
pub fn wire_account(account: &config::Account) -> Account {
    Account::new(AccountKind::from(account.kind.id_type()), &account.id)
}
