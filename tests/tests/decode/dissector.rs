//! The Wireshark dissector, by what tshark prints with it.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use rsvp_wire::iana::ptype;
use rsvp_wire::object::Style;
use tempfile::TempDir;

use crate::build::{RAW, ip, pcap};
use crate::messages::{
    Cast, V4, V6, bundle, dcpe, path_with_dcpe, resv_err_with_chg_err, resv_with_ucpe, ucpe,
};
use crate::programs::tshark;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/wireshark")
}

/// A capture of these messages, in a folder that lives as long as it is held.
struct Capture {
    folder: TempDir,
}

impl Capture {
    fn of(messages: &[Vec<u8>]) -> Result<Capture, Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let packets = messages.iter().map(|m| ip(V4.sender, V4.destination, 62, m));
        let file = pcap(RAW, &packets.collect::<Vec<_>>());
        std::fs::write(folder.path().join("packets.pcap"), file)?;
        Ok(Capture { folder })
    }

    fn tshark(&self, options: &[&str]) -> Result<String, Box<dyn Error>> {
        let script = format!("lua_script:{}", folder().join("lcm_charging.lua").display());
        let file = self.folder.path().join("packets.pcap");
        tshark(&file, &[&["-X", &script], options].concat())
    }

    /// These fields of each packet, a tab between fields and a comma between values.
    fn fields(&self, names: &[&str]) -> Result<Vec<Vec<String>>, Box<dyn Error>> {
        let mut options = vec!["-T", "fields"];
        options.extend(names.iter().flat_map(|name| ["-e", name]));
        let text = self.tshark(&options)?;
        let cells = |line: &str| line.split('\t').map(str::to_owned).collect();
        Ok(text.lines().map(cells).collect())
    }

    /// The numbers of the packets that a display filter lets through.
    fn matching(&self, filter: &str) -> Result<Vec<u32>, Box<dyn Error>> {
        let text = self.tshark(&["-Y", filter, "-T", "fields", "-e", "frame.number"])?;
        Ok(text.lines().map(str::parse).collect::<Result<_, _>>()?)
    }

    /// Checks fields and values of the one packet.
    fn shows(&self, expected: &[(&str, &str)]) -> Result<(), Box<dyn Error>> {
        let names: Vec<_> = expected.iter().map(|(name, _)| *name).collect();
        let seen = self.fields(&names)?;
        assert_eq!(seen.len(), 1, "{seen:?}");
        for (value, (name, expected)) in seen[0].iter().zip(expected) {
            assert_eq!(value, expected, "{name}");
        }
        Ok(())
    }
}

#[test]
fn dcpe_shows_every_field() -> Result<(), Box<dyn Error>> {
    for cast in [&V4, &V6] {
        Capture::of(&[path_with_dcpe(cast)])?.shows(&[
            ("rsvp.msg", "1"),
            ("lcm.element.ptype", "0xd001"),
            ("lcm.element.length", "212"),
            ("lcm.dcpe.version", "1"),
            ("lcm.dcpe.flags", "0x02"),
            ("lcm.dcpe.non_charging_hop", "1"),
            ("lcm.dcpe.currency", "978"),
            ("lcm.dcpe.exponent", "-12"),
            ("lcm.dcpe.time_unit", "1"),
            ("lcm.dcpe.service", "5"),
            ("lcm.dcpe.total", "41000000"),
            ("lcm.dcpe.max_total", "18446744073709551615"),
            ("lcm.dcpe.validity_ms", "30000"),
            ("lcm.dcpe.epoch", "7"),
            ("lcm.tlv.type", "1,3,4,5,6,7,8,10,10,11,200"),
            ("lcm.tlv.sender_fraction", "300000"),
            ("lcm.tlv.limit_per_receiver", "10000000"),
            ("lcm.tlv.limit_per_hop", "2500000"),
            ("lcm.tlv.max_hops", "5"),
            ("lcm.tlv.sponsored", "1000001"),
            ("lcm.tlv.quantity", "1000000"),
            ("lcm.tlv.refund", "1"),
            ("lcm.tlv.refund.threshold", "15"),
            ("lcm.tlv.hop.address", "192.0.2.1"),
            ("lcm.tlv.hop.address6", "2001:db8::1"),
            ("lcm.tlv.hop.price", "40000000,1000000"),
            ("lcm.tlv.curve.count", "2"),
            ("lcm.tlv.curve.quantity", "64000,1000000"),
            ("lcm.tlv.curve.rate", "5000000,41000000"),
            ("lcm.tlv.data", "0102030405"),
            ("lcm.option.class", "3"),
            (
                if cast.hop == V4.hop { "lcm.option.address" } else { "lcm.option.address6" },
                cast.hop,
            ),
            ("lcm.malformed", ""),
        ])?;
    }
    Ok(())
}

#[test]
fn ucpe_and_chg_err_show_every_field() -> Result<(), Box<dyn Error>> {
    Capture::of(&[resv_with_ucpe(&V4, Style::FixedFilter)])?.shows(&[
        ("rsvp.msg", "2"),
        ("lcm.element.ptype", "0xd002"),
        ("lcm.ucpe.version", "1"),
        ("lcm.ucpe.flags", "0x00"),
        ("lcm.ucpe.non_charging_hop", "0"),
        ("lcm.ucpe.currency", "978"),
        ("lcm.ucpe.exponent", "-12"),
        ("lcm.ucpe.time_unit", "1"),
        ("lcm.ucpe.service", "2"),
        ("lcm.ucpe.payment", "28700000"),
        ("lcm.ucpe.announced_total", "41000000"),
        ("lcm.ucpe.sender_payment", "12300000"),
        ("lcm.ucpe.local_sum", "41000001"),
        ("lcm.ucpe.epoch_echo", "7"),
        ("lcm.ucpe.sequence", "12"),
        ("lcm.ucpe.instance", "11"),
        ("lcm.tlv.type", "2,9,12"),
        ("lcm.tlv.account.type", "2"),
        ("lcm.tlv.account.length", "17"),
        ("lcm.tlv.account", "alice@example.net"),
        ("lcm.tlv.receivers_below", "2"),
        ("lcm.tlv.established", "10"),
        ("lcm.option.class", "10,3"),
        ("lcm.option.address", "192.0.2.7,192.0.2.1"),
        ("lcm.malformed", ""),
    ])?;
    Capture::of(&[resv_err_with_chg_err(&V6)])?.shows(&[
        ("rsvp.msg", "4"),
        ("lcm.element.ptype", "0xd003"),
        ("lcm.chg_err.reason", "0x0004"),
        ("lcm.chg_err.currency", "978"),
        ("lcm.chg_err.exponent", "-12"),
        ("lcm.chg_err.required", "60000000"),
        ("lcm.chg_err.offered", "41000000"),
        ("lcm.chg_err.epoch", "8"),
        ("lcm.chg_err.sequence", "12"),
        ("lcm.malformed", ""),
    ])
}

#[test]
fn amounts_are_told_in_their_currency() -> Result<(), Box<dyn Error>> {
    let capture = Capture::of(&[path_with_dcpe(&V4), resv_with_ucpe(&V4, Style::FixedFilter)])?;
    let tree = capture.tshark(&["-O", "lcm"])?;
    for line in [
        "    DCPE 0.000041 EUR/s",
        "Total charge: 41000000 = 0.000041 EUR/s",
        "Highest total charge: 18446744073709551615 = 18446744.073709551615 EUR/s",
        "Payment: 28700000 = 0.0000287 EUR/s",
    ] {
        assert!(tree.contains(line), "{line} is not in\n{tree}");
    }
    let list = capture.tshark(&[])?;
    assert!(list.contains("[DCPE 0.000041 EUR/s]"), "{list}");
    Ok(())
}

#[test]
fn several_elements_objects_and_messages_are_all_shown() -> Result<(), Box<dyn Error>> {
    let (dcpe, ucpe) = (dcpe(), ucpe());
    let both = V4.path(|sink| {
        sink.put(&[0, 8, 0, 6, 0, 5, 0, 1]);
        dcpe.write(ptype::DCPE, sink);
        sink.put(&[0, 4, 0xD0, 2]);
        ucpe.write(ptype::UCPE, sink);
    });
    let resv = resv_with_ucpe(&V4, Style::FixedFilter);
    Capture::of(&[bundle(&[both, resv])])?.shows(&[
        ("lcm.element.ptype", "0x0006,0xd001,0xd002,0xd002,0xd002"),
        ("lcm.element.data", "00050001"),
        ("lcm.dcpe.total", "41000000"),
        ("lcm.ucpe.payment", "28700000,28700000"),
        ("lcm.malformed", ""),
    ])
}

/// Every fault that the router refuses an element for is told by the dissector too.
#[test]
fn malformed_elements_are_told() -> Result<(), Box<dyn Error>> {
    let mut good = vec![0; 65_536];
    let length = dcpe().encode(ptype::DCPE, &mut good)?;
    good.truncate(length);
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut element = good.clone();
        change(&mut element);
        V4.path(|sink| sink.put(&element))
    };
    let mut no_account = vec![0; 56];
    no_account[..12].copy_from_slice(&[0, 56, 0xD0, 2, 1, 0, 3, 210, 0xf4, 1, 0, 5]);
    let messages = [
        with(&|_| {}),
        with(&|e| e[4] = 0),
        with(&|e| e[8] = 0),
        with(&|e| e[9] = 2),
        with(&|e| e[37] = 3),
        with(&|e| e[37] = 200),
        with(&|e| e[40..44].fill(0xff)),
        // The last TLV, of an unknown type, must be understood.
        with(&|e| e[length - 9] = 0x80),
        with(&|e| e[46] = 1),
        V4.path(|sink| sink.put(&[0, 8, 0xD0, 1, 1, 0, 0, 0])),
        V4.path(|sink| sink.put(&no_account)),
        V4.path(|sink| sink.put(&[0, 6, 0xD0, 1, 1, 0, 0, 0])),
        V4.path(|sink| sink.put(&[0, 200, 0xD0, 1, 1, 0, 0, 0])),
    ];
    let capture = Capture::of(&messages)?;
    let all: Vec<u32> = (2..=messages.len() as u32).collect();
    assert_eq!(capture.matching("lcm.malformed")?, all);

    let newer = Capture::of(&[with(&|e| e[4] = 2)])?;
    assert_eq!(newer.matching("lcm.unknown && !lcm.malformed")?, [1]);
    let empty = Capture::of(&[V4.path(|sink| sink.put(&[0, 4, 0xD0, 1]))])?;
    assert_eq!(empty.matching("lcm.empty && lcm.dcpe && !lcm.malformed")?, [1]);
    Ok(())
}

/// The first words of the code spans in a row of the manual's table.
fn filters(manual: &str) -> Vec<String> {
    let (_, table) = manual.split_once("| to find | filter |").expect("the table of filters");
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|')).skip(1);
    rows.flat_map(|row| row.split('`').skip(1).step_by(2).map(str::to_owned)).collect()
}

#[test]
fn the_manual_s_filters_and_options_work() -> Result<(), Box<dyn Error>> {
    let capture = Capture::of(&[
        path_with_dcpe(&V4),
        resv_with_ucpe(&V4, Style::FixedFilter),
        resv_err_with_chg_err(&V4),
    ])?;
    let manual = std::fs::read_to_string(folder().join("README.md"))?;
    let filters = filters(&manual);
    assert!(filters.len() >= 9, "{filters:?}");
    for filter in &filters {
        capture.matching(filter)?;
    }
    assert_eq!(capture.matching("lcm.dcpe")?, [1]);
    assert_eq!(capture.matching("lcm.tlv.account == \"alice@example.net\"")?, [2]);
    assert_eq!(capture.matching("lcm.dcpe.total > 50000000")?, [0_u32; 0]);

    // Every field that the manual names is one.
    let script = format!("lua_script:{}", folder().join("lcm_charging.lua").display());
    let output = Command::new("tshark").args(["-G", "fields", "-X", &script]).output()?;
    let fields = String::from_utf8(output.stdout)?;
    let known: Vec<_> = fields.lines().filter_map(|line| line.split('\t').nth(2)).collect();
    for row in manual.lines().filter(|line| line.starts_with("| `lcm.") && line.ends_with('|')) {
        let mut spans = row.split('`').skip(1).step_by(2);
        let prefix = spans.next().expect("a prefix");
        for name in spans.flat_map(str::split_whitespace) {
            assert!(known.contains(&format!("{prefix}{name}").as_str()), "{prefix}{name}");
        }
    }

    let moved = V4.path(|sink| dcpe().write(53250 + 7, sink));
    let capture = Capture::of(&[moved])?;
    assert_eq!(capture.matching("lcm.dcpe")?, [0_u32; 0]);
    let text = capture.tshark(&["-o", "lcm.dcpe:53257", "-Y", "lcm.dcpe"])?;
    assert_eq!(text.lines().count(), 1);
    Ok(())
}

/// Whatever bytes stand in a message, the script ends without an error of its own.
#[test]
fn damaged_messages_do_not_break_the_script() -> Result<(), Box<dyn Error>> {
    let casts: [&Cast; 2] = [&V4, &V6];
    let mut messages = Vec::new();
    for cast in casts {
        let good = [path_with_dcpe(cast), resv_with_ucpe(cast, Style::FixedFilter)];
        for message in &good {
            for at in 8..message.len() {
                let mut damaged = message.clone();
                damaged[at] = damaged[at].wrapping_mul(31).wrapping_add(0x7b);
                messages.push(damaged);
            }
            messages.extend((0..message.len()).step_by(3).map(|end| message[..end].to_vec()));
        }
    }
    let capture = Capture::of(&messages)?;
    assert_eq!(capture.matching("_ws.lua.error")?, [0_u32; 0]);
    Ok(())
}
