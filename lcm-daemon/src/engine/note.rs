//! What this node knows about the charges of a session, for comparing with what others know
//! (`docs/notes.md`).

use std::collections::BTreeSet;

use rsvp_wire::object::Session;

use super::psb::Psb;
use super::rsb::LOCAL;
use super::session::SessionState;
use super::show::{sender_id, session_id};
use super::time::Now;
use super::{Core, Engine, charging};
use crate::config::Currency;
use crate::notes::{Announced, Note, Paid, Pays, SenderNote, VERSION};

impl Engine {
    /// The note of a session; `None` if the node does not charge, or knows no such session.
    pub fn note(&self, now: Now, session: &Session) -> Option<Note> {
        let core = &self.core;
        let currency = core.charging.as_ref()?.currency;
        let state = self.sessions.get(self.sessions.find(session)?)?;
        // Others may use the same addresses on interfaces that have nothing to do with it.
        let used: BTreeSet<u32> = state.senders.iter().flat_map(interfaces).collect();
        let ports = || core.interfaces.iter().filter(|port| used.contains(&port.kernel.index));
        let refresh = |index| core.interfaces.refresh_ms_on(index, now.at);
        Some(Note {
            note: VERSION,
            name: String::new(),
            taken: now.unix_s,
            refresh_ms: ports().map(|port| refresh(port.kernel.index)).max().unwrap_or(0),
            currency: Currency::from_numeric(currency)
                .map_or_else(|| currency.to_string(), |known| known.alphabetic().to_owned()),
            session: session_id(session),
            addresses: ports().flat_map(|port| &port.kernel.addresses).map(|(a, _)| *a).collect(),
            senders: state.senders.iter().filter_map(|psb| about(core, state, psb)).collect(),
        })
    }
}

/// Where a sender's messages come in and go out.
fn interfaces(psb: &Psb) -> impl Iterator<Item = u32> + '_ {
    let groups = psb.flow.iter().flat_map(|flow| flow.groups()).map(|(group, _)| group);
    let payers = psb.flow.iter().flat_map(|flow| flow.branches()).map(|branch| branch.key.group);
    let incoming = psb.phop.map(|_| psb.incoming);
    let all = psb.outgoing.iter().copied().chain(groups).chain(payers).chain(incoming);
    all.filter(|interface| *interface != LOCAL)
}

fn about(core: &Core, state: &SessionState, psb: &Psb) -> Option<SenderNote> {
    let shown = charging::show_downstream(core, psb)?;
    let flow = psb.flow.as_ref()?;
    let here = psb.phop.is_none();
    let own =
        shown.payment.filter(|_| !here).zip(flow.approved_claim()).zip(flow.preview_payment());
    let down = flow.downstream()?;
    let is_announced = !here && down.epoch.is_some();
    Some(SenderNote {
        sender: sender_id(&psb.sender),
        here,
        abroad: psb.traded.is_some(),
        heard: psb.payee().filter(|_| is_announced).map(|hop| Announced {
            hop,
            total: down.total.0,
            sponsored: down.sponsored.0,
            fraction_ppm: down.fraction.get(),
            epoch: shown.epoch,
        }),
        announced: announced(flow),
        pays: own.map(|((paid, (total, sponsored)), said)| Pays {
            total: total.0,
            sponsored: sponsored.0,
            debited: paid.debited,
            announced_total: paid.announced_total,
            local_sum: paid.local_sum,
            sender_payment: paid.sender_payment,
            receivers: said.receivers_below,
            stands_in: flow.stands_in().0,
            sequence: said.sequence,
            unsaid: flow.has_unsaid(),
        }),
        paid: paid(state, psb, flow),
    })
}

/// What each next hop that reserves is told; receivers here are told nothing by message.
fn announced(flow: &charging_model::Flow) -> Vec<Announced> {
    let keys = flow.branches().map(|branch| branch.key).filter(|key| !key.is_local());
    let quotes = keys.filter_map(|key| Some((key, flow.quote_for(key)?)));
    let told = quotes.map(|(key, quote)| Announced {
        hop: key.hop,
        total: quote.total.0,
        sponsored: quote.sponsored.0,
        fraction_ppm: quote.fraction.get(),
        epoch: quote.epoch,
    });
    told.collect()
}

fn paid(state: &SessionState, psb: &Psb, flow: &charging_model::Flow) -> Vec<Paid> {
    let proxied = |key: charging_model::BranchKey| {
        let here = state.reservations.iter().filter(|rsb| rsb.proxied && rsb.matches(psb));
        let mut keys = here.map(|rsb| charging::branch(rsb.outgoing, rsb.next_hop));
        keys.any(|proxied| proxied == key)
    };
    let paid = flow.branches().map(|branch| Paid {
        by: branch.key.hop,
        ends: branch.key.is_local() || proxied(branch.key),
        status: branch.status.to_owned(),
        local_price: branch.local.0,
        total: branch.total.0,
        sponsored: branch.sponsored.0,
        debited: branch.receiver_payment.0,
        announced_total: branch.announced_total.0,
        local_sum: branch.local_sum.0,
        sender_payment: branch.sender_payment.0,
        receivers: branch.receivers_below,
        sequence: branch.sequence,
    });
    paid.collect()
}
