//! `lcmctl notes`: what sender, receivers and hops between know, held against each other.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::Daemon;
use super::session::session_name;
use crate::control::Request;
use crate::control::client::{Client, ClientError};
use crate::control::protocol::{Reply, SessionName};
use crate::engine::show::SenderId;
use crate::exit::Exit;
use crate::notes::{Note, Options, Verdict, compare};

/// More than this is no note: each sender of a session takes less than a kilobyte.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// What to do with notes.
#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// Print what this node knows about the charges of a session, as JSON to be sent to others.
    Take(TakeArgs),
    /// Hold the notes of several nodes against each other. Status 0: they agree; 1: they differ,
    /// and it says where; 2: it cannot be told, and it says what to do.
    Compare(CompareArgs),
}

#[derive(Debug, Args)]
pub(crate) struct TakeArgs {
    #[command(flatten)]
    daemon: Daemon,
    /// The session: [udp:]ADDRESS:PORT.
    #[arg(value_parser = session_name)]
    session: SessionName,
    /// What the node is to be called; its host name without it.
    #[arg(long)]
    name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// Notes of different nodes, of one session; `-` reads one from standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Compare what is said about this sender only.
    #[arg(long, value_name = "ADDRESS:PORT")]
    sender: Option<std::net::SocketAddr>,
    /// The notes of all receivers are here: if a node says that there are more, it lies.
    #[arg(long)]
    complete: bool,
    /// What has not changed for so many seconds is settled; without it the lifetime of RSVP state,
    /// 5.25 refresh periods.
    #[arg(long, value_name = "SECONDS")]
    settled: Option<u32>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(what: &What) -> Exit {
    match what {
        What::Take(args) => match take(args) {
            Ok(()) => Exit::Ok,
            Err(error) => {
                eprintln!("lcmctl: {error}");
                Exit::Failed
            }
        },
        What::Compare(args) => compared(args),
    }
}

fn take(args: &TakeArgs) -> Result<(), ClientError> {
    let request = Request::Note { session: args.session };
    let Reply::Note(mut note) = Client::connect(&args.daemon.socket)?.ask(&request)? else {
        return Err(ClientError::Refused("the daemon answered something else".to_owned()));
    };
    note.name = args.name.clone().unwrap_or_else(host_name);
    let text = serde_json::to_string_pretty(&note);
    println!("{}", text.map_err(|error| ClientError::Refused(error.to_string()))?);
    Ok(())
}

/// The machine's name; none is no misfortune, since notes have addresses.
fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

fn compared(args: &CompareArgs) -> Exit {
    let mut notes = Vec::new();
    for path in &args.files {
        match read(path).and_then(|text| Note::read(&text)) {
            Ok(note) => notes.push(note),
            Err(error) => {
                eprintln!("lcmctl: {}: {error}", path.display());
                return Exit::Usage;
            }
        }
    }
    let sender = args.sender.map(|at| SenderId { source: at.ip(), id: at.port().into() });
    let options = Options { settled_s: args.settled, complete: args.complete, sender };
    let compared = compare(&notes, &options);
    if args.json {
        match serde_json::to_string_pretty(&compared) {
            Ok(text) => println!("{text}"),
            Err(error) => {
                eprintln!("lcmctl: {error}");
                return Exit::Usage;
            }
        }
    } else {
        print!("{compared}");
    }
    match compared.verdict {
        Verdict::Agree => Exit::Ok,
        Verdict::Differ => Exit::Failed,
        Verdict::Unclear => Exit::Usage,
    }
}

fn read(path: &Path) -> Result<String, String> {
    let limited = |mut from: Box<dyn Read>| {
        let mut text = String::new();
        from.read_to_string(&mut text).map(|_| text)
    };
    let text = if path.as_os_str() == "-" {
        limited(Box::new(std::io::stdin().take(MAX_BYTES)))
    } else {
        fs::File::open(path).and_then(|file| limited(Box::new(file.take(MAX_BYTES))))
    };
    text.map_err(|error| format!("{error}; name the file that `lcmctl notes take` wrote"))
}
