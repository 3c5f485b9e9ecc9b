//! Decoding and encoding beside the cost of checksumming the same bytes.
//!
//! `cargo bench -p rsvp-wire` prints a table; the decode rows are to stay within 4 times the
//! checksum row of the same message. Decoding includes the checksum and all validation.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use divan::{Bencher, black_box};
use rsvp_wire::charging::{Account, AccountKind, DCPE_PTYPE, Dcpe, UCPE_PTYPE, Ucpe};
use rsvp_wire::object::*;
use rsvp_wire::{Message, MessageType, MessageWriter, PolicyOptions, checksum};

fn main() {
    divan::main();
}

const HOP: Hop =
    Hop { address: std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), lih: 7 };
const SENDER: Filter =
    Filter::port(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7)), 4000);
const SESSION: Session =
    Session::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(224, 1, 1, 1)), 17, 5004);
const R: TimeValues = TimeValues { refresh_ms: 30_000 };

fn dcpe() -> Dcpe {
    let mut dcpe = Dcpe { total: 100, max_total: 120, epoch: 9, ..Dcpe::new(978, 5) };
    dcpe.terms.sender_fraction = Some(300_000);
    dcpe.terms.account = Some(Account::new(AccountKind::Opaque, &[1; 16]));
    dcpe.terms.limit_per_receiver = Some(1000);
    dcpe.terms.established = Some(17);
    dcpe
}

fn ucpe() -> Ucpe {
    Ucpe { payment: 70, ..Ucpe::new(978, 5, Account::new(AccountKind::Opaque, &[2; 16])) }
}

fn path(buffer: &mut [u8], dcpe: &Dcpe) -> usize {
    let mut w = MessageWriter::new(buffer, MessageType::Path, 63);
    w.object(&SESSION).unwrap();
    w.object(&HOP).unwrap();
    w.object(&R).unwrap();
    w.policy_data(&PolicyOptions::from_hop(HOP), |sink| dcpe.write(DCPE_PTYPE, sink)).unwrap();
    w.object(&SenderTemplate(SENDER)).unwrap();
    w.object(&SenderTspec(Tspec::new(125_000, 16_000, 64, 1500))).unwrap();
    w.object(&Adspec::controlled_load(Float::MAX, 1500)).unwrap();
    w.finish().unwrap()
}

fn resv(buffer: &mut [u8], ucpe: &Ucpe) -> usize {
    let mut w = MessageWriter::new(buffer, MessageType::Resv, 63);
    w.object(&SESSION).unwrap();
    w.object(&HOP).unwrap();
    w.object(&R).unwrap();
    w.policy_data(&PolicyOptions::from_hop(HOP), |sink| ucpe.write(UCPE_PTYPE, sink)).unwrap();
    w.object(&Style::FixedFilter).unwrap();
    w.object(&FlowSpec::ControlledLoad(Tspec::new(125_000, 16_000, 64, 1500))).unwrap();
    w.object(&FilterSpec(SENDER)).unwrap();
    w.finish().unwrap()
}

fn entries() -> Vec<ListEntry> {
    (0..100).map(|identifier| ListEntry { identifier, source: None, destination: None }).collect()
}

fn srefresh(buffer: &mut [u8], entries: &[ListEntry]) -> usize {
    let mut w = MessageWriter::new(buffer, MessageType::Srefresh, 63);
    w.object(&MessageIds { kind: ListKind::Plain, epoch: 1, entries }).unwrap();
    w.finish().unwrap()
}

const KINDS: [&str; 3] = ["PATH with DCPE", "RESV with UCPE", "Srefresh of 100"];

fn bytes(kind: &str) -> Vec<u8> {
    let mut buffer = [0; 1500];
    let length = match kind {
        "PATH with DCPE" => path(&mut buffer, &dcpe()),
        "RESV with UCPE" => resv(&mut buffer, &ucpe()),
        _ => srefresh(&mut buffer, &entries()),
    };
    buffer[..length].to_vec()
}

#[divan::bench(args = KINDS, sample_size = 1000)]
fn checksum_alone(bencher: Bencher<'_, '_>, kind: &str) {
    let bytes = bytes(kind);
    bencher.bench_local(|| checksum::of(black_box(&bytes)));
}

#[divan::bench(args = KINDS, sample_size = 1000)]
fn decode(bencher: Bencher<'_, '_>, kind: &str) {
    let bytes = bytes(kind);
    // The result stays where it is made, as in a caller that looks at it.
    bencher.bench_local(|| {
        let message = Message::parse(black_box(&bytes));
        black_box(&message);
    });
}

/// As `decode`, and the charging element too.
#[divan::bench(args = &KINDS[..2], sample_size = 1000)]
fn decode_with_element(bencher: Bencher<'_, '_>, kind: &str) {
    let bytes = bytes(kind);
    bencher.bench_local(|| match Message::parse(black_box(&bytes)) {
        Ok(Message::Path(path)) => {
            let policy = path.policy_data().next().unwrap();
            black_box(&Dcpe::parse(policy.element(DCPE_PTYPE).unwrap().bytes));
        }
        Ok(Message::Resv(resv)) => {
            let policy = resv.policy_data().next().unwrap();
            black_box(&Ucpe::parse(policy.element(UCPE_PTYPE).unwrap().bytes));
        }
        _ => {}
    });
}

#[divan::bench(args = KINDS, sample_size = 1000)]
fn encode(bencher: Bencher<'_, '_>, kind: &str) {
    let (mut buffer, dcpe, ucpe, entries) = ([0; 1500], dcpe(), ucpe(), entries());
    bencher.bench_local(|| {
        let length = match kind {
            "PATH with DCPE" => path(&mut buffer, &dcpe),
            "RESV with UCPE" => resv(&mut buffer, &ucpe),
            _ => srefresh(&mut buffer, &entries),
        };
        black_box(&buffer);
        length
    });
}
