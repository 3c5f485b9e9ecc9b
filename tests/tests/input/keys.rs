//! RSVP authentication (RFC 2747) between real daemons: switched on while a session stands, keys
//! changed without losing a message, and what is forged, replayed or signed by somebody else.

use std::error::Error;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use lcm_daemon::control::Request;
use lcm_daemon::control::protocol::{Reply, What};
use lcm_tests::harness::TestResult;
use nix::sys::signal::Signal;
use rsvp_wire::digest::{self, Algorithm, Key};

use crate::attack::{Attack, Case, VICTIM};
use crate::support::metrics::Page;
use crate::support::play::{Heard, Play};
use crate::support::programs::succeed;
use crate::support::wire::{Message, PATH, RESV};

const NODES: [&str; 4] = ["S", "IS1", "IS2", "R1"];
/// Class of INTEGRITY.
const INTEGRITY: u8 = 4;
/// Type of Integrity Challenge, the only message that is not signed (RFC 3097).
const CHALLENGE: u8 = 25;

/// The secret of a key, in hexadecimal digits.
fn secret(id: u64) -> String {
    format!("{id:02x}").repeat(32)
}

fn algorithm(id: u64) -> &'static str {
    if id == 1 { "hmac-md5" } else { "hmac-sha256" }
}

/// The configurations that the daemons were started with.
struct Operator {
    started_with: Vec<String>,
}

impl Operator {
    fn new(play: &Play) -> Result<Self, Box<dyn Error>> {
        let read = |name| -> Result<String, Box<dyn Error>> {
            Ok(fs::read_to_string(play.stage.network().get(name)?.dir().join("lcm.toml"))?)
        };
        Ok(Self { started_with: NODES.into_iter().map(read).collect::<Result<_, _>>()? })
    }

    /// Gives all nodes these keys, one node after the other, while they go on; waits until each has
    /// taken them up.
    fn give(&self, play: &mut Play, ids: &[u64], demand: bool) -> TestResult {
        for (name, before) in NODES.into_iter().zip(&self.started_with) {
            let dir = play.stage.network().get(name)?.dir().to_owned();
            let mut keys = Vec::new();
            for id in ids {
                let file = dir.join(format!("key-{id}"));
                fs::write(&file, secret(*id))?;
                fs::set_permissions(&file, Permissions::from_mode(0o600))?;
                let (algorithm, file) = (algorithm(*id), file.display());
                keys.push(format!(
                    "{{ id = {id}, algorithm = \"{algorithm}\", file = \"{file}\" }}"
                ));
            }
            let mut text = before.clone();
            for interface in play.stage.interfaces(name)? {
                let table = format!(
                    "\n[[authentication]]\ninterface = \"{}\"\ndemand = {demand}\nkeys = [{}]\n",
                    interface.name,
                    keys.join(", ")
                );
                text += &table;
            }
            fs::write(dir.join("lcm.toml"), text)?;
            play.stage.daemon(name)?.process_mut().signal(Signal::SIGHUP)?;
            wait_keys(play, name, ids, demand)?;
        }
        Ok(())
    }
}

fn wait_keys(play: &mut Play, name: &str, ids: &[u64], demand: bool) -> TestResult {
    play.wait(&format!("{name} with the keys {ids:?}"), |play| {
        let request = Request::Show { what: What::Authentication };
        match play.stage.ask(name, &request).map_err(|error| error.to_string())? {
            Reply::Authentication { associations, .. } => {
                let right = !associations.is_empty()
                    && associations.iter().all(|one| {
                        one.demands == demand && one.keys.iter().map(|key| key.id).eq(ids.to_vec())
                    });
                if right { Ok(()) } else { Err(format!("{associations:?}")) }
            }
            other => Err(format!("{other:?}")),
        }
    })
}

/// The key by which a message is signed.
fn key_of(heard: &Heard) -> Option<u64> {
    let first = heard.message.objects.first().filter(|object| object.class == INTEGRITY)?;
    let [_, _, id @ ..] = first.body.first_chunk::<8>()?;
    Some(id.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

/// Waits for a few refreshes both ways between all nodes, signed with a key.
fn wait_refreshes(play: &mut Play, key: u64) -> TestResult {
    for (a, b) in [("S", "IS1"), ("IS1", "IS2"), ("IS2", "R1")] {
        for (from, to, kind) in [(a, b, PATH), (b, a, RESV)] {
            let mark = play.mark();
            let mut count = 0;
            play.wait_for(&format!("{from}->{to} by key {key}"), mark, |heard| {
                count += u32::from(heard.is(from, to, kind) && key_of(heard) == Some(key));
                count >= 3
            })?;
        }
    }
    Ok(())
}

/// Messages that all nodes have not believed, or not yet.
fn dropped(play: &Play) -> Result<Vec<(String, u64)>, Box<dyn Error>> {
    let mut all = Vec::new();
    for name in NODES {
        let counted = Page::fetch(play, name)?.family("lcm_messages_dropped_total");
        all.extend(counted.into_iter().filter(|(series, _)| series.contains("integrity_")));
    }
    Ok(all)
}

/// A session in place, and all nodes secured with the key 1.
fn secured() -> Result<(Attack, Operator), Box<dyn Error>> {
    let mut attack = Attack::start()?;
    let operator = Operator::new(&attack.play)?;
    // First all sign, then all demand it: nothing is lost, and the session stands.
    operator.give(&mut attack.play, &[1], false)?;
    wait_refreshes(&mut attack.play, 1)?;
    operator.give(&mut attack.play, &[1], true)?;
    wait_refreshes(&mut attack.play, 1)?;
    attack.check_untouched()?;
    Ok((attack, operator))
}

pub(crate) fn rollover() -> TestResult {
    let (mut attack, operator) = secured()?;
    let play = &mut attack.play;
    let (before, mark) = (dropped(play)?, play.mark());
    for (ids, signs) in [([1, 2].as_slice(), 1), (&[2, 1], 2), (&[2], 2)] {
        operator.give(play, ids, true)?;
        wait_refreshes(play, signs)?;
        // Refreshes come when they like; enough of them must be seen by either key.
        play.wait("twenty messages by that key", |play| {
            let later = play.heard().get(mark..).unwrap_or_default();
            let count = later.iter().filter(|heard| key_of(heard) == Some(signs)).count();
            if count > 20 { Ok(()) } else { Err(count.to_string()) }
        })?;
    }
    assert_eq!(dropped(play)?, before, "no message was dropped");
    let later = play.heard().get(mark..).unwrap_or_default();
    let signed = later.iter().filter(|heard| heard.message.kind != CHALLENGE);
    let keys: Vec<Option<u64>> = signed.map(key_of).collect();
    let count = |id| keys.iter().filter(|key| **key == Some(id)).count();
    assert_eq!(count(1) + count(2), keys.len(), "every message is signed with one of the two");
    assert!(count(1) > 20 && count(2) > 20, "{} and {}", count(1), count(2));
    let zero =
        later.iter().all(|heard| heard.message.kind == CHALLENGE || heard.bytes[2..4] == [0; 2]);
    assert!(zero, "no checksum beside a digest");
    attack.check_untouched()
}

pub(crate) fn refused() -> TestResult {
    let (mut attack, _) = secured()?;
    let neighbour = attack.play.address_on("IS1", VICTIM)?;
    let case = |name, reason: &str, payload| Case {
        name,
        payload,
        counted: format!(
            "lcm_integrity_dropped_total{{interface=\"to-IS1\",neighbour=\"{neighbour}\",\
             reason=\"integrity_{reason}\"}}"
        ),
        answer: None,
    };
    let heard = attack.play.last("IS1", VICTIM, PATH).ok_or("no PATH")?.clone();
    let replayed = heard.bytes.clone();
    let mut forged = replayed.clone();
    *forged.last_mut().ok_or("no bytes")? ^= 1;
    let later = |key_id: u8, secret: &[u8]| {
        let mut bytes = replayed.clone();
        (bytes[19], bytes[20]) = (key_id, bytes[20] + 1);
        let key = Key { algorithm: Algorithm::HmacMd5, secret };
        digest::sign(&mut bytes, &key).map(|()| bytes)
    };
    let mut bare: Message = heard.message.clone();
    bare.objects.retain(|object| object.class != INTEGRITY);
    let cases = vec![
        case("a replay", "replay", replayed.clone()),
        case("a forgery", "wrong_digest", forged),
        case("another secret", "wrong_digest", later(1, b"somebody else's")?),
        case("another key", "unknown_key", later(9, &[1; 32])?),
        case("no signature", "missing", bare.encode()),
    ];
    let sender = attack.sender_above()?;
    attack.run(&sender, heard.message.send_ttl, cases)?;
    let shown = succeed(&attack.play, VICTIM, &["show", "authentication"])?;
    for word in ["hmac-md5", "signs", "integrity_replay", &neighbour.to_string()] {
        assert!(shown.contains(word), "{word} in {shown}");
    }
    // A configuration with a fault changes nothing, and the log says what is wrong.
    let dir = attack.play.stage.network().get(VICTIM)?.dir().to_owned();
    fs::set_permissions(dir.join("key-1"), Permissions::from_mode(0o644))?;
    let daemon = attack.play.stage.daemon(VICTIM)?;
    daemon.process_mut().signal(Signal::SIGHUP)?;
    let log = daemon.process().stderr().to_owned();
    attack.play.wait("the complaint about the key's file", |_| {
        let text = fs::read_to_string(&log).map_err(|error| error.to_string())?;
        if text.contains("chmod 600") { Ok(()) } else { Err("nothing yet".to_owned()) }
    })?;
    wait_refreshes(&mut attack.play, 1)?;
    attack.check_untouched()
}
