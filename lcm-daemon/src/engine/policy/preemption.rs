//! PREEMPTION_PRI (RFC 3181): a node that controls policy merges the priorities of reservations
//! that it merges, by the strategy that each of them names.

use rsvp_wire::PolicyOptions;
use rsvp_wire::iana::{error_code, policy, ptype};
use rsvp_wire::object::{Filter, FilterSpec, FlowSpec, Hop, PolicyElement, Session};
use rsvp_wire::policy::{MergeStrategy, PreemptionPri, PriorityError};

use super::super::charging::Fault;
use super::super::flowspec::larger;
use super::super::local::Priority;
use super::super::psb::Psb;
use super::super::resv::Request;
use super::super::rsb::{Rsb, Selection};
use super::super::time::Now;
use super::super::{Core, Few};
use super::{Elements, Handler, Object, Out, PathPolicy, ResvOut, ResvPolicy};

/// Bytes of the element.
const ELEMENT_BYTES: usize = 12;
/// Room for one object: options of IPv6 with one sender, three elements of 12 bytes.
const OBJECT_BYTES_MAX: usize = 128;

const BAD_PRIORITY: Fault = Fault::new(error_code::POLICY, policy::PE_BAD, "bad_priority_element");

/// The handler of PREEMPTION_PRI. Who gives way to whom is decided in `preempt.rs`.
#[derive(Debug)]
pub(crate) struct Preemption;

impl Handler for Preemption {
    fn takes(&self, element: &PolicyElement<'_>) -> bool {
        element.ptype == ptype::PREEMPTION_PRI
    }

    /// What is protected is forwarded as it is (RFC 3181 section 5.2).
    fn takes_from(&self, _core: &Core, object: &Object<'_>) -> bool {
        object.data.integrity().is_none()
    }

    /// Elements of different strategies are not merged, so they stand side by side.
    fn part(&self, element: &PolicyElement<'_>) -> u8 {
        element.data.get(1).copied().unwrap_or_default()
    }

    fn read_path(
        &self,
        core: &Core,
        objects: &mut dyn Iterator<Item = Object<'_>>,
        into: &mut PathPolicy,
    ) -> Result<(), Fault> {
        into.elements.take(core, self, objects);
        check(&into.elements)
    }

    fn read_resv(
        &self,
        core: &Core,
        objects: &mut dyn Iterator<Item = Object<'_>>,
        into: &mut ResvPolicy,
    ) -> Result<(), Fault> {
        into.elements.take(core, self, objects);
        check(&into.elements)
    }

    fn path_out(
        &self,
        _core: &mut Core,
        _now: Now,
        psb: &mut Psb,
        _session: Session,
        own: Hop,
        out: &mut Out,
    ) -> Result<(), &'static str> {
        write(out, own, None, || priorities(&psb.elements, psb.sender));
        Ok(())
    }

    fn resv_out(&self, _core: &Core, about: &ResvOut<'_>, out: &mut Out) {
        let below: Few<(FlowSpec, PreemptionPri)> = about
            .below
            .iter()
            .filter(|rsb| rsb.selects(about.sender))
            .flat_map(|rsb| {
                priorities(&rsb.elements, about.sender).map(|priority| (rsb.flowspec, priority))
            })
            .collect();
        let flowspecs: Few<FlowSpec> = about
            .below
            .iter()
            .filter(|rsb| rsb.selects(about.sender))
            .map(|rsb| rsb.flowspec)
            .collect();
        let sender = about.named.then_some(FilterSpec(about.sender));
        write(out, about.own, sender, || merged(&flowspecs, &below).into_iter());
    }
}

/// The priority by which a request may take room from others: of all that it names for its own
/// senders the highest. The message may be about other senders, too.
pub(crate) fn preempting(request: &Request) -> Option<PreemptionPri> {
    let elements = &request.policy.elements;
    let highest = |all: &mut dyn Iterator<Item = PreemptionPri>| {
        all.max_by_key(|priority| priority.preemption)
    };
    match &request.selection {
        Selection::Fixed(sender) => highest(&mut priorities(elements, *sender)),
        Selection::Explicit(list) => {
            highest(&mut list.iter().flat_map(|(sender, _)| priorities(elements, *sender)))
        }
        Selection::Wildcard => {
            let all = elements.of_type(ptype::PREEMPTION_PRI);
            highest(&mut all.filter_map(|element| PreemptionPri::parse(&element).ok()))
        }
    }
}

/// The priority by which the blocks of one reservation defend it, merged; 0 without any.
pub(crate) fn defending(held: &[&Rsb], sender: Option<Filter>) -> u16 {
    let flowspecs: Vec<FlowSpec> = held.iter().map(|rsb| rsb.flowspec).collect();
    let named = held.iter().flat_map(|rsb| match (sender, &rsb.selection) {
        (Some(sender), _) => vec![sender],
        (None, Selection::Explicit(filters)) => filters.iter().map(|(f, _)| *f).collect(),
        (None, _) => Vec::new(),
    });
    let named: Vec<Filter> = named.collect();
    let of = |rsb: &Rsb| -> Vec<PreemptionPri> {
        match named.as_slice() {
            [] => {
                let all = rsb.elements.of_type(ptype::PREEMPTION_PRI);
                all.filter_map(|element| PreemptionPri::parse(&element).ok()).collect()
            }
            named => named.iter().flat_map(|sender| priorities(&rsb.elements, *sender)).collect(),
        }
    };
    let below: Vec<(FlowSpec, PreemptionPri)> = held
        .iter()
        .flat_map(|rsb| of(rsb).into_iter().map(|priority| (rsb.flowspec, priority)))
        .collect();
    merged(&flowspecs, &below).iter().map(|priority| priority.defending).max().unwrap_or(0)
}

/// Has a receiver on this node ask with a priority.
pub(crate) fn add_priority(elements: &mut Elements, priority: Priority) {
    let priority = PreemptionPri {
        merge_strategy: MergeStrategy::HighestQos,
        error: PriorityError::NoError,
        preemption: priority.preemption,
        defending: priority.defending.max(priority.preemption),
    };
    let mut bytes = [0; ELEMENT_BYTES];
    priority.write(&mut rsvp_wire::Sink::new(&mut bytes));
    elements.add_local(ptype::PREEMPTION_PRI, MergeStrategy::HighestQos.into(), &bytes);
}

fn check(elements: &Elements) -> Result<(), Fault> {
    let all = elements.of_type(ptype::PREEMPTION_PRI);
    let bad = |element: PolicyElement<'_>| PreemptionPri::parse(&element).is_err();
    if all.into_iter().any(bad) { Err(BAD_PRIORITY) } else { Ok(()) }
}

fn priorities(elements: &Elements, sender: Filter) -> impl Iterator<Item = PreemptionPri> + '_ {
    let own = elements.get(ptype::PREEMPTION_PRI, sender);
    own.filter_map(|element| PreemptionPri::parse(&element).ok())
}

/// Merges each strategy for itself (RFC 3181 section 5.2): of the elements that take part, the
/// highest preemption priority and the highest defending priority.
fn merged(flowspecs: &[FlowSpec], below: &[(FlowSpec, PreemptionPri)]) -> Vec<PreemptionPri> {
    let mut merged: Vec<PreemptionPri> = Vec::new();
    for (flowspec, priority) in below {
        let takes_part = match priority.merge_strategy {
            // Its reservation is no part of another one's (section 5.1.1).
            MergeStrategy::HighestQos => !flowspecs.iter().any(|other| larger(*other, *flowspec)),
            MergeStrategy::ForceError => flowspecs.iter().all(|other| other == flowspec),
            _ => true,
        };
        if !takes_part {
            continue;
        }
        let same = |other: &&mut PreemptionPri| other.merge_strategy == priority.merge_strategy;
        match merged.iter_mut().find(same) {
            Some(highest) => {
                highest.preemption = highest.preemption.max(priority.preemption);
                highest.defending = highest.defending.max(priority.defending);
            }
            None => merged.push(PreemptionPri { error: PriorityError::NoError, ..*priority }),
        }
    }
    merged
}

fn write<I: Iterator<Item = PreemptionPri>>(
    out: &mut Out,
    own: Hop,
    sender: Option<FilterSpec>,
    priorities: impl Fn() -> I,
) {
    if priorities().next().is_none() {
        return;
    }
    let options = PolicyOptions { filters: sender.as_slice(), ..PolicyOptions::from_hop(own) };
    out.object(&options, OBJECT_BYTES_MAX, |sink| {
        priorities().for_each(|priority| priority.write(sink));
    });
}
