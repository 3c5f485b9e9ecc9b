//! From `raw` to [`Config`]: fills in defaults and finds what serde cannot.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use toml::Spanned;

use super::problem::Problems;
use super::raw::{self, Given};
use super::read::File;
use super::{
    Account, Charging, Config, Contract, Currency, DEFAULT_ACCEPT_REFRESH_MAX_MS,
    DEFAULT_ACCEPT_REFRESH_MIN_MS, DEFAULT_CHARGING_ENABLED, DEFAULT_CONTROL_SOCKET,
    DEFAULT_HONOUR_QUOTE, DEFAULT_HOP_RECORD, DEFAULT_LIFETIME_MULTIPLIER, DEFAULT_LOG_LEVEL,
    DEFAULT_NAME, DEFAULT_ON_INCONSISTENCY, DEFAULT_ON_MISSING_PAYMENT, DEFAULT_P_TYPES,
    DEFAULT_PREEMPTION, DEFAULT_REFRESH_MS, DEFAULT_REQUIRE_ESTABLISHED, DEFAULT_ROLE,
    DEFAULT_SLEW_MAX_PERCENT, DEFAULT_VALIDITY_MS, Daemon, PTypes, REFRESH_MS_MAX, REFRESH_MS_MIN,
    Role, Rsvp, VALIDITY_MS_MAX, accounts, authentication, billing, choice, control, diagnostics,
    identity, interfaces, ledger, limits, neighbours, proxy,
};

/// Beyond this R would outrun the lifetimes that K = 3 gives.
const SLEW_MAX_PERCENT_MAX: u32 = 100;
/// Longest path of a Unix socket in bytes: `sun_path` less its closing zero (unix(7)).
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// Longest name of a node in bytes.
const NAME_BYTES_MAX: usize = 64;
/// P-Types below this one are assigned by IANA to other policy elements (RFC 2750 section 8).
const P_TYPE_MIN: u16 = 7;

/// Checks a whole file. What is wrong is told to `problems`, and the default taken instead.
pub(super) fn config(file: File, problems: &mut Problems<'_>) -> Config {
    let daemon = daemon(file.daemon, problems);
    let rsvp = rsvp(&file.rsvp, problems);
    let limits = limits::check(&file.limits, problems);
    let ledger = ledger::check(file.ledger, problems);
    let choice = choice::check(file.choice, problems);
    let diagnostics = diagnostics::check(file.diagnostics, problems);
    let validity_given = file
        .charging
        .as_ref()
        .and_then(|table| table.get_ref().validity_ms.as_ref().map(Spanned::span));
    let charging_place = file.charging.as_ref().map_or(0..0, Spanned::span);
    let charging = charging(file.charging, file.neighbours, rsvp.role, problems);
    let beside =
        accounts::Beside { charges: charging.is_some(), keeps_books: ledger.directory.is_some() };
    let control = control::check(file.control, problems);
    let accounts = accounts::check(file.accounts, beside, problems);
    let keeps_books = ledger.directory.is_some();
    let billing = billing::check(file.billing, &daemon.name, keeps_books, problems);
    let inherited = interfaces::Inherited {
        charges: charging.is_some(),
        charging_place,
        needs_price: charging.is_some() && rsvp.role == Role::Router,
        refresh_ms: rsvp.refresh_ms,
        validity_ms: charging.as_ref().map_or(DEFAULT_VALIDITY_MS, |terms| terms.validity_ms),
        timing_place: validity_given.or(file.rsvp.refresh_ms.map(|given| given.span())),
    };
    let (default_interface, interfaces) =
        interfaces::check(&inherited, file.default_interface, file.interfaces, problems);
    let authentication = authentication::check(file.authentication, problems);
    let identities = identity::check(file.identities, problems);
    let receiver_proxies = proxy::receivers(file.receiver_proxies, charging.is_some(), problems);
    let sender_proxies = proxy::senders(file.sender_proxies, charging.is_some(), problems);
    Config {
        daemon,
        rsvp,
        limits,
        ledger,
        choice,
        diagnostics,
        control,
        accounts,
        billing,
        charging,
        authentication,
        identities,
        receiver_proxies,
        sender_proxies,
        default_interface,
        interfaces,
    }
}

/// The value given, or the default.
pub(super) fn or<T>(given: Given<T>, default: T) -> T {
    given.map_or(default, Spanned::into_inner)
}

/// The number given if it lies in `bounds`, or the default.
pub(super) fn number<T>(
    given: Option<&Spanned<u64>>,
    default: T,
    bounds: RangeInclusive<T>,
    unit: &str,
    problems: &mut Problems<'_>,
) -> T
where
    T: TryFrom<u64> + PartialOrd + Display,
{
    let Some(given) = given else { return default };
    if let Ok(value) = T::try_from(*given.get_ref())
        && bounds.contains(&value)
    {
        return value;
    }
    let side = if T::try_from(*given.get_ref()).is_ok_and(|value| value < *bounds.start()) {
        format!("below the least, {}", bounds.start())
    } else {
        format!("above the most, {}", bounds.end())
    };
    let remedy = format!("write {} to {}{unit}", bounds.start(), bounds.end());
    problems.at(given.span(), side, remedy);
    default
}

fn daemon(raw: raw::Daemon, problems: &mut Problems<'_>) -> Daemon {
    let metrics_listen = raw.metrics_listen.and_then(|given| {
        let address = given.get_ref().parse::<SocketAddr>();
        if address.is_err() {
            problems.at(
                given.span(),
                "not an address with a port".to_owned(),
                "write ADDRESS:PORT, as in \"127.0.0.1:9146\" or \"[::1]:9146\"".to_owned(),
            );
        }
        address.ok()
    });
    Daemon {
        name: checked(raw.name, DEFAULT_NAME, node_name_fault, problems),
        control_socket: PathBuf::from(checked(
            raw.control_socket,
            DEFAULT_CONTROL_SOCKET,
            socket_path_fault,
            problems,
        )),
        metrics_listen,
        price_export: raw.price_export.and_then(|given| ledger::absolute(given, problems)),
        log_level: or(raw.log_level, DEFAULT_LOG_LEVEL),
    }
}

/// The text given if `fault` finds nothing wrong with it, or the default.
fn checked(
    given: Given<String>,
    default: &str,
    fault: fn(&str) -> Option<(String, String)>,
    problems: &mut Problems<'_>,
) -> String {
    let Some(given) = given else { return default.to_owned() };
    match fault(given.get_ref()) {
        None => given.into_inner(),
        Some((what, remedy)) => {
            problems.at(given.span(), what, remedy);
            default.to_owned()
        }
    }
}

fn node_name_fault(name: &str) -> Option<(String, String)> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let sound = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.chars().all(allowed);
    (!sound).then(|| {
        let remedy = format!(
            "write 1 to {NAME_BYTES_MAX} letters, digits, full stops, hyphens, underscores"
        );
        ("not a name for a node".to_owned(), remedy)
    })
}

fn socket_path_fault(path: &str) -> Option<(String, String)> {
    let what = if !Path::new(path).is_absolute() {
        "not an absolute path".to_owned()
    } else if path.len() > SOCKET_PATH_BYTES_MAX {
        format!("{} bytes long, {SOCKET_PATH_BYTES_MAX} at most", path.len())
    } else if path.contains('\0') || path.ends_with('/') {
        "not the path of a file".to_owned()
    } else {
        return None;
    };
    Some((what, format!("write a path such as \"{DEFAULT_CONTROL_SOCKET}\"")))
}

fn rsvp(raw: &raw::Rsvp, problems: &mut Problems<'_>) -> Rsvp {
    let mut refresh = |given: &Given<u64>, default| {
        let bounds = REFRESH_MS_MIN..=REFRESH_MS_MAX;
        number(given.as_ref(), default, bounds, " milliseconds", problems)
    };
    let refresh_ms = refresh(&raw.refresh_ms, DEFAULT_REFRESH_MS);
    let min_ms = refresh(&raw.accept_refresh_min_ms, DEFAULT_ACCEPT_REFRESH_MIN_MS);
    let max_ms = refresh(&raw.accept_refresh_max_ms, DEFAULT_ACCEPT_REFRESH_MAX_MS);
    if let Some(given) = raw.accept_refresh_min_ms.as_ref().or(raw.accept_refresh_max_ms.as_ref())
        && min_ms > max_ms
    {
        problems.at(
            given.span(),
            format!("accept_refresh_min_ms is {min_ms}, but accept_refresh_max_ms {max_ms}"),
            "no refresh period would be accepted: set the least below the most".to_owned(),
        );
    }
    Rsvp {
        role: raw.role.as_ref().map_or(DEFAULT_ROLE, |given| *given.get_ref()),
        refresh_ms,
        lifetime_multiplier: number(
            raw.lifetime_multiplier.as_ref(),
            DEFAULT_LIFETIME_MULTIPLIER,
            1..=u8::MAX,
            "",
            problems,
        ),
        preemption: raw.preemption.as_ref().map_or(DEFAULT_PREEMPTION, |given| *given.get_ref()),
        slew_max_percent: number(
            raw.slew_max_percent.as_ref(),
            DEFAULT_SLEW_MAX_PERCENT,
            1..=SLEW_MAX_PERCENT_MAX,
            " percent",
            problems,
        ),
        accept_refresh_min_ms: min_ms,
        accept_refresh_max_ms: max_ms,
        jitter_seed: raw.jitter_seed.as_ref().map(|given| *given.get_ref()),
    }
}

/// Checks `[charging]` and `[[neighbour]]`; `None` if charging is not enabled (they are checked
/// nevertheless).
fn charging(
    table: Option<Spanned<raw::Charging>>,
    neighbours: Vec<Spanned<raw::Neighbour>>,
    role: Role,
    problems: &mut Problems<'_>,
) -> Option<Charging> {
    let place = table.as_ref().map_or(0..0, Spanned::span);
    let raw = table.map(Spanned::into_inner).unwrap_or_default();
    let enabled = or(raw.enabled, DEFAULT_CHARGING_ENABLED);
    let currency_given = raw.currency.is_some();
    let currency = raw.currency.and_then(|given| currency(&given, problems));
    let account_given = raw.account.is_some();
    let account = raw.account.and_then(|given| account(given, problems));
    let validity_ms = number(
        raw.validity_ms.as_ref(),
        DEFAULT_VALIDITY_MS,
        1..=VALIDITY_MS_MAX,
        " milliseconds",
        problems,
    );
    let general = Contract {
        account,
        on_missing_payment: or(raw.on_missing_payment, DEFAULT_ON_MISSING_PAYMENT),
        hop_record: or(raw.hop_record, DEFAULT_HOP_RECORD),
        refused_sender_accounts: raw
            .refused_sender_accounts
            .map(|given| refused(given, problems))
            .unwrap_or_default(),
        role: None,
        exchange: None,
    };
    let neighbours = neighbours::check(&general, neighbours, problems);
    let p_types = raw.p_types.map_or(DEFAULT_P_TYPES, |given| p_types(&given, problems));
    if !enabled {
        return None;
    }
    let mut missing = |key: &str, what: &str, remedy: &str| {
        problems.missing(place.clone(), format!("charging.{key}"), what, remedy);
    };
    if !currency_given {
        missing("currency", "a node that charges needs a currency", "add currency = \"EUR\"");
    }
    if !account_given && role == Role::Router {
        missing(
            "account",
            "a router that charges also pays its previous hops",
            "add account = { kind = \"opaque\", id = \"NAME\" }",
        );
    }
    Some(Charging {
        // Only a file with problems gets XXX, "no currency", and it never becomes a `Config`.
        currency: currency.unwrap_or(Currency::NONE),
        general,
        neighbours,
        validity_ms,
        honour_quote: or(raw.honour_quote, DEFAULT_HONOUR_QUOTE),
        require_established: or(raw.require_established, DEFAULT_REQUIRE_ESTABLISHED),
        on_inconsistency: or(raw.on_inconsistency, DEFAULT_ON_INCONSISTENCY),
        p_types,
    })
}

pub(super) fn currency(
    given: &Spanned<raw::CurrencyCode>,
    problems: &mut Problems<'_>,
) -> Option<Currency> {
    let found = match given.get_ref() {
        raw::CurrencyCode::Letters(letters) => Currency::from_alphabetic(letters),
        raw::CurrencyCode::Number(number) => {
            u16::try_from(*number).ok().and_then(Currency::from_numeric)
        }
    };
    if found.is_none() {
        problems.at(
            given.span(),
            "not a currency of ISO 4217".to_owned(),
            "write three capital letters, as in \"EUR\", or the number, as in 978".to_owned(),
        );
    }
    found
}

pub(super) fn account(
    given: Spanned<raw::Account>,
    problems: &mut Problems<'_>,
) -> Option<Account> {
    let place = given.span();
    let (kind, id) = match given.into_inner() {
        raw::Account { kind: Some(kind), id: Some(id) } => (kind, id),
        raw::Account { kind, .. } => {
            let lacks = if kind.is_none() { "a kind" } else { "an id" };
            let remedy = "write { kind = \"opaque\", id = \"NAME\" }".to_owned();
            problems.at(place, format!("the account lacks {lacks}"), remedy);
            return None;
        }
    };
    match Account::new(*kind.get_ref(), id.get_ref()) {
        Ok(account) => Some(account),
        Err(what) => {
            let remedy = "write an id of this kind, or name another kind".to_owned();
            problems.at(id.span(), what, remedy);
            None
        }
    }
}

/// Accounts in one word each.
pub(super) fn refused(
    given: Spanned<Vec<Spanned<String>>>,
    problems: &mut Problems<'_>,
) -> Vec<Account> {
    given.into_inner().into_iter().filter_map(|given| account_text(given, problems)).collect()
}

/// An account in one word, KIND:ID.
pub(super) fn account_text(given: Spanned<String>, problems: &mut Problems<'_>) -> Option<Account> {
    match given.get_ref().parse() {
        Ok(account) => Some(account),
        Err(what) => {
            let remedy = "write KIND:ID, as in \"opaque:isp-7\"".to_owned();
            problems.at(given.span(), what, remedy);
            None
        }
    }
}

fn p_types(given: &Spanned<raw::PTypes>, problems: &mut Problems<'_>) -> PTypes {
    let place: Range<usize> = given.span();
    let raw = given.get_ref();
    let mut p_type = |given: &Given<u64>, default| {
        number(given.as_ref(), default, P_TYPE_MIN..=u16::MAX, "", problems)
    };
    let types = PTypes {
        dcpe: p_type(&raw.dcpe, DEFAULT_P_TYPES.dcpe),
        ucpe: p_type(&raw.ucpe, DEFAULT_P_TYPES.ucpe),
        chg_err: p_type(&raw.chg_err, DEFAULT_P_TYPES.chg_err),
    };
    let PTypes { dcpe, ucpe, chg_err } = types;
    if dcpe == ucpe || ucpe == chg_err || chg_err == dcpe {
        problems.at(
            place,
            format!(
                "dcpe {dcpe:#06X}, ucpe {ucpe:#06X} and chg_err {chg_err:#06X} are not distinct"
            ),
            "give each its own P-Type, from 0xD000 up (RFC 2750 section 8)".to_owned(),
        );
    }
    types
}
