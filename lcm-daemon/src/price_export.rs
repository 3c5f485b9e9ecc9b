//! What each link charges, for routing daemons that look for the cheapest way (paper section 5): a
//! file that is replaced as a whole whenever something in it changes. `docs/price-export.md` has its
//! format.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::engine::show::InterfaceState;
use crate::engine::{Instant, Span};

/// Version of the format: raised when a field changes its meaning or goes.
const VERSION: u32 = 1;
/// The file is looked at no more often than this.
const PERIOD: Span = Span::from_millis(1_000);

/// One link, seen from this node: what data that leaves by it costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Link<'a> {
    interface: &'a str,
    index: u32,
    up: bool,
    addresses: &'a [String],
    /// L, in 10⁻¹² currency units per second; where it goes by what is reserved, `tariff` says how.
    price: u64,
    max_price: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tariff: Option<&'a str>,
    tariff_version: u32,
    validity_ms: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    reservable_bits_per_s: Option<u64>,
    reserved_bits_per_s: u64,
}

/// The file's content.
#[derive(Debug, Serialize)]
struct Document<'a> {
    version: u32,
    node: &'a str,
    currency: Option<&'a str>,
    /// Decimal exponent of prices: 10⁻¹² currency units per second.
    exponent: i8,
    links: Vec<Link<'a>>,
}

/// The links that charge, as text.
fn document(node: &str, currency: Option<&str>, interfaces: &[InterfaceState]) -> String {
    let charging = interfaces.iter().filter(|interface| interface.rsvp && interface.charging);
    let links = charging.map(|interface| Link {
        interface: &interface.name,
        index: interface.index,
        up: interface.up,
        addresses: &interface.addresses,
        price: interface.price,
        max_price: interface.max_price,
        tariff: interface.tariff.as_deref(),
        tariff_version: interface.tariff_version,
        validity_ms: interface.validity_ms,
        reservable_bits_per_s: interface.reservable_bits_per_s,
        reserved_bits_per_s: interface.reserved_bits_per_s,
    });
    let document =
        Document { version: VERSION, node, currency, exponent: -12, links: links.collect() };
    // Strings and numbers can be written.
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}

/// Replaces a file as a whole: who reads it sees the old one or the new one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let mut file = fs::File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    drop(file);
    fs::rename(&beside, path)
}

/// Keeps the file up to date.
#[derive(Debug)]
pub(crate) struct PriceExport {
    path: Option<PathBuf>,
    node: String,
    currency: Option<&'static str>,
    written: String,
    next: Instant,
    pending: bool,
    failed: bool,
}

impl PriceExport {
    /// Nothing is written yet, or ever without a path.
    pub(crate) fn new(
        path: Option<PathBuf>,
        node: &str,
        currency: Option<&'static str>,
    ) -> PriceExport {
        PriceExport {
            path,
            node: node.to_owned(),
            currency,
            written: String::new(),
            next: Instant::default(),
            pending: false,
            failed: false,
        }
    }

    /// Looks whether something has changed, unless it has just been looked.
    pub(crate) fn look(&mut self, now: Instant, interfaces: impl FnOnce() -> Vec<InterfaceState>) {
        let Some(path) = &self.path else { return };
        if now < self.next {
            self.pending = true;
            return;
        }
        self.pending = false;
        self.next = now + PERIOD;
        let text = document(&self.node, self.currency, &interfaces());
        if text == self.written {
            return;
        }
        match replace(path, &text) {
            Ok(()) => {
                self.written = text;
                self.failed = false;
            }
            Err(error) => {
                if !self.failed {
                    let path = path.display();
                    tracing::error!(
                        "daemon.price_export = {path} cannot be written: {error}; \
                         it is tried again when something changes"
                    );
                }
                self.failed = true;
            }
        }
    }

    /// When to look again though nothing else happens.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.pending.then_some(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(price: u64) -> InterfaceState {
        InterfaceState {
            index: 3,
            name: "eth1".to_owned(),
            up: true,
            mtu: 1_500,
            addresses: vec!["192.0.2.1/24".to_owned()],
            rsvp: true,
            charging: true,
            price,
            max_price: 500,
            price_at_admission: None,
            tariff: None,
            tariff_version: 2,
            split: "{ kind = \"equal\" }".to_owned(),
            split_version: 0,
            refresh_ms: 30_000,
            reservable_bits_per_s: Some(1_000_000),
            reserved_bits_per_s: 80_000,
            validity_ms: 60_000,
        }
    }

    fn read(path: &Path) -> serde_json::Value {
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    }

    #[test]
    fn r113_the_prices_of_all_links_can_be_read_and_follow_what_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prices.json");
        let mut export = PriceExport::new(Some(path.clone()), "IS2", Some("EUR"));
        let at = Instant::from_millis;
        let idle = InterfaceState { charging: false, ..interface(9) };
        export.look(at(5_000), || vec![interface(100), idle.clone()]);
        let read_first = read(&path);
        assert_eq!(read_first["version"], 1);
        assert_eq!((&read_first["node"], &read_first["currency"]), (&"IS2".into(), &"EUR".into()));
        assert_eq!(read_first["links"].as_array().unwrap().len(), 1, "only links that charge");
        let link = &read_first["links"][0];
        for (key, value) in [("price", 100), ("max_price", 500), ("reserved_bits_per_s", 80_000)] {
            assert_eq!(link[key], value, "{key}");
        }
        // A change within the second is not lost: it is looked at again.
        export.look(at(5_400), || panic!("it has just been looked"));
        assert_eq!(export.due(), Some(at(6_000)));
        let before = fs::metadata(&path).unwrap();
        export.look(at(6_000), || vec![interface(140), idle.clone()]);
        assert_eq!((read(&path)["links"][0]["price"].clone(), export.due()), (140.into(), None));
        use std::os::unix::fs::MetadataExt;
        assert_ne!(before.ino(), fs::metadata(&path).unwrap().ino(), "replaced, not overwritten");
        // What is the same is not written again.
        fs::remove_file(&path).unwrap();
        export.look(at(9_000), || vec![interface(140), idle]);
        assert!(!path.exists());
    }
}
