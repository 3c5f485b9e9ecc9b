//! The three nodes, the router process between them, and what that process consumes.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use lcm_daemon::lab::process::Process;
use lcm_daemon::lab::wait::until;
use lcm_daemon::lab::{LabError, Network, NodeHandle, Topology};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::{Pid, SysconfVar, sysconf};

use super::forwarder::Place;
use super::messages::{DESTINATION_PREFIX, FIRST_DESTINATION, REFRESH_MS, VALIDITY_MS};
use crate::node::{DAEMON, FORWARDER};

/// What the daemon charges on its link to the sink, in 10^-12 currency units a second.
pub(crate) const PRICE: u64 = 100;

/// Time for the daemon to start.
const START: Duration = Duration::from_secs(10);

/// What runs between generator and sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The daemon.
    Daemon,
    /// The bare forwarder.
    Forwarder,
}

impl Kind {
    /// Its name in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Daemon => "daemon",
            Kind::Forwarder => "bare forwarder",
        }
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
    router: Process,
    control_socket: PathBuf,
    _network: Network,
}

impl Bench {
    /// Builds everything anew and starts a fresh router, on its own CPU if there are two.
    pub(crate) fn start(kind: Kind) -> Result<Bench, LabError> {
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
        let (_, upstream_address) = at(up, "D")?;
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
        let router = start_router(kind, &node, &place)?;
        Ok(Bench {
            kind,
            generator,
            sink,
            generator_end: (generator_if, generator_address),
            sink_end: (sink_if, sink_address),
            router_addresses: (upstream_address, downstream_address),
            router,
            control_socket: control_socket(&node),
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

    /// User and system time that the router has used so far.
    pub(crate) fn cpu_time(&self) -> Result<Duration, LabError> {
        let path = format!("/proc/{}/stat", self.router.pid());
        let stat = read(&path)?;
        let ticks = cpu_ticks(&stat).ok_or_else(|| LabError::new(format!("{path}: {stat}")))?;
        let per_second = sysconf(SysconfVar::CLK_TCK)?.and_then(|ticks| u64::try_from(ticks).ok());
        Ok(Duration::from_secs(ticks) / per_second.map_or(100, |rate| rate as u32).max(1))
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

fn start_router(kind: Kind, node: &NodeHandle, place: &Place) -> Result<Process, LabError> {
    let program = std::env::current_exe()?;
    let mut command = std::process::Command::new(program);
    match kind {
        Kind::Forwarder => command.arg(FORWARDER).args(place.arguments()),
        Kind::Daemon => command.arg(DAEMON).arg("--config").arg(write_config(node)?),
    };
    node.spawn("router", command)
}

fn control_socket(node: &NodeHandle) -> PathBuf {
    node.dir().join("control.sock")
}

/// A charging router that refreshes nothing while it is measured.
fn write_config(node: &NodeHandle) -> Result<PathBuf, LabError> {
    let socket = control_socket(node);
    let text = format!(
        "[daemon]\n\
         name = \"bench\"\n\
         control_socket = \"{}\"\n\
         log_level = \"warn\"\n\
         [rsvp]\n\
         refresh_ms = {REFRESH_MS}\n\
         [limits]\n\
         max_sessions = 10000000\n\
         max_senders = 10000000\n\
         max_senders_per_neighbour = 10000000\n\
         max_reservations = 10000000\n\
         max_reservations_per_neighbour = 10000000\n\
         max_messages_per_s = 1000000000\n\
         [charging]\n\
         enabled = true\n\
         currency = \"EUR\"\n\
         account = {{ kind = \"opaque\", id = \"bench-router\" }}\n\
         validity_ms = {VALIDITY_MS}\n\
         [default_interface]\n\
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

/// `utime` + `stime` of /proc/PID/stat (proc_pid_stat(5), fields 14 and 15), in clock ticks.
fn cpu_ticks(stat: &str) -> Option<u64> {
    // The second field is the program's name in parentheses and may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_blanks_is_skipped() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 123 0 0 0 41 59 0 0 20 0 1 0 5 6";
        assert_eq!(cpu_ticks(stat), Some(100));
        assert_eq!(cpu_ticks("7 (a) S 1"), None);
    }
}
