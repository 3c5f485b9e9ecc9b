//! One node: a network namespace and the thread that holds it.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};

use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, unshare};

use super::enter::refused;
use super::error::{Attempt, LabError};
use super::netlink::Rtnetlink;
use super::process::Process;

/// What a node does in the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// An end system: forwards nothing, sends its multicast out of its first link.
    Host,
    /// A router that runs the daemon.
    Router,
    /// A router that knows nothing of RSVP.
    Plain,
}

type Job = Box<dyn FnOnce() + Send>;

struct Node {
    name: String,
    role: Role,
    dir: PathBuf,
    namespace: File,
    address: OnceLock<Ipv4Addr>,
    jobs: Option<Sender<Job>>,
    holder: Option<JoinHandle<()>>,
}

/// A node of a [`super::Network`]. Clones stand for the same node; the namespace lives as long as
/// one of them (a [`Process`] holds one, too).
#[derive(Clone)]
pub struct NodeHandle(Arc<Node>);

impl NodeHandle {
    /// Starts the holder thread in a new namespace and brings its loopback up.
    pub(crate) fn start(name: &str, role: Role, dir: PathBuf) -> Result<NodeHandle, LabError> {
        std::fs::create_dir_all(&dir).attempt(|| format!("creating {}", dir.display()))?;
        let (jobs, inbox) = channel::<Job>();
        let (ready, namespace) = channel();
        let holder = thread::Builder::new()
            .name(format!("node {name}"))
            .spawn(move || hold_namespace(&inbox, &ready))
            .attempt(|| format!("starting the thread of node {name}"))?;
        let namespace = namespace
            .recv()
            .attempt(|| format!("starting the thread of node {name}"))
            .and_then(|made| made)
            .map_err(|error| error.context(format!("making the namespace of node {name}")))?;
        let node = NodeHandle(Arc::new(Node {
            name: name.to_owned(),
            role,
            dir,
            namespace,
            address: OnceLock::new(),
            jobs: Some(jobs),
            holder: Some(holder),
        }));
        node.configure()?;
        Ok(node)
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What the node does in the network.
    #[must_use]
    pub fn role(&self) -> Role {
        self.0.role
    }

    /// The node's own directory in the scratch file system, for configurations, sockets and logs.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// The node's IPv4 address on its first link, if it has one yet.
    #[must_use]
    pub fn address(&self) -> Option<Ipv4Addr> {
        self.0.address.get().copied()
    }

    pub(crate) fn offer_address(&self, address: Ipv4Addr) {
        let _kept_the_first = self.0.address.set(address);
    }

    pub(crate) fn namespace(&self) -> impl AsFd + use<> {
        Arc::new(NamespaceOf(self.clone()))
    }

    /// Runs `work` in the holder thread, inside of the namespace, and waits for its result.
    ///
    /// Sockets opened by `work` belong to the namespace for good and may be moved out; threads and
    /// processes started by it inherit the namespace. It must not call `run` of the same node.
    ///
    /// # Errors
    /// If `work` panicked or the holder thread is gone.
    pub fn run<T, F>(&self, work: F) -> Result<T, LabError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let gone = || LabError::new(format!("the thread of node {} is gone", self.name()));
        let (answer, result) = channel();
        let job: Job = Box::new(move || {
            // The receiver waits below; if it is gone, so is the interest in the result.
            let _ = answer.send(catch_unwind(AssertUnwindSafe(work)));
        });
        self.0.jobs.as_ref().ok_or_else(gone)?.send(job).map_err(|_| gone())?;
        match result.recv() {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(panic)) => Err(LabError::new(format!(
                "work in node {} panicked: {}",
                self.name(),
                panic_text(panic.as_ref())
            ))),
            Err(_) => Err(gone()),
        }
    }

    /// Runs fallible `work` as [`NodeHandle::run`] does, and names the node and `what` in errors.
    ///
    /// # Errors
    /// Those of `work` and of `run`.
    pub fn attempt<T, E, F>(&self, what: &str, work: F) -> Result<T, LabError>
    where
        T: Send + 'static,
        E: std::fmt::Display + Send + 'static,
        F: FnOnce() -> Result<T, E> + Send + 'static,
    {
        self.run(work)?.attempt(|| format!("{what} in node {}", self.name()))
    }

    /// Starts a thread of its own inside of the namespace.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn thread<T, F>(&self, name: &str, work: F) -> Result<JoinHandle<T>, LabError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let builder = thread::Builder::new().name(name.to_owned());
        self.attempt("starting a thread", move || builder.spawn(work))
    }

    /// Starts a process inside of the namespace; its output goes to `<label>.out` and `<label>.err`
    /// in [`NodeHandle::dir`].
    ///
    /// # Errors
    /// If the files cannot be made or the program cannot be run.
    pub fn spawn(&self, label: &str, command: Command) -> Result<Process, LabError> {
        Process::spawn(self, label, command)
    }

    /// The kernel's index of an interface.
    ///
    /// # Errors
    /// If there is no such interface.
    pub fn ifindex(&self, interface: &str) -> Result<u32, LabError> {
        let name = interface.to_owned();
        self.attempt(&format!("looking up interface {interface}"), move || {
            if_nametoindex(name.as_str())
        })
    }

    /// Sets an interface up or down.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn set_link(&self, interface: &str, up: bool) -> Result<(), LabError> {
        let index = self.ifindex(interface)?;
        let what = format!("setting {interface} {}", if up { "up" } else { "down" });
        self.attempt(&what, move || Rtnetlink::open()?.set_up(index, up))
    }

    /// Adds an address to an interface.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn add_address(
        &self,
        interface: &str,
        address: IpAddr,
        prefix_length: u8,
    ) -> Result<(), LabError> {
        let index = self.ifindex(interface)?;
        self.attempt(&format!("adding {address}/{prefix_length} to {interface}"), move || {
            Rtnetlink::open()?.add_address(index, (address, prefix_length))
        })
    }

    /// Adds the route to a prefix, or replaces it.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn route(
        &self,
        prefix: (IpAddr, u8),
        via: Option<IpAddr>,
        interface: &str,
    ) -> Result<(), LabError> {
        let index = self.ifindex(interface)?;
        let what = format!("setting the route to {}/{} over {interface}", prefix.0, prefix.1);
        self.attempt(&what, move || Rtnetlink::open()?.set_route(prefix, via, index))
    }

    /// Adds the route to a prefix over several gateways of equal weight, or replaces it. Each is an
    /// address and the interface behind which it is.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn equal_routes(
        &self,
        prefix: (IpAddr, u8),
        gateways: &[(IpAddr, &str)],
    ) -> Result<(), LabError> {
        let hops = gateways.iter().map(|&(gateway, name)| Ok((gateway, self.ifindex(name)?)));
        let hops = hops.collect::<Result<Vec<(IpAddr, u32)>, LabError>>()?;
        let what = format!("setting the routes to {}/{}", prefix.0, prefix.1);
        self.attempt(&what, move || Rtnetlink::open()?.set_equal_routes(prefix, &hops))
    }

    /// Makes every address of a prefix one of the node's own, as if it were on the loopback.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn local_prefix(&self, prefix: (IpAddr, u8)) -> Result<(), LabError> {
        let loopback = self.ifindex("lo")?;
        let what = format!("taking {}/{} as its own", prefix.0, prefix.1);
        self.attempt(&what, move || Rtnetlink::open()?.add_local(prefix, loopback))
    }

    /// Deletes the route to a prefix.
    ///
    /// # Errors
    /// If there is none.
    pub fn delete_route(&self, prefix: (IpAddr, u8)) -> Result<(), LabError> {
        let what = format!("deleting the route to {}/{}", prefix.0, prefix.1);
        self.attempt(&what, move || Rtnetlink::open()?.delete_route(prefix))
    }

    /// Sets a kernel parameter of the namespace, named by its path such as `net/ipv4/ip_forward`.
    ///
    /// # Errors
    /// If the kernel has no such parameter or refuses the value.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<(), LabError> {
        let (path, value) = (format!("/proc/sys/{key}"), value.to_owned());
        let what = format!("writing {value} to {path}");
        // The files under /proc/sys/net show the namespace of the thread that opens them.
        self.attempt(&what, move || std::fs::write(path, value))
    }

    fn configure(&self) -> Result<(), LabError> {
        self.set_link("lo", true)?;
        let forwarding = if self.role() == Role::Host { "0" } else { "1" };
        let mut settings = vec![
            ("net/ipv4/ip_forward", forwarding),
            // A router may hear a PATH from a neighbour that its own routes do not point to.
            ("net/ipv4/conf/all/rp_filter", "0"),
            ("net/ipv4/conf/default/rp_filter", "0"),
        ];
        if has_ipv6() {
            settings.extend([
                ("net/ipv6/conf/all/forwarding", forwarding),
                // Nobody else can have our addresses: do not wait a second to be sure of it.
                ("net/ipv6/conf/all/accept_dad", "0"),
                ("net/ipv6/conf/default/accept_dad", "0"),
                // Each interface gets a link-local address.
                ("net/ipv6/conf/default/addr_gen_mode", "0"),
                ("net/ipv6/conf/default/router_solicitations", "0"),
            ]);
        }
        settings.into_iter().try_for_each(|(key, value)| self.sysctl(key, value))
    }
}

impl std::fmt::Debug for NodeHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeHandle")
            .field("name", &self.0.name)
            .field("role", &self.0.role)
            .finish()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Without senders the holder thread's loop ends, and the namespace with it.
        self.jobs = None;
        if let Some(holder) = self.holder.take() {
            // The last handle may have been dropped by a job: a thread cannot wait for itself.
            if holder.thread().id() != thread::current().id() {
                let _ = holder.join();
            }
        }
    }
}

/// True if the kernel can do IPv6.
pub(crate) fn has_ipv6() -> bool {
    Path::new("/proc/sys/net/ipv6").is_dir()
}

/// Borrowed access to a node's namespace file that keeps the node alive.
struct NamespaceOf(NodeHandle);

impl AsFd for NamespaceOf {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.0.namespace.as_fd()
    }
}

fn hold_namespace(inbox: &Receiver<Job>, ready: &Sender<Result<File, LabError>>) {
    let made = unshare(CloneFlags::CLONE_NEWNET)
        .map_err(|error| refused("leaving the network namespace of the process", error))
        .and_then(|()| Ok(File::open("/proc/thread-self/ns/net")?));
    let failed = made.is_err();
    if ready.send(made).is_err() || failed {
        return;
    }
    for job in inbox {
        job();
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
