//! What this process may do, and when it has to die.

use std::io;

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::getppid;

/// Bit of `CAP_NET_ADMIN` in a capability set (capabilities(7)).
const NET_ADMIN: u32 = 12;
/// Bit of `CAP_NET_RAW`.
const NET_RAW: u32 = 13;

/// The capabilities that a router needs, as effective in the calling thread.
///
/// Inside a user namespace they count for network namespaces that were made in it only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Raw sockets, Router Alert, foreign source addresses: without it there is no RSVP.
    pub net_raw: bool,
    /// Large receive buffers, traffic control, packet filters, multicast routing.
    pub net_admin: bool,
}

impl Capabilities {
    /// Reads the capabilities that are effective in the calling thread.
    ///
    /// # Errors
    /// `/proc/thread-self/status` cannot be read or has no such line.
    pub fn effective() -> io::Result<Capabilities> {
        const PATH: &str = "/proc/thread-self/status";
        let status = std::fs::read_to_string(PATH).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot read {PATH}: {error}; mount /proc"))
        })?;
        Capabilities::parse(&status)
            .ok_or_else(|| io::Error::other(format!("{PATH} has no readable CapEff line")))
    }

    fn parse(status: &str) -> Option<Capabilities> {
        let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
        let set = u64::from_str_radix(line.trim(), 16).ok()?;
        let has = |bit: u32| set >> bit & 1 == 1;
        Some(Capabilities { net_raw: has(NET_RAW), net_admin: has(NET_ADMIN) })
    }

    /// Says what to do if something that a router needs is missing.
    ///
    /// # Errors
    /// A text for the operator that names the missing capabilities.
    pub fn require_router(&self) -> Result<(), String> {
        let missing = match (self.net_raw, self.net_admin) {
            (true, true) => return Ok(()),
            (false, true) => "CAP_NET_RAW (raw sockets for RSVP, IP protocol 46)",
            (true, false) => {
                "CAP_NET_ADMIN (receive buffers that hold a burst, traffic control, packet filters)"
            }
            (false, false) => "CAP_NET_RAW and CAP_NET_ADMIN (raw sockets for RSVP, buffers, tc)",
        };
        Err(format!(
            "this process lacks {missing}: start it as root, or put \
             AmbientCapabilities=CAP_NET_RAW CAP_NET_ADMIN into its systemd unit, or try it in a \
             namespace of your own with `unshare -Urn`"
        ))
    }
}

/// Has the kernel kill this process when the *thread* that started it ends.
///
/// For the daemons of a demo, which must not outlive it however it ends. `parent` is the process
/// that is meant to be the parent; start the children from a thread that lives as long as the
/// demo does, and give it `std::process::id()`.
///
/// # Errors
/// What prctl(2) said, or that the parent was gone already, in which case the kernel would never
/// send the signal.
pub fn die_with_parent(parent: u32) -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    // The parent may have died before the line above; then we have another parent by now.
    let now = getppid().as_raw();
    if u32::try_from(now) == Ok(parent) {
        return Ok(());
    }
    Err(io::Error::other(format!("process {parent}, which started this one, is gone")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_bit_by_bit() {
        let status = |set: &str| format!("Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t{set}\n");
        let parse = |set: &str| Capabilities::parse(&status(set)).unwrap();
        let both = Capabilities { net_raw: true, net_admin: true };
        assert_eq!(parse("0000000000003000"), both);
        assert_eq!(parse("0000000000002000"), Capabilities { net_raw: true, net_admin: false });
        assert_eq!(parse("0000000000001000"), Capabilities { net_raw: false, net_admin: true });
        assert_eq!(parse("ffffffffffffcfff"), Capabilities { net_raw: false, net_admin: false });
        assert_eq!(Capabilities::parse("Name:\tx\n"), None);
    }

    #[test]
    fn the_error_names_what_is_missing() {
        let lacking =
            |net_raw, net_admin| Capabilities { net_raw, net_admin }.require_router().unwrap_err();
        assert!(lacking(false, true).contains("lacks CAP_NET_RAW (raw"));
        assert!(lacking(true, false).contains("lacks CAP_NET_ADMIN (receive"));
        assert!(lacking(false, false).contains("lacks CAP_NET_RAW and CAP_NET_ADMIN"));
        assert!(Capabilities { net_raw: true, net_admin: true }.require_router().is_ok());
    }

    #[test]
    fn a_thread_can_read_its_own_capabilities() {
        Capabilities::effective().unwrap();
    }

    #[test]
    fn dying_with_the_wrong_parent_is_refused() {
        let error = die_with_parent(u32::MAX).unwrap_err();
        prctl::set_pdeathsig(None).unwrap();
        assert!(error.to_string().contains("4294967295"), "{error}");
    }
}
