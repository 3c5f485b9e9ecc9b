//! Objects of unknown classes (RFC 2205 section 3.10): 0bbbbbbb is refused, 10bbbbbb ignored,
//! 11bbbbbb carried on as it is.

use std::error::Error;

use lcm_tests::harness::TestResult;

use crate::attack::{Attack, Case};
use crate::path::changed;
use crate::support::wire::{Message, Object, PATH, PATH_TEAR, POLICY_DATA, SESSION, TIME_VALUES};

const REFUSED: u8 = 0x70;
const IGNORED: u8 = 0x90;
const CARRIED: u8 = 0xf0;
/// RFC 2205 appendix B: unknown object class, with class and C-Type as the value.
const UNKNOWN_CLASS: u8 = 13;
/// A session of its own, to be made and ended.
const PORT: u16 = 5001;

fn object(class: u8) -> Object {
    Object { class, ctype: 7, body: vec![class, 1, 2, 3, 4, 5, 6, 7] }
}

pub(crate) fn three_kinds() -> TestResult {
    let mut attack = Attack::start()?;
    let path = attack.path()?;
    let above = attack.sender_above()?;
    let answer = Some((UNKNOWN_CLASS, u16::from_be_bytes([REFUSED, 7])));
    let payload = changed(&path, |m| m.objects.push(object(REFUSED)));
    let case = Case::malformed("0bbbbbbb in a PATH", "unknown_class", payload, answer);
    attack.run(&above, path.send_ttl, vec![case])?;

    let resv = attack.resv()?;
    let below = attack.sender_below()?;
    let payload = changed(&resv, |m| m.objects.insert(3, object(REFUSED)));
    let case = Case::malformed("0bbbbbbb in a RESV", "unknown_class", payload, answer);
    attack.run(&below, 255, vec![case])?;
    carried(&mut attack, &path)?;
    attack.check_untouched()
}

/// In another session, so that the established one has nothing to carry.
fn carried(attack: &mut Attack, path: &Message) -> Result<(), Box<dyn Error>> {
    let above = attack.sender_above()?;
    let mut other = path.clone();
    other.object_mut(SESSION).ok_or("no SESSION")?[6..8].copy_from_slice(&PORT.to_be_bytes());
    let mut tear = other.clone();
    other.objects.extend([object(IGNORED), object(CARRIED)]);
    let mark = attack.play.mark();
    attack.inject(&above, path.send_ttl, &other.encode())?;
    let onward = attack.play.wait_for("the PATH of the other session", mark, |heard| {
        heard.is("IS2", "R1", PATH) && heard.message.session().is_some_and(|(_, p)| p == PORT)
    })?;
    let of_class = |class: u8| onward.message.objects.iter().filter(move |o| o.class == class);
    assert_eq!(of_class(CARRIED).collect::<Vec<_>>(), [&object(CARRIED)], "byte for byte");
    assert_eq!(of_class(IGNORED).count(), 0, "{:?}", onward.message);
    assert_eq!(onward.message.dcpe().map(|dcpe| dcpe.total), Some(140), "taken otherwise");

    tear.kind = PATH_TEAR;
    tear.objects.retain(|o| ![TIME_VALUES, POLICY_DATA].contains(&o.class));
    attack.inject(&above, path.send_ttl, &tear.encode())?;
    attack.play.wait("the end of the other session", |play| {
        let left = play.stage.sessions("R1").map_err(|e| e.to_string())?.len();
        let here = play.stage.sessions("IS2").map_err(|e| e.to_string())?.len();
        if (left, here) == (1, 1) { Ok(()) } else { Err(format!("{here} at IS2, {left} at R1")) }
    })
}
