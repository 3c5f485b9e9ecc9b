//! The three nodes, the router process between them, and what that process consumes.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lcm_daemon::control::Request;
use lcm_daemon::control::client::Client;
use lcm_daemon::lab::process::Process;
use lcm_daemon::lab::wait::until;
use lcm_daemon::lab::{LabError, Network, NodeHandle, Topology};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::time::ClockId;
use nix::unistd::Pid;
use tempfile::TempDir;

use super::forwarder::Place;
use super::messages::{DESTINATION_PREFIX, FIRST_DESTINATION, VALIDITY_MS};
use crate::node::{DAEMON, FORWARDER};

/// What the daemon charges on its link to the sink, in 10^-12 currency units a second.
pub(crate) const PRICE: u64 = 100;

/// Time for the daemon to start.
const START: Duration = Duration::from_secs(10);

/// How the daemon is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setting {
    /// It charges; otherwise it passes policy elements on.
    pub charging: bool,
    /// It keeps durable books, on a real disk.
    pub books: bool,
    /// R, in milliseconds.
    pub refresh_ms: u32,
    /// It reduces refreshes (RFC 2961) with those that do so too.
    pub reduction: bool,
}

impl Setting {
    /// A router that charges, keeps books, and refreshes nothing while it is measured.
    pub(crate) const FULL: Setting = Setting {
        charging: true,
        books: true,
        refresh_ms: super::messages::REFRESH_MS,
        reduction: false,
    };
    /// The same without books.
    pub(crate) const NO_BOOKS: Setting = Setting { books: false, ..Setting::FULL };
    /// A policy-ignorant router.
    pub(crate) const IGNORANT: Setting = Setting { charging: false, ..Setting::NO_BOOKS };
}

/// What runs between generator and sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The daemon.
    Daemon(Setting),
    /// The bare forwarder.
    Forwarder,
}

impl Kind {
    /// Its name in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Daemon(Setting { charging: false, .. }) => "charging off",
            Kind::Daemon(Setting { books: false, .. }) => "without books",
            Kind::Daemon(_) => "daemon",
            Kind::Forwarder => "bare forwarder",
        }
    }

    /// Whether its quotes are the daemon's.
    pub(crate) fn charges(self) -> bool {
        matches!(self, Kind::Daemon(Setting { charging: true, .. }))
    }
}

/// Generator, router and sink with their links, and a running router.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) kind: Kind,
    pub(crate) generator: NodeHandle,
    pub(crate) sink: NodeHandle,
    /// The generator's interface and address on the link to the router.
    pub(crate) generator_end: (u32, Ipv4Addr),
    /// The sink's interface and address on the link to the router.
    pub(crate) sink_end: (u32, Ipv4Addr),
    /// The router's addresses towards the generator and towards the sink.
    pub(crate) router_addresses: (Ipv4Addr, Ipv4Addr),
    /// The router's interfaces towards the generator and towards the sink.
    pub(crate) interfaces: (String, String),
    /// The router's node.
    pub(crate) node: NodeHandle,
    router: Process,
    place: Place,
    books: Option<TempDir>,
    control_socket: PathBuf,
    _network: Network,
}

impl Bench {
    /// Builds everything anew and starts a fresh router, on its own CPU if there are two; its books
    /// are kept below `disk`.
    pub(crate) fn start(kind: Kind, disk: &Path) -> Result<Bench, LabError> {
        let network = Topology::chain(&["G", "D", "K"]).build()?;
        let (generator, node, sink) = (network.get("G")?, network.get("D")?, network.get("K")?);
        let destinations = (IpAddr::V4(FIRST_DESTINATION), DESTINATION_PREFIX);
        let (up, down) = (network.link_between("G", "D")?, network.link_between("D", "K")?);
        let at = |link: &lcm_daemon::lab::Link, name: &str| {
            let end = link.end(name).map(|end| (end.ifindex, end.interface.clone()));
            end.zip(link.address(name)).ok_or_else(|| {
                LabError::new(format!("{name} has no IPv4 address on {}", link.name()))
            })
        };
        let ((generator_if, to_router), generator_address) = at(up, "G")?;
        let ((_, from_generator), upstream_address) = at(up, "D")?;
        let ((downstream, to_sink), downstream_address) = at(down, "D")?;
        let ((sink_if, _), sink_address) = at(down, "K")?;
        generator.route(destinations, Some(upstream_address.into()), &to_router)?;
        node.route(destinations, Some(sink_address.into()), &to_sink)?;
        sink.local_prefix(destinations)?;

        if let Some((_, router_cpu)) = cpus()? {
            // The router inherits it from the thread that starts it.
            node.attempt("choosing a CPU", move || pin_to(router_cpu))?;
        }
        let place = Place {
            downstream,
            downstream_address,
            upstream_address,
            generator: generator_address,
        };
        let books = match kind {
            Kind::Daemon(Setting { books: true, .. }) => {
                Some(TempDir::with_prefix_in("lcm-bench-", disk).map_err(|error| {
                    let disk = disk.display();
                    LabError::caused(format!("making a directory for the books in {disk}"), error)
                })?)
            }
            _ => None,
        };
        let router = start_router(kind, &node, &place, books.as_ref().map(TempDir::path))?;
        Ok(Bench {
            kind,
            generator,
            sink,
            generator_end: (generator_if, generator_address),
            sink_end: (sink_if, sink_address),
            router_addresses: (upstream_address, downstream_address),
            interfaces: (from_generator, to_sink),
            router,
            place,
            books,
            control_socket: control_socket(&node),
            node,
            _network: network,
        })
    }

    /// Nothing, as long as the router runs.
    ///
    /// # Errors
    /// If it has ended: with the end of its output.
    pub(crate) fn check(&mut self) -> Result<(), LabError> {
        self.router.check()
    }

    /// The end of the router's output.
    pub(crate) fn log_tail(&self) -> String {
        self.router.log_tail(20)
    }

    /// User and system time that the router has used so far, in all its threads.
    pub(crate) fn cpu_time(&self) -> Result<Duration, LabError> {
        let pid = Pid::from_raw(self.router.pid().cast_signed());
        let time = ClockId::pid_cpu_clock_id(pid).and_then(ClockId::now);
        let time =
            time.map_err(|error| LabError::caused("reading the router's CPU clock", error))?;
        Ok(Duration::from(time))
    }

    /// Kills the router as if the machine had lost it, and starts it again.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn kill_and_start(&mut self) -> Result<(), LabError> {
        self.router.kill()?;
        let books = self.books.as_ref().map(TempDir::path);
        self.router = start_router(self.kind, &self.node, &self.place, books)?;
        Ok(())
    }

    /// Changes the price of the daemon's interface towards the sink.
    ///
    /// # Errors
    /// If the daemon refuses, or does not answer.
    pub(crate) fn set_price(&self, price: u64) -> Result<(), LabError> {
        let asked = Client::connect(&self.control_socket).and_then(|mut client| {
            let interface = self.interfaces.1.clone();
            client.ask(&Request::Price { interface, price, max_price: None, at_admission: false })
        });
        asked.map(drop).map_err(|error| LabError::caused("changing the price", error))
    }

    /// Bytes of memory that the daemon holds resident when it is ready and has nothing to do.
    ///
    /// # Errors
    /// If it ends, or does not become ready.
    pub(crate) fn resident_bytes_when_idle(&mut self) -> Result<u64, LabError> {
        let stat = format!("/proc/{}/stat", self.router.pid());
        let router = &mut self.router;
        let socket = self.control_socket.clone();
        until(START, "the router's start", || {
            router.check().map_err(|error| error.to_string())?;
            let stat = read(&stat).map_err(|error| error.to_string())?;
            // State S: it sleeps, hence waits for its first event.
            let sleeps = stat.rsplit_once(')').is_some_and(|(_, state)| state.starts_with(" S"));
            if sleeps && socket.exists() { Ok(()) } else { Err(stat) }
        })?;
        self.resident_bytes()
    }

    /// Bytes of memory that the router holds resident.
    pub(crate) fn resident_bytes(&self) -> Result<u64, LabError> {
        // Unlike statm and status this is counted page by page, hence exact.
        let path = format!("/proc/{}/smaps_rollup", self.router.pid());
        let text = read(&path)?;
        let kilobytes = text
            .lines()
            .find_map(|line| line.strip_prefix("Rss:")?.trim().strip_suffix(" kB")?.parse().ok())
            .ok_or_else(|| LabError::new(format!("{path} has no Rss line")))?;
        Ok(1024 * std::convert::identity::<u64>(kilobytes))
    }
}

/// Two CPUs of this process, for the generator and for the router, if there are two.
pub(crate) fn cpus() -> Result<Option<(usize, usize)>, LabError> {
    let allowed = sched_getaffinity(Pid::from_raw(std::process::id().cast_signed()))?;
    let mut allowed = (0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu).unwrap_or(false));
    Ok(allowed.next().zip(allowed.next()))
}

/// Binds the calling thread to a CPU.
pub(crate) fn pin_to(cpu: usize) -> nix::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &set)
}

fn start_router(
    kind: Kind,
    node: &NodeHandle,
    place: &Place,
    books: Option<&Path>,
) -> Result<Process, LabError> {
    let program = std::env::current_exe()?;
    let mut command = std::process::Command::new(program);
    match kind {
        Kind::Forwarder => command.arg(FORWARDER).args(place.arguments()),
        Kind::Daemon(setting) => {
            command.arg(DAEMON).arg("--config").arg(write_config(node, setting, books)?)
        }
    };
    node.spawn("router", command)
}

fn control_socket(node: &NodeHandle) -> PathBuf {
    node.dir().join("control.sock")
}

fn write_config(
    node: &NodeHandle,
    setting: Setting,
    books: Option<&Path>,
) -> Result<PathBuf, LabError> {
    let Setting { charging, refresh_ms, reduction, .. } = setting;
    let socket = control_socket(node);
    // A quote must outlast what is lost of one period.
    let validity_ms = VALIDITY_MS.max(refresh_ms.saturating_mul(2));
    let ledger = books.map_or_else(String::new, |directory| {
        format!("[ledger]\ndirectory = \"{}\"\n", directory.join("books").display())
    });
    let text = format!(
        "[daemon]\n\
         name = \"bench\"\n\
         control_socket = \"{}\"\n\
         log_level = \"warn\"\n\
         {ledger}\
         [rsvp]\n\
         refresh_ms = {refresh_ms}\n\
         [limits]\n\
         max_sessions = 10000000\n\
         max_senders = 10000000\n\
         max_senders_per_neighbour = 10000000\n\
         max_reservations = 10000000\n\
         max_reservations_per_neighbour = 10000000\n\
         max_messages_per_s = 1000000000\n\
         max_policy_bytes_in_all = 4000000000\n\
         [charging]\n\
         enabled = {charging}\n\
         currency = \"EUR\"\n\
         account = {{ kind = \"opaque\", id = \"bench-router\" }}\n\
         validity_ms = {validity_ms}\n\
         [default_interface]\n\
         refresh_reduction = {reduction}\n\
         tariff = {{ kind = \"flat\", price_pico_per_s = {PRICE}, max_price_pico_per_s = {PRICE} }}\n",
        socket.display()
    );
    let path = node.dir().join("lcm.toml");
    fs::write(&path, text)?;
    Ok(path)
}

fn read(path: &str) -> Result<String, LabError> {
    fs::read_to_string(path).map_err(|error| LabError::caused(format!("reading {path}"), error))
}
