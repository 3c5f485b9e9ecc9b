//! Books that lost records, or were given some that cannot be: they go on by themselves.

use std::time::{Duration, Instant as Clock};

use tokio::sync::oneshot::error::TryRecvError;

use super::*;
use crate::engine::Output;
use crate::ledger::record::{Action, Operator};

/// A daemon's books, and the engine that they are of.
struct Daemon {
    books: Bookkeeper,
    engine: Engine,
    now: Now,
    directory: tempfile::TempDir,
}

impl Daemon {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let text = format!("[ledger]\ndirectory = {:?}\n", directory.path().display().to_string());
        let config = Config::parse(&text, "test").unwrap();
        let now = Now::new(Instant::from_millis(1_000), 1_000);
        let books = Bookkeeper::open(&config, now).unwrap();
        let mut daemon = Self { books, engine: Engine::new(config, 1), now, directory };
        daemon.poll("the past is read", |daemon| matches!(daemon.inside().past, Past::Known));
        daemon
    }

    fn inside(&mut self) -> &mut Books {
        self.books.books.as_mut().unwrap()
    }

    /// Takes all news that are there, and hands in what the engine wrote.
    fn turn(&mut self) {
        while let Ok(event) = self.inside().events.try_recv() {
            self.books.take(&mut self.engine, self.now, News::Writer(event));
        }
        let past = match &mut self.inside().past {
            Past::Reading(result) => result.try_recv().ok(),
            _ => None,
        };
        if let Some(past) = past {
            self.books.take(&mut self.engine, self.now, News::Past(past));
        }
        while let Some(output) = self.engine.poll_output() {
            if let Output::Record(id, body) = output {
                self.books.record(&mut self.engine, self.now, id, &body);
            }
        }
    }

    fn poll(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let began = Clock::now();
        loop {
            self.turn();
            if done(self) {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "{what}: not in 30 s");
            std::thread::yield_now();
        }
    }

    /// Hands in an order that somebody waits for.
    fn order(&mut self, id: u64, action: Action) -> oneshot::Receiver<Reply> {
        let by = operator();
        let order = Body::Operator(Operator { by, wall_ms: 1, action });
        let (reply, answer) = oneshot::channel();
        self.books.wait_for(RecordId(id), reply);
        self.books.record(&mut self.engine, self.now, RecordId(id), &order);
        answer
    }

    /// Time passes up to the next proof.
    fn prove(&mut self) {
        self.now.at = self.books.due(&self.engine).expect("something is due");
        self.books.prove(&mut self.engine, self.now);
    }

    /// What operators did, as the journal has it; in which starts.
    fn orders(&mut self) -> Vec<(usize, Action)> {
        let mut walk = Walk::new(self.directory.path(), Expected::default()).unwrap();
        let (mut orders, mut starts) = (Vec::new(), 0);
        while let Some((_, body, _)) = walk.step().unwrap() {
            match body {
                Body::Started(_) => starts += 1,
                Body::Operator(operator) => orders.push((starts, operator.action)),
                _ => {}
            }
        }
        orders
    }
}

fn operator() -> Actor {
    Actor { uid: 7, name: "teller".to_owned() }
}

fn did(length: usize) -> Action {
    Action::Did("a".repeat(length))
}

#[test]
fn a_record_that_no_frame_holds_is_answered_and_the_books_open_again_though_nothing_is_written() {
    let mut daemon = Daemon::start();
    daemon.poll("the disk to be idle", |daemon| daemon.inside().writer.waiting().is_none());
    let mut answer = daemon.order(1, did(70_000));
    assert!(matches!(answer.try_recv(), Ok(Reply::Error(_))), "it will never be durable");
    assert!(!daemon.books.counts().open);
    daemon.prove();
    assert!(daemon.books.counts().open, "with no news of the writer");
    let mut next = daemon.order(2, did(1));
    daemon.poll("the next order", |_| next.try_recv() == Ok(Reply::Done));
    assert_eq!(daemon.orders(), [(2, did(1))]);
}

#[test]
fn orders_that_the_writer_did_not_take_are_written_behind_the_next_start() {
    let mut daemon = Daemon::start();
    daemon.inside().trouble.overflown = true;
    let mut lost = daemon.order(1, did(3));
    assert_eq!(lost.try_recv(), Err(TryRecvError::Empty), "it is not durable");
    daemon.prove();
    daemon.poll("the order", |_| lost.try_recv() == Ok(Reply::Done));
    assert_eq!(daemon.orders(), [(2, did(3))]);
}

#[test]
fn that_a_period_was_closed_is_written_where_one_was() {
    let mut daemon = Daemon::start();
    let close = |daemon: &mut Daemon, directory: &Path| {
        let (reply, answer) = oneshot::channel();
        let by = (directory, &operator());
        daemon.books.close_period(&mut daemon.engine, daemon.now, by, reply);
        daemon.turn();
        answer
    };
    let elsewhere = tempfile::tempdir().unwrap();
    let mut refused = close(&mut daemon, elsewhere.path());
    assert!(matches!(refused.try_recv(), Ok(Reply::Error(_))));
    let here = daemon.directory.path().to_owned();
    let mut closed = close(&mut daemon, &here);
    daemon.poll("the period", |_| closed.try_recv() == Ok(Reply::Period(1)));
    daemon.poll("all is written", |daemon| daemon.inside().writer.waiting().is_none());
    let orders = daemon.orders();
    assert_eq!(orders, [(1, Action::Did("closed period 1 of the ledger".to_owned()))]);
}
