//! An answer as people and programs read it.

use std::net::IpAddr;

use rsvp_wire::RawObject;
use rsvp_wire::charging::{Dcpe, Ucpe};
use rsvp_wire::iana::class;
use rsvp_wire::object::{DiagResponse, Diagnostic, FlowSpec, PolicyData, Session, Style, Tspec};
use serde::{Deserialize, Serialize};

use super::super::Core;
use super::super::show::{SenderId, SessionId, sender_id, session_id};
use charging_model::time::serial_newer;

/// What a trace has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceView {
    /// The session.
    pub session: SessionId,
    /// The sender.
    pub sender: SenderId,
    /// All that was asked for was answered.
    pub complete: bool,
    /// From the last request to the end of its answer, in microseconds; absent where nothing came.
    pub round_trip_us: Option<u64>,
    /// The hops, from the LAST-HOP towards the sender.
    pub hops: Vec<TraceHop>,
    /// Why the path is not known to its end.
    pub problem: Option<String>,
}

/// One hop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceHop {
    /// Where PATH comes in; absent at the sender.
    pub incoming: Option<IpAddr>,
    /// Where the data goes on; absent at a receiver.
    pub outgoing: Option<IpAddr>,
    /// The previous hop; absent at the sender.
    pub previous_hop: Option<IpAddr>,
    /// IP hops without RSVP between the hop before in this list and this one.
    pub hidden_hops: u8,
    /// When the request came, in 1/65536 seconds of the NTP time modulo 2^16 seconds.
    pub arrival: u32,
    /// What is reserved is merged with reservations behind other interfaces.
    pub merged: bool,
    /// What was wrong there.
    pub errors: Vec<String>,
    /// K: so many refreshes less one may be lost.
    pub refresh_multiple: u8,
    /// R in seconds.
    pub refresh_s: u16,
    /// Rate of the sender's traffic in bytes per second.
    pub sender_rate: Option<u64>,
    /// What is reserved, if anything is.
    pub reserved: Option<TracedFlow>,
    /// What is charged, for each who pays, as far as the hop tells.
    pub charges: Vec<TraceCharges>,
}

/// A reservation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedFlow {
    /// Reservation style.
    pub style: Option<String>,
    /// RFC 2210 service number.
    pub service: u16,
    /// Rate in bytes per second.
    pub rate: u64,
}

/// The charges between a hop and one that pays it, in 10⁻¹² currency units per second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceCharges {
    /// Who pays; absent for whoever would reserve.
    pub payer: Option<IpAddr>,
    /// ISO 4217 number.
    pub currency: u16,
    /// C: the total that is announced.
    pub total: u64,
    /// The most that it may become.
    pub max_total: u64,
    /// L: the hop's own price.
    pub local_price: Option<u64>,
    /// r: the sender's share in parts per million.
    pub sender_fraction_ppm: Option<u32>,
    /// S: what the sender's side covers of the total.
    pub sponsored: Option<u64>,
    /// The ceiling of what is paid.
    pub payment: Option<u64>,
    /// A: the totals announced to the receivers below.
    pub announced_total: Option<u64>,
    /// B: the local prices below.
    pub local_sum: Option<u64>,
    /// What the hop pays downstream for the sender's side.
    pub sender_payment: Option<u64>,
    /// The reservation stands end to end; absent where that is not told.
    pub established: Option<bool>,
}

/// An answer as it came.
pub(super) struct Answer<'a> {
    pub(super) session: Session,
    pub(super) diagnostic: Diagnostic,
    pub(super) reports: &'a [u8],
    pub(super) round_trip_us: Option<u64>,
    pub(super) answered: bool,
    pub(super) max_hops: u8,
}

impl TraceView {
    pub(super) fn new(core: &Core, answer: &Answer<'_>) -> Self {
        let reports = super::respond::responses(answer.reports);
        let hops: Vec<TraceHop> = reports.iter().map(|report| hop(core, report)).collect();
        let problem = problem(answer, &hops);
        Self {
            session: session_id(&answer.session),
            sender: sender_id(&answer.diagnostic.sender.0),
            complete: answer.answered && problem.is_none(),
            round_trip_us: answer.round_trip_us,
            hops,
            problem,
        }
    }
}

fn problem(answer: &Answer<'_>, hops: &[TraceHop]) -> Option<String> {
    let Some(last) = hops.last() else {
        let last_hop = answer.diagnostic.last_hop;
        return Some(format!(
            "{last_hop}, the last hop of the path, does not answer: is it up, does it speak RSVP \
             diagnostics, and may this node ask it?"
        ));
    };
    if last.errors.iter().any(|error| error == NO_PATH) {
        let at = last.outgoing.or(last.incoming).map(|address| address.to_string());
        let at = at.unwrap_or_else(|| "the last hop that answered".to_owned());
        return Some(format!("{at} has no path state for this sender: PATH does not come there"));
    }
    let ended = last.previous_hop.is_none();
    let asked = answer.max_hops != 0 && hops.len() >= usize::from(answer.max_hops);
    match last.previous_hop {
        Some(phop) if !answer.answered => {
            let heard = last.incoming.or(last.outgoing).unwrap_or(phop);
            Some(format!(
                "no answer from beyond {heard}, hop {} and the last that was heard: its previous \
                 hop {phop} does not answer, or lets nobody ask",
                hops.len()
            ))
        }
        Some(_) if !asked && !ended => {
            Some("the request was not sent on: it went round in a circle, or too far".to_owned())
        }
        _ => None,
    }
}

const NO_PATH: &str = "no path state";

fn hop(core: &Core, report: &DiagResponse<'_>) -> TraceHop {
    let known = |address: IpAddr| (!address.is_unspecified()).then_some(address);
    let errors = [
        (DiagResponse::NO_PATH_STATE, NO_PATH),
        (DiagResponse::PACKET_TOO_BIG, "the answer was sent in parts"),
        (DiagResponse::ROUTE_TOO_BIG, "the way back was too long to be noted"),
    ];
    let errors = errors.iter().filter(|(bit, _)| report.error & bit != 0);
    let of = |class: u8| report.objects().filter(move |raw| raw.class == class);
    let style = of(class::STYLE).find_map(|raw| Style::decode(&raw).ok());
    let flowspec = of(class::FLOWSPEC).find_map(|raw| FlowSpec::decode(&raw).ok());
    let tspec = of(class::SENDER_TSPEC).find_map(|raw| Tspec::decode(&raw).ok());
    TraceHop {
        incoming: known(report.incoming),
        outgoing: known(report.outgoing),
        previous_hop: known(report.previous_hop),
        hidden_hops: report.hops,
        arrival: report.arrival_time,
        merged: report.merged,
        errors: errors.map(|(_, text)| (*text).to_owned()).collect(),
        refresh_multiple: report.refresh_multiple,
        refresh_s: report.timer,
        sender_rate: tspec.map(|tspec| tspec.rate.to_integer()),
        reserved: flowspec.map(|flowspec| TracedFlow {
            style: style.map(|style| style.to_string()),
            service: flowspec.service(),
            rate: flowspec.tspec().rate.to_integer(),
        }),
        charges: of(class::POLICY_DATA).filter_map(|raw| charges(core, &raw)).collect(),
    }
}

fn charges(core: &Core, raw: &RawObject<'_>) -> Option<TraceCharges> {
    let types = core.p_types();
    let data = PolicyData::decode(raw).ok()?;
    let dcpe = Dcpe::parse(data.element(types.dcpe)?.bytes).ok()?;
    let ucpe = data.element(types.ucpe).and_then(|element| Ucpe::parse(element.bytes).ok());
    let stands = |ucpe: &Ucpe| {
        // The sequence rises with each change of what is paid; the instance is that of the first.
        let stands = |sequence: u32| !serial_newer(ucpe.instance, sequence);
        dcpe.terms.established.is_some_and(stands)
    };
    Some(TraceCharges {
        payer: data.destination_hop().map(|hop| hop.address),
        currency: dcpe.currency,
        total: dcpe.total,
        max_total: dcpe.max_total,
        local_price: dcpe.terms.hop_records().first().map(|record| record.local_price),
        sender_fraction_ppm: dcpe.terms.sender_fraction,
        sponsored: dcpe.terms.sponsored,
        payment: ucpe.as_ref().map(|ucpe| ucpe.payment),
        announced_total: ucpe.as_ref().map(|ucpe| ucpe.announced_total),
        local_sum: ucpe.as_ref().map(|ucpe| ucpe.local_sum),
        sender_payment: ucpe.as_ref().map(|ucpe| ucpe.sender_payment),
        established: ucpe.as_ref().map(stands),
    })
}
