//! What was metered between neighbours, and what the payers had approved.

use std::collections::BTreeMap;
use std::net::IpAddr;

use lcm_daemon::engine::show::AccountView;
use rsvp_wire::object::{Filter, MessageId, Session};
use rsvp_wire::{Message, MessageType};

use super::log::{Crossing, ucpes};
use super::net::Net;
use super::topology::{Kind, LinkId, NodeId};
use super::transport::signed_number;
use crate::promise::{Approval, approval_ms, integral, spans};

/// Who pays whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    /// The node that is paid, and meters.
    pub payee: NodeId,
    /// The node that pays.
    pub payer: NodeId,
}

/// Amounts between two neighbours, in ledger units (rate × milliseconds).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Metered {
    /// RP: flows upstream.
    pub receiver_payment: i128,
    /// SP: flows downstream.
    pub sender_payment: i128,
}

impl Metered {
    fn add(&mut self, other: Self) {
        self.receiver_payment += other.receiver_payment;
        self.sender_payment += other.sender_payment;
    }

    /// Both together.
    pub fn sum(&self) -> i128 {
        self.receiver_payment + self.sender_payment
    }
}

type Books = BTreeMap<Pair, Metered>;
/// Approvals, each with the next hop that brought it: who pays, or one before it that does not charge.
type Flows = BTreeMap<(Pair, Account, IpKey, Filter), Vec<(IpAddr, Approval)>>;
/// What a payer is to its payee: a link, and the address that its payments originate from.
type Account = (LinkId, IpAddr);
/// What payers numbered (RFC 2961).
#[derive(Default)]
struct Numbered {
    /// RESVs by payee, hop, epoch and number.
    resvs: BTreeMap<(NodeId, IpAddr, u32, u32), Box<[u8]>>,
    /// Epoch and number of the newest RESV by payee, hop and flow.
    newest: BTreeMap<(NodeId, IpAddr, IpKey, Filter), (u32, u32)>,
}
type IpKey = (IpAddr, u8, u16);

impl Numbered {
    fn note(
        &mut self,
        payee: NodeId,
        via: IpAddr,
        session: IpKey,
        sender: Filter,
        id: Option<MessageId>,
    ) {
        let Some(MessageId { epoch, identifier, .. }) = id else { return };
        if !self.is_late(payee, via, session, sender, id) {
            self.newest.insert((payee, via, session, sender), (epoch, identifier));
        }
    }

    /// True if a hop has numbered a RESV of the flow higher than this message.
    fn is_late(
        &self,
        payee: NodeId,
        via: IpAddr,
        session: IpKey,
        sender: Filter,
        id: Option<MessageId>,
    ) -> bool {
        let newest = self.newest.get(&(payee, via, session, sender));
        newest.zip(id).is_some_and(|((epoch, newest), id)| {
            *epoch == id.epoch && (newest.wrapping_sub(id.identifier) as i32) > 0
        })
    }
}

fn key(session: &Session) -> IpKey {
    (session.destination, session.protocol, session.destination_port)
}

impl Net {
    /// What all payees metered so far, also those whose daemons have died since.
    pub fn metered(&mut self) -> Books {
        self.books(0)
    }

    /// What all payers believe that they owe.
    pub fn shadows(&mut self) -> Books {
        self.books(1)
    }

    fn books(&mut self, side: usize) -> Books {
        let mut all = self.buried[side].clone();
        for id in 0..self.nodes.len() {
            self.read_books(id, side, &mut all);
        }
        all.retain(|_, metered| *metered != Metered::default());
        all
    }

    fn read_books(&mut self, id: NodeId, side: usize, all: &mut Books) {
        let now = self.clock(id);
        let Some(engine) = self.nodes[id].engine.as_mut() else { return };
        let view = engine.show_accounts(now);
        self.nodes[id].journal.assert_agrees(now, &view);
        for account in view.accounts {
            // Forged messages may name neighbours that are none.
            let Some(neighbour) = self.topology.owner(account.neighbour) else { continue };
            let (pair, metered) = match side {
                0 => (Pair { payee: id, payer: neighbour }, incoming(&account)),
                _ => (Pair { payee: neighbour, payer: id }, outgoing(&account)),
            };
            all.entry(pair).or_default().add(metered);
        }
    }

    /// Keeps what a daemon had metered, as its journal would.
    pub(super) fn bury_books(&mut self, id: NodeId) {
        for side in 0..2 {
            let mut buried = std::mem::take(&mut self.buried[side]);
            self.read_books(id, side, &mut buried);
            self.buried[side] = buried;
        }
    }

    /// What each node received less what it paid, by the payees' meters; sums to zero.
    pub fn balances(&mut self) -> Vec<i128> {
        let mut balances = vec![0; self.nodes.len()];
        for (pair, metered) in self.metered() {
            balances[pair.payee] += metered.sum();
            balances[pair.payer] -= metered.sum();
        }
        balances
    }

    /// What each node moved per second over a window of the given length, in wire units; panics
    /// if that is no whole number.
    pub fn rates_over(&mut self, ms: u64) -> Vec<i128> {
        let before = self.balances();
        self.run_ms(ms);
        let after = self.balances();
        let rate = |(after, before): (&i128, &i128)| {
            let metered = after - before;
            assert_eq!(metered % i128::from(ms), 0, "{metered} in {ms} ms is no steady rate");
            metered / i128::from(ms)
        };
        after.iter().zip(&before).map(rate).collect()
    }

    /// Meters a while, and panics if any node earns otherwise than expected per second, if the sum
    /// over all is not zero, or if payees' meters and payers' shadows differ.
    pub fn assert_metered(&mut self, ms: u64, expected: &[i128]) {
        let seed = self.options.seed;
        let (payees, payers) = (self.metered(), self.shadows());
        let rates = self.rates_over(ms);
        assert_eq!(rates, expected, "seed {seed}: what each node earns per second");
        assert_eq!(rates.iter().sum::<i128>(), 0, "seed {seed}: the sum of all accounts");
        let (metered, believed) = (self.metered(), self.shadows());
        let (mut metered, believed) = (gained(&payees, &metered), gained(&payers, &believed));
        // A host without RSVP has no meter of its own.
        metered.retain(|pair, _| self.topology.nodes[pair.payer].kind != Kind::Plain);
        assert_eq!(metered, believed, "seed {seed}: payees' meters against payers' shadows");
    }

    /// The most that each payee may have metered of receiver payments by now, from the UCPEs that
    /// reached it: each approves [t, t + H] up to its ceiling (charging.md T3), and a gap between
    /// two of one instance is billed at the lower of their rates. Ends with a RESVTEAR. Who goes on
    /// over another link or from another address is another payer to it (D10): what was approved
    /// before stands until it ends.
    pub fn approved(&self) -> BTreeMap<Pair, i128> {
        let mut sums = BTreeMap::new();
        for ((pair, ..), approvals) in self.approvals() {
            let end = self.nodes[pair.payee].local_us(self.now_us()) / 1_000;
            let approvals: Vec<Approval> = approvals.into_iter().map(|(_, said)| said).collect();
            let most = integral(&spans(&approvals), end);
            let sum: &mut i128 = sums.entry(pair).or_default();
            *sum = sum.saturating_add_unsigned(most);
        }
        sums
    }

    /// Payees that metered more than was approved, what they metered, and what was approved.
    pub fn broken_promises(&mut self) -> Vec<(Pair, i128, i128)> {
        let approved = self.approved();
        let broken = self.metered().into_iter().filter_map(|(pair, metered)| {
            let most = approved.get(&pair).copied().unwrap_or_default();
            let debited = metered.receiver_payment;
            (debited > most).then_some((pair, debited, most))
        });
        broken.collect()
    }

    /// Panics if any payee metered more than was approved.
    pub fn assert_promise(&mut self) {
        if let Some((pair, debited, most)) = self.broken_promises().first() {
            panic!(
                "seed {}: {pair:?} was debited {debited}, which approvals of {most} do not \
                 cover\n{}",
                self.options.seed,
                self.story()
            );
        }
    }

    fn approvals(&self) -> Flows {
        let mut arrived: Vec<(u64, u64, &Crossing)> = Vec::new();
        for crossing in self.log.crossings() {
            let wanted = matches!(
                crossing.message_type,
                MessageType::Resv
                    | MessageType::ResvTear
                    | MessageType::Srefresh
                    | MessageType::Bundle
            );
            let here = self.topology.owner(crossing.destination) == Some(crossing.to);
            // What is signed counts from when it is believed; what is not believed approves
            // nothing, and ends nothing.
            let came = match signed_number(self.log.bytes(crossing)) {
                Some(number) => self.believed.get(&(crossing.to, crossing.source, number)).copied(),
                None => crossing.fate.arrival().filter(|at| *at <= self.now_us()),
            };
            if let Some(at) = came.filter(|_| wanted && here) {
                // By the clock of the payee, which meters.
                let local = self.nodes[crossing.to].local_us(at);
                arrived.push((at, local / 1_000, crossing));
            }
        }
        arrived.sort_by_key(|(at, ..)| *at);
        let mut flows = Flows::new();
        let mut numbered = Numbered::default();
        for (_, at_ms, crossing) in arrived {
            let bytes = self.log.bytes(crossing);
            self.note_approval(&mut flows, &mut numbered, at_ms, crossing, bytes);
        }
        flows
    }

    fn note_approval(
        &self,
        flows: &mut Flows,
        numbered: &mut Numbered,
        at_ms: u64,
        crossing: &Crossing,
        bytes: &[u8],
    ) {
        match Message::parse(bytes) {
            Ok(Message::Bundle(bundle)) => {
                for part in bundle.parts() {
                    self.note_approval(flows, numbered, at_ms, crossing, part);
                }
            }
            // It approves again what the messages approved that it names (T14).
            Ok(Message::Srefresh(srefresh)) => {
                for list in srefresh.lists() {
                    for entry in list.entries() {
                        let name = (crossing.to, crossing.source, list.epoch, entry.identifier);
                        if let Some(resv) = numbered.resvs.get(&name).cloned() {
                            self.note_approval(flows, numbered, at_ms, crossing, &resv);
                        }
                    }
                }
            }
            Ok(Message::Resv(resv)) => {
                if let Some(id) = resv.message_id() {
                    let name = (crossing.to, resv.hop.address, id.epoch, id.identifier);
                    numbered.resvs.insert(name, bytes.into());
                }
                // A payee takes a period within its own bounds.
                let refresh = u64::from(resv.time_values.refresh_ms).min(300_000);
                let until_ms = at_ms + approval_ms(refresh);
                let via = resv.hop.address;
                for (sender, ucpe, origin) in ucpes(&resv) {
                    let Some(payer) = self.topology.owner(origin) else { continue };
                    let account = (crossing.link, origin);
                    let pair = Pair { payee: crossing.to, payer };
                    let (ceiling, instance) = (ucpe.payment, ucpe.instance);
                    let approval = Approval { at_ms, ceiling, instance, until_ms };
                    numbered.note(crossing.to, via, key(&resv.session), sender, resv.message_id());
                    flows
                        .entry((pair, account, key(&resv.session), sender))
                        .or_default()
                        .push((via, approval));
                }
            }
            Ok(Message::ResvTear(tear)) => {
                // One that was sent again after the reservation was renewed ends nothing.
                let late = |sender| {
                    numbered.is_late(
                        crossing.to,
                        tear.hop.address,
                        key(&tear.session),
                        sender,
                        tear.message_id(),
                    )
                };
                let named = tear.filters().map(|filter| filter.0);
                let torn: Vec<Filter> = named.filter(|sender| !late(*sender)).collect();
                let ours = flows.iter_mut().filter(|((pair, _, session, sender), _)| {
                    pair.payee == crossing.to
                        && *session == key(&tear.session)
                        && torn.contains(sender)
                });
                let brought =
                    ours.flat_map(|(_, flow)| flow).filter(|(via, _)| *via == tear.hop.address);
                brought.for_each(|(_, a)| a.until_ms = a.until_ms.min(at_ms));
            }
            _ => {}
        }
    }
}

fn gained(before: &Books, after: &Books) -> Books {
    let mut gained = after.clone();
    for (pair, metered) in before {
        let now = gained.entry(*pair).or_default();
        now.receiver_payment -= metered.receiver_payment;
        now.sender_payment -= metered.sender_payment;
    }
    gained.retain(|_, metered| *metered != Metered::default());
    gained
}

fn incoming(account: &AccountView) -> Metered {
    Metered {
        receiver_payment: amount(&account.receiver_payments_in),
        sender_payment: amount(&account.sender_payments_in),
    }
}

fn outgoing(account: &AccountView) -> Metered {
    Metered {
        receiver_payment: amount(&account.receiver_payments_out),
        sender_payment: amount(&account.sender_payments_out),
    }
}

fn amount(text: &str) -> i128 {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no amount"))
}
