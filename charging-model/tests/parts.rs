//! Where a charge arises: whatever hops tell, it adds up to what is charged.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests")]

use std::net::{IpAddr, Ipv4Addr};

use charging_model::{PARTS_MAX, Part, Parts, Rate};
use proptest::collection::vec;
use proptest::prelude::*;

fn told(hop: u8, rate: u64) -> Part {
    let hop = (hop > 0).then(|| IpAddr::V4(Ipv4Addr::new(10, 0, 0, hop)));
    Part { hop, rate: Rate(rate) }
}

fn parts(parts: &Parts) -> Vec<Part> {
    parts.iter().copied().collect()
}

/// What [`Parts`] promises of itself.
fn assert_in_form(parts: &Parts, total: u64) {
    let all: Vec<&Part> = parts.iter().collect();
    let sum: u128 = all.iter().map(|part| u128::from(part.rate.0)).sum();
    assert_eq!(sum, u128::from(total), "{parts:?}");
    assert_eq!(parts.total(), Rate(total));
    assert!(all.len() <= PARTS_MAX, "{}", all.len());
    assert!(all.windows(2).all(|two| two[0].hop.is_some() || two[1].hop.is_some()), "{parts:?}");
    assert!(all.iter().all(|part| part.hop.is_some() || part.rate > Rate::ZERO), "{parts:?}");
}

#[test]
fn r012_what_a_hop_adds_follows_what_it_carries() {
    // Figure 2 at IS2: 100 from IS1, of which each branch carries 50.
    let here = Parts::of(Rate(100), [told(1, 100)]);
    let to_r1 = here.carried(Rate(50)).then(told(2, 40));
    assert_eq!(parts(&to_r1), [told(1, 50), told(2, 40)]);
    let to_is3 = here.carried(Rate(50)).then(told(2, 60));
    let to_r2 = Parts::of(Rate(110), parts(&to_is3)).carried(Rate(110)).then(told(3, 50));
    assert_eq!(parts(&to_r2), [told(1, 50), told(2, 60), told(3, 50)]);
    assert_eq!(to_r2.total(), Rate(160));
}

#[test]
fn r012_who_does_not_tell_is_a_sum_in_its_place() {
    let silent = Parts::of(Rate(100), [told(1, 30)]);
    assert_eq!(parts(&silent), [told(1, 30), told(0, 70)]);
    let further = silent.then(told(0, 5)).then(told(3, 1));
    assert_eq!(parts(&further), [told(1, 30), told(0, 75), told(3, 1)]);
    assert_eq!(parts(&Parts::of(Rate(0), [])), []);
    // A hop that asks for nothing is on the path nevertheless.
    assert_eq!(parts(&Parts::of(Rate(9), [told(1, 0), told(2, 9)])), [told(1, 0), told(2, 9)]);
}

#[test]
fn who_tells_of_more_than_it_announces_is_not_told_of() {
    let lie = [told(1, 30), told(2, u64::MAX)];
    assert_eq!(parts(&Parts::of(Rate(100), lie)), [told(0, 100)]);
    assert_eq!(parts(&Parts::of(Rate(0), [told(1, 1)])), []);
}

#[test]
fn those_furthest_up_are_added_up() {
    let many = (1..=40).map(|hop| told(hop, u64::from(hop)));
    let all = Parts::of(Rate(820), many);
    assert_in_form(&all, 820);
    let (first, last) = (parts(&all)[0], parts(&all)[PARTS_MAX - 1]);
    assert_eq!((first.hop, last), (None, told(40, 40)));
    let with_hidden = (1..=40).map(|hop| told(if hop == 26 { 0 } else { hop }, 1));
    assert_in_form(&Parts::of(Rate(40), with_hidden), 40);
}

proptest! {
    #[test]
    fn r012_parts_add_up_to_the_charge_whatever_is_told(
        total in 0..=u64::MAX,
        hops in vec((0..6u8, prop_oneof![0..50u64, 0..=u64::MAX / 8]), 0..40),
        ways in vec((0..=u64::MAX, 0..3u8, 0..100u64), 1..6),
    ) {
        let mut here = Parts::of(Rate(total), hops.into_iter().map(|(hop, rate)| told(hop, rate)));
        assert_in_form(&here, total);
        let mut charge = total;
        for (part, hop, local) in ways {
            let carried = part % charge.saturating_add(1);
            here = here.carried(Rate(carried));
            assert_in_form(&here, carried);
            charge = carried.saturating_add(local);
            here = here.then(told(hop, charge - carried));
            assert_in_form(&here, charge);
        }
    }

    /// What one branch carries of each hop's part, all of them carry together.
    #[test]
    fn r012_no_part_is_carried_by_more_than_a_unit_too_much(
        rates in vec(0..10_000u64, 1..12),
        weights in vec(1..5u64, 1..6),
    ) {
        let total: u64 = rates.iter().sum();
        let hops = rates.iter().zip(1..).map(|(rate, hop)| told(hop, *rate));
        let whole = Parts::of(Rate(total), hops);
        let mut shares = Vec::new();
        charging_model::split::largest_remainder(total, &weights, &mut shares);
        for share in shares {
            for (part, rate) in whole.carried(Rate(share)).iter().zip(&rates) {
                let exact = u128::from(*rate) * u128::from(share);
                let (most, total) = (u128::from(part.rate.0), u128::from(total.max(1)));
                prop_assert!(most <= exact.div_ceil(total) && most >= exact / total);
            }
        }
    }
}
