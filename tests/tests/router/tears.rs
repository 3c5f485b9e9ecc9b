//! RESVTEAR and PATHTEAR: what is ended is ended everywhere at once, long before it times out.

use lcm_tests::harness::TestResult;

use crate::support::golden::{self, A};
use crate::support::play::{self, Play};
use crate::support::wire::{PATH_TEAR, RESV_TEAR};

pub(crate) fn both() -> TestResult {
    // States last for 157.5 s: nothing here happens by itself.
    let mut play =
        Play::start(lcm_daemon::demo::stage::Setup { refresh_ms: 30_000, ..play::figure() })?;
    // Members first: a host that joins after a PATH hears the next one.
    let r1 = play.stage.receive("R1", None)?;
    let r2 = play.stage.receive("R2", None)?;
    let sender = play.send()?;
    golden::wait_case(&mut play, A)?;

    // R2 still wants it: R1's tear goes no farther than IS2.
    let mark = play.mark();
    play.close("R1", r1)?;
    play.wait_for("R1's tear", mark, |heard| heard.is("R1", "IS2", RESV_TEAR))?;
    play.wait_paid("IS3", "IS2", 112)?;
    let tears = |play: &mut Play, kind: u8| -> Vec<String> {
        let later = play.heard().get(mark..).unwrap_or_default();
        let tears = later.iter().filter(|heard| heard.message.kind == kind);
        tears.map(|heard| format!("{}->{}", heard.from, heard.to)).collect()
    };
    assert_eq!(tears(&mut play, RESV_TEAR), ["R1->IS2"]);

    play.close("R2", r2)?;
    play.wait("no reservation anywhere", |play| {
        for node in ["S", "IS1", "IS2", "IS3", "R1", "R2"] {
            let left = play.stage.reservations(node).map_err(|e| e.to_string())?;
            if !left.is_empty() {
                return Err(format!("{node}: {left:?}"));
            }
        }
        Ok(())
    })?;
    let resv_tears = tears(&mut play, RESV_TEAR);
    assert_eq!(resv_tears, ["R1->IS2", "R2->IS3", "IS3->IS2", "IS2->IS1", "IS1->S"]);
    for node in ["IS1", "IS2", "IS3"] {
        assert!(!play.stage.sessions(node)?.is_empty(), "{node} still knows the sender");
    }
    let silent = ["S", "IS1", "IS2", "IS3", "R1", "R2"].map(|name| (name.to_owned(), 0));
    play.wait_balances(&silent.clone().into())?;

    // Both are back in the group, or their hosts would not hear the end.
    for receiver in ["R1", "R2"] {
        play.stage.receive(receiver, None)?;
    }
    // What they pay is no matter here: the last price that a host heard before it joined may be
    // an old one, until the next PATH.
    play.wait("reservations everywhere", |play| {
        for (node, count) in [("S", 1), ("IS1", 1), ("IS2", 2), ("IS3", 1), ("R1", 1), ("R2", 1)] {
            let made = play.stage.reservations(node).map_err(|e| e.to_string())?;
            if made.len() != count {
                return Err(format!("{node}: {made:?}"));
            }
        }
        Ok(())
    })?;
    play.close("S", sender)?;
    play.wait_empty(&["S", "IS1", "IS2", "IS3", "R1", "R2"])?;
    let mut path_tears = tears(&mut play, PATH_TEAR);
    path_tears.sort_unstable();
    assert_eq!(path_tears, ["IS1->IS2", "IS2->IS3", "IS2->R1", "IS3->R2", "S->IS1"]);
    play.wait_rates(&silent.into())?;
    Ok(())
}
