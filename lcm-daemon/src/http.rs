//! A small HTTP/1 server for Prometheus: `GET /metrics` and `GET /healthz`.
//!
//! It runs inside one task and never holds up the others: every connection carries one request,
//! has a deadline, and there are few of them at a time.
//!
//! ```text
//!  listener ──accept──▶ connections (at most CONNECTIONS_MAX, each at most CONNECTION_TIME_MAX)
//!                            │ GET /metrics
//!                            ▼
//!                       text() ──▶ 200, or 503 with the reason
//! ```

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

/// Connections served at a time; more wait in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 16;
/// Longest that a client may take to send its request's head.
pub const HEAD_TIME_MAX: Duration = Duration::from_secs(5);
/// Longest that a connection lives, answer included.
pub const CONNECTION_TIME_MAX: Duration = Duration::from_secs(10);
/// Most header fields in a request.
const HEADERS_MAX: usize = 32;
/// Bytes buffered of a request's head; hyper takes no less.
const HEAD_BYTES_MAX: usize = 8192;
/// Pause after a failed `accept`, which mostly means that no file descriptor is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Prometheus' text format, version 0.0.4.
const METRICS_TYPE: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const PLAIN_TYPE: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// What a server allows its clients.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    connections: usize,
    head_time: Duration,
    connection_time: Duration,
}

const BOUNDS: Bounds = Bounds {
    connections: CONNECTIONS_MAX,
    head_time: HEAD_TIME_MAX,
    connection_time: CONNECTION_TIME_MAX,
};

type Connection<'t> = Pin<Box<dyn Future<Output = ()> + 't>>;

/// Serves until it is dropped, which closes every connection. `text` makes the metrics' text anew
/// for each request; an `Err` is answered with 503 and its words.
///
/// Must run on a tokio runtime with IO and time enabled; neither `Send` nor a `LocalSet` is needed,
/// for it spawns nothing.
pub async fn serve<F, T>(listener: TcpListener, text: F) -> Infallible
where
    F: Fn() -> T,
    T: Future<Output = Result<String, String>>,
{
    serve_within(BOUNDS, listener, text).await
}

async fn serve_within<F, T>(bounds: Bounds, listener: TcpListener, text: F) -> Infallible
where
    F: Fn() -> T,
    T: Future<Output = Result<String, String>>,
{
    let mut connections: Vec<Connection<'_>> = Vec::new();
    loop {
        let room = connections.len() < bounds.connections;
        let accepted = tokio::select! {
            accepted = listener.accept(), if room => accepted,
            () = one_ends(&mut connections) => continue,
        };
        match accepted {
            Ok((stream, _)) => connections.push(Box::pin(connection(bounds, stream, &text))),
            Err(error) => pause(&error, &mut connections).await,
        }
    }
}

/// Lets the connections go on for a while after `accept` failed.
async fn pause(error: &io::Error, connections: &mut Vec<Connection<'_>>) {
    tracing::warn!(%error, "cannot accept a connection for metrics");
    let pause = tokio::time::sleep(ACCEPT_PAUSE);
    tokio::pin!(pause);
    loop {
        tokio::select! {
            () = &mut pause => return,
            () = one_ends(connections) => {}
        }
    }
}

/// Drives all connections until one or more have ended and are removed. Waits without end if
/// there are none.
async fn one_ends(connections: &mut Vec<Connection<'_>>) {
    poll_fn(|context: &mut Context<'_>| {
        let before = connections.len();
        connections.retain_mut(|connection| connection.as_mut().poll(context).is_pending());
        if connections.len() < before { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Answers the one request of a connection.
async fn connection<F, T>(bounds: Bounds, stream: TcpStream, text: &F)
where
    F: Fn() -> T,
    T: Future<Output = Result<String, String>>,
{
    let service = service_fn(|request| answer(request, text));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head_time)
        .keep_alive(false)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(bounds.connection_time, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a metrics client broke off"),
        Err(_) => tracing::debug!("a metrics client was too slow"),
    }
}

async fn answer<F, T>(
    request: Request<Incoming>,
    text: &F,
) -> Result<Response<Full<Bytes>>, Infallible>
where
    F: Fn() -> T,
    T: Future<Output = Result<String, String>>,
{
    let metrics = match request.uri().path() {
        "/metrics" => true,
        "/healthz" => false,
        _ => return Ok(reply(StatusCode::NOT_FOUND, "there are /metrics and /healthz\n")),
    };
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut reply = reply(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        reply.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(reply);
    }
    if !request.body().is_end_stream() {
        return Ok(reply(StatusCode::PAYLOAD_TOO_LARGE, "a request here has no body\n"));
    }
    if !metrics {
        return Ok(reply(StatusCode::OK, "ok\n"));
    }
    Ok(match text().await {
        Ok(text) => {
            let mut reply = reply(StatusCode::OK, text);
            reply.headers_mut().insert(CONTENT_TYPE, METRICS_TYPE);
            reply
        }
        Err(reason) => {
            tracing::warn!(reason, "metrics cannot be told");
            reply(StatusCode::SERVICE_UNAVAILABLE, reason + "\n")
        }
    })
}

fn reply(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, PLAIN_TYPE);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::Instant;

    use super::*;

    /// Runs `client` against a server that counts its scrapes, fails the third, and does not
    /// answer the fourth.
    fn with_server<C: Future<Output = ()>>(bounds: Bounds, client: impl FnOnce(SocketAddr) -> C) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let scrapes = Cell::new(0);
            let text = || async {
                scrapes.set(scrapes.get() + 1);
                tokio::task::yield_now().await;
                match scrapes.get() {
                    1 | 2 => Ok(format!("scrapes {}\n", scrapes.get())),
                    3 => Err("the engine does not answer".to_owned()),
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                never = serve_within(bounds, listener, text) => match never {},
                () = client(address) => {}
            }
        });
    }

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        // A server that refuses early may reset the connection after its answer.
        let _ = stream.read_to_string(&mut answer).await;
        answer
    }

    fn get(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
    }

    #[test]
    fn metrics_are_made_anew_and_failures_are_told() {
        with_server(BOUNDS, |address| async move {
            let first = ask(address, &get("/metrics")).await;
            assert!(first.starts_with("HTTP/1.1 200"), "{first}");
            assert!(first.contains("content-type: text/plain; version=0.0.4"), "{first}");
            assert!(first.ends_with("\r\n\r\nscrapes 1\n"), "{first}");
            assert!(ask(address, &get("/metrics?x=1")).await.ends_with("scrapes 2\n"));
            let third = ask(address, &get("/metrics")).await;
            assert!(third.starts_with("HTTP/1.1 503"), "{third}");
            assert!(third.ends_with("the engine does not answer\n"), "{third}");
        });
    }

    #[test]
    fn other_requests_are_refused() {
        with_server(BOUNDS, |address| async move {
            let post = "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
            let body = "GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";
            let fields: String = (0..=HEADERS_MAX).map(|n| format!("x{n}: y\r\n")).collect();
            let many = format!("GET /metrics HTTP/1.1\r\n{fields}\r\n");
            let long = format!("GET /metrics HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(9000));
            for (request, status) in [
                (get("/healthz"), "200"),
                ("HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), "200"),
                (get("/"), "404"),
                (get("/metrics/"), "404"),
                (post.to_owned(), "405"),
                (body.to_owned(), "413"),
                (many, "431"),
                (long, "431"),
                ("nonsense\r\n\r\n".to_owned(), "400"),
            ] {
                let answer = ask(address, &request).await;
                assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request}\n{answer}");
            }
            assert!(ask(address, &post.replace("metrics", "healthz")).await.contains("allow: GET"));
        });
    }

    #[test]
    fn silent_clients_lose_their_place_in_time() {
        let head_time = Duration::from_millis(200);
        with_server(Bounds { connections: 2, head_time, ..BOUNDS }, |address| async move {
            let first = TcpStream::connect(address).await.unwrap();
            let started = Instant::now();
            assert!(ask(address, &get("/healthz")).await.starts_with("HTTP/1.1 200"));
            assert!(started.elapsed() < head_time, "one silent client held up another");
            let second = TcpStream::connect(address).await.unwrap();
            assert!(ask(address, &get("/healthz")).await.starts_with("HTTP/1.1 200"));
            let waited = started.elapsed();
            assert!(waited >= head_time / 2, "the bound on connections is not kept: {waited:?}");
            assert!(waited < CONNECTION_TIME_MAX / 2, "silent clients stay: {waited:?}");
            drop((first, second));
        });
    }

    #[test]
    fn a_connection_ends_in_time_though_no_answer_is_ready() {
        let connection_time = Duration::from_millis(100);
        with_server(Bounds { connection_time, ..BOUNDS }, |address| async move {
            for _ in 0..3 {
                ask(address, &get("/metrics")).await;
            }
            let request = get("/metrics");
            let answer = tokio::time::timeout(HEAD_TIME_MAX, ask(address, &request)).await;
            assert_eq!(answer.as_deref(), Ok(""));
        });
    }
}
