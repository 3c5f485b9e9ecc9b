//! The loop that joins the engine to the kernel: one thread, which owns everything.
//!
//! Packets, netlink news, control requests and the timer wake it; after each, outputs are done
//! and messages sent in batches. Nothing here decides anything about RSVP.

mod ip6;
mod traces;

use std::collections::HashMap;
use std::future::pending;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant as TokioInstant;

use crate::bookkeeper::Bookkeeper;
use crate::bookkeeper::desk::{Job, Work};
use crate::config::{Accounts, Config};
use crate::control::protocol::{AccountOrder, NoticeLine, Reply, Request, What};
use crate::control::server::Call;
use crate::control::{convert, orders};
use crate::engine::{AlarmKind, Engine, Handle, Instant, Now, Output, PriceChange};
use crate::io::clock::Sleep;
use crate::io::{Monitor, RawSocket, RecvBatch, RouteCache, SocketSettings, clock, watch};
use crate::kernel::{KernelNews, Route};
use crate::ledger::record::Actor;
use crate::page::Page;
use crate::price_export::PriceExport;
use ip6::Ip6;
use traces::Traces;

/// Batches read from the socket before other work gets its turn.
const BATCHES_PER_TURN: usize = 8;

/// The node: the engine and its hands.
pub(crate) struct Node {
    engine: Engine,
    socket: AsyncFd<RawSocket>,
    ip6: Option<Ip6>,
    monitor: AsyncFd<Monitor>,
    routes: RouteCache,
    batch: RecvBatch,
    /// First message of the queue that was not sent yet, while the socket is full.
    unsent: Option<usize>,
    listeners: HashMap<Handle, mpsc::Sender<NoticeLine>>,
    page: Page,
    books: Bookkeeper,
    traces: Traces,
    prices: PriceExport,
    sleep: Sleep,
    /// Terms of new accounts, and the currency of prices.
    accounts: Option<Accounts>,
    currency: u16,
}

impl Node {
    /// Opens the books and the sockets, and reads the interfaces; `secret` is known to nobody else.
    pub(crate) fn open(config: Config, seed: u64, secret: [u8; 32]) -> io::Result<Self> {
        let books = Bookkeeper::open(&config, now()).map_err(io::Error::other)?;
        let settings = SocketSettings::default();
        let socket = RawSocket::open(&settings)?;
        let mut ip6 = Ip6::open(config.rsvp.role, &settings)?;
        tracing::info!(
            bytes = socket.receive_buffer()?,
            "raw socket for RSVP is open; this is its receive buffer"
        );
        let monitor = Monitor::open()?;
        if let Some(ip6) = &mut ip6 {
            ip6.set_own(addresses(&monitor));
        }
        let accounts = config.accounts;
        let currency = config.charging.as_ref().map_or(0, |charging| charging.currency.numeric());
        let letters = config.charging.as_ref().map(|charging| charging.currency.alphabetic());
        let path = config.daemon.price_export.clone();
        let prices = PriceExport::new(path, &config.daemon.name, letters);
        let mut engine = Engine::new(config, seed);
        engine.await_accounts();
        engine.set_secret(secret);
        let now = now();
        for interface in monitor.interfaces() {
            engine.handle_news(now, KernelNews::Interface(interface.clone()));
        }
        open_proxies(&mut engine, now);
        Ok(Self {
            engine,
            socket: watch(socket)?,
            ip6,
            monitor: watch(monitor)?,
            routes: RouteCache::open()?,
            batch: RecvBatch::new(),
            unsent: None,
            listeners: HashMap::new(),
            page: Page::new().map_err(io::Error::other)?,
            books,
            traces: Traces::default(),
            prices,
            sleep: Sleep::new(clock::monotonic_us(), clock::suspended_us()),
            accounts,
            currency,
        })
    }

    /// Serves until `stop` resolves.
    pub(crate) async fn run(
        mut self,
        mut calls: mpsc::Receiver<Call>,
        stop: impl Future<Output = ()>,
    ) -> io::Result<()> {
        tokio::pin!(stop);
        loop {
            self.wake();
            self.flush();
            self.prices.look(now().at, || self.engine.show_interfaces(now()));
            let proof = self.books.due(&self.engine);
            let alarm =
                self.engine.poll_timeout().into_iter().chain(proof).chain(self.prices.due()).min();
            let alarm = alarm.map(tokio_instant);
            tokio::select! {
                ready = self.socket.readable() => {
                    ready?.retain_ready();
                    self.receive()?;
                }
                ready = Ip6::readable(self.ip6.as_ref()) => {
                    ready?;
                    if let Some(ip6) = &mut self.ip6 {
                        ip6.receive(&mut self.engine);
                    }
                    self.flush();
                }
                ready = self.socket.writable(), if self.unsent.is_some() => {
                    ready?.clear_ready();
                }
                ready = Ip6::writable(self.ip6.as_ref()), if self.unsent.is_some() => ready?,
                ready = self.monitor.readable() => {
                    ready?.clear_ready();
                    self.read_news()?;
                }
                Some(call) = calls.recv() => self.serve(call),
                news = self.books.news() => self.books.take(&mut self.engine, now(), news),
                () = sleep_until(alarm) => self.do_what_is_due(),
                () = &mut stop => break,
            }
        }
        self.engine.close_all(now());
        self.flush();
        let unwritten = self.books.stop(&mut self.engine, now());
        self.transmit();
        unwritten.map_err(|unwritten| io::Error::other(format!("the ledger: {unwritten}")))
    }

    /// Looks at the clocks, and whether the machine was asleep.
    fn wake(&mut self) {
        let (at, suspended) = (clock::monotonic_us(), clock::suspended_us());
        self.engine.set_wall_clock(Instant::from_micros(at), clock::unix_us());
        if let Some(from) = self.sleep.since(at, suspended) {
            tracing::warn!(for_us = at - from, "the machine was asleep; nobody is charged for it");
            self.engine.slept(now(), Instant::from_micros(from));
        }
    }

    fn do_what_is_due(&mut self) {
        let now = now();
        self.engine.handle_timeout(now);
        self.flush();
        self.books.prove(&mut self.engine, now);
    }

    fn receive(&mut self) -> io::Result<()> {
        for _ in 0..BATCHES_PER_TURN {
            match self.socket.get_ref().recv_batch(&mut self.batch) {
                Ok(count) => {
                    let now = now();
                    for (meta, message) in self.batch.iter() {
                        self.engine.handle_packet(now, meta, message);
                    }
                    self.flush();
                    if count < RecvBatch::CAPACITY {
                        // recvmmsg(2) stopped because the socket was empty.
                        clear_readable(&self.socket);
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    clear_readable(&self.socket);
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What the kernel says here concerns one packet or one route; the socket lives.
                Err(error) => {
                    tracing::warn!(%error, "receiving failed");
                    break;
                }
            }
        }
        Ok(())
    }

    fn read_news(&mut self) -> io::Result<()> {
        let mut news = Vec::new();
        self.monitor.get_mut().read_news(&mut news)?;
        if let Some(ip6) = &mut self.ip6 {
            ip6.set_own(addresses(self.monitor.get_ref()));
        }
        let now = now();
        for item in news {
            tracing::debug!(?item, "kernel news");
            self.routes.news(&item);
            self.engine.handle_news(now, item);
        }
        open_proxies(&mut self.engine, now);
        Ok(())
    }

    /// Does all that the engine asks for, then sends.
    fn flush(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Route(key) => {
                    let route = self.routes.route(&key).unwrap_or_else(|error| {
                        tracing::warn!(%error, ?key, "route look-up failed; taken as unreachable");
                        Route::Unreachable
                    });
                    self.engine.handle_route(now(), key, route);
                }
                Output::Record(id, record) => {
                    tracing::trace!(?record, "record");
                    self.books.record(&mut self.engine, now(), id, &record);
                }
                Output::Join { group, interface } => {
                    if let Err(error) = self.join(group, interface) {
                        tracing::error!(%group, interface, %error, "joining failed");
                    }
                }
                Output::Leave { group, interface } => {
                    if let Err(error) = self.leave(group, interface) {
                        tracing::warn!(%group, interface, %error, "leaving failed");
                    }
                }
                Output::Alarm(alarm) => {
                    let (session, sender) = (&alarm.session, &alarm.sender);
                    let kind = alarm.kind.map_or("over", AlarmKind::name);
                    tracing::warn!(kind, %session, %sender, "{alarm}");
                }
                Output::Disbelieved(news) => tracing::warn!(why = news.why.name(), "{news}"),
                Output::LastKeyEnded { of, key_id } => tracing::error!(
                    key_id,
                    "the last key of {of} has ended; it stays in use until there is another: add a \
                     key to [[authentication]] and send SIGHUP"
                ),
                Output::Neighbour { address, interface, news } => {
                    tracing::warn!(%address, interface, "neighbour {}", news.name());
                }
                Output::Datagram { to, message } => {
                    if let Err(error) = self.traces.send(to, &message) {
                        tracing::warn!(%to, %error, "a diagnostic reply was not sent");
                    }
                }
                Output::Traced(id, view) => self.traces.end(id, *view),
                Output::Spending(news) => {
                    tracing::warn!(account = %news.holder, what = news.news.name(), "{news}");
                }
                Output::Traffic(change) => tracing::debug!(?change, "traffic control"),
                Output::Notice(notice) => {
                    let line = convert::notice(&notice);
                    tracing::info!(handle = line.handle, sender = %line.sender, "{}", line.text);
                    if let Some(listener) = self.listeners.get(&notice.handle) {
                        let _ = listener.try_send(line);
                    }
                }
            }
        }
        self.transmit();
    }

    fn join(&self, group: IpAddr, interface: u32) -> io::Result<()> {
        match (group, &self.ip6) {
            (IpAddr::V6(group), Some(ip6)) => ip6.local().join_group(&group, interface),
            _ => self.socket.get_ref().join_group(group, interface),
        }
    }

    fn leave(&self, group: IpAddr, interface: u32) -> io::Result<()> {
        match (group, &self.ip6) {
            (IpAddr::V6(group), Some(ip6)) => ip6.local().leave_group(&group, interface),
            _ => self.socket.get_ref().leave_group(group, interface),
        }
    }

    fn transmit(&mut self) {
        let queue = self.engine.transmits();
        if queue.is_empty() {
            return;
        }
        let socket = self.socket.get_mut();
        let ip6 = self.ip6.as_ref().map(Ip6::local);
        let report = socket.send_batch_with(queue, self.unsent.unwrap_or(0), ip6);
        for failure in socket.send_failures() {
            tracing::warn!("{failure}");
            self.page.send_failed(failure);
        }
        self.page.fragmented(report.fragmented);
        if report.blocked {
            self.unsent = Some(report.next);
        } else {
            self.unsent = None;
            queue.clear();
        }
    }

    fn serve(&mut self, call: Call) {
        match call {
            Call::Ask(request, by, reply, notices) => self.ask(*request, &by, reply, notices),
            Call::Gone(handles) => {
                for handle in handles {
                    self.listeners.remove(&handle);
                    // An unknown handle was closed by its owner before it left.
                    let _ = self.engine.close(now(), handle);
                }
            }
            Call::Configuration(config) => {
                let tariffs = self.engine.set_tariffs(now(), &config);
                let Config { authentication: associations, identities, billing, .. } = *config;
                self.books.set_billing(billing);
                let keys = associations.iter().map(|one| one.keys.len()).sum::<usize>();
                self.engine.set_authentication(now(), associations);
                self.engine.set_identities(identities);
                tracing::info!(keys, "keys were read again");
                for (interface, tariff) in tariffs {
                    let version = tariff.version();
                    tracing::info!(interface, version, "new prices: {tariff}");
                }
            }
            Call::Metrics(reply) => {
                let drops = self.socket.get_ref().kernel_drops().unwrap_or_default();
                let drops = drops.wrapping_add(self.ip6.as_ref().map_or(0, Ip6::kernel_drops));
                let text =
                    self.page.text(&self.engine, self.batch.skipped(), drops, self.books.counts());
                let _ = reply.send(text);
            }
        }
    }

    fn ask(
        &mut self,
        request: Request,
        by: &Actor,
        reply: oneshot::Sender<Reply>,
        notices: mpsc::Sender<NoticeLine>,
    ) {
        if let Request::ClosePeriod { directory } = &request {
            return self.books.close_period(&mut self.engine, now(), (directory, by), reply);
        }
        if let Request::Correct { directory, posting, reason, order } = &request {
            match orders::correction(order) {
                Ok(correction) => {
                    let (of, reason) = (*posting, reason.clone());
                    let work = Work::Correct { of, correction, reason };
                    self.books.order(directory, Job { work, by: by.clone(), reply });
                }
                Err(why) => drop(reply.send(Reply::Error(why))),
            }
            return;
        }
        if let Request::IssueBills { directory } = &request {
            return self.books.issue(directory, by, reply);
        }
        if let Request::Trace(spec) = &request {
            return self.traces.begin(&mut self.engine, now(), spec, reply);
        }
        if let Request::Account(order) = request {
            return self.order(order, by, reply);
        }
        let did = did(&request, self.engine.drains());
        let answer = self.answer(request);
        if let (Ok(_), Some(did)) = (&answer, did) {
            self.engine.operator_did(by, clock::unix_ms(), did);
        }
        if let Ok(Reply::Handle(handle)) = &answer {
            self.listeners.insert(Handle(*handle), notices);
        }
        let _ = reply.send(answer.unwrap_or_else(Reply::Error));
    }

    /// Has an order about an account done, which is when its record is durable.
    fn order(&mut self, order: AccountOrder, by: &Actor, reply: oneshot::Sender<Reply>) {
        if let Some(why) = self.books.shut() {
            let _ = reply.send(Reply::Error(why.to_owned()));
            return;
        }
        let terms = (self.accounts.as_ref(), self.currency);
        let by = (by, clock::unix_ms());
        match orders::account(&mut self.engine, now(), by, order, terms) {
            Ok(record) => self.books.wait_for(record, reply),
            Err(why) => {
                let _ = reply.send(Reply::Error(why));
            }
        }
    }

    /// How far the node is from being out of service.
    fn drained(&self) -> Reply {
        let (_, _, reservations) = self.engine.sizes();
        let drains = self.engine.drains();
        Reply::Drain { reservations, on: drains.is_some(), price_percent: drains.flatten() }
    }

    fn answer(&mut self, request: Request) -> Result<Reply, String> {
        let now = now();
        match request {
            Request::Show { what } => Ok(match what {
                What::Interfaces => Reply::Interfaces(self.engine.show_interfaces(now)),
                What::Sessions => Reply::Sessions(self.engine.show_sessions(now)),
                What::Reservations => Reply::Reservations(self.engine.show_reservations(now)),
                What::Accounts => Reply::Accounts(self.engine.show_accounts(now)),
                What::Authentication => Reply::Authentication {
                    associations: self.engine.show_associations(now),
                    dropped: self.engine.show_disbelief(),
                },
                What::Neighbours => Reply::Neighbours(self.engine.show_neighbours()),
                What::Drain => self.drained(),
            }),
            Request::Note { session } => {
                let note = self.engine.note(now, &convert::session(session));
                note.map(|note| Reply::Note(Box::new(note))).ok_or_else(|| {
                    format!(
                        "nothing is charged for {} here: see `lcmctl show sessions`",
                        session.destination
                    )
                })
            }
            Request::Send(request) => {
                let request = convert::send(&self.engine, &request)?;
                let handle = self.engine.open_sender(now, request).map_err(|e| e.to_string())?;
                Ok(Reply::Handle(handle.0))
            }
            Request::Receive(request) => {
                let request = convert::receive(&self.engine, &request)?;
                let handle = self.engine.open_receiver(now, request).map_err(|e| e.to_string())?;
                Ok(Reply::Handle(handle.0))
            }
            Request::Close { handle } => {
                self.engine.close(now, Handle(handle)).map_err(|e| e.to_string())?;
                self.listeners.remove(&Handle(handle));
                Ok(Reply::Done)
            }
            Request::Refresh { interface, refresh_ms } => {
                let done = self.engine.set_refresh(now, &interface, refresh_ms);
                done.map_err(|e| e.to_string())?;
                Ok(Reply::Done)
            }
            Request::Drain { on, price_percent } => {
                let wanted = on.then_some(price_percent);
                if self.engine.drains() != wanted {
                    tracing::info!(on, price_percent, "draining: nothing new, or at a price");
                    self.engine.set_drain(now, wanted).map_err(|e| e.to_string())?;
                }
                Ok(self.drained())
            }
            Request::ListAccounts => Ok(Reply::Purses(self.engine.show_purses(now))),
            // Answered when it is durable, by the books, or when the path is known.
            Request::Account(_)
            | Request::Correct { .. }
            | Request::IssueBills { .. }
            | Request::ClosePeriod { .. }
            | Request::Trace(_) => Err("not answered here".to_owned()),
            Request::Price { interface, price, max_price, at_admission } => {
                let change = PriceChange { interface, price, max_price, at_admission };
                self.engine.set_price(now, &change).map_err(|e| e.to_string())?;
                Ok(Reply::Done)
            }
        }
    }
}

/// What a request changes about the node, which drains so before, in words for the audit record.
fn did(request: &Request, drains: Option<Option<u32>>) -> Option<String> {
    match request {
        Request::Drain { on, price_percent } if on.then_some(*price_percent) == drains => None,
        Request::Price { interface, price, max_price, at_admission } => {
            let most = max_price.map_or(String::new(), |most| format!(", {most} at most"));
            let when = if *at_admission { ", at the next admission" } else { "" };
            Some(format!("set the price of {interface} to {price}{most}{when}"))
        }
        Request::Refresh { interface, refresh_ms } => {
            Some(format!("set the refresh period of {interface} to {refresh_ms} ms"))
        }
        Request::Drain { on: true, price_percent: Some(percent) } => {
            Some(format!("took the node out of service, at {percent} % of the price"))
        }
        Request::Drain { on: true, price_percent: None } => {
            Some("took the node out of service".to_owned())
        }
        Request::Drain { on: false, .. } => Some("put the node back into service".to_owned()),
        _ => None,
    }
}

/// Starts to send for the hosts without RSVP that the configuration names.
fn open_proxies(engine: &mut Engine, now: Now) {
    for (proxy, error) in engine.open_proxies(now) {
        let (session, source) = (proxy.session, proxy.source);
        tracing::warn!(%session, %source, "[[sender_proxy]] is not open: {error}");
    }
}

/// Forgets that a socket was readable, unless it became so meanwhile.
fn clear_readable<T: AsRawFd>(socket: &AsyncFd<T>) {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    if let std::task::Poll::Ready(Ok(mut guard)) = socket.poll_read_ready(&mut context) {
        guard.clear_ready();
    }
}

/// This node's addresses.
fn addresses(monitor: &Monitor) -> impl Iterator<Item = IpAddr> + '_ {
    monitor.interfaces().flat_map(|port| port.addresses.iter().map(|(address, _)| *address))
}

/// Both clocks.
fn now() -> Now {
    // Serial arithmetic carries epochs past 2106 (T17), so the low half is meant.
    let unix_s = (clock::unix_seconds() & u64::from(u32::MAX)) as u32;
    Now::new(Instant::from_micros(clock::monotonic_us()), unix_s)
}

fn tokio_instant(at: Instant) -> TokioInstant {
    let ahead = at.as_micros().saturating_sub(clock::monotonic_us());
    TokioInstant::now() + Duration::from_micros(ahead)
}

async fn sleep_until(alarm: Option<TokioInstant>) {
    match alarm {
        Some(at) => tokio::time::sleep_until(at).await,
        None => pending().await,
    }
}
