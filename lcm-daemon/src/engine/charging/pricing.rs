//! What a sender's reservations cost on each interface, by its tariff and what is reserved.

use charging_model::flow::Price;
use charging_model::{BranchKey, Flowspec, Grant, Rate, Span, shared_local_prices};
use rsvp_wire::object::{FlowSpec, Style, Tspec};

use super::super::psb::Psb;
use super::super::resv::Request;
use super::super::rsb::{LOCAL, Rsb};
use super::super::session::SessionState;
use super::super::{Core, One};
use super::charges_on;
use crate::tariff::{Demand, Service};

/// The price of an interface for one sender.
#[derive(Debug, Clone)]
pub(crate) struct Priced {
    pub(crate) interface: u32,
    /// For a hop that joins.
    pub(crate) price: Price,
    /// For each branch, where that goes by what it reserves.
    pub(crate) locals: Vec<(BranchKey, Rate)>,
    /// What next hops there are granted for outages.
    pub(crate) refund: Grant,
}

/// The price of an interface for whoever would reserve all that a sender sends, and the most that
/// it may become for whatever is likely to be asked for (T6).
pub(super) fn quoted(core: &Core, interface: u32, tspec: &Tspec) -> Option<Price> {
    let port = core.interfaces.get(interface)?;
    let settings = &port.settings;
    let (tariff, quoted) = (&settings.tariff, Demand::quoted(tspec));
    let most = tariff.most(&quoted).max(tariff.most(&Demand::most(tspec)));
    Some(Price {
        local: Rate(port.price(&quoted)),
        max_local: Rate(most),
        validity: Span(u64::from(settings.validity_ms)),
    })
}

/// Whether what a sender's next hops are quoted goes by what they reserve: here, or further up.
/// Then PATH says for what the price is (QUANTITY).
pub(super) fn goes_by_quantity(core: &Core, psb: &Psb, interface: u32) -> bool {
    let down = psb.flow.as_ref().and_then(|flow| flow.downstream());
    let told = down.is_some_and(|down| down.epoch.is_some() && down.quantity > 0);
    let port = core.interfaces.get(interface);
    told || port.is_some_and(|port| port.settings.tariff.by_demand())
}

/// What a request for a reservation costs, where that goes by what it reserves. Shared reservations
/// are priced as a whole, when they stand. While the node drains at a price, more than stands is
/// dearer, and what stands keeps its price.
pub(super) fn of_request(core: &Core, psb: &Psb, request: &Request) -> Option<Rate> {
    let interface = request.outgoing;
    if request.selection.style() != Style::FixedFilter || interface == LOCAL {
        return None;
    }
    let port = core.interfaces.get(interface).filter(|_| goes_by_quantity(core, psb, interface))?;
    let price = |flowspec| Rate(port.price(&Demand::of(flowspec, &psb.facts.tspec)));
    let (wanted, gateway) = (price(&request.flowspec), gateway_price(core, psb));
    let kept = || {
        let before = price(request.stood.as_ref()?);
        let key = super::branch(interface, request.next_hop);
        let branch = psb.flow.as_ref()?.branch(key)?;
        let own = branch.price.or_else(|| core.kept_price(psb, interface))?;
        let own = Rate(own.0.saturating_sub(gateway.0));
        (wanted <= before).then(|| in_proportion(own, wanted, before))
    };
    let kept = core.drains_at_price().then(kept).flatten();
    Some(add(kept.unwrap_or_else(|| core.drain_rate(wanted)), gateway))
}

/// Whether the split of what is charged for a sender may look at flowspecs.
fn shares_unequally(core: &Core, psb: &Psb) -> bool {
    let context = core.charging.as_ref().filter(|_| psb.phop.is_some());
    context.is_some_and(|context| !context.sharing(psb.incoming).policy.is_equal())
}

/// What a sender sends, for strategies that share by what is reserved. Of a shared reservation
/// nobody can say what it has for which sender.
pub(super) fn sends(core: &Core, psb: &Psb, shared: bool) -> Option<Flowspec> {
    let by_demand = !shared && shares_unequally(core, psb);
    by_demand.then(|| flowspec(&Demand::quoted(&psb.facts.tspec)))
}

/// What is reserved for a sender alone, for such strategies.
pub(super) fn reserved(core: &Core, psb: &Psb, style: Style, asked: &FlowSpec) -> Option<Flowspec> {
    let by_demand = style == Style::FixedFilter && shares_unequally(core, psb);
    by_demand.then(|| flowspec(&Demand::of(asked, &psb.facts.tspec)))
}

fn flowspec(demand: &Demand) -> Flowspec {
    let Demand { service, rate, bucket, reserved, slack_us } = *demand;
    Flowspec { service: service.number(), rate, bucket, reserved, slack_us }
}

fn is_reserved(psb: &Psb, interface: u32) -> bool {
    let flow = psb.flow.as_ref();
    flow.is_some_and(|flow| flow.branches().any(|b| b.key.group == interface))
}

impl SessionState {
    /// The local prices of a sender on its outgoing interfaces. Where several senders share a
    /// reservation, they share the price of the dearest, by weights (charging.md section 1). A
    /// sender that nobody pays for yet is quoted the price of a reservation of its own, which it
    /// can only undercut.
    pub(crate) fn prices(&self, core: &Core, psb: &Psb, outgoing: &[u32]) -> One<Priced> {
        let shared = self.style().is_some_and(|style| style != Style::FixedFilter);
        let price_on = |interface: &u32| {
            let interface = *interface;
            let mut price = quoted(core, interface, &psb.facts.tspec)?;
            let mut locals = Vec::new();
            let gateway = gateway_price(core, psb);
            let fresh = match is_reserved(psb, interface) {
                // Senders that share a reservation share its price anew with each that joins.
                true if shared => self.shared_price(core, psb, interface).unwrap_or(price.local),
                true => price.local,
                false => core.drain_rate(price.local),
            };
            let kept = core.kept_price(psb, interface).filter(|_| !shared);
            price.local = kept.unwrap_or(add(fresh, gateway));
            price.max_local = add(price.max_local, gateway).max(price.local);
            if !shared && goes_by_quantity(core, psb, interface) {
                locals = self.own_prices(core, psb, interface, gateway);
            }
            let refund = self.granted(core, interface);
            Some(Priced { interface, price, locals, refund })
        };
        let charging = outgoing.iter().filter(|interface| charges_on(core, psb, **interface));
        let mut prices: One<Priced> = charging.filter_map(price_on).collect();
        if self.receiver.is_some() {
            let (price, locals) = (Price::default(), Vec::new());
            prices.push(Priced { interface: LOCAL, price, locals, refund: Grant::None });
        }
        prices
    }

    /// What next hops on an interface are granted for outages: by the class of what is reserved, and
    /// by controlled load before anything is.
    fn granted(&self, core: &Core, interface: u32) -> Grant {
        let Some(port) = core.interfaces.get(interface) else { return Grant::None };
        let reserved = self.reservations.first().map(|rsb| &rsb.flowspec);
        let class = match reserved {
            Some(FlowSpec::Guaranteed { .. }) => Service::Guaranteed,
            _ => Service::ControlledLoad,
        };
        port.settings.tariff.refunds.of(class)
    }

    /// What each branch of a sender costs on an interface, by what it reserves; as it was while the
    /// node drains at a price.
    fn own_prices(
        &self,
        core: &Core,
        psb: &Psb,
        interface: u32,
        gateway: Rate,
    ) -> Vec<(BranchKey, Rate)> {
        let Some(port) = core.interfaces.get(interface) else { return Vec::new() };
        let branches = psb.flow.as_ref().into_iter().flat_map(|flow| flow.branches());
        let here = branches.filter(|branch| branch.key.group == interface);
        if core.drains_at_price() {
            return here.filter_map(|branch| Some((branch.key, branch.price?))).collect();
        }
        let here = here.map(|branch| branch.key);
        here.filter_map(|key| {
            let mut reserved = self.reservations.iter().filter(|rsb| pays_for(rsb, psb, key));
            let demand = Demand::of(&reserved.next()?.flowspec, &psb.facts.tspec);
            Some((key, add(Rate(port.price(&demand)), gateway)))
        })
        .collect()
    }

    /// A sender's part of the price of what it shares with others on an interface: l_s = L * L_s /
    /// sum of L_s, where L_s is what the shared reservation would cost for s alone, which uses no
    /// more of it than it sends. `None` where nobody pays for it yet.
    fn shared_price(&self, core: &Core, psb: &Psb, interface: u32) -> Option<Rate> {
        let port = core.interfaces.get(interface)?;
        let paid = |psb: &&Psb| {
            let flow = psb.flow.as_ref();
            flow.is_some_and(|flow| flow.branches().any(|b| b.key.group == interface))
        };
        let mut sharing: Vec<&Psb> = self.senders.iter().filter(paid).collect();
        // The order decides who has the odd unit, and must not be that of their arrival.
        sharing.sort_unstable_by_key(|psb| psb.sender);
        let place = sharing.iter().position(|other| other.sender == psb.sender)?;
        let own = |psb: &&Psb| {
            let here = self.reservations.iter().filter(|rsb| rsb.outgoing == interface);
            let selected = here.filter(|rsb| rsb.selects(psb.sender));
            let demand = |rsb: &Rsb| Demand::of(&rsb.flowspec, &psb.facts.tspec);
            let prices = selected.map(|rsb| port.price(&demand(rsb)));
            Rate(prices.max().unwrap_or_default())
        };
        let prices: Vec<Rate> = sharing.iter().map(own).collect();
        shared_local_prices(&prices).get(place).copied()
    }
}

/// Whether a branch pays for this reservation of a sender's data.
fn pays_for(rsb: &Rsb, psb: &Psb, key: BranchKey) -> bool {
    let named = || rsb.payers.iter().any(|p| p.sender == psb.sender && p.origin == key.hop);
    rsb.outgoing == key.group && rsb.selects(psb.sender) && (rsb.next_hop == key.hop || named())
}

/// What the previous hop of a sender charges by a scheme of its own, which announces nothing here,
/// as a part of our local prices (paper section 3: other charging schemes).
pub(super) fn gateway_price(core: &Core, psb: &Psb) -> Rate {
    let mapped = || {
        let down = psb.flow.as_ref()?.downstream()?;
        psb.phop.filter(|_| down.epoch.is_none())?;
        let exchange = core.charging.as_ref()?.contract(psb.phop_address()).exchange?;
        exchange.ours_of(exchange.gateway_price_pico_per_s?)
    };
    Rate(mapped().unwrap_or_default())
}

/// What less costs, where all of it costs `own` and would cost `before` today: as much less.
fn in_proportion(own: Rate, wanted: Rate, before: Rate) -> Rate {
    let part = own.wide().saturating_mul(wanted.wide()).checked_div(before.wide());
    part.map_or(own, |part| Rate(u64::try_from(part).unwrap_or(own.0)))
}

fn add(a: Rate, b: Rate) -> Rate {
    Rate(a.0.saturating_add(b.0))
}
