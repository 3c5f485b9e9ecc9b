//! Accounts and currencies, as configuration and command line spell them and the wire carries them.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::Deserialize;

/// Longest account id in bytes: that of a NAI (RFC 7542 section 2.3). Keeps a UCPE with its
/// ACCOUNT small beside the message that carries it.
pub const ACCOUNT_ID_BYTES_MAX: usize = 253;

/// Bytes of a SHA-256 key hash.
const KEY_HASH_BYTES: usize = 32;

/// What kind of name an account id is: the `id_type` of the ACCOUNT TLV.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountKind {
    /// Whatever the two neighbours agreed on.
    Opaque,
    /// A network access identifier, `user@realm` (RFC 7542).
    Nai,
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// A SHA-256 hash of a public key, written as 64 hexadecimal digits.
    KeyHash,
    /// A SIP or tel URI.
    Uri,
}

impl AccountKind {
    /// Every kind, in the order of [`id_type`](AccountKind::id_type).
    pub const ALL: [AccountKind; 6] = [
        AccountKind::Opaque,
        AccountKind::Nai,
        AccountKind::Ipv4,
        AccountKind::Ipv6,
        AccountKind::KeyHash,
        AccountKind::Uri,
    ];

    /// The code in the ACCOUNT TLV's `id_type` byte, 1 to 6.
    #[must_use]
    pub fn id_type(self) -> u8 {
        match self {
            AccountKind::Opaque => 1,
            AccountKind::Nai => 2,
            AccountKind::Ipv4 => 3,
            AccountKind::Ipv6 => 4,
            AccountKind::KeyHash => 5,
            AccountKind::Uri => 6,
        }
    }

    /// The kind's name in configuration files and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            AccountKind::Opaque => "opaque",
            AccountKind::Nai => "nai",
            AccountKind::Ipv4 => "ipv4",
            AccountKind::Ipv6 => "ipv6",
            AccountKind::KeyHash => "key_hash",
            AccountKind::Uri => "uri",
        }
    }
}

impl fmt::Display for AccountKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An account that pays.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account {
    /// What kind of name `id` is.
    pub kind: AccountKind,
    /// The id as it stands in the ACCOUNT TLV: text in UTF-8, addresses in 4 or 16 bytes, a key
    /// hash in 32; 1 to [`ACCOUNT_ID_BYTES_MAX`] bytes.
    pub id: Vec<u8>,
}

impl Account {
    /// Reads an account id as an operator writes it.
    ///
    /// # Errors
    ///
    /// If the text is no id of that kind: what was expected.
    pub fn new(kind: AccountKind, text: &str) -> Result<Account, String> {
        let id = match kind {
            AccountKind::Opaque => text.as_bytes().to_vec(),
            AccountKind::Nai => checked_nai(text)?,
            AccountKind::Uri => checked_uri(text)?,
            AccountKind::Ipv4 => text
                .parse::<Ipv4Addr>()
                .map_err(|_| "not an IPv4 address such as 192.0.2.1".to_owned())?
                .octets()
                .to_vec(),
            AccountKind::Ipv6 => text
                .parse::<Ipv6Addr>()
                .map_err(|_| "not an IPv6 address such as 2001:db8::1".to_owned())?
                .octets()
                .to_vec(),
            AccountKind::KeyHash => key_hash(text)
                .ok_or_else(|| "not a SHA-256 hash: 64 hexadecimal digits".to_owned())?,
        };
        if id.is_empty() || id.len() > ACCOUNT_ID_BYTES_MAX {
            return Err(format!(
                "{} bytes long; an account id has 1 to {ACCOUNT_ID_BYTES_MAX}",
                id.len()
            ));
        }
        Ok(Account { kind, id })
    }

    /// The id as an operator writes it; bytes of an opaque id that are no text are replaced.
    #[must_use]
    pub fn id_text(&self) -> String {
        match (self.kind, self.id.as_slice()) {
            (AccountKind::Ipv4, &[a, b, c, d]) => Ipv4Addr::new(a, b, c, d).to_string(),
            (AccountKind::Ipv6, id) => match <[u8; 16]>::try_from(id) {
                Ok(octets) => Ipv6Addr::from(octets).to_string(),
                Err(_) => hex(id),
            },
            (AccountKind::Ipv4 | AccountKind::KeyHash, id) => hex(id),
            (_, id) => String::from_utf8_lossy(id).into_owned(),
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.id_text())
    }
}

/// Reads `KIND:ID`, for example `nai:alice@example.net`; text without a known kind is refused.
impl FromStr for Account {
    type Err = String;

    fn from_str(text: &str) -> Result<Account, String> {
        let (name, id) = text.split_once(':').unwrap_or((text, ""));
        let kind =
            AccountKind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
                let names: Vec<&str> =
                    AccountKind::ALL.into_iter().map(AccountKind::name).collect();
                format!(
                    "{text:?} is no account; write KIND:ID with KIND one of {}",
                    names.join(", ")
                )
            })?;
        Account::new(kind, id).map_err(|what| format!("account {text:?}: {what}"))
    }
}

fn checked_nai(text: &str) -> Result<Vec<u8>, String> {
    let well_formed = match text.split_once('@') {
        Some((_, realm)) => !realm.is_empty() && !realm.contains('@'),
        None => !text.is_empty(),
    };
    if well_formed && !text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        Ok(text.as_bytes().to_vec())
    } else {
        Err("not a NAI such as alice@example.net (RFC 7542)".to_owned())
    }
}

fn checked_uri(text: &str) -> Result<Vec<u8>, String> {
    let known = ["sip:", "sips:", "tel:"]
        .iter()
        .any(|scheme| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()));
    if known && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.as_bytes().to_vec())
    } else {
        Err("not a SIP or tel URI such as sip:alice@example.net".to_owned())
    }
}

fn key_hash(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let bytes: Vec<u8> = digits?
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| (byte << 4) | digit))
        .collect();
    (text.len() == 2 * KEY_HASH_BYTES).then_some(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A currency of ISO 4217.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// XXX, "no currency"; no configuration holds it.
    pub(super) const NONE: Currency = Currency(iso_currency::Currency::XXX);

    /// The currency of three capital letters, such as `EUR`; XXX is none.
    #[must_use]
    pub fn from_alphabetic(letters: &str) -> Option<Currency> {
        iso_currency::Currency::from_code(letters).map(Currency).filter(|c| *c != Currency::NONE)
    }

    /// The currency of a numeric code, such as 978; 999 is none.
    #[must_use]
    pub fn from_numeric(number: u16) -> Option<Currency> {
        iso_currency::Currency::from_numeric(number).map(Currency).filter(|c| *c != Currency::NONE)
    }

    /// Digits of its amounts behind the point; two where ISO 4217 says nothing.
    #[must_use]
    pub fn digits(self) -> u32 {
        self.0.exponent().map_or(2, u32::from)
    }

    /// The numeric code, as DCPE, UCPE and CHG_ERR carry it.
    #[must_use]
    pub fn numeric(self) -> u16 {
        self.0.numeric()
    }

    /// The three letters.
    #[must_use]
    pub fn alphabetic(self) -> &'static str {
        self.0.code()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.alphabetic())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_are_read_by_kind() {
        for (kind, text, id) in [
            (AccountKind::Opaque, "isp-7", b"isp-7".to_vec()),
            (AccountKind::Nai, "alice@example.net", b"alice@example.net".to_vec()),
            (AccountKind::Ipv4, "192.0.2.1", vec![192, 0, 2, 1]),
            (AccountKind::Ipv6, "::1", [vec![0; 15], vec![1]].concat()),
            (AccountKind::KeyHash, &"0aF1".repeat(16), [0x0a, 0xf1].repeat(16)),
            (AccountKind::Uri, "tel:+4961511234", b"tel:+4961511234".to_vec()),
        ] {
            let account = Account::new(kind, text).unwrap();
            assert_eq!((account.kind, &account.id), (kind, &id));
            assert_eq!(account.to_string().parse::<Account>().unwrap(), account);
        }
    }

    #[test]
    fn bad_ids_are_refused() {
        for (kind, text) in [
            (AccountKind::Opaque, String::new()),
            (AccountKind::Opaque, "x".repeat(ACCOUNT_ID_BYTES_MAX + 1)),
            (AccountKind::Nai, "alice@".to_owned()),
            (AccountKind::Nai, "a@b@c".to_owned()),
            (AccountKind::Nai, "a b@c".to_owned()),
            (AccountKind::Ipv4, "192.0.2".to_owned()),
            (AccountKind::Ipv6, "192.0.2.1".to_owned()),
            (AccountKind::KeyHash, "ab".repeat(31)),
            (AccountKind::KeyHash, "g".repeat(64)),
            (AccountKind::KeyHash, "é".repeat(32)),
            (AccountKind::Uri, "http://example.net".to_owned()),
            (AccountKind::Uri, "sip:".to_owned()),
        ] {
            assert!(Account::new(kind, &text).is_err(), "{kind} {text:?}");
        }
        assert!("alice@example.net".parse::<Account>().is_err());
        assert!("bank:1".parse::<Account>().is_err());
    }

    #[test]
    fn id_types_are_those_of_the_wire() {
        let codes: Vec<u8> = AccountKind::ALL.into_iter().map(AccountKind::id_type).collect();
        assert_eq!(codes, [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn currencies_by_letters_and_number() {
        let euro = Currency::from_alphabetic("EUR").unwrap();
        assert_eq!((euro.numeric(), euro.alphabetic()), (978, "EUR"));
        assert_eq!(Currency::from_numeric(978), Some(euro));
        assert_eq!(Currency::from_alphabetic("eur"), None);
        assert_eq!(Currency::from_numeric(1), None);
    }

    proptest! {
        #[test]
        fn any_key_hash_survives(hash in proptest::array::uniform32(any::<u8>())) {
            let account = Account::new(AccountKind::KeyHash, &hex(&hash)).unwrap();
            prop_assert_eq!(account.id, hash.to_vec());
        }
    }
}
