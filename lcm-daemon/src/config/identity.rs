//! `[[identity]]`: of whom it is asked who they are, whom we know, and who we say that we are
//! (RFC 3182).

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::authentication::{interface, neighbour};
use super::check::account_text;
use super::problem::Problems;
use super::raw::Given;
use super::{Account, Secret};

/// Longest name in bytes: that of a NAI (RFC 7542 section 2.3).
pub const IDENTITY_BYTES_MAX: usize = 253;

/// What is agreed about identities with a neighbour, or with all on an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityRule {
    /// The interface by its name; or
    pub interface: Option<String>,
    /// the neighbour, by the address in its RSVP_HOP, which goes before its interface.
    pub neighbour: Option<IpAddr>,
    /// The messages that are refused without an identity.
    pub demand: Demand,
    /// Who is let in, by kind and name.
    pub admit: BTreeMap<(IdentityKind, String), Admitted>,
    /// Who we say that we are.
    pub present: Option<Credential>,
}

/// Messages that must carry an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Demand {
    /// None; one that is there must be right all the same.
    None,
    /// PATH.
    Path,
    /// RESV.
    Resv,
    /// Both.
    Both,
}

impl Demand {
    /// The choice's name in configuration files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Path => "path",
            Self::Resv => "resv",
            Self::Both => "both",
        }
    }

    /// Whether PATH messages must carry an identity.
    #[must_use]
    pub fn of_path(self) -> bool {
        matches!(self, Self::Path | Self::Both)
    }

    /// Whether RESV messages must carry an identity.
    #[must_use]
    pub fn of_resv(self) -> bool {
        matches!(self, Self::Resv | Self::Both)
    }
}

/// What has an identity: the P-Type of its element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityKind {
    /// AUTH_USER.
    User,
    /// AUTH_APP.
    Application,
}

impl IdentityKind {
    /// The kind's name in configuration files and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Application => "application",
        }
    }
}

/// Somebody who is let in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Admitted {
    /// The key of its signature; without one, its name is all that is asked for.
    pub key: Option<IdentityKey>,
    /// The only account that it may pay from.
    pub account: Option<Account>,
}

/// A secret and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityKey {
    /// The file, in the form of those of `[[authentication]]`.
    pub file: PathBuf,
    /// The secret, once the file was read.
    pub secret: Option<Secret>,
}

/// An identity of our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// User or application.
    pub kind: IdentityKind,
    /// Its name.
    pub name: String,
    /// What it is signed with, if it is.
    pub key: Option<IdentityKey>,
}

/// `[[identity]]` as it stands in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    interface: Given<String>,
    neighbour: Given<String>,
    demand: Given<Demand>,
    admit: Given<Vec<Spanned<RawOne>>>,
    present: Given<RawOne>,
}

/// `{ user = …, key = …, account = … }`
#[derive(Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table such as { user = \"alice@example.net\", key = \"/etc/lcm/keys/alice\" }"
)]
struct RawOne {
    user: Given<String>,
    application: Given<String>,
    key: Given<String>,
    account: Given<String>,
}

/// Checks every `[[identity]]`.
pub(super) fn check(tables: Vec<Spanned<Raw>>, problems: &mut Problems<'_>) -> Vec<IdentityRule> {
    let mut all: Vec<IdentityRule> = Vec::new();
    for table in tables {
        let place = table.span();
        let Some(new) = rule(table.into_inner(), place.clone(), problems) else { continue };
        let scope = |rule: &IdentityRule| (rule.neighbour, rule.interface.clone());
        if all.iter().any(|old| scope(old) == scope(&new)) {
            problems.at(
                place,
                "another [[identity]] is about the same".to_owned(),
                "put all whom an interface or neighbour may name into one table".to_owned(),
            );
        }
        all.push(new);
    }
    all
}

fn rule(raw: Raw, place: Range<usize>, problems: &mut Problems<'_>) -> Option<IdentityRule> {
    let interface = raw.interface.and_then(|given| interface(given, problems));
    let neighbour = raw.neighbour.and_then(|given| neighbour(given, problems));
    if interface.is_some() == neighbour.is_some() {
        let what = match interface {
            None => "it is about no interface and no neighbour",
            Some(_) => "it names both an interface and a neighbour",
        };
        let remedy = "name one: interface = \"eth1\", or neighbour = \"192.0.2.7\"".to_owned();
        problems.at(place, what.to_owned(), remedy);
        return None;
    }
    let mut admit = BTreeMap::new();
    for given in raw.admit.map(Spanned::into_inner).unwrap_or_default() {
        let span = given.span();
        let Some((credential, account)) = one(given, true, problems) else { continue };
        let Credential { kind, name, key } = credential;
        if admit.insert((kind, name), Admitted { key, account }).is_some() {
            let remedy = "leave one of them".to_owned();
            problems.at(span, "somebody of this name is there already".to_owned(), remedy);
        }
    }
    let present = raw.present.and_then(|given| one(given, false, problems));
    let demand = match raw.demand {
        Some(given) => given.into_inner(),
        None if admit.is_empty() => Demand::None,
        None => Demand::Resv,
    };
    if demand != Demand::None && admit.is_empty() {
        problems.missing(
            place,
            "identity.admit".to_owned(),
            "nobody could be let in",
            "add admit = [{ user = \"alice@example.net\", key = \"/etc/lcm/keys/alice\" }]",
        );
    }
    let present = present.map(|(credential, _)| credential);
    Some(IdentityRule { interface, neighbour, demand, admit, present })
}

fn one(
    given: Spanned<RawOne>,
    with_account: bool,
    problems: &mut Problems<'_>,
) -> Option<(Credential, Option<Account>)> {
    let place = given.span();
    let raw = given.into_inner();
    let (kind, name) = match (raw.user, raw.application) {
        (Some(name), None) => (IdentityKind::User, name),
        (None, Some(name)) => (IdentityKind::Application, name),
        _ => {
            let remedy = "write { user = \"NAME\" } or { application = \"NAME\" }".to_owned();
            problems.at(place, "an identity is of one user or application".to_owned(), remedy);
            return None;
        }
    };
    if let Some(fault) = name_fault(name.get_ref()) {
        let remedy = format!("write 1 to {IDENTITY_BYTES_MAX} bytes of text, as in \"alice\"");
        problems.at(name.span(), fault.to_owned(), remedy);
        return None;
    }
    let account = match raw.account {
        Some(given) if !with_account => {
            let remedy = "remove it: [charging] and [[neighbour]] say what we pay from".to_owned();
            problems.at(given.span(), "an account of our own identity".to_owned(), remedy);
            None
        }
        given => given.and_then(|given| account_text(given, problems)),
    };
    let key = raw.key.and_then(|given| key(given, problems));
    Some((Credential { kind, name: name.into_inner(), key }, account))
}

/// What is wrong with the name of somebody.
#[must_use]
pub fn name_fault(name: &str) -> Option<&'static str> {
    match name.len() {
        0 => Some("an empty name"),
        length if length > IDENTITY_BYTES_MAX => Some("the name is too long"),
        _ if name.contains(char::is_control) => Some("a control character in a name"),
        _ => None,
    }
}

fn key(given: Spanned<String>, problems: &mut Problems<'_>) -> Option<IdentityKey> {
    if !Path::new(given.get_ref()).is_absolute() || given.get_ref().contains('\0') {
        let remedy = "write a path such as \"/etc/lcm/keys/alice\"".to_owned();
        problems.at(given.span(), "not an absolute path".to_owned(), remedy);
        return None;
    }
    Some(IdentityKey { file: PathBuf::from(given.into_inner()), secret: None })
}

pub(super) fn render(
    out: &mut String,
    all: &[IdentityRule],
    quoted: impl Fn(&str) -> String,
) -> fmt::Result {
    for rule in all {
        writeln!(out, "\n[[identity]]")?;
        if let Some(interface) = &rule.interface {
            writeln!(out, "interface = {}", quoted(interface))?;
        }
        if let Some(neighbour) = rule.neighbour {
            writeln!(out, "neighbour = {}", quoted(&neighbour.to_string()))?;
        }
        writeln!(out, "demand = {}", quoted(rule.demand.name()))?;
        let admit = rule.admit.iter();
        let admit: Vec<String> = admit
            .map(|((kind, name), admitted)| {
                table((*kind, name), admitted.key.as_ref(), admitted.account.as_ref(), &quoted)
            })
            .collect();
        writeln!(out, "admit = [{}]", admit.join(", "))?;
        if let Some(ours) = &rule.present {
            let table = table((ours.kind, &ours.name), ours.key.as_ref(), None, &quoted);
            writeln!(out, "present = {table}")?;
        }
    }
    Ok(())
}

fn table(
    (kind, name): (IdentityKind, &str),
    key: Option<&IdentityKey>,
    account: Option<&Account>,
    quoted: &impl Fn(&str) -> String,
) -> String {
    let key = key.map(|key| format!(", key = {}", quoted(&key.file.to_string_lossy())));
    let account = account.map(|account| format!(", account = {}", quoted(&account.to_string())));
    let (key, account) = (key.unwrap_or_default(), account.unwrap_or_default());
    format!("{{ {} = {}{key}{account} }}", kind.name(), quoted(name))
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::super::Config;
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, "lcm.toml").map_err(|errors| errors.to_string())
    }

    #[test]
    fn what_is_wrong_with_identities_is_told_where_it_stands() {
        let alice = "{ user = \"alice\", key = \"/k\" }";
        for (text, expected) in [
            (format!("admit = [{alice}]"), "no interface and no neighbour"),
            (format!("interface = \"a\"\nneighbour = \"10.0.0.1\"\nadmit = [{alice}]"), "both"),
            ("interface = \"a\"\ndemand = \"resv\"".to_owned(), "nobody could be let in"),
            (format!("interface = \"a\"\nadmit = [{alice}, {alice}]"), "is there already"),
            ("interface = \"a\"\nadmit = [{ key = \"/k\" }]".to_owned(), "one user or"),
            ("interface = \"a\"\nadmit = [{ user = \"\" }]".to_owned(), "empty name"),
            (
                format!("interface = \"a\"\nadmit = [{{ user = \"{}\" }}]", "x".repeat(254)),
                "too long",
            ),
            ("interface = \"a\"\nadmit = [{ user = \"a\\nb\" }]".to_owned(), "control character"),
            (format!("interface = \"a\"\nadmit = [{}]", alice.replace("/k", "k")), "absolute path"),
            (
                "interface = \"a\"\nadmit = [{ user = \"a\", account = \"b\" }]".to_owned(),
                "KIND:ID",
            ),
            (
                "interface = \"a\"\npresent = { user = \"a\", account = \"nai:b@c\" }".to_owned(),
                "account of our own",
            ),
        ] {
            let errors = parse(&format!("[[identity]]\n{text}\n")).unwrap_err();
            assert!(errors.contains(expected), "{text}: {errors}");
        }
        let twice = format!("[[identity]]\ninterface = \"a\"\nadmit = [{alice}]\n").repeat(2);
        assert!(parse(&twice).unwrap_err().contains("is about the same"));
    }

    #[test]
    fn who_may_be_let_in_must_say_who_it_is() {
        let rule = |text: &str| {
            let text = format!("[[identity]]\ninterface = \"a\"\n{text}");
            parse(&text).unwrap().identities.remove(0)
        };
        assert_eq!(rule("admit = [{ application = \"vic\" }]").demand, Demand::Resv);
        assert_eq!(rule("present = { user = \"us\" }").demand, Demand::None);
    }

    pub(in super::super) fn any_identity() -> impl Strategy<Value = IdentityRule> {
        let name = "[a-z@\"\\\\é]{1,20}";
        let key = proptest::option::of("/[a-z \"\\\\é]{0,40}[a-z]");
        let admit = proptest::collection::btree_map(name, (key.clone(), any::<bool>()), 1..4);
        (any::<IpAddr>(), admit, proptest::option::of((name, key))).prop_map(
            |(neighbour, admit, present)| {
                let key = |file: Option<String>| {
                    file.map(|file| IdentityKey { file: file.into(), secret: None })
                };
                let account = "nai:alice@example.net".parse().unwrap();
                let admitted = |(name, (file, paid)): (String, (Option<String>, bool))| {
                    let account = paid.then(|| Account::clone(&account));
                    ((IdentityKind::User, name), Admitted { key: key(file), account })
                };
                IdentityRule {
                    interface: None,
                    neighbour: Some(neighbour),
                    demand: Demand::Both,
                    admit: admit.into_iter().map(admitted).collect(),
                    present: present.map(|(name, file)| Credential {
                        kind: IdentityKind::Application,
                        name,
                        key: key(file),
                    }),
                }
            },
        )
    }
}
