//! Rows for other programs: the same cells as an object of JSON or a line of CSV. Rates and
//! amounts are text, since many readers of JSON would round them.

use std::fmt::Display;
use std::io::{self, Write};

use rsvp_wire::RawObject;
use rsvp_wire::object::{FilterSpec, Session};

use crate::config;
use crate::ledger::record::{AccountId, Neighbour};
use crate::ledger::replay::{Account, name};

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// One JSON object a line; cells without a value are left out.
    Jsonl,
    /// Comma separated values (RFC 4180) under a heading.
    Csv,
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Cell {
    Number(u64),
    Truth(bool),
    Text(String),
}

/// Values by the names of their columns.
#[derive(Debug, Clone)]
pub(super) struct Row {
    columns: &'static [&'static str],
    cells: Vec<Option<Cell>>,
}

impl Row {
    pub(super) fn new(columns: &'static [&'static str]) -> Self {
        Self { columns, cells: vec![None; columns.len()] }
    }

    fn put(mut self, column: &str, cell: Cell) -> Self {
        let place = self.columns.iter().position(|name| *name == column);
        debug_assert!(place.is_some(), "no column {column}");
        if let Some(slot) = place.and_then(|place| self.cells.get_mut(place)) {
            *slot = Some(cell);
        }
        self
    }

    pub(super) fn number(self, column: &str, value: impl Into<u64>) -> Self {
        self.put(column, Cell::Number(value.into()))
    }

    pub(super) fn truth(self, column: &str, value: bool) -> Self {
        self.put(column, Cell::Truth(value))
    }

    pub(super) fn text(self, column: &str, value: impl Display) -> Self {
        self.put(column, Cell::Text(value.to_string()))
    }

    pub(super) fn neighbour(self, neighbour: &Neighbour) -> Self {
        self.number("interface", neighbour.interface).text("neighbour", neighbour.address)
    }

    /// Writes the heading, where the format has one.
    pub(super) fn heading(
        out: &mut impl Write,
        format: Format,
        columns: &[&str],
    ) -> io::Result<()> {
        if format == Format::Csv { writeln!(out, "{}", columns.join(",")) } else { Ok(()) }
    }

    pub(super) fn write(&self, out: &mut impl Write, format: Format) -> io::Result<()> {
        match format {
            Format::Jsonl => self.jsonl(out),
            Format::Csv => self.csv(out),
        }
    }

    fn jsonl(&self, out: &mut impl Write) -> io::Result<()> {
        let mut before = "{";
        for (column, cell) in self.columns.iter().zip(&self.cells) {
            let Some(cell) = cell else { continue };
            write!(out, "{before}\"{column}\":")?;
            match cell {
                Cell::Number(number) => write!(out, "{number}")?,
                Cell::Truth(truth) => write!(out, "{truth}")?,
                Cell::Text(text) => serde_json::to_writer(&mut *out, text)?,
            }
            before = ",";
        }
        writeln!(out, "{}", if before == "{" { "{}" } else { "}" })
    }

    fn csv(&self, out: &mut impl Write) -> io::Result<()> {
        for (place, cell) in self.cells.iter().enumerate() {
            if place > 0 {
                out.write_all(b",")?;
            }
            match cell {
                None => {}
                Some(Cell::Number(number)) => write!(out, "{number}")?,
                Some(Cell::Truth(truth)) => write!(out, "{truth}")?,
                Some(Cell::Text(text)) if text.contains([',', '"', '\n', '\r']) => {
                    write!(out, "\"{}\"", text.replace('"', "\"\""))?;
                }
                Some(Cell::Text(text)) => out.write_all(text.as_bytes())?,
            }
        }
        out.write_all(b"\n")
    }
}

/// An account as a line names it.
pub(super) fn account(account: &Account) -> String {
    match account {
        Account::Own(payment) => format!("own {}", name(*payment)),
        Account::Neighbour(Neighbour { interface, address }, None) => {
            format!("{address} on {interface}")
        }
        Account::Neighbour(Neighbour { interface, address }, Some(id)) => {
            format!("{address} on {interface}, {}", account_id(id))
        }
    }
}

/// An account's identifier as KIND:ID; a kind that has no name by its number, and the id in
/// hexadecimal digits.
pub(super) fn account_id(id: &AccountId) -> String {
    use config::AccountKind::{Ipv4, Ipv6, KeyHash, Nai, Opaque, Uri};
    let kinds = [Opaque, Nai, Ipv4, Ipv6, KeyHash, Uri];
    match kinds.into_iter().find(|kind| kind.id_type() == id.kind) {
        Some(kind) => config::Account { kind, id: id.id.to_vec() }.to_string(),
        None => format!("{}:{}", id.kind, hex(&id.id)),
    }
}

/// A SESSION object in words, or in hexadecimal digits if it is none.
pub(super) fn session(bytes: &[u8]) -> String {
    let decoded = object(bytes).and_then(|raw| Session::decode(&raw).ok());
    decoded.map_or_else(
        || hex(bytes),
        |session| {
            let address = session.destination;
            match (session.protocol, address, session.destination_port) {
                (17, std::net::IpAddr::V4(v4), port) => format!("udp:{v4}:{port}"),
                (17, std::net::IpAddr::V6(v6), port) => format!("udp:[{v6}]:{port}"),
                (protocol, std::net::IpAddr::V4(v4), port) => format!("{protocol}:{v4}:{port}"),
                (protocol, std::net::IpAddr::V6(v6), port) => format!("{protocol}:[{v6}]:{port}"),
            }
        },
    )
}

/// A FILTER_SPEC object in words, or in hexadecimal digits if it is none.
pub(super) fn sender(bytes: &[u8]) -> String {
    let decoded = object(bytes).and_then(|raw| FilterSpec::decode(&raw).ok());
    decoded.map_or_else(|| hex(bytes), |FilterSpec(filter)| filter.to_string())
}

fn object(bytes: &[u8]) -> Option<RawObject<'_>> {
    let (&[_, _, class, ctype], body) = bytes.split_first_chunk::<4>()?;
    Some(RawObject { class, ctype, offset: 0, body, bytes })
}

pub(super) fn hex(bytes: &[u8]) -> String {
    crate::ledger::sign::hex(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[&str] = &["a", "b", "c"];

    fn written(row: &Row, format: Format) -> String {
        let mut out = Vec::new();
        Row::heading(&mut out, format, COLUMNS).unwrap();
        row.write(&mut out, format).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn rows_are_written_in_both_formats() {
        let row = Row::new(COLUMNS).number("a", 7_u64).text("c", "x,\"y\"\n");
        assert_eq!(written(&row, Format::Csv), "a,b,c\n7,,\"x,\"\"y\"\"\n\"\n");
        assert_eq!(written(&row, Format::Jsonl), "{\"a\":7,\"c\":\"x,\\\"y\\\"\\n\"}\n");
        let row = Row::new(COLUMNS).truth("b", true);
        assert_eq!(written(&row, Format::Csv), "a,b,c\n,true,\n");
        assert_eq!(written(&Row::new(COLUMNS), Format::Jsonl), "{}\n");
    }

    #[test]
    fn flows_and_accounts_are_told_in_words() {
        let bytes = [0, 12, 1, 1, 239, 1, 2, 3, 17, 0, 0x13, 0x88];
        assert_eq!(session(&bytes), "udp:239.1.2.3:5000");
        assert_eq!(session(&[1, 2]), "0102");
        assert_eq!(sender(&[0, 12, 10, 1, 10, 0, 0, 1, 0, 0, 0x13, 0x88]), "10.0.0.1:5000");
        let id = |kind, id: &[u8]| account_id(&AccountId { kind, id: Box::from(id) });
        assert_eq!(id(config::AccountKind::Nai.id_type(), b"a@b.example"), "nai:a@b.example");
        assert_eq!(id(99, &[0xab]), "99:ab");
    }
}
