//! Tests of the configuration as a whole.

mod any;

use super::*;
use crate::tariff::Split;

/// A router that charges, complete.
const CHARGING: &str = r#"[charging]
enabled = true
currency = "EUR"
account = { kind = "nai", id = "isp@example.net" }
[default_interface]
tariff = { price_pico_per_s = 100, max_price_pico_per_s = 120 }
"#;

fn parse(text: &str) -> Result<Config, ConfigErrors> {
    Config::parse(text, "lcm.toml")
}

fn problems(text: &str) -> Vec<Problem> {
    parse(text).expect_err(text).problems().to_vec()
}

/// The only problem of a text: its line, key and value.
fn only_problem(text: &str) -> (usize, String, Option<String>) {
    let problems = problems(text);
    assert_eq!(problems.len(), 1, "{text}\n{problems:#?}");
    let problem = problems.into_iter().next().unwrap();
    assert!(!problem.what.is_empty() && !problem.remedy.is_empty(), "{problem:?}");
    (problem.position.unwrap().0, problem.key, problem.value)
}

#[test]
fn empty_text_is_a_plain_router_with_the_defaults() {
    let config = parse("").unwrap();
    assert_eq!(config.daemon.name, DEFAULT_NAME);
    assert_eq!(config.daemon.control_socket, Path::new(DEFAULT_CONTROL_SOCKET));
    assert_eq!(config.daemon.metrics_listen, None);
    assert_eq!(config.rsvp.role, Role::Router);
    assert_eq!(config.rsvp.refresh_ms, DEFAULT_REFRESH_MS);
    assert_eq!(config.ledger, Ledger::default());
    assert_eq!(config.charging, None);
    assert!(config.interface("eth7").rsvp);
    assert!(!config.interface("eth7").charging);
    assert_eq!(config.interface("eth7").tariff, Tariff::free());
}

#[test]
fn every_setting_arrives() {
    let config = parse(
        r#"
[daemon]
name = "IS1"
control_socket = "/run/is1.sock"
metrics_listen = "[::1]:9146"
price_export = "/run/lcm/prices.json"
log_level = "debug"
[rsvp]
role = "host"
refresh_ms = 100
lifetime_multiplier = 5
accept_refresh_min_ms = 200
accept_refresh_max_ms = 3600000
slew_max_percent = 12
preemption = "reduce"
jitter_seed = 18446744073709551615
[limits]
max_sessions = 1
max_senders_per_session = 3
max_policy_bytes = 4
[ledger]
directory = "/srv/books"
hold_s = 0
proof_ms = 250
segment_bytes = 1048576
[diagnostics]
answer = false
requesters = ["192.0.2.0/24", "2001:db8::1"]
trusted = ["198.51.100.0/25"]
charges = "totals"
max_per_s = 7
[charging]
enabled = true
currency = 978
account = { kind = "ipv4", id = "192.0.2.1" }
validity_ms = 1000
honour_quote = true
require_established = false
on_missing_payment = "free"
hop_record = "own"
on_inconsistency = "refuse"
refused_sender_accounts = ["opaque:x", "nai:a@b.example"]
p_types = { dcpe = 0xD011, ucpe = 0xD012, chg_err = 0xD013 }
[[neighbour]]
address = "192.0.2.7"
account = { kind = "uri", id = "tel:+4961511234" }
[default_interface]
rsvp = false
[[interface]]
name = "eth1"
rsvp = true
non_rsvp_hop = true
reservable_bits_per_s = 64000
charging = true
validity_ms = 500
refresh_ms = 200
refresh_reduction = true
bundle = false
hello_ms = 5000
role = "interior"
tariff = { kind = "flat", price_pico_per_s = 18446744073709551614, max_price_pico_per_s = 18446744073709551615 }
"#,
    )
    .unwrap();
    let daemon = Daemon {
        name: "IS1".to_owned(),
        control_socket: PathBuf::from("/run/is1.sock"),
        metrics_listen: Some("[::1]:9146".parse().unwrap()),
        price_export: Some(PathBuf::from("/run/lcm/prices.json")),
        log_level: LogLevel::Debug,
    };
    assert_eq!(config.daemon, daemon);
    let rsvp = Rsvp {
        role: Role::Host,
        refresh_ms: 100,
        lifetime_multiplier: 5,
        accept_refresh_min_ms: 200,
        accept_refresh_max_ms: 3_600_000,
        slew_max_percent: 12,
        preemption: Preemption::Reduce,
        jitter_seed: Some(u64::MAX),
    };
    assert_eq!(config.rsvp, rsvp);
    let limits = Limits {
        max_sessions: 1,
        max_senders_per_session: 3,
        max_policy_bytes: 4,
        ..Limits::default()
    };
    assert_eq!(config.limits, limits);
    let ledger = Ledger {
        directory: Some(PathBuf::from("/srv/books")),
        hold_s: 0,
        proof_ms: 250,
        segment_bytes: 1 << 20,
    };
    assert_eq!(config.ledger, ledger);
    let prefixes = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    let diagnostics = Diagnostics {
        answer: false,
        requesters: prefixes(&["192.0.2.0/24", "2001:db8::1/128"]),
        trusted: prefixes(&["198.51.100.0/25"]),
        charges: Charges::Totals,
        max_per_s: 7,
    };
    assert_eq!(config.diagnostics, diagnostics);
    let general = Contract {
        account: Some(Account::new(AccountKind::Ipv4, "192.0.2.1").unwrap()),
        on_missing_payment: MissingPayment::Free,
        hop_record: HopRecords::Own,
        refused_sender_accounts: vec![
            Account::new(AccountKind::Opaque, "x").unwrap(),
            Account::new(AccountKind::Nai, "a@b.example").unwrap(),
        ],
        role: None,
        exchange: None,
    };
    let charging = Charging {
        currency: Currency::from_alphabetic("EUR").unwrap(),
        general: general.clone(),
        neighbours: [(
            "192.0.2.7".parse().unwrap(),
            Contract {
                account: Some(Account::new(AccountKind::Uri, "tel:+4961511234").unwrap()),
                ..general
            },
        )]
        .into(),
        validity_ms: 1000,
        honour_quote: true,
        require_established: false,
        on_inconsistency: OnInconsistency::Refuse,
        p_types: PTypes { dcpe: 0xD011, ucpe: 0xD012, chg_err: 0xD013 },
    };
    assert_eq!(config.charging, Some(charging));
    let eth1 = Interface {
        rsvp: true,
        non_rsvp_hop: true,
        reservable_bits_per_s: 64_000,
        charging: true,
        tariff: Tariff::flat(u64::MAX - 1, u64::MAX),
        validity_ms: 500,
        refresh_ms: 200,
        refresh_reduction: true,
        bundle: false,
        hello_ms: 5_000,
        role: LinkRole::Interior,
    };
    assert_eq!(config.interface("eth1"), &eth1);
    assert!(!config.interface("eth2").rsvp);
}

#[test]
fn interfaces_inherit_key_by_key() {
    let text = format!(
        "{CHARGING}validity_ms = 90000\n[[interface]]\nname = \"eth1\"\nrefresh_ms = 1000\n\
         [[interface]]\nname = \"eth2\"\ntariff = {{ price_pico_per_s = 7 }}\n\
         [[interface]]\nname = \"eth3\"\ncharging = false\n"
    );
    let config = parse(&text).unwrap();
    let eth1 = config.interface("eth1");
    assert_eq!((eth1.refresh_ms, eth1.validity_ms), (1000, 90_000));
    assert_eq!((eth1.tariff.price_pico_per_s(), eth1.tariff.max_price_pico_per_s()), (100, 120));
    let eth2 = config.interface("eth2");
    assert_eq!((eth2.tariff.price_pico_per_s(), eth2.tariff.max_price_pico_per_s()), (7, 7));
    assert!(eth2.charging && !config.interface("eth3").charging);
}

#[test]
fn a_problem_names_file_line_key_value_and_remedy() {
    let error = parse("[rsvp]\nrole = \"router\"\n\trefresh_ms = 50 # fast\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "lcm.toml:3:15: rsvp.refresh_ms = 50: below the least, 100; \
         write 100 to 3600000 milliseconds\n\
         \x20 3 | \trefresh_ms = 50 # fast\n\
         \x20   | \t             ^^\n"
    );
}

#[test]
fn what_is_wrong_with_keys_is_told_where_it_stands() {
    let key = "{ id = 1, algorithm = \"hmac-md5\", file = \"/k\" }";
    let table = |text: &str| format!("[[authentication]]\n{text}\n");
    for (text, expected) in [
        (format!("keys = [{key}]"), "no interface and no neighbour"),
        (format!("interface = \"a\"\nneighbour = \"10.0.0.1\"\nkeys = [{key}]"), "both"),
        ("interface = \"a\"".to_owned(), "without a key"),
        (format!("interface = \"a\"\nkeys = [{key}, {key}]"), "two keys have the id 1"),
        (format!("neighbour = \"a\"\nkeys = [{key}]"), "not an address"),
        (format!("interface = \"a\"\nwindow = 0\nkeys = [{key}]"), "below the least, 1"),
        (
            format!("interface = \"a\"\nkeys = [{}]", key.replace("= 1,", "= 281474976710656,")),
            "above the most",
        ),
        (
            format!("interface = \"a\"\nkeys = [{}]", key.replace("hmac-md5", "md4")),
            "not an algorithm",
        ),
        (format!("interface = \"a\"\nkeys = [{}]", key.replace("/k", "k")), "absolute path"),
        (
            format!("interface = \"a\"\nkeys = [{}]", key.replace(" }", ", start = 2026-01-01 }")),
            "not an instant",
        ),
        (
            format!(
                "interface = \"a\"\nkeys = [{}]",
                key.replace(" }", ", start = 2026-01-02T00:00:00Z, end = 2026-01-01T00:00:00Z }")
            ),
            "never valid",
        ),
    ] {
        let errors = parse(&table(&text)).unwrap_err().to_string();
        assert!(errors.contains(expected), "{text}: {errors}");
    }
    let twice = table(&format!("interface = \"a\"\nkeys = [{key}]")).repeat(2);
    assert!(parse(&twice).unwrap_err().to_string().contains("is about the same"));
}

#[test]
fn r058_accounts_are_settled_as_the_configuration_says() {
    let charging = "[charging]\nenabled = true\ncurrency = \"EUR\"\n\
                    account = { kind = \"opaque\", id = \"x\" }\n\
                    [default_interface]\ntariff = { price_pico_per_s = 0 }\n";
    let books = "[ledger]\ndirectory = \"/srv/books\"\n";
    let tokens = "[accounts]\nsettlement = \"tokens\"\ntoken_value = \"0.5\"\n\
                  unknown = \"refuse\"\nsimultaneous = \"deny\"\nwarn_s = 5\n";
    let config = parse(&format!("{charging}{books}{tokens}")).unwrap();
    let accounts = config.accounts.unwrap();
    let terms = accounts.terms(978);
    assert_eq!(terms.words(), "tokens of 0.50, one session at once, warned 5 s before");
    assert_eq!(parse(&config.to_toml()).unwrap(), config);
    let plain = parse(&format!("{charging}{books}[accounts]\ncredit_limit = \"2\"\n")).unwrap();
    let words = plain.accounts.unwrap().terms(978).words();
    assert_eq!(words, "postpaid up to 2.00, warned 60 s before");
    for (text, wrong) in [
        (format!("{charging}[accounts]\n"), "ledger.directory"),
        (format!("{books}[accounts]\n"), "charging.enabled"),
        (format!("{charging}{books}[accounts]\ntoken_value = \"0\"\n"), "accounts.token_value"),
        (format!("{charging}{books}[accounts]\ncredit_limit = \"-1\"\n"), "negative"),
    ] {
        let errors = parse(&text).unwrap_err().to_string();
        assert!(errors.contains(wrong), "{errors}");
    }
}

#[test]
fn books_are_kept_under_an_absolute_path() {
    let (line, key, value) = only_problem("[ledger]\ndirectory = \"books\"\n");
    assert_eq!((line, key.as_str(), value.as_deref()), (2, "ledger.directory", Some("\"books\"")));
    for (text, key) in [
        ("[ledger]\nhold_s = 315360001\n", "ledger.hold_s"),
        ("[ledger]\nproof_ms = 99\n", "ledger.proof_ms"),
        ("[ledger]\nsegment_bytes = 1000\n", "ledger.segment_bytes"),
    ] {
        assert_eq!(only_problem(text).1, key);
    }
}

#[test]
fn ranges_and_rates_of_requests_are_checked() {
    for (text, key) in [
        ("[diagnostics]\ntrusted = [\"192.0.2.0/33\"]\n", "diagnostics.trusted"),
        ("[diagnostics]\nrequesters = [\"10.0.0.0/8\", \"home\"]\n", "diagnostics.requesters"),
        ("[diagnostics]\nmax_per_s = 0\n", "diagnostics.max_per_s"),
        ("[diagnostics]\ncharges = \"most\"\n", "diagnostics.charges"),
    ] {
        let found = only_problem(text).1;
        assert!(found.starts_with(key), "{found}");
    }
}

#[test]
fn unknown_keys_are_refused_where_they_stand() {
    for (text, line, key) in [
        ("[rsvp]\n\nrefesh_ms = 100\n", 3, "rsvp.refesh_ms"),
        ("[routing]\nx = 1\n", 1, "routing"),
        ("verbose = true\n", 1, "verbose"),
        (
            "[charging]\naccount = { kind = \"nai\", id = \"a@b\", pin = 1 }",
            2,
            "charging.account.pin",
        ),
        ("[[interface]]\nname = \"eth1\"\nprice = 4\n", 3, "interface[eth1].price"),
        (
            "[[interface]]\nname = \"eth1\"\n[interface.tariff]\nprice = 4\n",
            4,
            "interface[eth1].tariff.price",
        ),
    ] {
        assert_eq!(only_problem(text), (line, key.to_owned(), None), "{text}");
    }
    let remedy = &problems("[rsvp]\nrefesh_ms = 100\n")[0].remedy;
    assert_eq!(remedy, "did you mean refresh_ms?");
}

#[test]
fn wrong_types_are_refused_where_they_stand() {
    for (text, line, key, value) in [
        ("[rsvp]\nrefresh_ms = \"fast\"\n", 2, "rsvp.refresh_ms", "\"fast\""),
        ("[rsvp]\nrefresh_ms = 0.5\n", 2, "rsvp.refresh_ms", "0.5"),
        ("[rsvp]\nrefresh_ms = -1\n", 2, "rsvp.refresh_ms", "-1"),
        ("[rsvp]\nrole = \"switch\"\n", 2, "rsvp.role", "\"switch\""),
        ("[rsvp]\nrole = 3\n", 2, "rsvp.role", "3"),
        ("[charging]\nenabled = 1\n", 2, "charging.enabled", "1"),
        ("[charging]\ncurrency = 1.5\n", 2, "charging.currency", "1.5"),
        ("[charging]\ncurrency = -978\n", 2, "charging.currency", "-978"),
        ("[daemon]\nname = []\n", 2, "daemon.name", ""),
        ("rsvp = 3\n", 1, "rsvp", "3"),
        ("[interface]\nname = \"eth1\"\n", 1, "interface", ""),
        ("[[rsvp]]\nrefresh_ms = 100\n", 1, "rsvp[1]", ""),
        (
            "[default_interface]\ntariff = { kind = \"vast\" }",
            2,
            "default_interface.tariff.kind",
            "\"vast\"",
        ),
    ] {
        let value = (!value.is_empty()).then(|| value.to_owned());
        assert_eq!(only_problem(text), (line, key.to_owned(), value), "{text}");
    }
}

#[test]
fn values_out_of_bounds_are_refused() {
    let hundred = "x".repeat(100);
    for (table, key, value) in [
        ("rsvp", "refresh_ms", "99"),
        ("rsvp", "refresh_ms", "3600001"),
        ("rsvp", "refresh_ms", "18446744073709551615"),
        ("rsvp", "lifetime_multiplier", "0"),
        ("rsvp", "lifetime_multiplier", "256"),
        ("rsvp", "accept_refresh_min_ms", "0"),
        ("rsvp", "accept_refresh_max_ms", "3600001"),
        ("charging", "validity_ms", "0"),
        ("charging", "validity_ms", "86400001"),
        ("charging", "currency", "\"eur\""),
        ("charging", "currency", "\"XXX\""),
        ("charging", "currency", "12345678"),
        ("daemon", "name", "\"\""),
        ("daemon", "name", "\"a b\""),
        ("daemon", "control_socket", "\"run/lcm.sock\""),
        ("daemon", "control_socket", "\"/run/\""),
        ("daemon", "metrics_listen", "\"127.0.0.1\""),
        ("daemon", "metrics_listen", "\"localhost:9146\""),
        ("daemon", "log_level", "\"loud\""),
        ("default_interface", "refresh_ms", "1"),
        ("default_interface", "name", "\"eth1\""),
        ("charging.p_types", "dcpe", "2"),
        ("charging.p_types", "dcpe", "65536"),
    ] {
        let text = format!("[{table}]\n{key} = {value}\n");
        let expected = (2, format!("{table}.{key}"), Some(value.to_owned()));
        assert_eq!(only_problem(&text), expected, "{text}");
    }
    let long = format!("[daemon]\ncontrol_socket = \"/{hundred}/{hundred}\"\n");
    let (line, key, value) = only_problem(&long);
    assert_eq!((line, &*key), (2, "daemon.control_socket"));
    assert!(value.unwrap().ends_with('…'), "a long value is quoted in part");
}

#[test]
fn r032_a_neighbour_has_what_was_agreed_with_it_and_the_rest_from_charging() {
    let text = |neighbours: &str| {
        format!(
            "[charging]\nenabled = true\ncurrency = \"EUR\"\non_missing_payment = \"free\"\n\
             hop_record = \"own\"\naccount = {{ kind = \"opaque\", id = \"isp\" }}\n{neighbours}\
             [default_interface]\ncharging = false\n"
        )
    };
    let table = "[[neighbour]]\naddress = \"2001:db8::7\"\n";
    let own = "account = { kind = \"opaque\", id = \"customer-12\" }\n";
    let charging = parse(&text(&format!("{table}{own}"))).unwrap().charging.unwrap();
    let agreed = charging.contract("2001:db8::7".parse().unwrap());
    assert_eq!(agreed.account.as_ref().unwrap().to_string(), "opaque:customer-12");
    assert_eq!(agreed.on_missing_payment, MissingPayment::Free, "inherited");
    assert_eq!(agreed.hop_record, HopRecords::Own, "inherited");
    let other = charging.contract("2001:db8::8".parse().unwrap());
    assert_eq!(other, &charging.general);
    assert_eq!(other.account.as_ref().unwrap().to_string(), "opaque:isp");

    for (tables, line, key) in [
        ("[[neighbour]]\n".to_owned() + own, 7, "neighbour.address"),
        ("[[neighbour]]\naddress = \"next door\"\n".to_owned(), 8, "neighbour[1].address"),
        (table.repeat(2), 10, "neighbour[2].address"),
    ] {
        let (at, named, _) = only_problem(&text(&tables));
        assert_eq!((at, &*named), (line, key), "{tables}");
    }
}

#[test]
fn every_limit_has_its_bounds() {
    for &(key, _, most) in limits::EACH {
        let said = |value: u64| format!("[limits]\n{key} = {value}\n");
        for value in [0, u64::from(most) + 1] {
            let expected = (2, format!("limits.{key}"), Some(value.to_string()));
            assert_eq!(only_problem(&said(value)), expected);
        }
        for value in [1, u64::from(most)] {
            assert!(parse(&said(value)).is_ok(), "{key} = {value}");
        }
    }
}

#[test]
fn the_bounds_themselves_are_accepted() {
    for (table, key, value) in [
        ("rsvp", "refresh_ms", "100"),
        ("rsvp", "refresh_ms", "3600000"),
        ("rsvp", "lifetime_multiplier", "1"),
        ("rsvp", "lifetime_multiplier", "255"),
        ("charging", "validity_ms", "86400000"),
        ("charging.p_types", "dcpe", "65535"),
    ] {
        let text = format!("[{table}]\n{key} = {value}\n");
        assert!(parse(&text).is_ok(), "{text}");
    }
}

#[test]
fn prices_that_move_are_read_and_written() {
    let text = "[default_interface]\ntariff = { price_pico_per_s = 7 }\n\
                schedule = { time_zone = \"Europe/Paris\", windows = [\
                { days = [\"mon\", \"sun\"], from = \"22:30\", to = \"06:00\", percent = 250 },\
                { percent = 90 }] }\n\
                congestion = { points = [[50, 100], [100, 400]] }\n";
    let config = parse(text).unwrap();
    let tariff = &config.default_interface.tariff;
    assert_eq!((tariff.price_pico_per_s(), tariff.max_price_pico_per_s()), (7, 7 * 10));
    let curve = tariff.congestion.as_ref().unwrap();
    assert_eq!((curve.hold_ms, curve.approach_percent), (60_000, 50));
    // Monday, 5 January 2026, 22:30 in Paris; and noon of the next day.
    let schedule = tariff.schedule.as_ref().unwrap();
    assert_eq!((schedule.percent(1_767_648_600), schedule.percent(1_767_697_200)), (250, 90));
    assert_eq!(parse(&config.to_toml()).unwrap(), config);
    assert!(tariff.moves());
}

#[test]
fn r020_splits_are_read_and_written() {
    let split = |text: &str| {
        let text = format!("[default_interface]\nsplit = {text}\n[[interface]]\nname = \"e\"\n");
        let config = parse(&text).unwrap();
        assert_eq!(parse(&config.to_toml()).unwrap(), config, "{text}");
        config.interface("e").tariff.split.clone()
    };
    let weights = Split::Weights {
        neighbours: [("192.0.2.1".parse().unwrap(), 3), ("2001:db8::1".parse().unwrap(), 0)].into(),
        otherwise: 2,
    };
    let mut versions = std::collections::BTreeSet::new();
    for (text, expected) in [
        ("{ kind = \"equal\" }", Split::Equal),
        ("{ kind = \"equal\", expected_members = 3 }", Split::EqualOf(3)),
        ("{ kind = \"receivers\" }", Split::Receivers(0)),
        ("{ kind = \"receivers\", expected_members = 12 }", Split::Receivers(12)),
        ("{ kind = \"quantity\" }", Split::Quantity),
        ("{ kind = \"incremental\" }", Split::Incremental),
        (
            "{ kind = \"weights\", otherwise = 2, \
             neighbours = { \"192.0.2.1\" = 3, \"2001:db8::1\" = 0 } }",
            weights,
        ),
    ] {
        let read = split(text);
        assert_eq!(read, expected);
        assert!(versions.insert(read.version()), "{text}");
    }
    assert!(versions.contains(&0), "the version of the equal split");
}

#[test]
fn prices_by_utilisation_need_a_limit() {
    let congestion = "congestion = { points = [[50, 100], [100, 400]] }\n";
    let text = format!("{CHARGING}{congestion}");
    let error = parse(&text).unwrap_err().to_string();
    assert!(error.contains("no limit") && error.contains("add reservable_bits_per_s"), "{error}");
    assert!(parse(&format!("{text}reservable_bits_per_s = 64000\n")).is_ok());
    // The limit of the one that has the curve is enough.
    let named = format!("{CHARGING}[[interface]]\nname = \"eth1\"\n{congestion}");
    assert!(parse(&named).unwrap_err().to_string().contains("no limit"));
    assert!(parse(&format!("{named}reservable_bits_per_s = 64000\n")).is_ok());
    // Nobody is charged there.
    assert!(parse(&format!("{named}charging = false\n")).is_ok());
}

#[test]
fn contradictions_are_refused() {
    let interface = |settings: &str| format!("[[interface]]\nname = \"eth1\"\n{settings}\n");
    for (text, line, key) in [
        ("[rsvp]\naccept_refresh_min_ms = 300001\n".to_owned(), 2, "rsvp.accept_refresh_min_ms"),
        (
            interface("tariff = { price_pico_per_s = 5, max_price_pico_per_s = 4 }"),
            3,
            "interface[eth1].tariff.price_pico_per_s",
        ),
        (interface("tariff = { max_price_pico_per_s = 4 }"), 3, "interface[eth1].tariff"),
        (interface("tariff = { kind = \"rate\" }"), 3, "interface[eth1].tariff"),
        (
            interface("congestion = { points = [[50, 100], [50, 200]] }"),
            3,
            "interface[eth1].congestion.points",
        ),
        (interface("split = { expected_members = 3 }"), 3, "interface[eth1].split"),
        (
            interface("split = { kind = \"quantity\", expected_members = 3 }"),
            3,
            "interface[eth1].split.expected_members",
        ),
        (
            interface("split = { kind = \"receivers\", expected_members = 0 }"),
            3,
            "interface[eth1].split.expected_members",
        ),
        (interface("split = { kind = \"weights\" }"), 3, "interface[eth1].split"),
        (
            interface("split = { kind = \"weights\", neighbours = { eth2 = 3 } }"),
            3,
            "interface[eth1].split.neighbours",
        ),
        (
            interface("split = { kind = \"weights\", neighbours = {}, otherwise = 0 }"),
            3,
            "interface[eth1].split",
        ),
        (
            interface("split = { kind = \"equal\", otherwise = 2 }"),
            3,
            "interface[eth1].split.otherwise",
        ),
        (interface("schedule = { time_zone = \"Mars\" }"), 3, "interface[eth1].schedule.time_zone"),
        (
            interface("guaranteed_tariff = { kind = \"bucket\" }"),
            3,
            "interface[eth1].guaranteed_tariff",
        ),
        (
            interface("tariff = { price_pico_per_s = 1, per_mbit_pico_per_s = 4 }"),
            3,
            "interface[eth1].tariff.per_mbit_pico_per_s",
        ),
        (
            interface("tariff = { kind = \"rate\", per_mbit_pico_per_s = 4, max_percent = 99 }"),
            3,
            "interface[eth1].tariff.max_percent",
        ),
        (interface("[[interface]]\nname = \"eth1\""), 4, "interface[eth1].name"),
        (interface("[[interface]]\nname = \"a/b\""), 4, "interface[a/b].name"),
        (
            interface("[[interface]]\nname = \"0123456789abcdef\""),
            4,
            "interface[0123456789abcdef].name",
        ),
        (interface("[[interface]]\nrsvp = true"), 3, "interface.name"),
        ("[charging]\naccount = { id = \"x\" }\n".to_owned(), 2, "charging.account"),
        ("[charging]\naccount = { kind = \"nai\" }\n".to_owned(), 2, "charging.account"),
        (
            "[charging]\naccount = { kind = \"ipv6\", id = \"192.0.2.1\" }\n".to_owned(),
            2,
            "charging.account.id",
        ),
        ("[charging]\np_types = { dcpe = 0xD002 }\n".to_owned(), 2, "charging.p_types"),
        // A quote must outlive 1.5 refresh periods.
        (format!("{CHARGING}refresh_ms = 40001\n"), 7, "default_interface.refresh_ms"),
        (format!("{CHARGING}validity_ms = 44999\n"), 7, "default_interface.validity_ms"),
        (format!("{CHARGING}[rsvp]\nrefresh_ms = 40001\n"), 8, "rsvp.refresh_ms"),
        (
            format!(
                "{CHARGING}{}[[interface]]\nname = \"eth2\"\n",
                interface("refresh_ms = 50000")
            ),
            9,
            "interface[eth1].refresh_ms",
        ),
    ] {
        let (found_line, found_key, _) = only_problem(&text);
        assert_eq!((found_line, &*found_key), (line, key), "{text}");
    }
    assert!(parse(&format!("{CHARGING}refresh_ms = 40000\n")).is_ok());
    assert!(parse(&format!("{CHARGING}validity_ms = 45000\n")).is_ok());
}

#[test]
fn charging_needs_currency_account_and_prices() {
    let keys = |text: &str| -> Vec<(usize, String)> {
        problems(text).into_iter().map(|p| (p.position.unwrap().0, p.key)).collect()
    };
    let bare = "[daemon]\n[charging]\nenabled = true\n";
    assert_eq!(
        keys(bare),
        [
            (2, "charging.currency".to_owned()),
            (2, "charging.account".to_owned()),
            (2, "default_interface.tariff".to_owned()),
        ]
    );
    // A host forwards nothing, so it sells nothing; whom it pays for may say who pays.
    let host = format!("{bare}[rsvp]\nrole = \"host\"\n");
    assert_eq!(keys(&host), [(2, "charging.currency".to_owned())]);
    let unpriced = CHARGING.replace("tariff =", "#") + "charging = false\n";
    assert!(parse(&unpriced).is_ok());
    let one_unpriced = format!("{unpriced}[[interface]]\nname = \"eth1\"\ncharging = true\n");
    assert_eq!(keys(&one_unpriced), [(8, "interface[eth1].tariff".to_owned())]);
}

#[test]
fn what_is_there_but_wrong_is_not_called_missing() {
    let text = CHARGING.replace("\"EUR\"", "true").replace("nai", "name").replace("= 100", "= {}");
    let keys: Vec<String> = problems(&text).into_iter().map(|problem| problem.key).collect();
    assert_eq!(
        keys,
        ["charging.currency", "charging.account.kind", "default_interface.tariff.price_pico_per_s"]
    );
}

#[test]
fn all_problems_are_told_at_once_in_order() {
    let found = problems(
        "[rsvp]\nrole = \"switch\"\nrefresh_ms = 1\ncolour = 3\nlifetime_multiplier = \"x\"\n\
         [limits]\nmax_sessions = 0\n[[interface]]\nname = \"\"\n[[interface]]\nrsvp = 3\n",
    );
    let lines: Vec<usize> = found.iter().map(|problem| problem.position.unwrap().0).collect();
    assert_eq!(lines, [2, 3, 4, 5, 7, 9, 10, 11]);
}

#[test]
fn a_hopeless_file_is_not_reported_without_end() {
    let text: String = (0..2 * PROBLEMS_MAX).map(|n| format!("x{n} = 1\n")).collect();
    assert_eq!(problems(&text).len(), PROBLEMS_MAX);
}

#[test]
fn broken_toml_is_shown_at_its_line() {
    for (text, line) in [
        ("[rsvp]\nrefresh_ms = \n", 2),
        ("[rsvp\n", 1),
        ("[rsvp]\nrefresh_ms = 100\nrefresh_ms = 200\n", 3),
        ("[rsvp]\n[rsvp]\n", 2),
        ("[daemon]\nname = \"unclosed\n[rsvp]\n", 2),
    ] {
        let problems = problems(text);
        assert_eq!(problems[0].position.unwrap().0, line, "{text}\n{problems:#?}");
    }
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let directory = std::env::temp_dir();
    let missing = directory.join("lcm-no-such-file.toml");
    for (path, what) in [(&missing, "cannot be read"), (&directory, "cannot be read")] {
        let text = Config::load(path).unwrap_err().to_string();
        assert!(text.contains(&*path.to_string_lossy()) && text.contains(what), "{text}");
    }
    let zero = Path::new("/dev/zero");
    assert!(Config::load(zero).unwrap_err().to_string().contains("longer than"));
}
