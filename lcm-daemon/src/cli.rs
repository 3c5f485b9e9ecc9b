//! The daemon's command line, and how it starts and stops.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{LocalSet, spawn_local};

use crate::config::Config;
use crate::control::server::{self, Call, MAX_CALLS};
use crate::exit::Exit;
use crate::io::caps;
use crate::runtime::Node;
use crate::{http, lab, log};

/// RSVP router that prices reservations and pays for them.
#[derive(Debug, Parser)]
#[command(name = "lcm-daemon", version)]
pub struct DaemonArgs {
    /// Configuration file; lcm.toml(5) describes it.
    #[arg(long, short, value_name = "FILE", default_value = "/etc/lcm/lcm.toml")]
    pub config: PathBuf,
    /// Only check the configuration: exit status 0 if it is good, 2 if not.
    #[arg(long)]
    pub check: bool,
}

/// Runs the daemon by the process's own arguments.
pub fn daemon_main() -> Exit {
    daemon_with(std::env::args_os())
}

/// Runs the daemon by these arguments, the first of which is the program's name.
pub fn daemon_with(args: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Exit {
    match DaemonArgs::try_parse_from(args) {
        Ok(args) => run(&args),
        Err(error) => usage(&error),
    }
}

/// Prints what clap has to say: help to standard output, mistakes to standard error.
pub(crate) fn usage(error: &clap::Error) -> Exit {
    // Nothing can be said if even this stream is closed.
    let _ = error.print();
    if error.use_stderr() { Exit::Usage } else { Exit::Ok }
}

fn run(args: &DaemonArgs) -> Exit {
    let config = match load(&args.config) {
        Ok(config) => config,
        Err(errors) => {
            eprintln!("{errors}");
            return Exit::Usage;
        }
    };
    if args.check {
        println!("{}: good", args.config.display());
        return Exit::Ok;
    }
    match start(&args.config, config) {
        Ok(()) => Exit::Ok,
        Err(error) => {
            eprintln!("lcm-daemon: {error}");
            Exit::Failed
        }
    }
}

/// Threads that ask for names of users and groups at most.
const LOOK_UPS: usize = 4;

/// The configuration with the secrets of all keys.
fn load(path: &Path) -> Result<Config, String> {
    let mut config = Config::load(path).map_err(|errors| errors.to_string())?;
    config.load_keys().map_err(|errors| errors.to_string())?;
    Ok(config)
}

fn start(path: &Path, config: Config) -> Result<(), String> {
    log::init(config.daemon.log_level).map_err(|e| e.to_string())?;
    lab::process::die_with_parent().map_err(|e| e.to_string())?;
    let capabilities =
        caps::Capabilities::effective().map_err(|e| format!("cannot read capabilities: {e}"))?;
    capabilities.require_router()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(LOOK_UPS)
        .build()
        .map_err(|e| format!("cannot start the event loop: {e}"))?;
    let served = LocalSet::new().block_on(&runtime, serve(path, config));
    // A directory that does not answer keeps nobody from stopping the daemon.
    runtime.shutdown_background();
    served
}

async fn serve(path: &Path, config: Config) -> Result<(), String> {
    let daemon = config.daemon.clone();
    let roles = config.control.clone();
    let seed = config.rsvp.jitter_seed.unwrap_or_else(|| fastrand::u64(..));
    let control = server::bind(&daemon.control_socket)
        .map_err(|e| format!("control socket {}: {e}", daemon.control_socket.display()))?;
    if config.ledger.directory.is_none() {
        tracing::info!("no books are kept: the configuration names no ledger.directory");
    }
    let started_with = config.clone();
    let node = Node::open(config, seed, secret()?).map_err(|e| format!("cannot start: {e}"))?;
    let (calls, requests) = mpsc::channel(MAX_CALLS);
    let hangups =
        signal(SignalKind::hangup()).map_err(|e| format!("cannot watch for SIGHUP: {e}"))?;
    spawn_local(reload(hangups, path.to_owned(), started_with, calls.clone()));
    spawn_local(server::serve(control, roles, calls.clone()));
    if let Some(address) = daemon.metrics_listen {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|e| format!("daemon.metrics_listen = {address}: {e}"))?;
        if let Ok(bound) = listener.local_addr() {
            tracing::info!(%bound, "metrics are served");
        }
        spawn_local(http::serve(listener, move || metrics_text(calls.clone())));
    }
    let stop = stop_signal().map_err(|e| format!("cannot watch for signals: {e}"))?;
    tracing::info!(name = %daemon.name, socket = %daemon.control_socket.display(), "ready");
    let result = node.run(requests, stop).await;
    // A socket that is gone already was taken by a successor.
    let _ = std::fs::remove_file(&daemon.control_socket);
    result.map_err(|e| format!("stopped by an error: {e}"))
}

/// Bytes that nobody else knows, for the cookies of integrity challenges.
fn secret() -> Result<[u8; 32], String> {
    let mut secret = [0; 32];
    let read = File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut secret));
    read.map_err(|e| format!("cannot read /dev/urandom: {e}"))?;
    Ok(secret)
}

/// At SIGHUP reads the configuration again and takes up its `[[authentication]]` and `[[identity]]`
/// with their keys, its tariffs and its splits. The rest stays as it was when the daemon started; if anything is wrong, all of it does.
async fn reload(mut hangups: Signal, path: PathBuf, started: Config, calls: mpsc::Sender<Call>) {
    while hangups.recv().await.is_some() {
        let new = match load(&path) {
            Ok(new) => new,
            Err(errors) => {
                tracing::error!("keys and tariffs stay as they are, since this is wrong: {errors}");
                continue;
            }
        };
        let mut same = Config {
            authentication: new.authentication.clone(),
            identities: new.identities.clone(),
            ..started.clone()
        };
        same.take_tariffs(&new);
        if new != same {
            tracing::warn!(
                "more than [[authentication]], [[identity]] and tariffs changed in {}; restart the \
                 daemon for the rest",
                path.display()
            );
        }
        if calls.send(Call::Configuration(Box::new(new))).await.is_err() {
            return;
        }
    }
}

async fn metrics_text(calls: mpsc::Sender<Call>) -> Result<String, String> {
    let (reply, text) = oneshot::channel();
    let stopping = || "the daemon is stopping".to_owned();
    calls.send(Call::Metrics(reply)).await.map_err(|_| stopping())?;
    text.await.map_err(|_| stopping())?
}

/// Resolves at SIGTERM or SIGINT.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    })
}
