//! What is printed.

use rsvp_wire::MessageType;
use rsvp_wire::iana::ptype;
use rsvp_wire::object::{ListEntry, ListKind, MessageIds, Style};
use serde_json::json;

use crate::build::{ETHERNET, RAW, ethernet, ip, pcap};
use crate::messages::{
    V4, V6, bundle, message, path_with_dcpe, resv_err_with_chg_err, resv_with_ucpe,
};
use crate::programs::{decode_bytes, packets};

#[test]
fn text_is_as_people_were_promised() {
    let messages = [
        ip(V4.sender, V4.destination, 62, &path_with_dcpe(&V4)),
        ip(V6.hop, V6.sender, 63, &resv_with_ucpe(&V6, Style::SharedExplicit)),
        ip(V4.hop, V4.destination, 63, &resv_err_with_chg_err(&V4)),
        ip(V4.hop, V4.sender, 1, &bundle(&[V4.plain_path(false), V4.plain_path(true)])),
    ];
    let frames: Vec<_> = messages.iter().map(|packet| ethernet(&[], packet)).collect();
    let output = decode_bytes(&pcap(ETHERNET, &frames), &[]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    let golden = include_str!("golden.txt");
    assert!(text == golden, "--- expected\n{golden}\n--- printed\n{text}");
}

#[test]
fn json_tells_every_field_of_the_charging_elements() {
    let frames = [
        ip(V4.sender, V4.destination, 62, &path_with_dcpe(&V4)),
        ip(V4.hop, V4.sender, 63, &resv_with_ucpe(&V4, Style::FixedFilter)),
        ip(V4.hop, V4.destination, 63, &resv_err_with_chg_err(&V4)),
    ];
    let packets = packets(&pcap(RAW, &frames));
    let element = |packet: usize, object: usize| &packets[packet]["objects"][object]["elements"][0];
    assert_eq!(
        element(0, 3),
        &json!({
            "ptype": 0xD001, "length": 212, "name": "DCPE", "flags": 2, "non_charging_hop": true,
            "currency": 978, "currency_code": "EUR", "exponent": -12, "time_unit": 1,
            "service": 5, "service_name": "controlled-load", "total": 41_000_000,
            "max_total": u64::MAX, "validity_ms": 30_000, "epoch": 7,
            "sender_fraction_ppm": 300_000, "limit_per_receiver": 10_000_000,
            "limit_per_hop": 2_500_000, "max_hops": 5, "sponsored": 1_000_001,
            "quantity_bits_per_s": 1_000_000,
            "refund": {"policy": 1, "policy_name": "pro rata", "threshold_ms": 1500},
            "hop_records": [
                {"detail": 1, "address": "192.0.2.1", "local_price": 40_000_000},
                {"detail": 1, "address": "2001:db8::1", "local_price": 1_000_000},
            ],
            "price_curve": [
                {"bits_per_s": 64_000, "rate": 5_000_000},
                {"bits_per_s": 1_000_000, "rate": 41_000_000},
            ],
            "unknown_tlvs": [{"type": 200, "flags": 0, "data": "0102030405"}],
        })
    );
    assert_eq!(
        element(1, 4),
        &json!({
            "ptype": 0xD002, "length": 100, "name": "UCPE", "flags": 0, "non_charging_hop": false,
            "currency": 978, "currency_code": "EUR", "exponent": -12, "time_unit": 1,
            "service": 2, "service_name": "guaranteed", "payment": 28_700_000,
            "announced_total": 41_000_000, "sender_payment": 12_300_000,
            "local_sum": 41_000_001, "epoch_echo": 7, "sequence": 12, "instance": 11,
            "account": {"kind": 2, "kind_name": "NAI", "id": "alice@example.net"},
            "receivers_below": 2, "established": 10,
        })
    );
    assert_eq!(
        element(2, 3),
        &json!({
            "ptype": 0xD003, "length": 36, "name": "CHG_ERR", "reason": 4, "currency": 978,
            "currency_code": "EUR", "exponent": -12, "required": 60_000_000,
            "offered": 41_000_000, "epoch": 8, "sequence": 12,
        })
    );
    let options = &packets[1]["objects"][4]["options"];
    assert_eq!(
        options,
        &json!([
            {"class": 10, "ctype": 1, "length": 12, "name": "FILTER_SPEC", "source": V4.sender,
             "port": 4000},
            {"class": 3, "ctype": 1, "length": 12, "name": "RSVP_HOP", "address": V4.hop, "lih": 3},
        ])
    );
}

#[test]
fn json_tells_the_objects_of_rfc_2205() {
    let frames = [
        ip(V4.sender, V4.destination, 62, &V4.plain_path(true)),
        ip(V4.hop, V4.sender, 63, &resv_with_ucpe(&V4, Style::WildcardFilter)),
    ];
    let packets = packets(&pcap(RAW, &frames));
    let tspec = json!({"class": 12, "ctype": 2, "length": 36, "name": "SENDER_TSPEC",
        "rate": 125_000.0, "bucket": 16_000.0, "peak": null, "min_policed": 64,
        "max_packet": 1500});
    assert_eq!(
        packets[0]["objects"],
        json!([
            {"class": 1, "ctype": 1, "length": 12, "name": "SESSION",
             "destination": V4.destination, "protocol": 17, "flags": 0, "port": 5004},
            {"class": 3, "ctype": 1, "length": 12, "name": "RSVP_HOP", "address": V4.hop, "lih": 3},
            {"class": 5, "ctype": 1, "length": 8, "name": "TIME_VALUES", "refresh_ms": 30_000},
            {"class": 11, "ctype": 1, "length": 12, "name": "SENDER_TEMPLATE",
             "source": V4.sender, "port": 4000},
            tspec,
        ])
    );
    assert_eq!(
        packets[1]["objects"][6],
        json!({"class": 9, "ctype": 2, "length": 48, "name": "FLOWSPEC", "service": 2,
            "service_name": "guaranteed", "rate": 125_000.0, "bucket": 16_000.0, "peak": null,
            "min_policed": 64, "max_packet": 1500, "r": 150_000.0, "slack": 700})
    );
    assert_eq!(packets[1]["objects"][5]["style"], json!("WF"));
}

#[test]
fn a_bundle_shows_its_messages() {
    let entries =
        [1, 2].map(|identifier| ListEntry { identifier, source: None, destination: None });
    let list = MessageIds { kind: ListKind::Plain, epoch: 0x0a_0b0c, entries: &entries };
    let srefresh = message(MessageType::Srefresh, &[&list], true);
    let parts = [V4.plain_path(false), srefresh];
    let whole = bundle(&parts);
    let packet = &packets(&pcap(RAW, &[ip(V4.hop, V4.sender, 1, &whole)]))[0];
    assert_eq!((&packet["msg_type"], &packet["checksum_ok"]), (&json!(12), &json!(true)));
    assert_eq!((&packet["objects"], packet.get("error")), (&json!([]), None));
    let messages = packet["messages"].as_array().unwrap();
    let seen = messages.iter().map(|m| json!([m["msg_type"], m["checksum_ok"], m["length"]]));
    let seen: Vec<_> = seen.collect();
    assert_eq!(seen, [json!([1, null, parts[0].len()]), json!([15, true, parts[1].len()])]);
    for message in messages {
        for key in ["frame", "src", "dst", "ttl"] {
            assert_eq!(message[key], packet[key]);
        }
    }
    assert_eq!(messages[1]["objects"][0]["entries"][1], json!({"message_id": 2}));

    // A Bundle in a Bundle, and a part that is too long: those before stay.
    let mut long = parts[0].clone();
    long[7] += 4;
    for wrong in [bundle(&[parts[0].clone(), whole]), bundle(&[parts[0].clone(), long])] {
        let packet = &packets(&pcap(RAW, &[ip(V4.hop, V4.sender, 1, &wrong)]))[0];
        assert_eq!(packet["messages"].as_array().unwrap().len(), 1);
        let error = packet["error"].as_str().unwrap();
        assert!(error.contains("sub-message"), "{error}");
    }
}

/// The faults of a PATH, and how many of its objects stand in front of each.
#[test]
fn malformed_messages_show_what_stands_before_the_fault() {
    let path = V4.plain_path(true);
    let fixed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut wrong = path.clone();
        change(&mut wrong);
        rsvp_wire::rewrite_checksum(&mut wrong);
        wrong
    };
    for (message, objects, words) in [
        (fixed(&|m| m[33] = 6), 2, "TIME_VALUES"),
        (fixed(&|m| m[33] = 0), 2, "length is 0"),
        (fixed(&|m| m[41] = 200), 3, "length is 200"),
        (fixed(&|m| m[42] = 3), 3, "stands twice"),
        (fixed(&|m| m[54] = 0), 5, "SENDER_TSPEC (class 12, C-Type 0) is missing"),
        (fixed(&|m| m[68..72].fill(0xff)), 4, "token bucket rate"),
        (fixed(&|m| m.truncate(m.len() - 4)), 4, "is not the packet's"),
        (fixed(&|m| m[12..16].fill(0)), 0, "DestAddress"),
        (fixed(&|m| m[0] = 0x20), 0, "not RSVP version 1"),
        (fixed(&|m| m[1] = 2), 3, "SENDER_TEMPLATE"),
        (vec![0x10, 1, 0, 0, 63], 0, "bytes is 5"),
    ] {
        let packet = &packets(&pcap(RAW, &[ip(V4.sender, V4.destination, 1, &message)]))[0];
        let error = packet["error"].as_str().unwrap_or_default();
        assert!(error.contains(words), "{words}: {packet}");
        assert_eq!(packet["objects"].as_array().unwrap().len(), objects, "{packet}");
        assert_eq!(packet["msg_type"], json!(message[1]));
    }
    let empty = &packets(&pcap(RAW, &[ip(V4.sender, V4.destination, 1, &[])]))[0];
    assert!(empty["msg_type"].is_null() && empty["error"].is_string(), "{empty}");
}

#[test]
fn a_wrong_checksum_hides_nothing() {
    let mut path = V4.plain_path(true);
    path[2] ^= 0x55;
    let packet = &packets(&pcap(RAW, &[ip(V4.sender, V4.destination, 1, &path)]))[0];
    assert_eq!(packet["checksum_ok"], json!(false));
    assert_eq!(packet["objects"].as_array().unwrap().len(), 5);
    let none = V4.plain_path(false);
    let packet = &packets(&pcap(RAW, &[ip(V4.sender, V4.destination, 1, &none)]))[0];
    assert!(packet["checksum_ok"].is_null());
}

#[test]
fn objects_of_other_extensions_are_named_and_carried() {
    use rsvp_wire::object::Raw;
    let request = Raw { class: 19, ctype: 1, body: &[0, 0, 8, 0] };
    let tunnel = Raw { class: 1, ctype: 7, body: &[203, 0, 113, 9, 0, 0, 0, 1, 192, 0, 2, 7] };
    let path = message(MessageType::Path, &[&tunnel, &V4.hop(), &request], true);
    let packet = &packets(&pcap(RAW, &[ip(V4.sender, V4.destination, 1, &path)]))[0];
    assert_eq!(packet.get("error"), None, "{packet}");
    assert!(packet["note"].as_str().unwrap().contains("SESSION"), "{packet}");
    assert_eq!(
        packet["objects"][2],
        json!({"class": 19, "ctype": 1, "length": 8, "name": "LABEL_REQUEST", "data": "00000800"})
    );
}

#[test]
fn malformed_elements_say_so() {
    let path = V4.path(|sink| {
        // A DCPE without its fields, an empty UCPE, an element of nobody.
        sink.put(&[0, 8, 0xD0, 1, 1, 0, 0, 0]);
        sink.put(&[0, 4, 0xD0, 2]);
        sink.put(&[0, 8, 0x7f, 0xff, 1, 2, 3, 4]);
    });
    let packet = &packets(&pcap(RAW, &[ip(V4.sender, V4.destination, 1, &path)]))[0];
    let elements = &packet["objects"][3]["elements"];
    assert!(elements[0]["error"].is_string(), "{elements}");
    assert_eq!(
        elements[1],
        json!({"ptype": ptype::UCPE, "length": 4, "name": "UCPE",
        "empty": true})
    );
    assert_eq!(
        elements[2],
        json!({"ptype": 0x7fff, "length": 8, "name": "unknown",
        "data": "01020304"})
    );
}
