//! Signed heads: who wrote a journal, and that its history was not rewritten since.
//!
//! A [`Head`] signs the hash of all before it, so whoever holds one (a neighbour with whom it was
//! deposited, a customer with a bill) can tell later whether the journal still says the same. Each
//! [`Key`] names the key of the heads that follow, and is signed by the key before it; every file
//! begins by naming the key anew, signed by itself, so that it can be checked alone.

use std::{error, fmt};

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use super::frame::Hash;
use super::record::{Body, Head, Key};

const HEAD: &[u8; 16] = b"lcm ledger head\0";
const KEY: &[u8; 16] = b"lcm ledger key\0\0";

/// A public key, Ed25519.
pub type PublicKey = [u8; 32];

/// A key that signs.
pub struct Signer {
    key: SigningKey,
}

impl Signer {
    /// The key of this secret.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self { key: SigningKey::from_bytes(secret) }
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        self.key.verifying_key().to_bytes()
    }

    /// The head of this number, which signs all before it.
    pub fn head(&self, number: u64, before: &Hash, wall_ms: u64) -> Head {
        let signature = self.key.sign(&head_text(number, before, wall_ms));
        Head { signature: halves(signature), wall_ms }
    }

    /// Names another key in the record of this number, or this one anew.
    pub fn names(&self, number: u64, before: &Hash, public: PublicKey) -> Key {
        let signature = self.key.sign(&key_text(number, before, &public));
        Key { public, signature: halves(signature) }
    }

    /// Signs the text of a summary, or of what is exchanged with a neighbour.
    pub(crate) fn sums(&self, text: &[u8]) -> [[u8; 32]; 2] {
        halves(self.key.sign(text))
    }

    /// Names this key as the first one.
    pub fn first(&self) -> Key {
        Key { public: self.public(), signature: [[0; 32]; 2] }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("public", &hex(&self.public())).finish_non_exhaustive()
    }
}

/// Hexadecimal digits of some bytes.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn halves(signature: Signature) -> [[u8; 32]; 2] {
    [*signature.r_bytes(), *signature.s_bytes()]
}

fn head_text(number: u64, before: &Hash, wall_ms: u64) -> Vec<u8> {
    [HEAD.as_slice(), &number.to_be_bytes(), before, &wall_ms.to_be_bytes()].concat()
}

fn key_text(number: u64, before: &Hash, public: &PublicKey) -> Vec<u8> {
    [KEY.as_slice(), &number.to_be_bytes(), before, public].concat()
}

/// What is wrong with a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadSignature {
    /// A head that the key of the journal did not sign.
    Head,
    /// A key that the one before it did not sign.
    Key,
}

impl fmt::Display for BadSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Head => "the head was not signed by the journal's key: somebody else wrote it",
            Self::Key => {
                "the key was not signed by the one before it: \
                 somebody else went on with the journal"
            }
        })
    }
}

impl error::Error for BadSignature {}

/// Checks the signatures of a journal, record by record.
#[derive(Debug, Clone, Default)]
pub struct Signatures {
    key: Option<PublicKey>,
    heads: u64,
    last: Option<u64>,
}

impl Signatures {
    /// Knows no key: the first that the journal names is believed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Believes this key only, and those that it names.
    pub fn of(key: PublicKey) -> Self {
        Self { key: Some(key), ..Self::default() }
    }

    /// Takes the record of this number, and the hash before it.
    ///
    /// # Errors
    ///
    /// If it is a head or a key that the key before it did not sign.
    pub fn check(&mut self, number: u64, before: &Hash, body: &Body) -> Result<(), BadSignature> {
        match body {
            Body::Head(head) => {
                let text = head_text(number, before, head.wall_ms);
                if !self.key.is_some_and(|key| signed(&key, &text, head.signature)) {
                    return Err(BadSignature::Head);
                }
                self.heads = self.heads.saturating_add(1);
                self.last = Some(number);
            }
            Body::Key(key) => {
                let text = key_text(number, before, &key.public);
                if self.key.is_some_and(|known| !signed(&known, &text, key.signature)) {
                    return Err(BadSignature::Key);
                }
                self.key = Some(key.public);
            }
            _ => {}
        }
        Ok(())
    }

    /// The key that signs by now.
    pub fn key(&self) -> Option<PublicKey> {
        self.key
    }

    /// How many heads were checked.
    pub fn heads(&self) -> u64 {
        self.heads
    }

    /// Number of the last one: what comes before it is signed.
    pub fn last(&self) -> Option<u64> {
        self.last
    }
}

/// Whether this key signed this text.
pub(crate) fn signed(key: &PublicKey, text: &[u8], [r, s]: [[u8; 32]; 2]) -> bool {
    VerifyingKey::from_bytes(key)
        .is_ok_and(|key| key.verify_strict(text, &Signature::from_components(r, s)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_checked_with_the_key_before_them() {
        let signer = Signer::new(&[1; 32]);
        let before = [7; 32];
        let head = signer.head(5, &before, 9);
        let mut seen = Signatures::new();
        assert_eq!(seen.check(5, &before, &Body::Head(head.clone())), Err(BadSignature::Head));
        seen.check(1, &before, &Body::Key(signer.first())).unwrap();
        seen.check(5, &before, &Body::Head(head.clone())).unwrap();
        assert_eq!((seen.heads(), seen.last()), (1, Some(5)));
        assert!(seen.check(6, &before, &Body::Head(head.clone())).is_err(), "another place");
        assert!(seen.check(5, &[8; 32], &Body::Head(head.clone())).is_err(), "another history");
        let later = Head { wall_ms: 10, ..head };
        assert!(seen.check(5, &before, &Body::Head(later)).is_err(), "another time");
    }

    #[test]
    fn a_key_is_named_by_the_one_before_it() {
        let (old, new) = (Signer::new(&[1; 32]), Signer::new(&[2; 32]));
        let before = [7; 32];
        let mut seen = Signatures::of(old.public());
        assert_eq!(seen.check(2, &before, &Body::Key(new.first())), Err(BadSignature::Key));
        let own = new.names(2, &before, new.public());
        assert_eq!(seen.check(2, &before, &Body::Key(own)), Err(BadSignature::Key));
        let named = old.names(2, &before, new.public());
        assert_eq!(seen.check(3, &before, &Body::Key(named.clone())), Err(BadSignature::Key));
        seen.check(2, &before, &Body::Key(named)).unwrap();
        assert!(seen.check(3, &before, &Body::Head(old.head(3, &before, 0))).is_err());
        seen.check(3, &before, &Body::Head(new.head(3, &before, 0))).unwrap();
    }
}
