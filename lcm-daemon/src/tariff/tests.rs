use rsvp_wire::object::{Float, FlowSpec, Tspec};

use super::*;

const TSPEC: Tspec = Tspec::new(250_000, 12_000, 64, 1500);

fn controlled(rate: u64, bucket: u64) -> Demand {
    Demand::of(&FlowSpec::ControlledLoad(Tspec::new(rate, bucket, 64, 1500)), &TSPEC)
}

fn guaranteed(rate: u64, slack: u32) -> Demand {
    let rate = Float::from_integer(rate);
    Demand::of(&FlowSpec::Guaranteed { tspec: TSPEC, rate, slack }, &TSPEC)
}

#[test]
fn nothing_is_set_aside_that_the_sender_does_not_send() {
    let all = Demand::quoted(&TSPEC);
    assert_eq!((all.rate, all.bucket, all.reserved), (2_000_000, 12_000, 2_000_000));
    assert_eq!(controlled(9_000_000, 90_000), all);
    assert_eq!(controlled(125_000, 6_000).rate, 1_000_000);
    // R may be above the token rate: it buys a lower delay. It is never below.
    assert_eq!(guaranteed(500_000, 0).reserved, 4_000_000);
    assert_eq!(guaranteed(1, 0).reserved, 2_000_000);
    let peak = Tspec { peak: Float::from_integer(400_000), ..TSPEC };
    assert_eq!(Demand::most(&peak).reserved, 3_200_000);
    assert_eq!(Demand::most(&TSPEC).reserved, 2_000_000, "an unknown peak says nothing");
}

#[test]
fn r056_doubling_the_quantity_doubles_the_price_of_a_linear_tariff() {
    let tariff = Rate { price_pico_per_s: 0, per_mbit_pico_per_s: 700 };
    let (one, two) = (controlled(125_000, 1), controlled(250_000, 1));
    assert_eq!((tariff.price(&one), tariff.price(&two)), (700, 1_400));
    let base = Rate { price_pico_per_s: 5, ..tariff };
    assert_eq!((base.price(&one), base.price(&two)), (705, 1_405));
    let flat = Flat { price_pico_per_s: 9 };
    assert_eq!((flat.price(&one), flat.price(&two)), (9, 9));
}

#[test]
fn r035_service_classes_have_prices_of_their_own() {
    let controlled_load =
        Class::new(Rate { price_pico_per_s: 0, per_mbit_pico_per_s: 10 }, Most::Percent(150));
    let dear =
        Guaranteed { price_pico_per_s: 7, per_mbit_pico_per_s: 100, half_price_slack_us: 1_000 };
    let own = Some(Class::new(dear, Most::Percent(100)));
    let both = Tariff::new(controlled_load.clone(), own);
    assert_eq!(both.price(&Demand::quoted(&TSPEC), Factors::ONE), 20);
    assert_eq!(both.price(&guaranteed(250_000, 0), Factors::ONE), 207);
    assert_eq!(both.price(&guaranteed(500_000, 0), Factors::ONE), 407);
    assert_eq!(both.price(&guaranteed(250_000, 1_000), Factors::ONE), 107, "slack halves it");
    assert_eq!(both.price(&guaranteed(250_000, 3_000), Factors::ONE), 57);
    let one = Tariff::new(controlled_load, None);
    assert_eq!(
        one.price(&guaranteed(500_000, 0), Factors::ONE),
        40,
        "by R, like all that is set aside"
    );
    assert_eq!(one.most(&guaranteed(500_000, 0)), 60);
}

#[test]
fn bursts_cost_what_the_queue_must_hold() {
    let tariff = Bucket { price_pico_per_s: 1, per_mbit_pico_per_s: 10, per_kbyte_pico_per_s: 100 };
    assert_eq!(tariff.price(&controlled(125_000, 3_000)), 1 + 10 + 300);
    assert_eq!(tariff.price(&controlled(125_000, 6_000)), 1 + 10 + 600);
}

#[test]
fn a_version_names_the_settings() {
    let flat = Tariff::flat(3, 4);
    assert_eq!(flat.version(), Tariff::flat(3, 4).version());
    assert_ne!(flat.version(), Tariff::flat(3, 5).version());
    assert_ne!(flat.version(), Tariff::flat(4, 4).version());
    let also = Tariff { guaranteed: Some(flat.controlled_load.clone()), ..flat.clone() };
    assert_ne!(flat.version(), also.version());
    assert_ne!(flat, also);
}

#[test]
fn prices_that_do_not_fit_are_the_greatest() {
    let most = Rate { price_pico_per_s: u64::MAX, per_mbit_pico_per_s: u64::MAX };
    assert_eq!(most.price(&Demand::quoted(&TSPEC)), u64::MAX);
    let class = Class::new(most, Most::Percent(300));
    assert_eq!(class.most(&Demand::quoted(&TSPEC)), u64::MAX);
}

#[test]
fn r120_grants_go_by_the_service_class() {
    use charging_model::{Grant, Span};
    let short = Grant::FreeIfShort(Span(60_000));
    let both = Refunds { controlled_load: Some(Grant::ProRata), guaranteed: Some(short) };
    assert_eq!(both.of(Service::ControlledLoad), Grant::ProRata);
    assert_eq!(both.of(Service::Guaranteed), short);
    let one = Refunds { guaranteed: None, ..both };
    assert_eq!(one.of(Service::Guaranteed), Grant::ProRata);
    assert_eq!(Refunds::default().of(Service::Guaranteed), Grant::None);
    // What is granted is a part of what a consent is given to.
    let tariff = |refunds| Tariff { refunds, ..Tariff::free() };
    assert_ne!(tariff(both).version(), tariff(one).version());
    assert_eq!(tariff(Refunds::default()).version(), Tariff::free().version());
}
