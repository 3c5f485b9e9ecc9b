//! Charging state as operators read it.

use charging_model::{BranchKey, Flow};

use super::super::Core;
use super::super::psb::Psb;
use super::super::rsb::{LOCAL, Rsb};
use super::super::show::{
    DownstreamView, PaymentView, QualityView, QuoteView, UpstreamView, interface_name,
};
use super::super::time::Now;
use super::audit::evidence;
use super::{account_text, branch, clock};

/// Downstream charging state of a sender.
pub(crate) fn show_downstream(core: &Core, psb: &Psb) -> Option<DownstreamView> {
    let flow = psb.flow.as_ref()?;
    let down = flow.downstream()?;
    let limits = down.limits();
    let own = flow.preview_payment();
    let reserved = flow.branches().next().is_some();
    let debited = flow.approved_claim().map_or(0, |(total, s)| total.0.saturating_sub(s.0));
    Some(DownstreamView {
        total_charge: down.total.0,
        max_total_charge: down.max_total.0,
        sender_fraction_ppm: down.fraction.get(),
        sender_account: down.sender_account.as_ref().map(account_text),
        limit_per_receiver: limits.per_receiver.map(|rate| rate.0),
        limit_per_hop: limits.per_hop.map(|rate| rate.0),
        max_hops: limits.max_hops,
        sponsored: down.sponsored.0,
        epoch: down.epoch.unwrap_or(0),
        arises: super::detail::show(psb),
        quotes: quotes(core, psb),
        payment: own.filter(|_| reserved).map(|own| PaymentView {
            payment: own.payment.0,
            debited,
            announced_total: own.announced_total.0,
            sender_payment: own.sender_payment.0,
            local_sum: own.local_sum.0,
        }),
    })
}

fn quotes(core: &Core, psb: &Psb) -> Vec<QuoteView> {
    let Some(flow) = &psb.flow else { return Vec::new() };
    let mut views = Vec::new();
    for (group, _) in flow.groups().filter(|(group, _)| *group != LOCAL) {
        let hops = flow.branches().map(|branch| branch.key).filter(|key| key.group == group);
        let mut quotes: Vec<_> = hops.map(|key| (Some(key.hop), flow.quote_for(key))).collect();
        if quotes.is_empty() {
            quotes.push((None, flow.quote(group)));
        }
        views.extend(quotes.into_iter().filter_map(|(next_hop, quote)| {
            let quote = quote?;
            Some(QuoteView {
                interface: interface_name(core, group),
                next_hop,
                total_charge: quote.total.0,
                max_total_charge: quote.max_total.0,
                c: quote.carried.0,
                local_price: quote.local.0,
                sponsored: quote.sponsored.0,
                epoch: quote.epoch,
            })
        }));
    }
    views
}

/// Upstream charging state of a reservation for one sender: one for each who pays.
pub(crate) fn show_upstream<'a>(
    now: Now,
    psb: &'a Psb,
    rsb: &'a Rsb,
) -> impl Iterator<Item = UpstreamView> + 'a {
    let payers = rsb.origins(psb.sender);
    payers.filter_map(move |payer| show_payer(now, psb, branch(rsb.outgoing, payer)))
}

/// Whether what a branch reserves is and was in place.
fn quality(now: Now, flow: &Flow, key: BranchKey) -> QualityView {
    let (quality, now) = (flow.quality(key), clock(now).now);
    QualityView {
        in_place_ms: quality.in_place.map(|since| now.since(since).0),
        outage: quality.outage.map(|(_, why)| why.name().to_owned()),
        outages: quality.outages,
        outage_ms: quality.outage_time(now).0,
    }
}

fn show_payer(now: Now, psb: &Psb, key: BranchKey) -> Option<UpstreamView> {
    let flow = psb.flow.as_ref()?;
    let view = flow.branch(key)?;
    let text = |(mismatch, _): (_, bool)| {
        let (expected, reported) = evidence(&mismatch);
        format!("{reported}, expected {expected}")
    };
    let mismatches: Vec<String> = flow.mismatches(key).map(text).collect();
    Some(UpstreamView {
        payer: key.hop,
        status: view.status.to_owned(),
        local_price: view.local.0,
        payment_downstream: view.sender_payment.0,
        total_charge_downstream: view.announced_total.0,
        local_sum_downstream: view.local_sum.0,
        agreed_total: view.total.0,
        agreed_sponsored: view.sponsored.0,
        debited: view.receiver_payment.0,
        ceiling: view.ceiling.0,
        approved_for_ms: view.approved_until.0.saturating_sub(clock(now).now.0),
        receivers_below: view.receivers_below,
        joined: view.joined,
        sequence: view.sequence,
        instance: view.instance,
        account: Some(account_text(&view.account)),
        mismatch: (!mismatches.is_empty()).then(|| mismatches.join("; ")),
        alarm: flow.mismatches(key).any(|(_, raised)| raised),
        quality: quality(now, flow, key),
    })
}
