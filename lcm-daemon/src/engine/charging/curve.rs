//! What other rates would cost (PRICE_CURVE): added up from hop to hop, and read by who reserves less
//! than was quoted.
//!
//! ```text
//!  PATH, DCPE with a curve ─▶ heard ─▶ tell    shared like C_j, and the curve of our tariff on top
//!                               │
//!  RESV for less than quoted ─▶ ask ─▶ claim   C_j is what the curve says of it, until the previous
//!                                              hop announces that itself
//! ```
//!
//! A curve is information: C and the UCPE govern. It is for controlled load and a reservation of its
//! own for the sender, it counts whoever reserves beside, and it never understates. A hop that does
//! not add to it ends it: one that drops it, and one that passes it on as it came, because then it says
//! less than the total that it comes with.

use charging_model::flow::{Flow, Payment, Quote};
use charging_model::{BranchKey, CURVE_POINTS_MAX, Curve, Ppm, Rate};
use rsvp_wire::charging::{Dcpe, PricePoint, Terms};
use rsvp_wire::object::{FlowSpec, Tspec};

use super::super::Core;
use super::super::counters::bump;
use super::super::psb::Psb;
use super::super::rsb::LOCAL;
use super::super::time::Now;
use super::{branch, clock};
use crate::tariff::Demand;

/// What a previous hop that tells of other rates announced last, as it said it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    /// C_j by bit/s; `None` where some hop did not add to it.
    curve: Option<Curve>,
    /// What its total is for, bit/s.
    quantity: u64,
    total: Rate,
    sponsored: Option<Rate>,
    fraction: Ppm,
    limited: bool,
    epoch: u32,
    /// What a receiver on this node reserves or asks for, bit/s; 0 if there is none.
    pub(super) wish: u64,
    /// It waits to reserve more: each PATH is to be looked at, also one that repeats what was said.
    pub(super) waits: bool,
}

/// A claim: C_j, and S_j where it is given.
type Claimed = (Rate, Option<Rate>);

impl Heard {
    fn of(psb: &Psb, tspec: &Tspec, dcpe: &Dcpe) -> Option<Self> {
        let terms = &dcpe.terms;
        let before = psb.curve.as_deref();
        if terms.price_curve().is_empty() && before.is_none() {
            return None;
        }
        let stands = psb.flow.as_ref().is_some_and(|flow| flow.own_ceiling().is_some());
        // Before anything of ours stands the price is one for all that the sender sends.
        let said = terms.quantity.filter(|quantity| stands && *quantity > 0);
        let quantity = said.unwrap_or_else(|| bits(tspec));
        let points = terms.price_curve().iter();
        let curve = Curve::new(points.map(|point| (point.bits_per_s, Rate(point.rate))));
        let whole = |curve: &Curve| curve.at(quantity).is_some_and(|rate| rate.0 >= dcpe.total);
        Some(Self {
            curve: curve.filter(whole),
            quantity,
            total: Rate(dcpe.total),
            sponsored: terms.sponsored.map(Rate),
            fraction: Ppm::new(terms.sender_fraction.unwrap_or(0)).unwrap_or_default(),
            limited: terms.limit_per_receiver.is_some()
                || terms.limit_per_hop.is_some()
                || terms.max_hops.is_some(),
            epoch: dcpe.epoch,
            wish: before.map_or(0, |before| before.wish),
            waits: before.is_some_and(|before| before.waits),
        })
    }

    /// What is claimed for this many bit/s, where that is not what was announced. More than stands
    /// is asked for and quoted first (T5), and where the sender's limits were hit nobody knows
    /// what it would cover of less.
    fn claim(&self, reserved: u64, stands: bool) -> Option<Claimed> {
        let curve = self.curve.as_ref().filter(|_| reserved > 0 && self.sponsored.is_none())?;
        if stands && reserved >= self.quantity {
            return None;
        }
        let told = curve.at(reserved)?;
        // What was announced is for at least as much.
        let total = if reserved <= self.quantity { told.min(self.total) } else { told };
        Some((total, None))
    }
}

fn bits(tspec: &Tspec) -> u64 {
    Demand::quoted(tspec).rate
}

/// What is reserved here for a sender, bit/s, if all who reserve say so.
fn reserved(flow: &Flow, wish: u64) -> Option<u64> {
    let mut most = wish;
    for branch in flow.branches().filter(|branch| !branch.key.is_local()) {
        most = most.max(Some(branch.quantity).filter(|quantity| *quantity > 0)?);
    }
    Some(most)
}

/// What the previous hop claims with this DCPE, if that is for another quantity than is reserved here.
/// Where it says the same as before, and something else is reserved, the state is brought in line with
/// that first: it does not contradict itself.
pub(super) fn claim(now: Now, psb: &mut Psb, tspec: &Tspec, dcpe: &Dcpe) -> Option<Claimed> {
    let said = Heard::of(psb, tspec, dcpe)?;
    let flow = psb.flow.as_mut()?;
    let stands = flow.own_ceiling().is_some();
    let claimed = reserved(flow, said.wish).and_then(|bits| said.claim(bits, stands));
    let same = psb.curve.as_deref().filter(|old| {
        (old.epoch, old.total, old.sponsored) == (said.epoch, said.total, said.sponsored)
    });
    let known = flow.downstream().and_then(|down| down.epoch);
    if same.is_some() && known == Some(dcpe.epoch) {
        let (total, sponsored) = claimed.unwrap_or((said.total, said.sponsored));
        flow.reclaim(clock(now), total, sponsored);
    }
    claimed
}

/// What the previous hop announces was taken, with what it tells of other rates.
pub(super) fn heard(core: &mut Core, psb: &mut Psb, tspec: &Tspec, dcpe: &Dcpe) {
    let Some(said) = Heard::of(psb, tspec, dcpe) else { return };
    if !dcpe.terms.price_curve().is_empty() {
        let event = if said.curve.is_some() { "taken" } else { "ignored" };
        bump(&mut core.counters.curves, event);
    }
    let news = psb.curve.as_ref().is_none_or(|old| old.curve != said.curve);
    psb.curve = Some(Box::new(said));
    let Some(flow) = psb.flow.as_mut().filter(|_| news) else { return };
    let groups: Vec<u32> = flow.groups().map(|(group, _)| group).collect();
    for group in groups.into_iter().filter(|group| tells(core, *group)) {
        flow.tell_again(group);
    }
}

/// A border between currencies ends it: rates would not be exact behind it.
pub(super) fn end(dcpe: &mut Dcpe) {
    if !dcpe.terms.price_curve().is_empty() {
        dcpe.terms.extra_mut().price_curve.clear();
    }
}

fn tells(core: &Core, interface: u32) -> bool {
    let port = core.interfaces.get(interface);
    port.is_some_and(|port| port.settings.tariff.curve && port.settings.charging)
}

/// C_j by bit/s; nothing is charged where the sender, or nobody, is the previous hop.
fn above(psb: &Psb) -> Option<Curve> {
    let down = psb.flow.as_ref()?.downstream()?;
    if psb.phop.is_none() || down.epoch.is_none() || down.max_total == Rate::ZERO {
        return Some(Curve::level(Rate::ZERO));
    }
    psb.curve.as_ref()?.curve.clone()
}

/// What a next hop on an interface carries of C_j, by what it reserves.
fn carried(psb: &Psb, key: BranchKey) -> Option<Curve> {
    let (flow, above) = (psb.flow.as_ref()?, above(psb)?);
    let own = flow.branch(key).filter(|branch| !branch.key.is_local());
    let company = flow.company(key);
    if company.unknown || own.is_some_and(|own| own.quantity == 0) {
        return None;
    }
    let whole = above.from_quantity(company.quantity)?;
    if company.count == 1 {
        return Some(whole);
    }
    let whole = whole.at_least(flow.downstream()?.total)?;
    // What others weigh against a flowspec that nobody knows yet is not known: it may carry all.
    if flow.policy().is_equal() { whole.shared_by(company.count) } else { Some(whole) }
}

/// Adds to what is announced on an interface, to a next hop or to whoever joins, what other rates
/// would cost, if it is to be told and all hops above told us.
pub(super) fn tell(
    core: &Core,
    psb: &Psb,
    (interface, hop): (u32, Option<std::net::IpAddr>),
    quote: &Quote,
    terms: &mut Terms,
) {
    if !tells(core, interface) {
        return;
    }
    let anyone = std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
    let key = branch(interface, hop.unwrap_or(anyone));
    let Some(curve) = told(core, psb, key) else { return };
    let points = curve.points().iter();
    let point =
        |(bits_per_s, rate): &(u64, Rate)| PricePoint { bits_per_s: *bits_per_s, rate: rate.0 };
    terms.extra_mut().price_curve = points.map(point).collect();
    terms.quantity = Some(quote.quantity);
}

fn told(core: &Core, psb: &Psb, key: BranchKey) -> Option<Curve> {
    let port = core.interfaces.get(key.group)?;
    let moves = port.price_at_admission.is_some() || core.draining || core.drains_at_price();
    if moves {
        // What is said now may not hold for whoever reserves by it.
        return None;
    }
    let sends = Demand::quoted(&psb.facts.tspec);
    let own = port.settings.tariff.price_curve(&sends, port.factors)?;
    let own = own.from_quantity(psb.flow.as_ref()?.company(key).beside)?;
    let foreign = Curve::level(super::pricing::gateway_price(core, psb));
    carried(psb, key)?.plus(&own)?.plus(&foreign)?.thinned(CURVE_POINTS_MAX)
}

/// A next hop asks for a reservation where nothing of ours stands yet: what the previous hop claims is
/// what that costs.
pub(super) fn ask(now: Now, psb: &mut Psb, key: BranchKey, payment: &Payment, asked: &FlowSpec) {
    let (Some(heard), Some(flow)) = (&psb.curve, psb.flow.as_mut()) else { return };
    let classes = matches!(asked, FlowSpec::ControlledLoad(_)) && payment.quantity > 0;
    if !classes || key.is_local() || flow.own_ceiling().is_some() {
        return;
    }
    let wish = heard.wish.max(payment.quantity);
    let claimed = reserved(flow, wish).and_then(|bits| heard.claim(bits, false));
    let (total, sponsored) = claimed.unwrap_or((heard.total, heard.sponsored));
    flow.reclaim(clock(now), total, sponsored);
}

/// As [`ask`], of the receiver on this node, which reserves so many bit/s, 0 where it does not say, and
/// waits for more or not.
pub(crate) fn wish(now: Now, psb: &mut Psb, bits: u64, waits: bool) {
    let (Some(heard), Some(flow)) = (&mut psb.curve, psb.flow.as_mut()) else { return };
    heard.waits = waits;
    if heard.wish == bits {
        return;
    }
    heard.wish = bits;
    if flow.own_ceiling().is_some() {
        return;
    }
    let claimed = reserved(flow, bits).and_then(|bits| heard.claim(bits, false));
    let (total, sponsored) = claimed.unwrap_or((heard.total, heard.sponsored));
    flow.reclaim(clock(now), total, sponsored);
}

/// Whether a PATH that says the same again is to be looked at all the same.
pub(super) fn waits(psb: &Psb) -> bool {
    psb.curve.as_ref().is_some_and(|heard| heard.waits)
}

/// What a receiver on this node would pay for this many bit/s, at most; `None` where nobody tells.
pub(crate) fn due_at(psb: &Psb, session: std::net::IpAddr) -> Option<impl Fn(u64) -> Option<u64>> {
    let heard = psb.curve.as_deref()?;
    let curve = carried(psb, branch(LOCAL, session))?;
    Some(move |bits: u64| {
        let total = curve.at(bits)?;
        let known = bits <= heard.quantity || !heard.limited;
        let covered = match heard.sponsored {
            None if known => heard.fraction.ceil_of(total),
            _ => Rate::ZERO,
        };
        Some(total.0.saturating_sub(covered.0))
    })
}
