//! Where charges arise (HOP_RECORD): told to those who ask, as far as is agreed with them.
//!
//! ```text
//!  RESV, UCPE with a HOP_RECORD  ─▶ asks     a next hop, or the receiver here, wants to know
//!                                   ask  ─▶  so we ask the previous hop, where all may be told
//!  PATH, DCPE with HOP_RECORDs   ─▶ heard    parts of C_j
//!                                   tell ─▶  to those who ask: their parts of it, and our price
//! ```
//!
//! Who asks writes one HOP_RECORD of level 1 into its UCPE, of the address 0.0.0.0 and the price 0.
//! What is told adds up to the total of its DCPE; a record of the address 0.0.0.0 is what one or more
//! hops in that place do not tell. A previous hop that tells nothing is such a sum to whoever is
//! behind us. Nobody is told without asking, and no message of theirs changes by an octet.

use std::net::{IpAddr, Ipv4Addr};

use charging_model::flow::{Flow, Quote};
use charging_model::{BranchKey, Part, Parts, Rate};
use rsvp_wire::charging::{Dcpe, HopRecord, Terms, Ucpe};
use serde::{Deserialize, Serialize};

use super::super::Core;
use super::super::local::{Notice, NoticeEvent};
use super::super::outbox::Output;
use super::super::psb::Psb;
use super::super::rsb::LOCAL;
use super::super::session::SessionState;
use super::super::time::Now;
use super::{Context, branch};
use crate::config::HopRecords;
use crate::ledger::record::{self, Arises, Body, Neighbour};

/// Level of detail of those who ask for more than totals.
const HOPS: u8 = 1;

/// Stands for the hops that are not told.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// A part of a charge, as it is shown and told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HopCharge {
    /// Who asks for it; absent for one or more hops that do not tell.
    pub hop: Option<IpAddr>,
    /// How much, in wire units.
    pub rate: u64,
}

/// What is known of where a sender's charges arise, where somebody asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Detail {
    /// Of C_j; nothing until the previous hop was heard after somebody asked.
    heard: Parts,
    asking: Vec<Asking>,
    /// We asked the previous hop with our last UCPE.
    asked: bool,
}

/// A branch that wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asking {
    key: BranchKey,
    /// What it was told last.
    told: Parts,
}

impl Detail {
    /// Nothing is known of what another previous hop asks for.
    pub(super) fn forget_upstream(&mut self) {
        (self.heard, self.asked) = (Parts::default(), false);
    }

    /// What was told is written down anew.
    pub(super) fn untell(&mut self) {
        self.asking.iter_mut().for_each(|asking| asking.told = Parts::default());
    }

    fn may_ask(&self, context: &Context, flow: &Flow) -> bool {
        let all = |of: &&Asking| agreed(context, of.key) == HopRecords::All;
        self.asking.iter().filter(all).any(|of| flow.branch(of.key).is_some())
    }
}

/// What a branch that asks is told beside this quote, from this address of ours.
fn parts(
    context: &Context,
    psb: &Psb,
    detail: &Detail,
    (key, own): (BranchKey, IpAddr),
    quote: &Quote,
) -> Option<Parts> {
    detail.asking.iter().find(|asking| asking.key == key)?;
    let carried = match agreed(context, key) {
        HopRecords::None => return None,
        HopRecords::Own => Parts::hidden(quote.carried),
        HopRecords::All => detail.heard.carried(quote.carried),
    };
    if psb.phop.is_none() && quote.local == Rate::ZERO {
        // The sender is no provider.
        return Some(carried);
    }
    Some(carried.then(Part { hop: Some(own), rate: quote.local }))
}

/// What a branch may be told; a receiver on this node all.
fn agreed(context: &Context, key: BranchKey) -> HopRecords {
    if key.is_local() { HopRecords::All } else { context.contract(Some(key.hop)).hop_record }
}

/// Whether a next hop wants to know where its charges arise.
pub(super) fn wants_hops(ucpe: &Ucpe) -> bool {
    ucpe.terms.hop_records().iter().any(|record| record.detail >= HOPS)
}

/// A branch asks, or no longer does; one that is not installed asks for nothing.
pub(super) fn asks(core: &Core, psb: &mut Psb, key: BranchKey, wants: bool) {
    if !wants && psb.detail.is_none() {
        return;
    }
    let (Some(context), Some(flow)) = (&core.charging, psb.flow.as_mut()) else { return };
    let wants = wants && agreed(context, key) != HopRecords::None && flow.branch(key).is_some();
    let detail = psb.detail.get_or_insert_default();
    let stays = |of: &Asking| flow.branch(of.key).is_some() && (wants || of.key != key);
    detail.asking.retain(stays);
    if wants && !detail.asking.iter().any(|of| of.key == key) {
        detail.asking.push(Asking { key, told: Parts::default() });
        flow.tell_again(key.group);
    }
    if detail.asking.is_empty() {
        psb.detail = None;
    }
}

/// Asks the previous hop in our UCPE, where somebody below may be told what it says.
pub(super) fn ask(core: &Core, psb: &mut Psb, ucpe: &mut Ucpe) {
    let (Some(context), Some(detail)) = (&core.charging, &mut psb.detail) else { return };
    detail.asked = psb.flow.as_ref().is_some_and(|flow| detail.may_ask(context, flow));
    if detail.asked {
        ucpe.terms.push_hop_record(wire(Part::hidden(Rate::ZERO)));
    }
}

/// What the previous hop announces was taken, with what it tells of it.
pub(super) fn heard(core: &mut Core, now: Now, psb: &mut Psb, dcpe: &Dcpe) {
    let Some(detail) = &mut psb.detail else { return };
    let parts = parts_of(dcpe);
    if parts == detail.heard {
        return;
    }
    detail.heard = parts;
    let (Some(context), Some(flow)) = (&core.charging, psb.flow.as_mut()) else { return };
    for asking in &detail.asking {
        if agreed(context, asking.key) == HopRecords::All {
            flow.tell_again(asking.key.group);
        }
    }
    let heard = detail.heard.clone();
    if let Some(payee) = psb.previous() {
        write(core, now, psb, (record::Payment::ReceiverOut, payee), &heard);
    }
}

/// What a DCPE tells of its total.
fn parts_of(dcpe: &Dcpe) -> Parts {
    let part = |record: &HopRecord| Part {
        hop: (!record.address.is_unspecified()).then_some(record.address),
        rate: Rate(record.local_price),
    };
    Parts::of(Rate(dcpe.total), dcpe.terms.hop_records().iter().map(part))
}

/// The same parts of a total in another currency.
pub(super) fn convert(dcpe: &mut Dcpe, total: u64) {
    if dcpe.terms.hop_records().is_empty() {
        return;
    }
    let parts = parts_of(dcpe).carried(Rate(total));
    dcpe.terms.extra_mut().hop_records = parts.iter().copied().map(wire).collect();
}

fn wire(part: Part) -> HopRecord {
    HopRecord { detail: HOPS, address: part.hop.unwrap_or(NOBODY), local_price: part.rate.0 }
}

/// Adds to what is announced to a branch where that arises, if it asks.
pub(super) fn tell(
    context: &Context,
    psb: &Psb,
    (key, own): (BranchKey, IpAddr),
    quote: &Quote,
    terms: &mut Terms,
) {
    let Some(detail) = &psb.detail else { return };
    let parts = parts(context, psb, detail, (key, own), quote);
    for part in parts.iter().flat_map(Parts::iter) {
        terms.push_hop_record(wire(*part));
    }
}

/// The branches on an interface were told, from this address: writes down what is new of it.
pub(super) fn told(core: &mut Core, now: Now, psb: &mut Psb, interface: u32, own: IpAddr) {
    let Some(mut detail) = psb.detail.take() else { return };
    for at in 0..detail.asking.len() {
        let key = detail.asking.get(at).map(|of| of.key).filter(|key| key.group == interface);
        let quote = key.and_then(|key| psb.flow.as_ref()?.quote_for(key));
        let (Some(key), Some(quote), Some(context)) = (key, quote, &core.charging) else {
            continue;
        };
        let parts = parts(context, psb, &detail, (key, own), &quote).unwrap_or_default();
        if let Some(of) = detail.asking.get_mut(at)
            && of.told != parts
        {
            of.told = parts;
            let payer = Neighbour { interface, address: key.hop };
            write(core, now, psb, (record::Payment::ReceiverIn, payer), &of.told);
        }
    }
    psb.detail = Some(detail);
}

/// Writes down where what a neighbour pays, or is paid, arises.
fn write(
    core: &mut Core,
    now: Now,
    psb: &Psb,
    (payment, neighbour): (record::Payment, Neighbour),
    parts: &Parts,
) {
    // A flow without number is in no record.
    if psb.number == 0 || core.is_internal(neighbour) {
        return;
    }
    core.outbox.record(Body::Arises(Arises {
        at_ms: now.at.as_millis(),
        meter: record::Meter { flow: psb.number, payment, neighbour },
        parts: parts.iter().map(|part| (part.hop, part.rate.0)).collect(),
    }));
}

/// Where C arises, as far as the previous hop tells.
pub(super) fn show(psb: &Psb) -> Vec<HopCharge> {
    psb.detail.as_ref().map(|detail| charges(&detail.heard)).unwrap_or_default()
}

fn charges(parts: &Parts) -> Vec<HopCharge> {
    parts.iter().map(|part| HopCharge { hop: part.hop, rate: part.rate.0 }).collect()
}

impl SessionState {
    /// Tells the receiver on this node where its charges arise, when that is news, and has the
    /// previous hop asked where it was not.
    pub(super) fn tell_detail(&mut self, core: &mut Core, now: Now, index: usize) {
        let Some(psb) = self.senders.get_mut(index).filter(|psb| psb.detail.is_some()) else {
            return;
        };
        let (Some(context), Some(flow)) = (&core.charging, &psb.flow) else { return };
        let Some(detail) = &mut psb.detail else { return };
        let to_ask = !detail.asked && !psb.held_back && detail.may_ask(context, flow);
        let key = branch(LOCAL, self.session.destination);
        let quote = flow.quote_for(key);
        let parts = quote.map(|quote| detail.heard.carried(quote.carried)).unwrap_or_default();
        let heard = !detail.heard.is_empty();
        let here = detail.asking.iter_mut().find(|of| of.key == key);
        if let Some(here) = here.filter(|here| heard && here.told != parts)
            && let Some(receiver) = &self.receiver
        {
            let event = NoticeEvent::Arises { total: parts.total().0, parts: charges(&parts) };
            here.told = parts;
            let notice = Notice { handle: receiver.handle, sender: psb.sender, event };
            core.outbox.push(Output::Notice(notice));
        }
        if to_ask && psb.phop.is_some() {
            self.refresh_resv_soon(core, now);
        }
    }
}
