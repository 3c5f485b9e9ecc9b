//! Order and merging of flowspecs (RFC 2211 section 8, RFC 2212 section 9, RFC 2205 section 2.2).

use rsvp_wire::object::{FlowSpec, Tspec};

/// Least upper bound, or `None` if they ask for different services, which are not translated into
/// each other.
pub(crate) fn merge(a: FlowSpec, b: FlowSpec) -> Option<FlowSpec> {
    combine(a, b, |a, b| Tspec {
        rate: a.rate.max(b.rate),
        bucket: a.bucket.max(b.bucket),
        peak: a.peak.max(b.peak),
        min_policed: a.min_policed.min(b.min_policed),
        max_packet: a.max_packet.min(b.max_packet),
    })
    .map(|(tspec, a, b)| match (a, b) {
        (Some((ra, sa)), Some((rb, sb))) => {
            FlowSpec::Guaranteed { tspec, rate: ra.max(rb), slack: sa.min(sb) }
        }
        _ => FlowSpec::ControlledLoad(tspec),
    })
}

/// Greatest lower bound, for reservations that are all blockaded (RFC 2205 section 3.5).
pub(crate) fn lower_bound(a: FlowSpec, b: FlowSpec) -> Option<FlowSpec> {
    combine(a, b, |a, b| Tspec {
        rate: a.rate.min(b.rate),
        bucket: a.bucket.min(b.bucket),
        peak: a.peak.min(b.peak),
        min_policed: a.min_policed.max(b.min_policed),
        max_packet: a.max_packet.min(b.max_packet),
    })
    .map(|(tspec, a, b)| match (a, b) {
        (Some((ra, sa)), Some((rb, sb))) => {
            FlowSpec::Guaranteed { tspec, rate: ra.min(rb), slack: sa.max(sb) }
        }
        _ => FlowSpec::ControlledLoad(tspec),
    })
}

/// True if `a` is as good as `b` or better in every respect.
pub(crate) fn at_least(a: FlowSpec, b: FlowSpec) -> bool {
    let (ta, tb) = (a.tspec(), b.tspec());
    let traffic = ta.rate >= tb.rate
        && ta.bucket >= tb.bucket
        && ta.peak >= tb.peak
        && ta.min_policed <= tb.min_policed
        && ta.max_packet >= tb.max_packet;
    let service = match (guarantee(&a), guarantee(&b)) {
        (None, None) => true,
        (Some((ra, sa)), Some((rb, sb))) => ra >= rb && sa <= sb,
        _ => false,
    };
    traffic && service
}

/// True if `a` is better than `b`, not merely equal.
pub(crate) fn larger(a: FlowSpec, b: FlowSpec) -> bool {
    at_least(a, b) && !at_least(b, a)
}

type Guarantee = Option<(rsvp_wire::object::Float, u32)>;

fn guarantee(flowspec: &FlowSpec) -> Guarantee {
    match flowspec {
        FlowSpec::ControlledLoad(_) => None,
        FlowSpec::Guaranteed { rate, slack, .. } => Some((*rate, *slack)),
    }
}

fn combine(
    a: FlowSpec,
    b: FlowSpec,
    traffic: impl FnOnce(&Tspec, &Tspec) -> Tspec,
) -> Option<(Tspec, Guarantee, Guarantee)> {
    let (ga, gb) = (guarantee(&a), guarantee(&b));
    (ga.is_some() == gb.is_some()).then(|| (traffic(a.tspec(), b.tspec()), ga, gb))
}

#[cfg(test)]
mod tests {
    use rsvp_wire::object::Float;

    use super::*;

    fn load(rate: u64, bucket: u64) -> FlowSpec {
        FlowSpec::ControlledLoad(Tspec::new(rate, bucket, 64, 1500))
    }

    #[test]
    fn the_upper_bound_is_as_good_as_both() {
        let merged = merge(load(10, 900), load(20, 300)).unwrap();
        assert_eq!(merged, load(20, 900));
        assert!(larger(merged, load(10, 900)) && larger(merged, load(20, 300)));
        assert!(!at_least(load(10, 900), load(20, 300)));
        assert!(at_least(merged, merged) && !larger(merged, merged));
    }

    #[test]
    fn the_lower_bound_is_no_better_than_either() {
        assert_eq!(lower_bound(load(10, 900), load(20, 300)).unwrap(), load(10, 300));
    }

    #[test]
    fn services_do_not_mix() {
        let tspec = Tspec::new(10, 10, 64, 1500);
        let rate = Float::from_integer(12);
        let guaranteed = FlowSpec::Guaranteed { tspec, rate, slack: 0 };
        assert_eq!(merge(load(10, 10), guaranteed), None);
        assert!(!at_least(guaranteed, load(10, 10)));
        let lax = FlowSpec::Guaranteed { tspec, rate, slack: 9 };
        assert_eq!(merge(lax, guaranteed), Some(guaranteed));
    }
}
