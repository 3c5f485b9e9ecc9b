//! The configuration files and manuals that we ship say what the program does.

use std::collections::BTreeSet;

use super::*;

const EXAMPLE: &str = include_str!("../../../deploy/lcm.toml.example");
const MANUAL: &str = include_str!("../../../deploy/man/lcm.toml.5");

/// Setting names, in whichever table.
fn settings(text: &str) -> BTreeSet<&str> {
    text.lines()
        .filter_map(|line| line.split_once(" = "))
        .map(|(key, _)| key)
        .filter(|key| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
        .collect()
}

/// The example with everything that is commented out switched on.
fn everything() -> String {
    let lines = EXAMPLE.lines().map(|line| match line.strip_prefix('#') {
        Some(setting) if !setting.starts_with(' ') => setting,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_as_it_is_says_the_defaults() {
    let example = Config::parse(EXAMPLE, "lcm.toml.example").map_err(|error| error.to_string());
    assert_eq!(example, Ok(Config::parse("", "empty").unwrap()));
}

#[test]
fn the_example_with_everything_on_is_a_router_that_charges() {
    let text = everything().replace("enabled = false", "enabled = true");
    let config = Config::parse(&text, "lcm.toml.example").map_err(|error| error.to_string());
    let config = config.unwrap();
    assert!(config.charging.is_some() && config.daemon.metrics_listen.is_some());
    let (default, eth1) = (config.interface("eth0"), config.interface("eth1"));
    assert!(eth1.tariff.price_pico_per_s() > default.tariff.price_pico_per_s());
    assert!(eth1.refresh_ms < default.refresh_ms && default.charging);
}

#[test]
fn example_and_manual_name_every_setting_and_no_other() {
    let text = everything().replace("enabled = false", "enabled = true");
    let written_out = Config::parse(&text, "lcm.toml.example").unwrap().to_toml();
    let every = settings(&written_out);
    assert_eq!(settings(&text), every);
    let documented: BTreeSet<&str> = MANUAL
        .lines()
        .filter_map(|line| line.strip_prefix(".It Cm ")?.split_once(" No = "))
        .map(|(key, _)| key)
        .collect();
    assert_eq!(documented, every);
}

/// The text between one setting and the next, in the manual.
fn manual_of(key: &str) -> &str {
    let start = format!(".It Cm {key} No");
    let (_, rest) = MANUAL.split_once(&*start).expect(key);
    rest.split("\n.It Cm").find(|text| text.contains("Default")).expect(key)
}

#[test]
fn the_manual_states_the_defaults() {
    for (key, default) in [
        ("name", DEFAULT_NAME.to_owned()),
        ("control_socket", DEFAULT_CONTROL_SOCKET.to_owned()),
        ("log_level", DEFAULT_LOG_LEVEL.name().to_owned()),
        ("role", DEFAULT_ROLE.name().to_owned()),
        ("refresh_ms", DEFAULT_REFRESH_MS.to_string()),
        ("lifetime_multiplier", DEFAULT_LIFETIME_MULTIPLIER.to_string()),
        ("accept_refresh_min_ms", DEFAULT_ACCEPT_REFRESH_MIN_MS.to_string()),
        ("accept_refresh_max_ms", DEFAULT_ACCEPT_REFRESH_MAX_MS.to_string()),
        ("preemption", DEFAULT_PREEMPTION.name().to_owned()),
        ("slew_max_percent", DEFAULT_SLEW_MAX_PERCENT.to_string()),
        ("wait_ms", DEFAULT_CHOICE_WAIT_MS.to_string()),
        ("margin_percent", DEFAULT_CHOICE_MARGIN_PERCENT.to_string()),
        ("hold_ms", DEFAULT_CHOICE_HOLD_MS.to_string()),
        ("hold_s", DEFAULT_HOLD_S.to_string()),
        ("proof_ms", DEFAULT_PROOF_MS.to_string()),
        ("segment_bytes", DEFAULT_SEGMENT_BYTES.to_string()),
        ("answer", DEFAULT_ANSWER.to_string()),
        ("charges", DEFAULT_CHARGES.name().to_owned()),
        ("max_per_s", DEFAULT_MAX_PER_S.to_string()),
        ("enabled", DEFAULT_CHARGING_ENABLED.to_string()),
        ("validity_ms", DEFAULT_VALIDITY_MS.to_string()),
        ("honour_quote", DEFAULT_HONOUR_QUOTE.to_string()),
        ("require_established", DEFAULT_REQUIRE_ESTABLISHED.to_string()),
        ("on_missing_payment", DEFAULT_ON_MISSING_PAYMENT.name().to_owned()),
        ("hop_record", DEFAULT_HOP_RECORD.name().to_owned()),
        ("on_inconsistency", DEFAULT_ON_INCONSISTENCY.name().to_owned()),
        ("p_types", format!("{:#06X}", DEFAULT_P_TYPES.dcpe)),
        ("handshake", DEFAULT_HANDSHAKE.name().to_owned()),
        ("window", DEFAULT_WINDOW.to_string()),
        ("rsvp", DEFAULT_INTERFACE_RSVP.to_string()),
        ("non_rsvp_hop", DEFAULT_INTERFACE_NON_RSVP_HOP.to_string()),
        ("charging", DEFAULT_INTERFACE_CHARGING.to_string()),
        ("refresh_reduction", DEFAULT_INTERFACE_REFRESH_REDUCTION.to_string()),
        ("bundle", DEFAULT_INTERFACE_BUNDLE.to_string()),
        ("price_curve", DEFAULT_INTERFACE_PRICE_CURVE.to_string()),
        ("hello_ms", DEFAULT_INTERFACE_HELLO_MS.to_string()),
    ] {
        let (_, stated) = manual_of(key).split_once("Default").expect(key);
        assert!(stated.contains(&default), "{key} = {default}, but the manual has {stated}");
    }
}

#[test]
fn the_manual_states_every_limit_and_its_default() {
    for (key, default, _) in limits::EACH {
        let stated = format!("Default: {default}.");
        assert!(manual_of(key).contains(&stated), "{key}: the manual does not say {stated}");
    }
}

#[test]
fn the_manual_s_own_example_is_valid() {
    let example: String = MANUAL
        .lines()
        .skip_while(|line| !line.starts_with(".Bd -literal"))
        .skip(1)
        .take_while(|line| *line != ".Ed")
        .flat_map(|line| [line, "\n"])
        .collect();
    let config = Config::parse(&example, "lcm.toml.5").map_err(|error| error.to_string()).unwrap();
    assert_eq!(config.interface("eth1").tariff.price_pico_per_s(), 1_000_000);
    assert!(!config.interface("eth0").charging);
}
