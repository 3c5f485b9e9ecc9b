//! Between what the control socket says and what the engine takes.

use std::path::PathBuf;
use std::str::FromStr;

use rsvp_wire::object::{Filter, Float, FlowId, FlowSpec, Session, Style, Tspec};

use super::protocol::{
    Claim, NoticeLine, Place, ReceiveRequest, SendRequest, SessionName, StyleName, TraceSpec,
    TrafficSpec,
};
use crate::config::{Account, Credential, IDENTITY_BYTES_MAX, IdentityKey, name_fault, secret_of};
use crate::engine::{
    Behind, Engine, HopCharge, Notice, NoticeEvent, ReceiverRequest, SenderRequest, SenderShare,
    TraceRequest,
};

/// Parts per million that make a whole.
const WHOLE_PPM: u32 = 1_000_000;

pub(crate) fn session(name: SessionName) -> Session {
    Session::new(name.destination.ip(), name.protocol, name.destination.port())
}

pub(crate) fn trace(spec: &TraceSpec) -> TraceRequest {
    TraceRequest {
        session: session(spec.session),
        sender: spec.sender.map(filter),
        last_hop: spec.last_hop,
        max_hops: spec.max_hops,
        hop_by_hop: !spec.direct,
    }
}

fn filter(address: std::net::SocketAddr) -> Filter {
    Filter { source: address.ip(), id: FlowId::Port(address.port()) }
}

fn tspec(traffic: TrafficSpec) -> Tspec {
    Tspec {
        rate: Float::from_integer(traffic.rate),
        bucket: Float::from_integer(traffic.bucket),
        peak: traffic.peak.map_or(Float::INFINITY, Float::from_integer),
        min_policed: traffic.min_policed,
        max_packet: traffic.max_packet,
    }
}

fn interface(engine: &Engine, name: Option<&str>) -> Result<Option<u32>, String> {
    let Some(name) = name else { return Ok(None) };
    engine.interface_index(name).map(Some).ok_or_else(|| {
        format!("no interface is named {name}: `lcmctl show interfaces` lists those there are")
    })
}

pub(crate) fn send(engine: &Engine, request: &SendRequest) -> Result<SenderRequest, String> {
    let share = match &request.share {
        None => None,
        Some(share) if share.fraction_ppm > WHOLE_PPM => {
            return Err(format!(
                "fraction_ppm = {} is more than the whole: give 0 to {WHOLE_PPM}",
                share.fraction_ppm
            ));
        }
        Some(share) => Some(SenderShare {
            fraction_ppm: share.fraction_ppm,
            account: share.account.as_deref().map(account).transpose()?,
            limit_per_receiver: share.limit_per_receiver,
            limit_per_hop: share.limit_per_hop,
            max_hops: share.max_hops,
        }),
    };
    Ok(SenderRequest {
        session: session(request.session),
        sender: filter(request.source),
        tspec: tspec(request.traffic),
        ttl: request.ttl,
        interface: interface(engine, request.interface.as_deref())?,
        share,
        behind: match &request.proxy {
            None => None,
            Some(Place::Anywhere) => Some(Behind::Anywhere),
            Some(Place::Interface(name)) => interface(engine, Some(name))?.map(Behind::Interface),
        },
    })
}

fn account(text: &str) -> Result<rsvp_wire::charging::Account, String> {
    Ok(crate::engine::wire_account(&Account::from_str(text)?))
}

pub(crate) fn receive(
    engine: &Engine,
    request: &ReceiveRequest,
) -> Result<ReceiverRequest, String> {
    if request.budget.is_some() && request.style != StyleName::Ff {
        return Err(
            "a budget is for a reservation of its own for each sender: leave out style, or \
                    give max_payment instead"
                .to_owned(),
        );
    }
    Ok(ReceiverRequest {
        session: session(request.session),
        sender: request.sender.map(filter),
        style: match request.style {
            StyleName::Ff => Style::FixedFilter,
            StyleName::Se => Style::SharedExplicit,
            StyleName::Wf => Style::WildcardFilter,
        },
        flowspec: request.traffic.map(|traffic| FlowSpec::ControlledLoad(tspec(traffic))),
        max_payment: request.max_payment,
        budget: request.budget,
        interface: interface(engine, request.interface.as_deref())?,
        confirm: request.confirm,
        identity: request.identity.as_ref().map(credential).transpose()?,
        priority: request.priority,
        cheapest: request.cheapest.unwrap_or(engine.receivers_choose()),
        detail: request.detail,
    })
}

fn credential(claim: &Claim) -> Result<Credential, String> {
    if let Some(fault) = name_fault(&claim.name) {
        return Err(format!(
            "identity {:?}: {fault}; give 1 to {IDENTITY_BYTES_MAX} bytes of text",
            claim.name
        ));
    }
    let key = claim.secret.as_ref().map(|secret| {
        let secret = secret_of(&format!("hex:{}", secret.0))?;
        // It came from its owner, who alone knows the file.
        Ok::<_, String>(IdentityKey { file: PathBuf::new(), secret: Some(secret) })
    });
    let key = key.transpose().map_err(|why| format!("the identity's key: {why}"))?;
    Ok(Credential { kind: claim.kind, name: claim.name.clone(), key })
}

pub(crate) fn notice(notice: &Notice) -> NoticeLine {
    let port = match notice.sender.id {
        FlowId::Port(port) => port,
        FlowId::FlowLabel(_) | FlowId::Gpi(_) => 0,
    };
    NoticeLine {
        handle: notice.handle.0,
        sender: notice.sender.source,
        port,
        text: words(&notice.event),
        event: notice.event.clone(),
    }
}

fn words(event: &NoticeEvent) -> String {
    match event {
        NoticeEvent::Offered { payment, total, max_total } => {
            format!("price {total} (at most {max_total} foreseen), we pay {payment}: reserving")
        }
        NoticeEvent::Declined { due, max_payment } => format!(
            "price declined: {due} would be due, the maximum given here is {max_payment}; \
             start again with a higher --max-price to accept it"
        ),
        NoticeEvent::Reserved { receivers_pay, sender_pays, total } => format!(
            "reserved: all hops together cost {total}, receivers pay {receivers_pay}, \
             this sender pays {sender_pays}"
        ),
        NoticeEvent::Fitted { bytes_per_s, payment, budget } => format!(
            "{bytes_per_s} bytes/s cost at most {payment} of the budget of {budget}: asking for that"
        ),
        NoticeEvent::Released => "the last reservation ended".to_owned(),
        NoticeEvent::Confirmed => "reservation confirmed".to_owned(),
        NoticeEvent::Error { node, code, value, required, detail } => {
            let required = required.map_or(String::new(), |due| format!(", {due} is required"));
            let detail = detail.as_ref().map_or(String::new(), |more| format!(" ({more})"));
            format!(
                "{node} reports error {code}/{value}: {}{required}{detail}",
                rsvp_wire::iana::error_name(*code)
            )
        }
        NoticeEvent::Arises { total, parts } => {
            let text = |part: &HopCharge| match part.hop {
                Some(hop) => format!("{hop} asks {}", part.rate),
                None => format!("not told of {}", part.rate),
            };
            let parts: Vec<String> = parts.iter().map(text).collect();
            format!("the charge of {total} arises: {}", parts.join(", "))
        }
        NoticeEvent::SenderGone => "the sender stopped".to_owned(),
        NoticeEvent::Chosen { interface, previous_hop, others } => {
            let others: Vec<String> = others
                .iter()
                .map(|way| format!("{} asks {}", way.interface, way.payment))
                .collect();
            let beside = if others.is_empty() { "no other".to_owned() } else { others.join(", ") };
            format!("receiving on {interface} by way of {previous_hop} ({beside})")
        }
    }
}
