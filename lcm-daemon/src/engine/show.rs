//! State as operators and programs read it.
//!
//! Rates are wire units (10⁻¹² currency units per second); amounts are strings of whole ledger
//! units (10⁻¹⁵ currency units), since they outgrow what JSON numbers carry.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use rsvp_wire::object::{Filter, FlowId, Session, Tspec};
use serde::{Deserialize, Serialize};

use super::charging;
use super::charging::HopCharge;
use super::interfaces::Port;
use super::psb::Psb;
use super::rsb::LOCAL;
use super::time::{Instant, Now};
use super::{Core, Engine};
use crate::config::NO_LIMIT;
use crate::control::protocol::TrafficSpec;
use crate::purse::Terms;

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceState {
    /// Kernel index; also our logical interface handle.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Up, with carrier.
    pub up: bool,
    /// MTU in bytes.
    pub mtu: u32,
    /// Addresses with prefix lengths.
    pub addresses: Vec<String>,
    /// RSVP is spoken here.
    pub rsvp: bool,
    /// Prices are announced and payments demanded here.
    pub charging: bool,
    /// Local price L.
    pub price: u64,
    /// Highest local price Lmax.
    pub max_price: u64,
    /// Price that takes effect with the next admission.
    pub price_at_admission: Option<u64>,
    /// How the price is found, as the configuration says it; absent where it is flat.
    pub tariff: Option<String>,
    /// Which tariff that is, as consents record it.
    pub tariff_version: u32,
    /// How what previous hops behind it charge is shared, as the configuration has it.
    pub split: String,
    /// What identifies that in records; 0 for the equal split.
    pub split_version: u32,
    /// Refresh period in milliseconds.
    pub refresh_ms: u32,
    /// What may be reserved in all, in bits per second; absent without a limit.
    pub reservable_bits_per_s: Option<u64>,
    /// What is reserved in all, in bits per second.
    pub reserved_bits_per_s: u64,
    /// Announced validity of prices in milliseconds.
    pub validity_ms: u32,
}

/// A neighbour that reduces refreshes, or is greeted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeighbourView {
    /// Its address in RSVP_HOP.
    pub address: IpAddr,
    /// The interface where it was heard last.
    pub interface: Option<String>,
    /// Its messages have the Refresh-Reduction-Capable bit (RFC 2961).
    pub refresh_reduction: bool,
    /// It takes MESSAGE_ID objects.
    pub message_ids: bool,
    /// Messages of ours that it has not acknowledged.
    pub unacknowledged: usize,
    /// Messages of its own by whose numbers it refreshes state here.
    pub states: usize,
    /// By Hello (RFC 3209): `asked` until it answers, `alive`, or `silent`.
    pub hello: Option<String>,
}

/// A session's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionId {
    /// Destination address.
    pub destination: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Destination port, or virtual port for IPsec (RFC 2207).
    pub port: u16,
}

/// As operators write it: `udp:239.1.2.3:5000`.
impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = SocketAddr::new(self.destination, self.port);
        match self.protocol {
            17 => write!(f, "udp:{address}"),
            6 => write!(f, "tcp:{address}"),
            other => write!(f, "{other}:{address}"),
        }
    }
}

/// A sender's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SenderId {
    /// Source address.
    pub source: IpAddr,
    /// Source port, flow label or SPI.
    pub id: u32,
}

/// The path state of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionView {
    /// Its name.
    pub session: SessionId,
    /// One entry per PSB.
    pub senders: Vec<SenderView>,
}

/// A path state block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SenderView {
    /// The sender template.
    pub sender: SenderId,
    /// Previous hop; absent for a sender on this node.
    pub phop: Option<IpAddr>,
    /// Interface on which PATH comes in; absent for a sender on this node.
    pub incoming: Option<String>,
    /// Interfaces on which PATH goes out.
    pub outgoing: Vec<String>,
    /// SENDER_TSPEC.
    pub tspec: TrafficSpec,
    /// A hop without RSVP was passed on the way.
    pub non_rsvp_hop: bool,
    /// Time left without a refresh, in milliseconds; absent for a sender on this node.
    pub expires_in_ms: Option<u64>,
    /// Downstream charging state; absent without charging.
    pub charging: Option<DownstreamView>,
}

/// Downstream charging state (paper section 3.3, charging.md section 6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DownstreamView {
    /// C: total charge upstream.
    pub total_charge: u64,
    /// M: max total charge upstream.
    pub max_total_charge: u64,
    /// r: sender fraction in parts per million.
    pub sender_fraction_ppm: u32,
    /// Account that the upstream neighbour named for sender payments.
    pub sender_account: Option<String>,
    /// Limit per receiver.
    pub limit_per_receiver: Option<u64>,
    /// Limit per hop.
    pub limit_per_hop: Option<u64>,
    /// Hops over which the sender still pays.
    pub max_hops: Option<u32>,
    /// S: the part of C that the sender's side covers.
    pub sponsored: u64,
    /// Epoch of the announcement.
    pub epoch: u32,
    /// Where C arises, in path order, where somebody asked and as far as the hops tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arises: Vec<HopCharge>,
    /// What is announced on each interface.
    pub quotes: Vec<QuoteView>,
    /// What this node pays upstream, where something is reserved.
    pub payment: Option<PaymentView>,
}

/// An announcement on one interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuoteView {
    /// Interface name.
    pub interface: String,
    /// The next hop that it is meant for, if it is known.
    pub next_hop: Option<IpAddr>,
    /// C_k.
    pub total_charge: u64,
    /// M_k.
    pub max_total_charge: u64,
    /// c: the share of C_j in it.
    pub c: u64,
    /// L.
    pub local_price: u64,
    /// S_k.
    pub sponsored: u64,
    /// Epoch.
    pub epoch: u32,
}

/// What this node pays upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentView {
    /// Payment that is offered.
    pub payment: u64,
    /// What is due of it: RP.
    pub debited: u64,
    /// A: what was announced to all receivers below.
    pub announced_total: u64,
    /// SP: what this node takes from the sender's side.
    pub sender_payment: u64,
    /// B: the sum of local prices below.
    pub local_sum: u64,
}

/// A reservation state block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservationView {
    /// Session.
    pub session: SessionId,
    /// Sender.
    pub sender: SenderId,
    /// Outgoing interface; `local` for a receiver on this node.
    pub interface: String,
    /// Next hop.
    pub next_hop: IpAddr,
    /// Reservation style.
    pub style: String,
    /// RFC 2210 service number.
    pub service: u16,
    /// Traffic that is reserved for.
    pub traffic: TrafficSpec,
    /// Time left without a refresh, in milliseconds; absent for a receiver on this node.
    pub expires_in_ms: Option<u64>,
    /// Who reserved, where it was asked (RFC 3182).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// No RESV made it: the router reserves for a receiver without RSVP.
    #[serde(default)]
    pub proxied: bool,
    /// Upstream charging state, of the first where several pay; absent without charging.
    pub charging: Option<UpstreamView>,
    /// That of all others who pay from behind the next hop, where that does not charge itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_payers: Vec<UpstreamView>,
}

/// Upstream charging state (paper section 3.3, charging.md section 6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamView {
    /// Who pays: the next hop, or a hop behind it.
    pub payer: IpAddr,
    /// PENDING, ACTIVE or LAPSED.
    pub status: String,
    /// L: local price of this branch.
    pub local_price: u64,
    /// SP: what this node pays the next hop on the sender's behalf.
    pub payment_downstream: u64,
    /// A: total charge downstream, as the next hop reports it.
    pub total_charge_downstream: u64,
    /// B: sum of local prices downstream, as the next hop reports it.
    pub local_sum_downstream: u64,
    /// C: the total charge that both sides agreed on.
    pub agreed_total: u64,
    /// S: the part of it that the sender's side covers.
    pub agreed_sponsored: u64,
    /// RP: what the next hop is debited.
    pub debited: u64,
    /// The most that it approved.
    pub ceiling: u64,
    /// Time for which the approval still holds, in milliseconds.
    pub approved_for_ms: u64,
    /// Receivers below it, as it says.
    pub receivers_below: u32,
    /// Its place in the order of joining.
    pub joined: u32,
    /// Sequence of its last UCPE.
    pub sequence: u32,
    /// Instance of the reservation.
    pub instance: u32,
    /// Account that it named.
    pub account: Option<String>,
    /// What of its reports does not fit what it was told; absent where all fits.
    #[serde(default)]
    pub mismatch: Option<String>,
    /// That has lasted long enough for an alarm.
    #[serde(default)]
    pub alarm: bool,
    /// Whether it is and was in place end to end.
    #[serde(default)]
    pub quality: QualityView,
}

/// Whether what is reserved was in place: the assurance is met for the time in which it was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QualityView {
    /// For how long it has been in place, in milliseconds; absent while it is not.
    pub in_place_ms: Option<u64>,
    /// Why it is not, where it was before.
    pub outage: Option<String>,
    /// Outages so far.
    pub outages: u32,
    /// How long they lasted in all, in milliseconds.
    pub outage_ms: u64,
}

/// What neighbours owe and are owed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountsView {
    /// Of the rate of all accounts, what is internal.
    #[serde(default)]
    pub internal_rate: i64,
    /// Of the balance of all accounts, what is internal.
    #[serde(default)]
    pub internal_amount: String,
    /// The instant of the reading by the monotonic clock, in milliseconds.
    pub as_of_ms: u64,
    /// One entry per neighbour.
    pub accounts: Vec<AccountView>,
    /// Accounts that were added up because of `limits.max_accounts`; a neighbour that came back
    /// counts anew.
    #[serde(default)]
    pub folded_accounts: u64,
    /// The sum of their balances.
    #[serde(default)]
    pub folded_amount: String,
    /// Sum of the rates: what this node earns per second.
    pub rate: i64,
    /// Sum of the amounts.
    pub amount: String,
}

/// The account of one neighbour: positive is owed to us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountView {
    /// The neighbour.
    pub neighbour: IpAddr,
    /// It is a node of the same provider: this is internal cost accounting, no debt, and stands in
    /// no journal.
    #[serde(default)]
    pub internal: bool,
    /// What it pays us per second, less what we pay it.
    pub rate: i64,
    /// Receiver payments that it owes us.
    pub receiver_payments_in: String,
    /// Receiver payments that we owe it.
    pub receiver_payments_out: String,
    /// Sender payments that it owes us.
    pub sender_payments_in: String,
    /// Sender payments that we owe it.
    pub sender_payments_out: String,
    /// What we gave back to it by contra entries since this start, less what it gave back to us.
    #[serde(default = "zero")]
    pub given_back: String,
    /// The balance from before this start, by the ledger.
    pub carried: String,
    /// The balance of all six.
    pub amount: String,
    /// What stands with it in its own currency, if that is not ours: the sums here are then those of
    /// the conversion account, what its currency came to in ours.
    #[serde(default)]
    pub foreign: Option<ForeignView>,
}

fn zero() -> String {
    "0".to_owned()
}

/// What stands with a neighbour in its own currency, in 10⁻¹⁵ of its units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignView {
    /// ISO 4217 letters.
    pub currency: String,
    /// Version of the rate in force.
    pub version: u32,
    /// Receiver payments that we owe it.
    pub receiver_payments_out: String,
    /// Sender payments that it owes us.
    pub sender_payments_in: String,
    /// The balance of both.
    pub amount: String,
}

/// An account of a customer or a neighbour. Amounts are decimal currency units.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PurseView {
    /// Whose, as KIND:ID.
    pub account: String,
    /// Its currency.
    pub currency: String,
    /// It is closed.
    pub closed: bool,
    /// What was agreed.
    pub terms: Terms,
    /// What was paid in less what is charged.
    pub balance: String,
    /// What may still be spent, with its credit and within its caps for a day and a month.
    pub available: String,
    /// What was spent today (UTC), by the last change of a rate.
    pub spent_today: String,
    /// And in this month.
    pub spent_this_month: String,
    /// The rate at which it is spent, in 10⁻¹² currency units per second.
    pub rate: u64,
    /// Sessions that use it.
    pub sessions: usize,
    /// In how many milliseconds nothing is left, as rates are.
    pub ends_in_ms: Option<u64>,
    /// Why, then.
    pub ends_by: Option<String>,
}

impl Engine {
    /// All interfaces.
    pub fn show_interfaces(&self, now: Now) -> Vec<InterfaceState> {
        self.core
            .interfaces
            .iter()
            .map(|port| InterfaceState {
                index: port.kernel.index,
                name: port.kernel.name.clone(),
                up: port.kernel.up,
                mtu: port.kernel.mtu,
                addresses: port.kernel.addresses.iter().map(|(a, p)| format!("{a}/{p}")).collect(),
                rsvp: port.settings.rsvp,
                charging: port.settings.charging,
                price: port.base_price(),
                max_price: port.settings.tariff.max_price_pico_per_s(),
                price_at_admission: port.price_at_admission,
                split: port.settings.tariff.split.to_string(),
                split_version: port.settings.tariff.split.version(),
                tariff: (port.settings.tariff.by_demand() || port.settings.tariff.moves())
                    .then(|| port.settings.tariff.to_string()),
                tariff_version: port.tariff_version,
                refresh_ms: self.core.interfaces.refresh_ms_on(port.kernel.index, now.at),
                reservable_bits_per_s: Some(port.settings.reservable_bits_per_s)
                    .filter(|most| *most != NO_LIMIT),
                reserved_bits_per_s: u64::try_from(port.reserved_bits_per_s).unwrap_or(u64::MAX),
                validity_ms: port.settings.validity_ms,
            })
            .collect()
    }

    /// Neighbours that reduce refreshes or are greeted, by address.
    pub fn show_neighbours(&self) -> Vec<NeighbourView> {
        let reduce = &self.core.outbox.reduce;
        let mut all: Vec<NeighbourView> = reduce
            .peers()
            .map(|(key, peer)| NeighbourView {
                address: key.1,
                interface: self
                    .core
                    .interfaces
                    .get(peer.interface)
                    .map(|port| port.kernel.name.clone()),
                refresh_reduction: peer.reduces(),
                message_ids: peer.understands_numbers(),
                unacknowledged: reduce.unacked_by(*key),
                states: peer.states(),
                hello: peer.hello().map(str::to_owned),
            })
            .collect();
        all.sort_by_key(|neighbour| neighbour.address);
        all
    }

    /// The index of the interface of this name.
    pub fn interface_index(&self, name: &str) -> Option<u32> {
        let named = |port: &&Port| port.kernel.name == name;
        self.core.interfaces.iter().find(named).map(|port| port.kernel.index)
    }

    /// All path state.
    pub fn show_sessions(&self, now: Now) -> Vec<SessionView> {
        self.sessions
            .iter()
            .map(|state| SessionView {
                session: session_id(&state.session),
                senders: state.senders.iter().map(|psb| self.show_sender(now, psb)).collect(),
            })
            .collect()
    }

    fn show_sender(&self, now: Now, psb: &Psb) -> SenderView {
        let name = |interface: u32| interface_name(&self.core, interface);
        SenderView {
            sender: sender_id(&psb.sender),
            phop: psb.phop_address(),
            incoming: psb.phop.map(|_| name(psb.incoming)),
            outgoing: psb.outgoing.iter().copied().map(name).collect(),
            tspec: traffic(&psb.facts.tspec),
            non_rsvp_hop: psb.facts.non_rsvp_hop,
            expires_in_ms: left_ms(now, psb.expires),
            charging: charging::show_downstream(&self.core, psb),
        }
    }

    /// All reservation state.
    pub fn show_reservations(&self, now: Now) -> Vec<ReservationView> {
        let mut all = Vec::new();
        for state in self.sessions.iter() {
            for rsb in &state.reservations {
                for psb in state.senders.iter().filter(|psb| rsb.matches(psb)) {
                    let mut payers = charging::show_upstream(now, psb, rsb);
                    all.push(ReservationView {
                        session: session_id(&state.session),
                        sender: sender_id(&psb.sender),
                        interface: interface_name(&self.core, rsb.outgoing),
                        next_hop: rsb.next_hop,
                        style: rsb.selection.style().to_string(),
                        service: rsb.flowspec.service(),
                        traffic: traffic(rsb.flowspec.tspec()),
                        expires_in_ms: left_ms(now, rsb.state_deadline()),
                        proxied: rsb.proxied,
                        identity: self
                            .core
                            .identity_of(&state.session, rsb, psb.sender)
                            .map(str::to_owned),
                        charging: payers.next(),
                        more_payers: payers.collect(),
                    });
                }
            }
        }
        all
    }

    /// What neighbours owe and are owed at `now`: settled postings and running segments.
    pub fn show_accounts(&mut self, now: Now) -> AccountsView {
        let now = self.enter(now);
        let senders = self.sessions.iter_mut().flat_map(|state| &mut state.senders);
        let Core { charging, interfaces, books, .. } = &mut self.core;
        let internal =
            |who| charging.as_ref().is_some_and(|context| context.is_internal(interfaces, who));
        let border = |psb: &Psb| charging::Border::of(charging.as_ref(), psb);
        books.read(now, senders, border, internal)
    }

    /// What there is against neighbours that contradicted themselves or us.
    pub fn show_audit(&self) -> Vec<super::AuditView> {
        charging::show_audit(&self.core)
    }

    /// Whether there is nothing that anybody could be charged for.
    pub fn is_idle(&self) -> bool {
        self.sessions.len() == 0
    }

    /// Sessions, PSBs and RSBs.
    pub fn sizes(&self) -> (usize, usize, usize) {
        let senders = self.sessions.iter().map(|state| state.senders.len()).sum();
        let reservations = self.sessions.iter().map(|state| state.reservations.len()).sum();
        (self.sessions.len(), senders, reservations)
    }
}

pub(crate) fn interface_name(core: &Core, interface: u32) -> String {
    if interface == LOCAL {
        return "local".to_owned();
    }
    match core.interfaces.get(interface) {
        Some(port) => port.kernel.name.clone(),
        None => format!("#{interface}"),
    }
}

pub(crate) fn session_id(session: &Session) -> SessionId {
    SessionId {
        destination: session.destination,
        protocol: session.protocol,
        port: session.destination_port,
    }
}

pub(crate) fn sender_id(filter: &Filter) -> SenderId {
    let id = match filter.id {
        FlowId::Port(port) => u32::from(port),
        FlowId::FlowLabel(label) => label,
        FlowId::Gpi(spi) => spi,
    };
    SenderId { source: filter.source, id }
}

fn traffic(tspec: &Tspec) -> TrafficSpec {
    let peak = tspec.peak.to_integer();
    TrafficSpec {
        rate: tspec.rate.to_integer(),
        bucket: tspec.bucket.to_integer(),
        peak: (peak != u64::MAX).then_some(peak),
        min_policed: tspec.min_policed,
        max_packet: tspec.max_packet,
    }
}

fn left_ms(now: Now, at: Instant) -> Option<u64> {
    (at != Instant::NEVER).then(|| at.since(now.at) / 1000)
}
