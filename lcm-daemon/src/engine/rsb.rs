//! Reservation state: one block per next hop, outgoing interface and sender
//! (RFC 2205 section 3.1.4, RFC 2209 section 1), for fixed-filter reservations.

use std::net::IpAddr;

use rsvp_wire::object::{Filter, Float, FlowSpec, ResvConfirm, Tspec};

use super::time::Instant;

/// The pseudo-interface of applications on this node.
pub(crate) const LOCAL: u32 = 0;

/// Reservation state block.
#[derive(Debug)]
pub(crate) struct Rsb {
    /// Outgoing interface of the data; [`LOCAL`] for a receiver on this node.
    pub(crate) outgoing: u32,
    /// Next hop of the data: who sent the RESV.
    pub(crate) next_hop: IpAddr,
    pub(crate) sender: Filter,
    pub(crate) flowspec: FlowSpec,
    /// Receiver that still waits to be told that its reservation stands.
    pub(crate) confirm: Option<ResvConfirm>,
    /// Whole objects to forward upstream byte for byte.
    pub(crate) carried: Option<Box<[u8]>>,
    pub(crate) expires: Instant,
}

impl Rsb {
    pub(crate) fn is(&self, outgoing: u32, next_hop: IpAddr, sender: Filter) -> bool {
        self.outgoing == outgoing && self.next_hop == next_hop && self.sender == sender
    }
}

/// Least upper bound of two flowspecs, or `None` if they ask for different services, which we do
/// not translate into each other (RFC 2211 section 8, RFC 2212 section 9).
pub(crate) fn merge(a: FlowSpec, b: FlowSpec) -> Option<FlowSpec> {
    match (a, b) {
        (FlowSpec::ControlledLoad(a), FlowSpec::ControlledLoad(b)) => {
            Some(FlowSpec::ControlledLoad(merge_tspecs(a, b)))
        }
        (
            FlowSpec::Guaranteed { tspec: ta, rate: ra, slack: sa },
            FlowSpec::Guaranteed { tspec: tb, rate: rb, slack: sb },
        ) => Some(FlowSpec::Guaranteed {
            tspec: merge_tspecs(ta, tb),
            rate: ra.max(rb),
            slack: sa.min(sb),
        }),
        _ => None,
    }
}

fn merge_tspecs(a: Tspec, b: Tspec) -> Tspec {
    let larger = |x: Float, y: Float| x.max(y);
    Tspec {
        rate: larger(a.rate, b.rate),
        bucket: larger(a.bucket, b.bucket),
        peak: larger(a.peak, b.peak),
        min_policed: a.min_policed.min(b.min_policed),
        max_packet: a.max_packet.min(b.max_packet),
    }
}
