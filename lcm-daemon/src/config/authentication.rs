//! `[[authentication]]`: which interfaces and neighbours are secured, and with which keys
//! (RFC 2747 sections 2.2 and 5).

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rsvp_wire::digest::Algorithm;
use serde::Deserialize;
use toml::Spanned;
use toml::value::Datetime;

use super::check::{number, or};
use super::problem::Problems;
use super::raw::Given;
use super::when::{text_of, unix_seconds};

/// How many messages out of order are tolerated, by default.
pub const DEFAULT_WINDOW: u32 = 32;
/// Largest window: so many numbers are remembered of each sending system and key.
pub const WINDOW_MAX: u32 = 1_024;
/// Whether sequence numbers are asked for before anything is accepted.
pub const DEFAULT_HANDSHAKE: Handshake = Handshake::IfOffered;
/// Largest key identifier: 48 bits.
const KEY_ID_MAX: u64 = (1 << 48) - 1;
/// Longest interface name in bytes (netdevice(7)).
const NAME_BYTES_MAX: usize = 15;
/// Keys of one table: a digest is computed for one of them only, but the operator reads them all.
const KEYS_MAX: usize = 64;

/// A secured interface or neighbour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authentication {
    /// The interface by its name; with a neighbour as well only where `policy` is set.
    pub interface: Option<String>,
    /// The neighbour, by the address in its RSVP_HOP.
    pub neighbour: Option<IpAddr>,
    /// It is about POLICY_DATA objects, and the neighbour is a charging one, however many
    /// policy-ignorant routers lie between (RFC 2750 section 3.2); else about whole messages.
    pub policy: bool,
    /// What is sent is signed.
    pub sign: bool,
    /// What comes without a digest is dropped. A wrong digest never passes.
    pub demand: bool,
    /// Whether a sending system is asked for its sequence number first (RFC 2747 section 4.3).
    pub handshake: Handshake,
    /// How many of the last sequence numbers are remembered: 1 tolerates no disorder.
    pub window: u32,
    /// The keys; at least one.
    pub keys: Vec<Key>,
}

/// Whether a sending system is asked for its sequence number before it is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Handshake {
    /// Never, and challenges of others are not answered: the first message sets the number.
    Off,
    /// If it says that it answers; if not, its first message sets the number.
    IfOffered,
    /// Always: a system that does not answer is not accepted.
    Required,
}

impl Handshake {
    /// The choice's name in configuration files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::IfOffered => "if_offered",
            Self::Required => "required",
        }
    }
}

/// What a key is for: associations are simplex, though most keys serve both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyUse {
    /// Signs and verifies.
    Both,
    /// Signs what is sent.
    Send,
    /// Verifies what is received.
    Receive,
}

impl KeyUse {
    fn name(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Send => "send",
            Self::Receive => "receive",
        }
    }
}

/// One key of an association.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Key identifier, 48 bits.
    pub id: u64,
    /// The hash under the HMAC.
    pub algorithm: Algorithm,
    /// Where the secret stands.
    pub file: PathBuf,
    /// What it is for.
    pub usage: KeyUse,
    /// KeyStartValid in seconds since 1970.
    pub start: Option<u64>,
    /// KeyEndValid in seconds since 1970.
    pub end: Option<u64>,
    /// The secret, once its file was read.
    pub secret: Option<Secret>,
}

/// A secret that no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<[u8]>);

impl Secret {
    /// Keeps these bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "secret of {} bytes", self.0.len())
    }
}

/// `[[authentication]]` as it stands in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    interface: Given<String>,
    neighbour: Given<String>,
    policy: Given<bool>,
    sign: Given<bool>,
    demand: Given<bool>,
    handshake: Given<Handshake>,
    window: Given<u64>,
    keys: Given<Vec<Spanned<RawKey>>>,
}

/// `{ id = …, algorithm = …, file = … }`
#[derive(Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table such as { id = 1, algorithm = \"hmac-sha256\", file = \"/etc/lcm/keys/1\" }"
)]
struct RawKey {
    id: Given<u64>,
    algorithm: Given<String>,
    file: Given<String>,
    #[serde(rename = "use")]
    usage: Given<KeyUse>,
    start: Given<Datetime>,
    end: Given<Datetime>,
}

pub(super) fn check(tables: Vec<Spanned<Raw>>, problems: &mut Problems<'_>) -> Vec<Authentication> {
    let mut all: Vec<Authentication> = Vec::new();
    for table in tables {
        let place = table.span();
        let Some(new) = one(table.into_inner(), place.clone(), problems) else { continue };
        let scope = |a: &Authentication| (a.policy, a.neighbour, a.interface.clone());
        if all.iter().any(|old| scope(old) == scope(&new)) {
            problems.at(
                place,
                "another [[authentication]] is about the same".to_owned(),
                "put all keys of an interface or neighbour into one table".to_owned(),
            );
        }
        all.push(new);
    }
    all
}

fn one(
    raw: Raw,
    place: std::ops::Range<usize>,
    problems: &mut Problems<'_>,
) -> Option<Authentication> {
    let policy = or(raw.policy, false);
    let interface = raw.interface.and_then(|given| interface(given, problems));
    let neighbour = raw.neighbour.and_then(|given| neighbour(given, problems));
    let what = match (&interface, neighbour, policy) {
        (None, None, _) => Some("it is about no interface and no neighbour"),
        (Some(_), Some(_), false) => Some("it names both an interface and a neighbour"),
        _ => None,
    };
    if let Some(what) = what {
        let remedy = "name one: interface = \"eth0\", or neighbour = \"192.0.2.1\"".to_owned();
        problems.at(place.clone(), what.to_owned(), remedy);
        return None;
    }
    let keys = raw.keys.map(|given| keys(given, problems)).unwrap_or_default();
    if keys.is_empty() {
        problems.missing(
            place,
            "authentication.keys".to_owned(),
            "nothing can be signed or verified without a key",
            "add keys = [{ id = 1, algorithm = \"hmac-sha256\", file = \"/etc/lcm/keys/1\" }]",
        );
    }
    Some(Authentication {
        interface,
        neighbour,
        policy,
        sign: or(raw.sign, true),
        demand: or(raw.demand, true),
        handshake: or(raw.handshake, DEFAULT_HANDSHAKE),
        window: number(raw.window.as_ref(), DEFAULT_WINDOW, 1..=WINDOW_MAX, " messages", problems),
        keys,
    })
}

pub(super) fn interface(given: Spanned<String>, problems: &mut Problems<'_>) -> Option<String> {
    let name = given.get_ref();
    let strange = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.contains(strange) {
        return Some(given.into_inner());
    }
    problems.at(
        given.span(),
        "not the name of an interface".to_owned(),
        format!("write 1 to {NAME_BYTES_MAX} bytes as `ip link` shows them, without / and :"),
    );
    None
}

pub(super) fn neighbour(given: Spanned<String>, problems: &mut Problems<'_>) -> Option<IpAddr> {
    let address = given.get_ref().parse().ok();
    if address.is_none() {
        let remedy = "write an IPv4 or IPv6 address, as in \"192.0.2.1\"".to_owned();
        problems.at(given.span(), "not an address".to_owned(), remedy);
    }
    address
}

fn keys(given: Spanned<Vec<Spanned<RawKey>>>, problems: &mut Problems<'_>) -> Vec<Key> {
    let place = given.span();
    let mut ids = BTreeSet::new();
    let mut keys = Vec::new();
    for raw in given.into_inner() {
        let span = raw.span();
        let Some(key) = key(raw, problems) else { continue };
        if !ids.insert(key.id) {
            let remedy = "a receiver tells keys apart by their id: give each its own".to_owned();
            problems.at(span, format!("two keys have the id {}", key.id), remedy);
        }
        keys.push(key);
    }
    if keys.len() > KEYS_MAX {
        let remedy = "remove those that are out of date".to_owned();
        problems.at(place, format!("more than {KEYS_MAX} keys"), remedy);
    }
    keys
}

fn key(given: Spanned<RawKey>, problems: &mut Problems<'_>) -> Option<Key> {
    let place = given.span();
    let raw = given.into_inner();
    let (Some(id), Some(algorithm), Some(file)) = (&raw.id, raw.algorithm, raw.file) else {
        let what = "a key needs an id, an algorithm and a file".to_owned();
        let remedy =
            "write { id = 1, algorithm = \"hmac-sha256\", file = \"/etc/lcm/keys/1\" }".to_owned();
        problems.at(place, what, remedy);
        return None;
    };
    let id = number(Some(id), 0, 0..=KEY_ID_MAX, " (48 bits)", problems);
    let known = [Algorithm::HmacMd5, Algorithm::HmacSha1, Algorithm::HmacSha256];
    let found = known.into_iter().find(|known| known.name() == algorithm.get_ref());
    let Some(found) = found else {
        problems.at(
            algorithm.span(),
            "not an algorithm of ours".to_owned(),
            "write \"hmac-sha256\", \"hmac-sha1\" or \"hmac-md5\"".to_owned(),
        );
        return None;
    };
    if !Path::new(file.get_ref()).is_absolute() || file.get_ref().contains('\0') {
        let remedy = "write a path such as \"/etc/lcm/keys/1\"".to_owned();
        problems.at(file.span(), "not an absolute path".to_owned(), remedy);
        return None;
    }
    let start = raw.start.and_then(|given| instant(&given, problems));
    let end = raw.end.and_then(|given| instant(&given, problems));
    if let (Some(start), Some(end)) = (start, end)
        && start >= end
    {
        let remedy = "let the lifetime end after it starts".to_owned();
        problems.at(place, format!("key {id} is never valid"), remedy);
    }
    Some(Key {
        id,
        algorithm: found,
        file: PathBuf::from(file.into_inner()),
        usage: or(raw.usage, KeyUse::Both),
        start,
        end,
        secret: None,
    })
}

fn instant(given: &Spanned<Datetime>, problems: &mut Problems<'_>) -> Option<u64> {
    let found = unix_seconds(given.get_ref());
    if found.is_none() {
        problems.at(
            given.span(),
            "not an instant".to_owned(),
            "write date, time and zone without quotes, as in 2026-12-01T00:00:00Z".to_owned(),
        );
    }
    found
}

pub(super) fn render(
    out: &mut String,
    all: &[Authentication],
    quoted: impl Fn(&str) -> String,
) -> fmt::Result {
    for one in all {
        writeln!(out, "\n[[authentication]]")?;
        if let Some(interface) = &one.interface {
            writeln!(out, "interface = {}", quoted(interface))?;
        }
        if let Some(neighbour) = one.neighbour {
            writeln!(out, "neighbour = {}", quoted(&neighbour.to_string()))?;
        }
        writeln!(out, "policy = {}", one.policy)?;
        writeln!(out, "sign = {}", one.sign)?;
        writeln!(out, "demand = {}", one.demand)?;
        writeln!(out, "handshake = {}", quoted(one.handshake.name()))?;
        writeln!(out, "window = {}", one.window)?;
        let keys: Vec<String> = one.keys.iter().map(|key| key_table(key, &quoted)).collect();
        writeln!(out, "keys = [{}]", keys.join(", "))?;
    }
    Ok(())
}

fn key_table(key: &Key, quoted: &impl Fn(&str) -> String) -> String {
    let limits = [("start", key.start), ("end", key.end)];
    let limits = limits.into_iter().filter_map(|(name, at)| Some((name, at?)));
    let limits: String = limits.map(|(name, at)| format!(", {name} = {}", text_of(at))).collect();
    format!(
        "{{ id = {}, algorithm = \"{}\", file = {}, use = \"{}\"{limits} }}",
        key.id,
        key.algorithm.name(),
        quoted(&key.file.to_string_lossy()),
        key.usage.name(),
    )
}
