//! Generators of values that may stand in messages.

#![allow(dead_code, reason = "each test uses its own part")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use rsvp_wire::charging::*;
use rsvp_wire::object::*;

pub(crate) fn address(v6: bool) -> BoxedStrategy<IpAddr> {
    if v6 {
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits | 1 << 64))).boxed()
    } else {
        (1..=u32::MAX).prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))).boxed()
    }
}

/// An address that a hop can have: neither unspecified nor multicast nor broadcast.
pub(crate) fn unicast(v6: bool) -> BoxedStrategy<IpAddr> {
    if v6 {
        (any::<u128>())
            .prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits >> 3 | 1 << 125)))
            .boxed()
    } else {
        (1..0xe000_0000_u32).prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))).boxed()
    }
}

prop_compose! {
    pub(crate) fn session(v6: bool, generalized: bool)(
        destination in address(v6),
        protocol in 1..=u8::MAX,
        flags: u8,
        destination_port: u16,
    ) -> Session {
        Session { destination, protocol, flags, destination_port, generalized }
    }
}

prop_compose! {
    pub(crate) fn hop(v6: bool)(address in unicast(v6), lih: u32) -> Hop {
        Hop { address, lih }
    }
}

/// A sender that fits the session.
pub(crate) fn filter(session: Session) -> BoxedStrategy<Filter> {
    let v6 = session.destination.is_ipv6();
    let id = if session.generalized {
        any::<u32>().prop_map(FlowId::Gpi).boxed()
    } else if session.destination_port == 0 {
        Just(FlowId::Port(0)).boxed()
    } else if v6 {
        prop_oneof![
            any::<u16>().prop_map(FlowId::Port),
            (0..1_u32 << 24).prop_map(FlowId::FlowLabel)
        ]
        .boxed()
    } else {
        any::<u16>().prop_map(FlowId::Port).boxed()
    };
    (address(v6), id).prop_map(|(source, id)| Filter { source, id }).boxed()
}

/// Any single that a rate may be, infinity left out.
pub(crate) fn float() -> impl Strategy<Value = Float> {
    (0..0x7f80_0000_u32).prop_map(|bits| Float::from_bits(bits).unwrap())
}

prop_compose! {
    pub(crate) fn tspec()(
        rate in float(),
        bucket in float(),
        peak in prop_oneof![float(), Just(Float::INFINITY)],
        sizes: (u32, u32),
    ) -> Tspec {
        let (min_policed, max_packet) = (sizes.0.min(sizes.1), sizes.0.max(sizes.1));
        Tspec { rate, bucket, peak, min_policed, max_packet }
    }
}

pub(crate) fn flowspec() -> impl Strategy<Value = FlowSpec> {
    prop_oneof![
        tspec().prop_map(FlowSpec::ControlledLoad),
        (tspec(), float(), any::<u32>()).prop_map(|(tspec, rate, slack)| FlowSpec::Guaranteed {
            tspec,
            rate,
            slack
        }),
    ]
}

prop_compose! {
    fn guaranteed_terms()(c_tot: u32, d_tot: u32, c_sum: u32, d_sum: u32) -> GuaranteedTerms {
        GuaranteedTerms { c_tot, d_tot, c_sum, d_sum }
    }
}

prop_compose! {
    pub(crate) fn adspec()(
        global_break: bool,
        hop_count: u32,
        path_bandwidth in prop_oneof![float(), Just(Float::INFINITY)],
        min_latency: u32,
        mtu: u32,
        guaranteed in of((any::<bool>(), of(guaranteed_terms()))),
        controlled_load: Option<bool>,
    ) -> Adspec {
        Adspec {
            global_break, hop_count, path_bandwidth, min_latency, mtu, guaranteed, controlled_load,
        }
    }
}

prop_compose! {
    pub(crate) fn error_spec(v6: bool)(
        node in address(v6), flags: u8, code: u8, value: u16,
    ) -> ErrorSpec {
        ErrorSpec { node, flags: ErrorFlags(flags), code, value }
    }
}

/// Objects of unknown classes that are forwarded (225 to 255), with their contents.
pub(crate) fn forwarded() -> impl Strategy<Value = Vec<(u8, u8, Vec<[u8; 4]>)>> {
    vec((225..=u8::MAX, any::<u8>(), vec(any::<[u8; 4]>(), 0..4)), 0..3)
}

fn account() -> impl Strategy<Value = Account> {
    (any::<u8>(), vec(any::<u8>(), 1..=255)).prop_map(|(kind, id)| Account::new(kind.into(), &id))
}

fn extra() -> impl Strategy<Value = ExtraTerms> {
    let record = (any::<bool>(), any::<u8>(), any::<u64>()).prop_flat_map(|(v6, detail, price)| {
        address(v6).prop_map(move |address| HopRecord { detail, address, local_price: price })
    });
    let curve =
        proptest::collection::btree_map(any::<u64>(), any::<u64>(), 0..=64).prop_map(|map| {
            map.into_iter().map(|(bits_per_s, rate)| PricePoint { bits_per_s, rate }).collect()
        });
    let refunded = (any::<[u32; 5]>(), any::<u128>()).prop_map(|(words, amount)| Refunded {
        instance: words[0],
        since: words[1],
        payer: words[2],
        time_ms: words[3],
        ago_ms: words[4],
        amount,
    });
    let kinds = (13..=u8::MAX).prop_filter("known", |kind| *kind != 128);
    let unknown = vec((kinds, 0..0x80_u8, vec(any::<u8>(), 0..9)), 0..3).prop_map(|tlvs| {
        let mut bytes = Vec::new();
        for (kind, flags, value) in tlvs {
            bytes.extend([0, 4 + value.len() as u8, kind, flags]);
            bytes.extend(&value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    });
    (vec(record, 0..3), curve, vec(refunded, 0..3), unknown).prop_map(
        |(hop_records, price_curve, refunded, unknown)| ExtraTerms {
            hop_records,
            price_curve,
            refunded,
            unknown,
        },
    )
}

prop_compose! {
    pub(crate) fn terms()(
        small: (Option<u32>, Option<u32>, Option<u32>),
        sender_fraction in of(0..=MAX_FRACTION_PPM),
        rates: (Option<u64>, Option<u64>, Option<u64>, Option<u64>),
        refund in of((any::<u8>(), any::<u16>())),
        account in of(account()),
        extra in of(extra()),
    ) -> Terms {
        Terms {
            sender_fraction,
            max_hops: small.0,
            receivers_below: small.1,
            established: small.2,
            limit_per_receiver: rates.0,
            limit_per_hop: rates.1,
            sponsored: rates.2,
            quantity: rates.3,
            refund: refund.map(|(policy, threshold)| Refund { policy: policy.into(), threshold }),
            account,
            // Parsing yields no box with nothing in it.
            extra: extra.filter(|extra| *extra != ExtraTerms::default()).map(Box::new),
        }
    }
}

fn flags() -> impl Strategy<Value = ChargingFlags> {
    any::<u8>().prop_map(ChargingFlags::from_bits)
}

prop_compose! {
    pub(crate) fn dcpe()(
        flags in flags(), currency: u16, service: u16, total: u64, max_total: u64,
        validity_ms: u32, epoch: u32, terms in terms(),
    ) -> Dcpe {
        Dcpe { flags, total, max_total, validity_ms, epoch, terms, ..Dcpe::new(currency, service) }
    }
}

prop_compose! {
    pub(crate) fn ucpe()(
        flags in flags(), currency: u16, service: u16, account in account(), terms in terms(),
        rates: [u64; 4], numbers: [u32; 3],
    ) -> Ucpe {
        let [payment, announced_total, sender_payment, local_sum] = rates;
        let [epoch_echo, sequence, instance] = numbers;
        Ucpe {
            flags, payment, announced_total, sender_payment, local_sum, epoch_echo, sequence,
            instance, terms: Terms { account: None, ..terms },
            ..Ucpe::new(currency, service, account)
        }
    }
}

prop_compose! {
    pub(crate) fn chg_err()(
        reason: u16, currency: u16, required: u64, offered: u64, epoch: u32, sequence: u32,
        terms in terms(),
    ) -> ChgErr {
        ChgErr { reason, currency, exponent: EXPONENT, required, offered, epoch, sequence, terms }
    }
}
