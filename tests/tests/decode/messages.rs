//! The messages that the captures hold.

use rsvp_wire::charging::{
    Account, AccountKind, ChargingFlags, ChgErr, Dcpe, HopRecord, PricePoint, Refund, RefundPolicy,
    Ucpe,
};
use rsvp_wire::iana::{error_code, ptype, service};
use rsvp_wire::object::{
    Adspec, ErrorFlags, ErrorSpec, Filter, FilterSpec, Float, FlowSpec, Hop, ResvConfirm,
    SenderTemplate, SenderTspec, Session, Style, TimeValues, Tspec,
};
use rsvp_wire::{EncodeObject, MessageType, MessageWriter, PolicyOptions};

use crate::build::address;

pub(crate) const EURO: u16 = 978;

/// Addresses of a session: destination, sender, and the hop that sends.
pub(crate) struct Cast {
    pub(crate) destination: &'static str,
    pub(crate) sender: &'static str,
    pub(crate) hop: &'static str,
}

pub(crate) const V4: Cast =
    Cast { destination: "203.0.113.9", sender: "192.0.2.7", hop: "192.0.2.1" };
pub(crate) const V6: Cast =
    Cast { destination: "2001:db8:3::9", sender: "2001:db8::7", hop: "2001:db8::1" };

/// A message of these objects; the checksum is left out on request.
pub(crate) fn message(kind: MessageType, objects: &[&dyn EncodeObject], checksum: bool) -> Vec<u8> {
    let mut buffer = vec![0; 65_536];
    let mut writer = MessageWriter::new(&mut buffer, kind, 63);
    for object in objects {
        writer.object(*object).expect("the buffer is large");
    }
    let length = if checksum { writer.finish() } else { writer.finish_without_checksum() };
    buffer.truncate(length.expect("the buffer is large"));
    buffer
}

impl Cast {
    pub(crate) fn session(&self) -> Session {
        Session::new(address(self.destination), 17, 5004)
    }

    pub(crate) fn hop(&self) -> Hop {
        Hop { address: address(self.hop), lih: 3 }
    }

    pub(crate) fn filter(&self) -> Filter {
        Filter::port(address(self.sender), 4000)
    }

    /// A PATH with an ADSPEC and, in a policy object, these elements.
    pub(crate) fn path(&self, elements: impl FnOnce(&mut rsvp_wire::Sink<'_>)) -> Vec<u8> {
        let mut buffer = vec![0; 65_536];
        let mut writer = MessageWriter::new(&mut buffer, MessageType::Path, 63);
        let fits = "the buffer is large";
        writer.object(&self.session()).expect(fits);
        writer.object(&self.hop()).expect(fits);
        writer.object(&TimeValues { refresh_ms: 30_000 }).expect(fits);
        writer.policy_data(&PolicyOptions::from_hop(self.hop()), elements).expect(fits);
        writer.object(&SenderTemplate(self.filter())).expect(fits);
        writer.object(&SenderTspec(Tspec::new(125_000, 16_000, 64, 1500))).expect(fits);
        writer.object(&Adspec::controlled_load(Float::from_integer(12_500_000), 1500)).expect(fits);
        let length = writer.finish().expect(fits);
        buffer.truncate(length);
        buffer
    }

    /// A PATH without policy.
    pub(crate) fn plain_path(&self, checksum: bool) -> Vec<u8> {
        message(
            MessageType::Path,
            &[
                &self.session(),
                &self.hop(),
                &TimeValues { refresh_ms: 30_000 },
                &SenderTemplate(self.filter()),
                &SenderTspec(Tspec::new(125_000, 16_000, 64, 1500)),
            ],
            checksum,
        )
    }

    /// A RESV of this style for guaranteed service, with these elements in a policy object.
    pub(crate) fn resv(
        &self,
        style: Style,
        elements: impl FnOnce(&mut rsvp_wire::Sink<'_>),
    ) -> Vec<u8> {
        let mut buffer = vec![0; 65_536];
        let mut writer = MessageWriter::new(&mut buffer, MessageType::Resv, 63);
        let fits = "the buffer is large";
        let tspec = Tspec::new(125_000, 16_000, 64, 1500);
        let rate = Float::from_integer(150_000);
        writer.object(&self.session()).expect(fits);
        writer.object(&self.hop()).expect(fits);
        writer.object(&TimeValues { refresh_ms: 30_000 }).expect(fits);
        writer.object(&ResvConfirm { receiver: address(self.destination) }).expect(fits);
        let options = PolicyOptions {
            filters: &[FilterSpec(self.filter())],
            ..PolicyOptions::from_hop(self.hop())
        };
        writer.policy_data(&options, elements).expect(fits);
        writer.object(&style).expect(fits);
        writer.object(&FlowSpec::Guaranteed { tspec, rate, slack: 700 }).expect(fits);
        if style != Style::WildcardFilter {
            writer.object(&FilterSpec(self.filter())).expect(fits);
        }
        let length = writer.finish().expect(fits);
        buffer.truncate(length);
        buffer
    }

    /// A RESVERR for a policy refusal, with these elements in a policy object.
    pub(crate) fn resv_err(&self, elements: impl FnOnce(&mut rsvp_wire::Sink<'_>)) -> Vec<u8> {
        let mut buffer = vec![0; 65_536];
        let mut writer = MessageWriter::new(&mut buffer, MessageType::ResvErr, 63);
        let fits = "the buffer is large";
        let error = ErrorSpec {
            node: address(self.hop),
            flags: ErrorFlags::IN_PLACE,
            code: error_code::POLICY,
            value: 4,
        };
        writer.object(&self.session()).expect(fits);
        writer.object(&self.hop()).expect(fits);
        writer.object(&error).expect(fits);
        writer.policy_data(&PolicyOptions::default(), elements).expect(fits);
        writer.object(&Style::FixedFilter).expect(fits);
        let tspec = Tspec::new(125_000, 16_000, 64, 1500);
        writer.object(&FlowSpec::ControlledLoad(tspec)).expect(fits);
        writer.object(&FilterSpec(self.filter())).expect(fits);
        let length = writer.finish().expect(fits);
        buffer.truncate(length);
        buffer
    }
}

pub(crate) fn dcpe() -> Dcpe {
    let mut dcpe = Dcpe {
        flags: ChargingFlags::NON_CHARGING_HOP,
        total: 41_000_000,
        max_total: 18_446_744_073_709_551_615,
        validity_ms: 30_000,
        epoch: 7,
        ..Dcpe::new(EURO, service::CONTROLLED_LOAD.into())
    };
    let terms = &mut dcpe.terms;
    terms.sender_fraction = Some(300_000);
    terms.limit_per_receiver = Some(10_000_000);
    terms.limit_per_hop = Some(2_500_000);
    terms.max_hops = Some(5);
    terms.sponsored = Some(1_000_001);
    terms.quantity = Some(1_000_000);
    terms.refund = Some(Refund { policy: RefundPolicy::ProRata, threshold: 15 });
    for (hop, local_price) in [("192.0.2.1", 40_000_000), ("2001:db8::1", 1_000_000)] {
        terms.push_hop_record(HopRecord { detail: 1, address: address(hop), local_price });
    }
    terms.extra_mut().price_curve = vec![
        PricePoint { bits_per_s: 64_000, rate: 5_000_000 },
        PricePoint { bits_per_s: 1_000_000, rate: 41_000_000 },
    ];
    // A TLV of type 200 that may be ignored: 5 bytes and padding.
    terms.append_unknown(&[0, 9, 200, 0, 1, 2, 3, 4, 5, 0, 0, 0]);
    dcpe
}

pub(crate) fn ucpe() -> Ucpe {
    let account = Account::new(AccountKind::Nai, b"alice@example.net");
    let mut ucpe = Ucpe {
        payment: 28_700_000,
        announced_total: 41_000_000,
        sender_payment: 12_300_000,
        local_sum: 41_000_001,
        epoch_echo: 7,
        sequence: 12,
        instance: 11,
        ..Ucpe::new(EURO, service::GUARANTEED.into(), account)
    };
    ucpe.terms.receivers_below = Some(2);
    ucpe.terms.established = Some(10);
    ucpe
}

pub(crate) fn chg_err() -> ChgErr {
    ChgErr {
        reason: 4,
        currency: EURO,
        exponent: -12,
        required: 60_000_000,
        offered: 41_000_000,
        epoch: 8,
        sequence: 12,
        terms: Default::default(),
    }
}

pub(crate) fn path_with_dcpe(cast: &Cast) -> Vec<u8> {
    let dcpe = dcpe();
    cast.path(|sink| dcpe.write(ptype::DCPE, sink))
}

pub(crate) fn resv_with_ucpe(cast: &Cast, style: Style) -> Vec<u8> {
    let ucpe = ucpe();
    cast.resv(style, |sink| ucpe.write(ptype::UCPE, sink))
}

pub(crate) fn resv_err_with_chg_err(cast: &Cast) -> Vec<u8> {
    let error = chg_err();
    cast.resv_err(|sink| error.write(ptype::CHG_ERR, sink))
}

/// Messages behind a Bundle's header.
pub(crate) fn bundle(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut bundle = vec![0x10, 12, 0, 0, 63, 0];
    let body = parts.concat();
    bundle.extend((8 + body.len() as u16).to_be_bytes());
    bundle.extend(body);
    rsvp_wire::rewrite_checksum(&mut bundle);
    bundle
}
