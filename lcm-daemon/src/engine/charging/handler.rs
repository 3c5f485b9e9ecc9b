//! Charging as a handler of policy elements: DCPE in PATH, UCPE in RESV, CHG_ERR in errors.

use rsvp_wire::PolicyOptions;
use rsvp_wire::charging::VERSION;
use rsvp_wire::object::{FilterSpec, Hop, PolicyElement, Session};

use super::super::Core;
use super::super::path::Arrived;
use super::super::policy::{Handler, Object, Offer, Out, PathPolicy, ResvOut, ResvPolicy};
use super::super::psb::Psb;
use super::super::resv::Request;
use super::super::time::Now;
use super::{Admission, Fault, charges_on, detail, downstream, upstream};
use crate::config::PTypes;

/// Room for one object of ours: options of IPv6, the largest element with all TLVs.
const OBJECT_BYTES_MAX: usize = 1_280;

/// The charging handler; what it knows stands in the node's `charging::Context` and in the flow of
/// each PSB.
#[derive(Debug)]
pub(crate) struct Charging {
    ptypes: PTypes,
}

impl Charging {
    pub(crate) fn new(ptypes: PTypes) -> Self {
        Self { ptypes }
    }
}

impl Handler for Charging {
    /// An element of a newer version is carried on like any unknown one (charging.md section 5).
    fn takes(&self, element: &PolicyElement<'_>) -> bool {
        let versioned = [self.ptypes.dcpe, self.ptypes.ucpe].contains(&element.ptype);
        let newer = element.data.first().is_some_and(|version| *version > VERSION);
        (versioned && !newer) || element.ptype == self.ptypes.chg_err
    }

    /// Charging neighbours address each other. What is for another one is for a sibling behind the
    /// same previous hop, never for a node behind this one: carried on, it would only be copied
    /// into ever more PATHs (RFC 2750 section 3.2 has it ignored).
    fn carries_for_others(&self) -> bool {
        false
    }

    fn read_path(
        &self,
        core: &Core,
        objects: &mut dyn Iterator<Item = Object<'_>>,
        into: &mut PathPolicy,
    ) -> Result<(), Fault> {
        into.announced = downstream::read_announcement(core, objects)?;
        Ok(())
    }

    fn read_resv(
        &self,
        core: &Core,
        objects: &mut dyn Iterator<Item = Object<'_>>,
        into: &mut ResvPolicy,
    ) -> Result<(), Fault> {
        upstream::read_payments(core, objects, &mut into.payments)
    }

    fn path_may_move(
        &self,
        core: &mut Core,
        now: Now,
        psb: &Psb,
        arrived: &Arrived,
    ) -> Result<(), Fault> {
        let from = (arrived.incoming, Some(arrived.hop.address));
        downstream::acceptable(core, now, psb, from, &arrived.policy.announced)
    }

    fn path_in(
        &self,
        core: &mut Core,
        now: Now,
        psb: &mut Psb,
        arrived: &Arrived,
    ) -> Result<bool, Fault> {
        downstream::announce(core, now, psb, arrived)
    }

    fn path_out(
        &self,
        core: &mut Core,
        now: Now,
        psb: &mut Psb,
        _session: Session,
        own: Hop,
        out: &mut Out,
    ) -> Result<(), &'static str> {
        let interface = own.lih;
        let elements = downstream::downstream_elements(core, now, psb, (interface, own.address));
        if elements.is_empty() && charges_on(core, psb, interface) {
            // Without our price the next hop would take itself for the first one (T6).
            return Err("no_price_to_announce");
        }
        for (destination, dcpe) in &elements {
            let to = destination.map(|hop| hop.address);
            let options = PolicyOptions {
                integrity: core.policy_integrity(interface, to),
                ..super::options(own, *destination, &[])
            };
            out.object(&options, OBJECT_BYTES_MAX, |sink| dcpe.write(self.ptypes.dcpe, sink));
        }
        detail::told(core, now, psb, interface, own.address);
        Ok(())
    }

    fn resv_in(
        &self,
        core: &mut Core,
        now: Now,
        session: Session,
        psb: &mut Psb,
        request: &Request,
    ) -> Result<Admission, Vec<Fault>> {
        upstream::admit(core, now, session, psb, request)
    }

    fn resv_offer(&self, core: &mut Core, now: Now, psb: &mut Psb, offer: &mut Offer) -> bool {
        offer.payment = upstream::own_payment(core, now, psb);
        offer.named = psb.announcer.is_some();
        offer.integrity = core.policy_integrity(psb.incoming, psb.payee());
        let pays = psb.flow.as_ref().is_some_and(|flow| flow.branches().next().is_some());
        // What we may offer was refused (T18): wait for a price that can be paid.
        offer.payment.is_some() || !pays
    }

    fn resv_out(&self, _core: &Core, about: &ResvOut<'_>, out: &mut Out) {
        let Some(payment) = &about.offer.payment else { return };
        // A previous hop that does not charge may put what others pay for other senders beside it.
        let named = about.named || about.offer.named;
        let filter = named.then_some(FilterSpec(about.sender));
        let options = PolicyOptions {
            integrity: about.offer.integrity,
            ..super::options(about.own, None, filter.as_slice())
        };
        out.object(&options, OBJECT_BYTES_MAX, |sink| payment.write(self.ptypes.ucpe, sink));
    }
}
