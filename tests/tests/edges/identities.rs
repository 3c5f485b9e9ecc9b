//! S–IS1–IS2–R1: IS2 asks R1 who it is, and IS1 asks IS2 (RFC 3182).

use std::error::Error;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use lcm_daemon::lab::{Topology, scratch_dir};
use lcm_tests::harness::TestResult;
use nix::sys::signal::Signal;

use crate::support::play::{self, Play};
use crate::support::programs::{Talker, at_node, run, succeed, text};
use crate::support::wire::{Object, POLICY_DATA, RESV, RESV_ERR};

fn key(name: &str, secret: &str) -> Result<PathBuf, Box<dyn Error>> {
    let file = scratch_dir()?.join(name);
    fs::write(&file, secret)?;
    fs::set_permissions(&file, Permissions::from_mode(0o600))?;
    Ok(file)
}

/// Whether a POLICY_DATA object carries a name.
fn names(object: &Object, name: &str) -> bool {
    let mut windows = object.body.windows(name.len());
    object.class == POLICY_DATA && windows.any(|bytes| bytes == name.as_bytes())
}

pub(crate) fn reserved() -> TestResult {
    let alice = key("alice.key", &"0a".repeat(32))?;
    let wrong = key("wrong.key", &"0b".repeat(32))?;
    let house = key("house.key", "text:between the houses")?;
    let [a, h] = [&alice, &house].map(|file| file.display().to_string());
    let prices = [("IS1", "IS2", 100, 120), ("IS2", "R1", 40, 80)];
    let mut setup = play::setup(Topology::chain(&["S", "IS1", "IS2", "R1"]), &prices, None);
    let is1 = format!(
        "\n[[identity]]\ninterface = \"to-IS2\"\nadmit = [{{ user = \"is2\", key = \"{h}\" }}]\n"
    );
    let is2 = format!(
        "\n[[identity]]\ninterface = \"to-R1\"\n\
         admit = [{{ user = \"alice@example.net\", key = \"{a}\", \
         account = \"nai:R1@figure2.example\" }}]\n\
         \n[[identity]]\ninterface = \"to-IS1\"\npresent = {{ user = \"is2\", key = \"{h}\" }}\n"
    );
    setup.more = [("IS1".to_owned(), is1), ("IS2".to_owned(), is2.clone())].into();
    let mut play = Play::start(setup)?;
    play.send()?;
    play.wait_announced("IS2", "R1", 140, 200)?;
    let session = play.stage.session()?.destination.to_string();

    // Without an identity, with a name alone, with a wrong key, as somebody else.
    let who = ["--identity", "user:alice@example.net"];
    let (a, wrong) = (alice.display().to_string(), wrong.display().to_string());
    let stranger = ["--identity", "user:bob@example.net", "--identity-key", &a];
    let forged = [&who[..], &["--identity-key", &wrong]].concat();
    for more in [&[][..], &who, &forged, &stranger] {
        let mark = play.mark();
        let arguments = [&["receive", &session][..], more].concat();
        let mut receiver = Talker::start(at_node(&play, "R1", &arguments)?)?;
        let line = receiver.wait_line("the refusal", |line| line.contains("reports error 2/"))?;
        assert!(line.contains("identity: INSUFFICIENT_PRIVILEGES"), "{line}");
        play.wait_for("a RESVERR", mark, |heard| heard.is("IS2", "R1", RESV_ERR))?;
        assert_eq!(play.stage.reservations("IS2")?, [], "{more:?}");
        drop(receiver);
        play.wait("the end", |play| match play.stage.reservations("R1") {
            Ok(left) if left.is_empty() => Ok(()),
            other => Err(format!("{other:?}")),
        })?;
    }
    let bad = run(&play, "R1", &["receive", &session, "--identity", "alice"])?;
    assert!(text(&bad.stderr).contains("write user:NAME"), "{}", text(&bad.stderr));

    let right = [&who[..], &["--identity-key", &a]].concat();
    let mut receiver =
        Talker::start(at_node(&play, "R1", &[&["receive", &session][..], &right].concat())?)?;
    receiver.wait_line("the offer", |line| line.contains("we pay 98"))?;
    play.wait_paid("R1", "IS2", 98)?;
    play.wait_paid("IS2", "IS1", 70)?;
    let rates = [("S", -42), ("IS1", 100), ("IS2", 40), ("R1", -98)];
    play.wait_balances(&rates.map(|(name, rate)| (name.to_owned(), rate)).into())?;
    let table = succeed(&play, "IS2", &["show", "reservations"])?;
    assert!(table.contains("alice@example.net"), "{table}");
    let shown = &play.stage.reservations("IS2")?[0];
    assert_eq!(shown.identity.as_deref(), Some("alice@example.net"));
    // What IS2 asks for ends there, and what it says is its own.
    let says = |play: &mut Play, from, to, name| {
        let resv = play.last(from, to, RESV).ok_or("no RESV")?;
        Ok::<_, Box<dyn Error>>(resv.message.objects.iter().any(|object| names(object, name)))
    };
    assert!(says(&mut play, "R1", "IS2", "alice@example.net")?);
    assert!(!says(&mut play, "IS2", "IS1", "alice@example.net")?);
    assert!(says(&mut play, "IS2", "IS1", "is2")? && !says(&mut play, "IS1", "S", "is2")?);

    // The operator strikes Alice out, and that is the end of it.
    let dir = play.stage.network().get("IS2")?.dir().to_owned();
    let before = fs::read_to_string(dir.join("lcm.toml"))?;
    fs::write(dir.join("lcm.toml"), before.replace("alice@", "carol@"))?;
    play.stage.daemon("IS2")?.process_mut().signal(Signal::SIGHUP)?;
    receiver.wait_line("the refusal", |line| line.contains("identity: INSUFFICIENT"))?;
    play.wait("the end at IS2", |play| match play.stage.reservations("IS2") {
        Ok(left) if left.is_empty() => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    let metrics = crate::support::metrics::Page::fetch(&play, "IS2")?;
    for (reason, least) in [("missing", 1), ("signature", 2), ("unknown", 2)] {
        let series = format!("lcm_messages_dropped_total{{reason=\"identity_{reason}\"}}");
        assert!(metrics.value(&series) >= least, "{reason}: {}", metrics.value(&series));
    }
    Ok(())
}
