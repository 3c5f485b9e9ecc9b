//! RESV messages that no honest receiver sends.

use lcm_tests::harness::TestResult;

use crate::attack::{Attack, Case};
use crate::path::{changed, of_any_kind, raise_serial, with_rate};
use crate::support::wire::{FLOWSPEC, Object, SENDER_TSPEC, STYLE, UCPE};

/// Where the sequence stands in a UCPE (charging.md section 5.1).
const SEQUENCE: usize = 48;
/// RFC 2205 appendix B: traffic control error, bad Flowspec value.
const BAD_FLOWSPEC: (u8, u16) = (21, 3);
/// RFC 2205 appendix B: unknown reservation style.
const UNKNOWN_STYLE: (u8, u16) = (6, 0);
/// charging.md section 6: policy error, bad element.
const BAD_ELEMENT: (u8, u16) = (2, 13);

pub(crate) fn bad_messages() -> TestResult {
    let mut attack = Attack::start()?;
    let resv = attack.resv()?;
    let mut cases = of_any_kind(&resv);
    let tspec = Object { class: SENDER_TSPEC, ctype: 2, body: vec![0; 32] };
    cases.extend([
        Case::malformed(
            "SENDER_TSPEC in a RESV",
            "misplaced_object",
            changed(&resv, |m| m.objects.insert(3, tspec)),
            None,
        ),
        Case::malformed(
            "no such style",
            "bad_style",
            changed(&resv, |m| m.object_mut(STYLE).expect("a STYLE")[3] = 0x1f),
            Some(UNKNOWN_STYLE),
        ),
        Case::refused(
            "payment that overflows",
            "payment_overflow",
            changed(&resv, |m| {
                let element = m.element_mut(UCPE).expect("a UCPE");
                // Payment, A, sender payment and B, in a new UCPE.
                element[12..44].fill(0xff);
                raise_serial(&mut element[SEQUENCE..]);
            }),
            BAD_ELEMENT,
        ),
        Case::refused(
            "account of no kind",
            "bad_charging_element",
            changed(&resv, |m| {
                let element = m.element_mut(UCPE).expect("a UCPE");
                // The ACCOUNT TLV at 56 says that it is longer than the element.
                element[56..58].copy_from_slice(&0x0fff_u16.to_be_bytes());
            }),
            BAD_ELEMENT,
        ),
    ]);
    for (name, rate) in
        [("NaN", f32::NAN), ("infinite", f32::INFINITY), ("negative", -1.0), ("-max", f32::MIN)]
    {
        let payload = with_rate(&resv, FLOWSPEC, rate);
        cases.push(Case::malformed(name, "bad_flowspec", payload, Some(BAD_FLOWSPEC)));
    }
    let sender = attack.sender_below()?;
    attack.run(&sender, 255, cases)
}
