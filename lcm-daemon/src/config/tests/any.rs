//! Configurations of all kinds: what is written out reads back the same, and no text does harm.

use charging_model::{Grant, Span};
use proptest::prelude::*;

use super::super::*;
use super::parse;
use crate::tariff::{Bucket, Class, Flat, Guaranteed, Most, Rate, Refunds};

/// A name that an interface may have.
fn interface_name() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9.\"\\\\é-]{0,12}".prop_filter("name fits", |name| name.len() <= 15)
}

prop_compose! {
    fn any_interface(charges: bool)(
        rsvp in any::<bool>(),
        non_rsvp_hop in any::<bool>(),
        reservable_bits_per_s in any::<u64>(),
        charging in any::<bool>(),
        tariff in any_tariff(),
        refresh_ms in REFRESH_MS_MIN..=REFRESH_MS_MAX,
        spare_ms in 0_u32..1000,
        (refresh_reduction, bundle) in any::<(bool, bool)>(),
        hello_ms in 0_u32..=3_600_000,
    ) -> Interface {
        Interface {
            rsvp,
            non_rsvp_hop,
            reservable_bits_per_s,
            charging: charging && charges,
            tariff,
            validity_ms: refresh_ms + refresh_ms / 2 + spare_ms,
            refresh_ms,
            refresh_reduction,
            bundle,
            hello_ms,
            role: if hello_ms % 2 == 0 { LinkRole::Edge } else { LinkRole::Interior },
        }
    }
}

fn any_class() -> impl Strategy<Value = Class> {
    let shape = (0..4_u8, any::<[u64; 3]>(), 100..=1_000_000_u32);
    shape.prop_map(|(kind, [base, per_mbit_pico_per_s, third], percent)| {
        let (price_pico_per_s, most) = (base, Most::Percent(percent));
        match kind {
            0 => Class::new(Flat { price_pico_per_s }, Most::Price(base.saturating_add(third))),
            1 => Class::new(Rate { price_pico_per_s, per_mbit_pico_per_s }, most),
            2 => {
                let per_kbyte_pico_per_s = third;
                let shape = Bucket { price_pico_per_s, per_mbit_pico_per_s, per_kbyte_pico_per_s };
                Class::new(shape, most)
            }
            _ => {
                let half_price_slack_us = third.max(1);
                let shape =
                    Guaranteed { price_pico_per_s, per_mbit_pico_per_s, half_price_slack_us };
                Class::new(shape, most)
            }
        }
    })
}

fn any_grant() -> impl Strategy<Value = Grant> {
    (0..3_u8, 1..=u16::MAX).prop_map(|(policy, steps)| match policy {
        0 => Grant::None,
        1 => Grant::ProRata,
        _ => Grant::FreeIfShort(Span(u64::from(steps) * 100)),
    })
}

/// An interface that says nothing of refunds has those of `[default_interface]`: each says it.
fn any_tariff() -> impl Strategy<Value = Tariff> {
    let classes = (any_class(), proptest::option::of(any_class()));
    let grants = (any_grant(), proptest::option::of(any_grant()));
    (classes, grants).prop_map(|(classes, (controlled_load, guaranteed))| Tariff {
        refunds: Refunds { controlled_load: Some(controlled_load), guaranteed },
        ..Tariff::new(classes.0, classes.1)
    })
}

fn any_account() -> impl Strategy<Value = Account> {
    let text = "[ -~é\u{7f}]{1,60}";
    prop_oneof![
        text.prop_map(|id| Account::new(AccountKind::Opaque, &id).unwrap()),
        "[a-z]{1,9}@[a-z]{1,9}".prop_map(|id| Account::new(AccountKind::Nai, &id).unwrap()),
        any::<[u8; 4]>().prop_map(|id| Account { kind: AccountKind::Ipv4, id: id.to_vec() }),
        any::<[u8; 16]>().prop_map(|id| Account { kind: AccountKind::Ipv6, id: id.to_vec() }),
        any::<[u8; 32]>().prop_map(|id| Account { kind: AccountKind::KeyHash, id: id.to_vec() }),
        "sip:[!-~]{1,60}".prop_map(|id| Account::new(AccountKind::Uri, &id).unwrap()),
    ]
}

prop_compose! {
    fn any_contract()(
        account in any_account(),
        free in any::<bool>(),
        refused_sender_accounts in proptest::collection::vec(any_account(), 0..3),
    ) -> Contract {
        let on_missing_payment = if free { MissingPayment::Free } else { MissingPayment::Reject };
        let role = free.then_some(LinkRole::Interior);
        let exchange = free.then(|| Exchange {
            currency: Currency::from_numeric(840).unwrap(),
            ours: 9,
            theirs: 10,
            version: 3,
            gateway_price_pico_per_s: Some(7).filter(|_| refused_sender_accounts.is_empty()),
        });
        let hop_record = if free { HopRecords::All } else { HopRecords::Own };
        Contract {
            account: Some(account),
            on_missing_payment,
            hop_record,
            refused_sender_accounts,
            role,
            exchange,
        }
    }
}

prop_compose! {
    fn any_charging()(
        account in proptest::option::of(any_account()),
        general in any_contract(),
        neighbours in proptest::collection::btree_map(any::<IpAddr>(), any_contract(), 0..3),
        validity_ms in 1..=VALIDITY_MS_MAX,
        honour_quote in any::<bool>(),
        require_established in any::<bool>(),
        refuse in any::<bool>(),
        dcpe in 7_u16..0xFF00,
    ) -> Charging {
        Charging {
            currency: Currency::from_numeric(756).unwrap(),
            general: Contract { account, role: None, exchange: None, ..general },
            neighbours,
            validity_ms,
            honour_quote,
            require_established,
            on_inconsistency: if refuse { OnInconsistency::Refuse } else { OnInconsistency::Report },
            p_types: PTypes { dcpe, ucpe: dcpe + 1, chg_err: dcpe + 2 },
        }
    }
}

prop_compose! {
    fn any_key(id: u64)(
        algorithm in 1_u8..=3,
        usage in proptest::sample::select(vec![KeyUse::Both, KeyUse::Send, KeyUse::Receive]),
        start in proptest::option::of(0_u64..4_000_000_000),
        lasts in proptest::option::of(1_u64..4_000_000_000),
        file in "/[a-z \"\\\\é]{0,40}[a-z]",
    ) -> Key {
        let end = lasts.map(|lasts| start.unwrap_or(0) + lasts);
        let file = PathBuf::from(file);
        Key { id, algorithm: algorithm.into(), file, usage, start, end, secret: None }
    }
}

prop_compose! {
    fn any_authentication()(
        interface in interface_name().prop_filter("a name", |name| !name.contains(':')),
        neighbour in any::<IpAddr>(),
        policy in any::<bool>(),
        by_neighbour in any::<bool>(),
        flags in any::<[bool; 3]>(),
        window in 1..=WINDOW_MAX,
        handshake in proptest::sample::select(
            vec![Handshake::Off, Handshake::IfOffered, Handshake::Required]),
        keys in (any_key(7), any_key((1 << 48) - 1)),
    ) -> Authentication {
        Authentication {
            interface: (flags[2] && policy || !by_neighbour).then_some(interface),
            neighbour: by_neighbour.then_some(neighbour),
            policy,
            sign: flags[0],
            demand: flags[1],
            handshake,
            window,
            keys: vec![keys.0, keys.1],
        }
    }
}

prop_compose! {
    fn any_config()(charging in proptest::option::of(any_charging()))(
        name in "[A-Za-z0-9._-]{1,64}",
        socket in "/[a-z \"\\\\é]{0,40}[a-z]",
        metrics in proptest::option::of(any::<([u8; 4], u16)>()),
        jitter_seed in any::<Option<u64>>(),
        refreshes in proptest::array::uniform3(REFRESH_MS_MIN..=REFRESH_MS_MAX),
        limits in proptest::collection::vec(0..u32::MAX, limits::EACH.len()),
        lifetime_multiplier in 1..=u8::MAX,
        default_interface in any_interface(charging.is_some()),
        interfaces in proptest::collection::btree_map(
            interface_name(), any_interface(charging.is_some()), 0..4),
        host in any::<bool>(),
        books in proptest::option::of("/[a-z \"\\\\é]{0,40}[a-z]"),
        charging in Just(charging),
        authentication in proptest::option::of(any_authentication()),
        identity in proptest::option::of(identity::tests::any_identity()),
        proxies in proxy::tests::any_proxies(),
    ) -> Config {
        let authentication = authentication.into_iter().collect();
        let charges = charging.is_some();
        let unpaid = charging.as_ref().is_some_and(|charging| charging.general.account.is_none());
        Config {
            billing: None,
            daemon: Daemon {
                name,
                control_socket: PathBuf::from(socket),
                metrics_listen: metrics.map(SocketAddr::from),
                price_export: books.clone().map(PathBuf::from),
                log_level: LogLevel::Trace,
            },
            rsvp: Rsvp {
                role: if host || unpaid { Role::Host } else { Role::Router },
                refresh_ms: refreshes[0],
                lifetime_multiplier,
                preemption: if host { Preemption::End } else { Preemption::Off },
                slew_max_percent: 1 + u32::from(lifetime_multiplier) % 100,
                accept_refresh_min_ms: refreshes[1].min(refreshes[2]),
                accept_refresh_max_ms: refreshes[1].max(refreshes[2]),
                jitter_seed,
            },
            limits: {
                let most = limits::EACH.iter().map(|(.., most)| *most);
                limits::from_values(most.zip(&limits).map(|(most, value)| value % most + 1))
            },
            choice: Choice {
                enabled: host,
                wait_ms: refreshes[0] % 600_001,
                margin_percent: u32::from(lifetime_multiplier) % 100,
                hold_ms: refreshes[1],
            },
            ledger: Ledger {
                hold_s: refreshes[0],
                directory: books.map(PathBuf::from),
                ..Ledger::default()
            },
            diagnostics: Diagnostics {
                answer: host,
                requesters: vec![Prefix { address: [10, 0, 0, 0].into(), length: 8 }],
                max_per_s: 1 + u32::from(lifetime_multiplier),
                ..Diagnostics::default()
            },
            control: Control::default(),
            accounts: None,
            charging,
            authentication,
            identities: identity.into_iter().collect(),
            receiver_proxies: proxies.0,
            sender_proxies: proxies
                .1
                .into_iter()
                .map(|one| SenderProxy { fraction_ppm: charges.then_some(0), ..one })
                .collect(),
            default_interface,
            interfaces,
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_out_reads_back_the_same(config in any_config()) {
        let text = config.to_toml();
        prop_assert_eq!(parse(&text).map_err(|error| error.to_string()), Ok(config), "{}", text);
    }

    /// Whatever the text, the answer is a configuration or problems within the text.
    #[test]
    fn no_text_makes_it_panic(text in "(\\[|\\]|=|\"|\n|\t|é|[a-z]{1,4}|rsvp|interface|[0-9]|\\{|\\}|,|\\.){0,40}") {
        if let Err(error) = parse(&text) {
            prop_assert!(!error.problems().is_empty());
            for problem in error.problems() {
                let (line, column) = problem.position.unwrap();
                prop_assert!(line <= text.lines().count() + 1 && column <= text.len() + 1);
            }
            prop_assert!(error.to_string().starts_with("lcm.toml:"));
        }
    }
}
