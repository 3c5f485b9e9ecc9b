//! A [`Config`] written out as the file that it could have come from.

use std::fmt::{self, Write as _};

use super::{
    Account, Config, Contract, Interface, accounts, authentication, billing, choice, control,
    diagnostics, exchange, identity, ledger, limits, proxy,
};

/// Every effective setting of a configuration, as TOML.
pub(super) fn config(config: &Config) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = tables(&mut text, config);
    text
}

fn tables(out: &mut String, config: &Config) -> fmt::Result {
    let daemon = &config.daemon;
    writeln!(out, "[daemon]")?;
    writeln!(out, "name = {}", quoted(&daemon.name))?;
    writeln!(out, "control_socket = {}", quoted(&daemon.control_socket.to_string_lossy()))?;
    if let Some(address) = daemon.metrics_listen {
        writeln!(out, "metrics_listen = {}", quoted(&address.to_string()))?;
    }
    if let Some(path) = &daemon.price_export {
        writeln!(out, "price_export = {}", quoted(&path.to_string_lossy()))?;
    }
    writeln!(out, "log_level = {}", quoted(daemon.log_level.name()))?;

    let rsvp = &config.rsvp;
    writeln!(out, "\n[rsvp]")?;
    writeln!(out, "role = {}", quoted(rsvp.role.name()))?;
    writeln!(out, "refresh_ms = {}", rsvp.refresh_ms)?;
    writeln!(out, "lifetime_multiplier = {}", rsvp.lifetime_multiplier)?;
    writeln!(out, "slew_max_percent = {}", rsvp.slew_max_percent)?;
    writeln!(out, "preemption = {}", quoted(rsvp.preemption.name()))?;
    writeln!(out, "accept_refresh_min_ms = {}", rsvp.accept_refresh_min_ms)?;
    writeln!(out, "accept_refresh_max_ms = {}", rsvp.accept_refresh_max_ms)?;
    if let Some(seed) = rsvp.jitter_seed {
        writeln!(out, "jitter_seed = {seed}")?;
    }

    writeln!(out, "\n[limits]")?;
    limits::render(out, &config.limits)?;

    writeln!(out, "\n[ledger]")?;
    ledger::render(out, &config.ledger, quoted)?;

    writeln!(out, "\n[choice]")?;
    choice::render(out, &config.choice)?;

    writeln!(out, "\n[diagnostics]")?;
    diagnostics::render(out, &config.diagnostics, quoted)?;

    writeln!(out, "\n[control]")?;
    control::render(out, &config.control, quoted)?;

    if let Some(accounts) = &config.accounts {
        writeln!(out, "\n[accounts]")?;
        accounts::render(out, accounts, quoted)?;
    }

    if let Some(billing) = &config.billing {
        writeln!(out, "\n[billing]")?;
        billing::render(out, billing, quoted)?;
    }

    writeln!(out, "\n[charging]")?;
    writeln!(out, "enabled = {}", config.charging.is_some())?;
    if let Some(charging) = &config.charging {
        writeln!(out, "currency = {}", quoted(charging.currency.alphabetic()))?;
        contract(out, &charging.general)?;
        writeln!(out, "validity_ms = {}", charging.validity_ms)?;
        writeln!(out, "honour_quote = {}", charging.honour_quote)?;
        writeln!(out, "require_established = {}", charging.require_established)?;
        writeln!(out, "on_inconsistency = {}", quoted(charging.on_inconsistency.name()))?;
        let types = charging.p_types;
        writeln!(
            out,
            "p_types = {{ dcpe = {:#06X}, ucpe = {:#06X}, chg_err = {:#06X} }}",
            types.dcpe, types.ucpe, types.chg_err
        )?;
        for (address, agreed) in &charging.neighbours {
            writeln!(out, "\n[[neighbour]]")?;
            writeln!(out, "address = {}", quoted(&address.to_string()))?;
            contract(out, agreed)?;
        }
    }

    authentication::render(out, &config.authentication, quoted)?;
    identity::render(out, &config.identities, quoted)?;
    proxy::render(out, &config.receiver_proxies, &config.sender_proxies, quoted)?;

    writeln!(out, "\n[default_interface]")?;
    interface(out, &config.default_interface)?;
    for (name, settings) in &config.interfaces {
        writeln!(out, "\n[[interface]]")?;
        writeln!(out, "name = {}", quoted(name))?;
        interface(out, settings)?;
    }
    Ok(())
}

fn contract(out: &mut String, contract: &Contract) -> fmt::Result {
    if let Some(account) = &contract.account {
        writeln!(out, "account = {}", account_table(account))?;
    }
    writeln!(out, "on_missing_payment = {}", quoted(contract.on_missing_payment.name()))?;
    writeln!(out, "hop_record = {}", quoted(contract.hop_record.name()))?;
    let refused = contract.refused_sender_accounts.iter();
    let refused: Vec<String> = refused.map(|a| quoted(&a.to_string())).collect();
    writeln!(out, "refused_sender_accounts = [{}]", refused.join(", "))?;
    if let Some(role) = contract.role {
        writeln!(out, "role = {}", quoted(role.name()))?;
    }
    match &contract.exchange {
        Some(exchange) => exchange::render(out, exchange),
        None => Ok(()),
    }
}

fn interface(out: &mut String, settings: &Interface) -> fmt::Result {
    writeln!(out, "rsvp = {}", settings.rsvp)?;
    writeln!(out, "non_rsvp_hop = {}", settings.non_rsvp_hop)?;
    writeln!(out, "reservable_bits_per_s = {}", settings.reservable_bits_per_s)?;
    writeln!(out, "charging = {}", settings.charging)?;
    writeln!(out, "validity_ms = {}", settings.validity_ms)?;
    writeln!(out, "refresh_ms = {}", settings.refresh_ms)?;
    writeln!(out, "refresh_reduction = {}", settings.refresh_reduction)?;
    writeln!(out, "bundle = {}", settings.bundle)?;
    writeln!(out, "hello_ms = {}", settings.hello_ms)?;
    writeln!(out, "role = {}", quoted(settings.role.name()))?;
    writeln!(out, "{}", settings.tariff)
}

fn account_table(account: &Account) -> String {
    format!("{{ kind = \"{}\", id = {} }}", account.kind, quoted(&account.id_text()))
}

/// A TOML basic string: escapes the quote, the backslash and control characters.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\U{:08X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
