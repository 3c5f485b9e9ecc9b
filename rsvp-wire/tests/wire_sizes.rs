//! The sizes that the charging model's worked example gives for what travels in one PATH and RESV.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use rsvp_wire::charging::{
    Account, AccountKind, CHG_ERR_PTYPE, ChargingError, ChgErr, DCPE_PTYPE, Dcpe,
    PRICE_CURVE_POINTS_MAX, PricePoint, UCPE_PTYPE, Ucpe,
};
use rsvp_wire::object::*;
use rsvp_wire::{Message, MessageType, MessageWriter, PolicyOptions};

/// The table "wire_bytes" of the worked example, copied.
mod golden {
    pub(super) const DCPE_CORE: usize = 36;
    pub(super) const UCPE_CORE: usize = 56;
    pub(super) const SENDER_SHARE: usize = 64;
    pub(super) const ACCOUNT16: usize = 24;
    pub(super) const BASE_PATH: usize = 136;
    pub(super) const BASE_RESV: usize = 104;
    pub(super) const PATH_MIN: usize = 56;
    pub(super) const PATH_FULL: usize = 128;
    pub(super) const PATH_FULL_INTEGRITY: usize = 164;
    pub(super) const RESV_MIN: usize = 100;
    pub(super) const RESV_FILTER: usize = 112;
    pub(super) const RESV_FILTER_INTEGRITY: usize = 148;
    pub(super) const PATH_ESTABLISHED: usize = 64;
    pub(super) const CHG_ERR_CORE: usize = 36;
}

const INTEGRITY: Integrity<'_> =
    Integrity { flags: 0, key_id: 1, sequence: 2, digest: &[0xab; 16] };

fn hop() -> Hop {
    Hop { address: "192.0.2.1".parse().unwrap(), lih: 7 }
}

fn sender() -> Filter {
    Filter::port("192.0.2.7".parse().unwrap(), 4000)
}

fn dcpe() -> Dcpe {
    Dcpe { total: 100, max_total: 120, validity_ms: 60_000, epoch: 9, ..Dcpe::new(978, 5) }
}

fn full_dcpe() -> Dcpe {
    let mut dcpe = dcpe();
    dcpe.terms.sender_fraction = Some(300_000);
    dcpe.terms.account = Some(Account::new(AccountKind::Opaque, &[1; 16]));
    dcpe.terms.limit_per_receiver = Some(1000);
    dcpe.terms.limit_per_hop = Some(500);
    dcpe.terms.max_hops = Some(8);
    dcpe.terms.established = Some(17);
    dcpe
}

fn ucpe() -> Ucpe {
    let account = Account::new(AccountKind::Opaque, &[2; 16]);
    Ucpe { payment: 70, announced_total: 250, local_sum: 150, ..Ucpe::new(978, 5, account) }
}

fn path(policy: Option<(&PolicyOptions<'_>, &Dcpe)>) -> Vec<u8> {
    let mut buffer = [0; 1500];
    let mut writer = MessageWriter::new(&mut buffer, MessageType::Path, 63);
    writer.object(&Session::new("224.1.1.1".parse().unwrap(), 17, 5004)).unwrap();
    writer.object(&hop()).unwrap();
    writer.object(&TimeValues { refresh_ms: 30_000 }).unwrap();
    if let Some((options, dcpe)) = policy {
        writer.policy_data(options, |sink| dcpe.write(DCPE_PTYPE, sink)).unwrap();
    }
    writer.object(&SenderTemplate(sender())).unwrap();
    writer.object(&SenderTspec(Tspec::new(125_000, 16_000, 64, 1500))).unwrap();
    writer.object(&Adspec::controlled_load(Float::from_integer(12_500_000), 1500)).unwrap();
    let length = writer.finish().unwrap();
    buffer[..length].to_vec()
}

fn resv(policy: Option<(&PolicyOptions<'_>, &Ucpe)>) -> Vec<u8> {
    let mut buffer = [0; 1500];
    let mut writer = MessageWriter::new(&mut buffer, MessageType::Resv, 63);
    writer.object(&Session::new("224.1.1.1".parse().unwrap(), 17, 5004)).unwrap();
    writer.object(&hop()).unwrap();
    writer.object(&TimeValues { refresh_ms: 30_000 }).unwrap();
    writer.object(&ResvConfirm { receiver: "192.0.2.1".parse().unwrap() }).unwrap();
    if let Some((options, ucpe)) = policy {
        writer.policy_data(options, |sink| ucpe.write(UCPE_PTYPE, sink)).unwrap();
    }
    writer.object(&Style::FixedFilter).unwrap();
    writer.object(&FlowSpec::ControlledLoad(Tspec::new(125_000, 16_000, 64, 1500))).unwrap();
    writer.object(&FilterSpec(sender())).unwrap();
    let length = writer.finish().unwrap();
    buffer[..length].to_vec()
}

#[test]
fn elements_have_the_sizes_of_the_worked_example() {
    assert_eq!(dcpe().encoded_len(), golden::DCPE_CORE);
    let account = ucpe().encoded_len() - golden::UCPE_CORE;
    assert_eq!(account, golden::ACCOUNT16);
    let error = ChgErr {
        reason: 4,
        currency: 978,
        exponent: -12,
        required: 77,
        offered: 63,
        epoch: 3,
        sequence: 4,
        terms: Default::default(),
    };
    assert_eq!(error.encoded_len(), golden::CHG_ERR_CORE);
    // The sender's share: fraction, account, both limits, hops.
    let share = full_dcpe().encoded_len() - dcpe().encoded_len() - 8;
    assert_eq!(share, golden::SENDER_SHARE);
}

#[test]
fn messages_have_the_sizes_of_the_worked_example() {
    let plain = PolicyOptions::from_hop(hop());
    let filters = [FilterSpec(sender())];
    let for_sender = PolicyOptions { filters: &filters, ..plain };
    let signed = PolicyOptions { integrity: Some(INTEGRITY), ..plain };
    let signed_for_sender = PolicyOptions { integrity: Some(INTEGRITY), ..for_sender };

    assert_eq!(path(None).len(), golden::BASE_PATH);
    assert_eq!(path(Some((&plain, &dcpe()))).len(), golden::BASE_PATH + golden::PATH_MIN);
    let mut established = dcpe();
    established.terms.established = Some(1);
    let length = path(Some((&plain, &established))).len();
    assert_eq!(length, golden::BASE_PATH + golden::PATH_ESTABLISHED);
    let length = path(Some((&plain, &full_dcpe()))).len();
    assert_eq!(length, golden::BASE_PATH + golden::PATH_FULL);
    let length = path(Some((&signed, &full_dcpe()))).len();
    assert_eq!(length, golden::BASE_PATH + golden::PATH_FULL_INTEGRITY);

    assert_eq!(resv(None).len(), golden::BASE_RESV);
    assert_eq!(resv(Some((&plain, &ucpe()))).len(), golden::BASE_RESV + golden::RESV_MIN);
    let length = resv(Some((&for_sender, &ucpe()))).len();
    assert_eq!(length, golden::BASE_RESV + golden::RESV_FILTER);
    let length = resv(Some((&signed_for_sender, &ucpe()))).len();
    assert_eq!(length, golden::BASE_RESV + golden::RESV_FILTER_INTEGRITY);
}

#[test]
fn what_was_written_is_read_back() {
    let filters = [FilterSpec(sender())];
    let options = PolicyOptions {
        filters: &filters,
        destination: Some(Hop { address: "192.0.2.99".parse().unwrap(), lih: 0 }),
        integrity: Some(INTEGRITY),
        refresh: Some(TimeValues { refresh_ms: 90_000 }),
        ..PolicyOptions::from_hop(hop())
    };
    let bytes = path(Some((&options, &full_dcpe())));
    let Message::Path(read) = Message::parse(&bytes).unwrap() else { panic!("no PATH") };
    assert_eq!(read.hop, hop());
    assert_eq!(read.sender.template, SenderTemplate(sender()));
    assert_eq!(read.sender.adspec.unwrap().mtu(), 1500);
    let policy: Vec<_> = read.policy_data().collect();
    assert_eq!(policy.len(), 1);
    assert_eq!(policy[0].originating_hop(), options.originating);
    assert_eq!(policy[0].destination_hop(), options.destination);
    assert_eq!(policy[0].filter_spec(), Some(filters[0]));
    assert_eq!(policy[0].integrity(), Some(INTEGRITY));
    assert_eq!(policy[0].time_values(), options.refresh);
    let element = policy[0].element(DCPE_PTYPE).unwrap();
    assert_eq!(Dcpe::parse(element.bytes), Ok(full_dcpe()));

    let bytes = resv(Some((&options, &ucpe())));
    let Message::Resv(read) = Message::parse(&bytes).unwrap() else { panic!("no RESV") };
    let flows: Vec<_> = read.flows().collect();
    assert_eq!(flows.len(), 1);
    assert_eq!(flows[0].filter, Some(filters[0]));
    assert_eq!(flows[0].flowspec.rate().to_integer(), 125_000);
    let policy = read.policy_data().next().unwrap();
    assert_eq!(Ucpe::parse(policy.element(UCPE_PTYPE).unwrap().bytes), Ok(ucpe()));
}

/// A curve has 1 to 64 points that ascend, and its count is theirs.
#[test]
fn r114_a_price_curve_is_bounded_and_ascends() {
    let point = |at: usize| PricePoint { bits_per_s: at as u64, rate: 7 };
    let element = |curve: Vec<PricePoint>| {
        let mut dcpe = dcpe();
        dcpe.terms.extra_mut().price_curve = curve;
        let mut bytes = vec![0; dcpe.encoded_len()];
        dcpe.encode(DCPE_PTYPE, &mut bytes).unwrap();
        (dcpe, bytes)
    };
    for points in [1, 2, PRICE_CURVE_POINTS_MAX] {
        let (dcpe, bytes) = element((0..points).map(point).collect());
        assert_eq!(bytes.len(), golden::DCPE_CORE + 8 + 16 * points);
        assert_eq!(Dcpe::parse(&bytes), Ok(dcpe));
    }
    let malformed =
        |bytes: &[u8]| matches!(Dcpe::parse(bytes), Err(ChargingError::Malformed { .. }));
    assert!(malformed(&element((0..=PRICE_CURVE_POINTS_MAX).map(point).collect()).1));
    assert!(malformed(&element(vec![point(5), point(5)]).1));
    assert!(malformed(&element(vec![point(5), point(4)]).1));
    for count in [0, 1, 3, 0xffff_u16] {
        let (_, mut bytes) = element(vec![point(4), point(5)]);
        bytes[40..42].copy_from_slice(&count.to_be_bytes());
        assert!(malformed(&bytes), "{count}");
    }
}

#[test]
fn r068_what_a_charging_element_must_hold() {
    let mut bytes = [0; 256];
    let length = full_dcpe().encode(DCPE_PTYPE, &mut bytes).unwrap();
    // Cut off anywhere, the element is malformed or, with a header alone, empty.
    for end in (4..length).step_by(4) {
        let mut cut = bytes[..end].to_vec();
        cut[..2].copy_from_slice(&(end as u16).to_be_bytes());
        match (end, Dcpe::parse(&cut)) {
            (4, Err(ChargingError::Empty)) | (_, Err(ChargingError::Malformed { .. })) => {}
            // A whole number of TLVs is a valid element.
            (_, Ok(short)) => assert_ne!(short, full_dcpe()),
            (_, other) => panic!("{end} bytes: {other:?}"),
        }
    }
    let length = ucpe().encode(UCPE_PTYPE, &mut bytes).unwrap();
    bytes[58] = 200; // ACCOUNT becomes a private TLV.
    assert!(matches!(
        Ucpe::parse(&bytes[..length]),
        Err(ChargingError::Malformed { field: "ACCOUNT TLVs", .. })
    ));
    bytes[59] = 0x80;
    assert_eq!(
        Ucpe::parse(&bytes[..length]),
        Err(ChargingError::MustUnderstand { offset: 56, tlv_type: 200 })
    );
    bytes[4] = 2;
    assert_eq!(Ucpe::parse(&bytes[..length]), Err(ChargingError::HigherVersion(2)));
    let mut greedy = dcpe();
    greedy.terms.sender_fraction = Some(1_000_001);
    let length = greedy.encode(DCPE_PTYPE, &mut bytes).unwrap();
    assert!(matches!(
        Dcpe::parse(&bytes[..length]),
        Err(ChargingError::Malformed { field: "sender fraction", value: 1_000_001, .. })
    ));
    assert_eq!(error_element_round_trip(), Ok(()));
}

fn error_element_round_trip() -> Result<(), ChargingError> {
    let error = ChgErr {
        reason: 0x8001,
        currency: 978,
        exponent: -12,
        required: 77,
        offered: 63,
        epoch: 3,
        sequence: 4,
        terms: Default::default(),
    };
    let mut bytes = [0; 36];
    error.encode(CHG_ERR_PTYPE, &mut bytes).unwrap();
    assert_eq!(ChgErr::parse(&bytes)?, error);
    Ok(())
}

#[test]
fn a_small_buffer_is_told_what_the_whole_message_needs() {
    let mut buffer = [0; 40];
    let mut writer = MessageWriter::new(&mut buffer, MessageType::PathTear, 1);
    writer.object(&Session::new("192.0.2.9".parse().unwrap(), 17, 5004)).unwrap();
    writer.object(&hop()).unwrap();
    assert_eq!(writer.object(&SenderTemplate(sender())).unwrap_err().needed, 44);
    assert_eq!(writer.raw(&[0, 4, 0, 0]).unwrap_err().needed, 48);
    assert_eq!(writer.finish().unwrap_err().needed, 48);
}
