//! From TOML tables to `raw`: serde refuses what has the wrong shape, and we go on to the next key.

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::problem::Problems;
use super::wording::suggestion;
use super::{
    accounts, authentication, billing, choice, control, diagnostics, identity, ledger, limits,
    proxy, raw,
};

/// Names of the tables that a file may have.
const TABLES: [&str; 17] = [
    "daemon",
    "rsvp",
    "limits",
    "ledger",
    "choice",
    "diagnostics",
    "control",
    "accounts",
    "billing",
    "charging",
    "neighbour",
    "authentication",
    "identity",
    "receiver_proxy",
    "sender_proxy",
    "default_interface",
    "interface",
];

/// A configuration file whose tables have the right shape; what had not was left out.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) daemon: raw::Daemon,
    pub(super) rsvp: raw::Rsvp,
    pub(super) limits: limits::Raw,
    pub(super) ledger: ledger::Raw,
    pub(super) choice: choice::Raw,
    pub(super) diagnostics: diagnostics::Raw,
    pub(super) control: control::Raw,
    /// With its place, for what is missing beside it.
    pub(super) accounts: Option<Spanned<accounts::Raw>>,
    /// With its place, for what is missing beside it.
    pub(super) billing: Option<Spanned<billing::Raw>>,
    /// With its place, for what is missing in it.
    pub(super) charging: Option<Spanned<raw::Charging>>,
    pub(super) neighbours: Vec<Spanned<raw::Neighbour>>,
    pub(super) authentication: Vec<Spanned<authentication::Raw>>,
    pub(super) identities: Vec<Spanned<identity::Raw>>,
    pub(super) receiver_proxies: Vec<Spanned<proxy::RawReceiver>>,
    pub(super) sender_proxies: Vec<Spanned<proxy::RawSender>>,
    pub(super) default_interface: Option<Spanned<raw::Interface>>,
    pub(super) interfaces: Vec<Spanned<raw::Interface>>,
}

impl File {
    pub(super) fn read(root: DeTable<'_>, problems: &mut Problems<'_>) -> File {
        let mut file = File::default();
        for (key, value) in root {
            match &**key.get_ref() {
                "daemon" => file.daemon = table(value, problems),
                "rsvp" => file.rsvp = table(value, problems),
                "limits" => file.limits = table(value, problems),
                "ledger" => file.ledger = table(value, problems),
                "choice" => file.choice = table(value, problems),
                "diagnostics" => file.diagnostics = table(value, problems),
                "control" => file.control = table(value, problems),
                "accounts" => file.accounts = Some(placed(value, problems)),
                "billing" => file.billing = Some(placed(value, problems)),
                "charging" => file.charging = Some(placed(value, problems)),
                "default_interface" => file.default_interface = Some(placed(value, problems)),
                "interface" => file.interfaces = tables("interface", value, problems),
                "receiver_proxy" => {
                    file.receiver_proxies = tables("receiver_proxy", value, problems);
                }
                "sender_proxy" => file.sender_proxies = tables("sender_proxy", value, problems),
                "identity" => file.identities = tables("identity", value, problems),
                "neighbour" => file.neighbours = tables("neighbour", value, problems),
                "authentication" => {
                    file.authentication = tables("authentication", value, problems);
                }
                name => problems.at(
                    key.span(),
                    "there is no such table or setting".to_owned(),
                    suggestion(name, &TABLES, "remove it"),
                ),
            }
        }
        file
    }
}

fn tables<T: DeserializeOwned + Default>(
    name: &str,
    value: Spanned<DeValue<'_>>,
    problems: &mut Problems<'_>,
) -> Vec<Spanned<T>> {
    let span = value.span();
    match value.into_inner() {
        DeValue::Array(items) => items.into_iter().map(|item| placed(item, problems)).collect(),
        _ => {
            let remedy = format!("write [[{name}]], in double brackets, above each one");
            problems.at(span, format!("one {name} where a list belongs"), remedy);
            Vec::new()
        }
    }
}

fn placed<T: DeserializeOwned + Default>(
    value: Spanned<DeValue<'_>>,
    problems: &mut Problems<'_>,
) -> Spanned<T> {
    let span = value.span();
    Spanned::new(span, table(value, problems))
}

/// Reads one table. serde stops at its first complaint, so a table that it refuses is given to it
/// again key by key; the keys that pass are kept.
fn table<T: DeserializeOwned + Default>(
    value: Spanned<DeValue<'_>>,
    problems: &mut Problems<'_>,
) -> T {
    let span = value.span();
    let DeValue::Table(entries) = value.into_inner() else {
        let remedy = "write [NAME] once above its settings, in single brackets".to_owned();
        problems.at(span, "not a table of settings".to_owned(), remedy);
        return T::default();
    };
    let read = |entries: DeTable<'_>| {
        T::deserialize(ValueDeserializer::from(Spanned::new(span.clone(), DeValue::Table(entries))))
    };
    if let Ok(whole) = read(entries.clone()) {
        return whole;
    }
    let mut sound = DeTable::new();
    for (key, value) in entries {
        let single: DeTable<'_> = [(key.clone(), value.clone())].into_iter().collect();
        match read(single) {
            Ok(_) => drop(sound.insert(key, value)),
            Err(error) => problems.toml(&error),
        }
    }
    read(sound).unwrap_or_default()
}
