//! Who holds an account.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::config::{Account, AccountKind};
use crate::ledger::record::AccountId;

/// Who holds an account: a customer by the ACCOUNT that its UCPEs name, whatever hop they come
/// from, or a neighbour by its address, whatever it names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Holder {
    /// A customer.
    Customer(AccountId),
    /// A neighbour.
    Neighbour(IpAddr),
}

/// The kind that stands for a neighbour in the text of an account.
const NEIGHBOUR: &str = "neighbour";

impl Holder {
    /// The customer of this account.
    #[must_use]
    pub fn customer(kind: u8, id: &[u8]) -> Self {
        Self::Customer(AccountId { kind, id: id.into() })
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Neighbour(address) => write!(f, "{NEIGHBOUR}:{address}"),
            Self::Customer(AccountId { kind, id }) => {
                match AccountKind::ALL.into_iter().find(|known| known.id_type() == *kind) {
                    Some(kind) => Account { kind, id: id.to_vec() }.fmt(f),
                    None => write!(f, "{kind}:{}", String::from_utf8_lossy(id)),
                }
            }
        }
    }
}

/// Reads `KIND:ID`, as `nai:alice@example.net`, or `neighbour:ADDRESS`.
impl FromStr for Holder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((NEIGHBOUR, address)) = text.split_once(':') {
            let address = address.parse().map_err(|_| {
                format!("account {text:?}: not an address such as {NEIGHBOUR}:192.0.2.1")
            })?;
            return Ok(Self::Neighbour(address));
        }
        let account: Account =
            text.parse().map_err(|what| format!("{what}; or write {NEIGHBOUR}:ADDRESS"))?;
        Ok(Self::customer(account.kind.id_type(), &account.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_of_each_kind_are_read_as_they_are_written() {
        let hash = format!("key_hash:{}", "0f".repeat(32));
        let texts = [
            "opaque:isp-7",
            "nai:alice@example.net",
            "ipv4:192.0.2.1",
            "ipv6:2001:db8::1",
            &hash,
            "uri:sip:alice@example.net",
            "neighbour:192.0.2.1",
            "neighbour:2001:db8::1",
        ];
        for text in texts {
            assert_eq!(text.parse::<Holder>().unwrap().to_string(), text);
        }
        for text in ["", "alice", "nai:", "neighbour:alice", "ipv4:2001:db8::1"] {
            assert!(text.parse::<Holder>().is_err(), "{text:?}");
        }
    }
}
