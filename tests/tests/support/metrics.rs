//! The metrics page as a scraper sees it: fetched over HTTP, read as strictly as promtool does.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::play::{METRICS_PORT, Play};

/// A page: values by `name{labels}` as written.
#[derive(Debug, Clone)]
pub(crate) struct Page(BTreeMap<String, f64>);

impl Page {
    /// Fetches a node's page.
    pub(crate) fn fetch(play: &Play, node: &str) -> Result<Page, Box<dyn Error>> {
        let response = play.stage.network().get(node)?.attempt("fetching /metrics", fetch)?;
        let (head, body) = response.split_once("\r\n\r\n").ok_or("no HTTP response")?;
        let status = head.lines().next().unwrap_or_default();
        if status != "HTTP/1.1 200 OK" {
            return Err(format!("{status}: {body}").into());
        }
        let plain = head.lines().any(|line| {
            let line = line.to_ascii_lowercase();
            line.starts_with("content-type: text/plain") && line.contains("version=0.0.4")
        });
        if !plain {
            return Err(format!("no text/plain; version=0.0.4 among {head}").into());
        }
        parse(body).map(Page)
    }

    /// The value of one series; 0 while it is not there.
    pub(crate) fn value(&self, series: &str) -> u64 {
        self.0.get(series).map_or(0, |value| *value as u64)
    }

    /// All series of one family that are above 0.
    pub(crate) fn family(&self, name: &str) -> Vec<(String, u64)> {
        let of_it = |series: &str| series.split('{').next() == Some(name);
        self.0
            .iter()
            .filter(|(series, value)| of_it(series) && **value > 0.0)
            .map(|(series, value)| (series.clone(), *value as u64))
            .collect()
    }
}

fn fetch() -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", METRICS_PORT))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// Reads the text format: HELP and TYPE before the samples of each family, each family in one
/// piece, counters named `…_total`, no series twice.
fn parse(body: &str) -> Result<BTreeMap<String, f64>, Box<dyn Error>> {
    if !body.ends_with('\n') {
        return Err("the page does not end with a line feed".into());
    }
    let mut series = BTreeMap::new();
    let mut helped = BTreeSet::new();
    let mut types: BTreeMap<&str, &str> = BTreeMap::new();
    let mut current = "";
    for line in body.lines() {
        let fault = |what: &str| format!("{what}: {line:?}");
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match *words {
            ["#", "HELP", name, help] if !help.is_empty() => {
                if !helped.insert(name) {
                    return Err(fault("a second HELP").into());
                }
            }
            ["#", "TYPE", name, kind @ ("counter" | "gauge")] => {
                if types.insert(name, kind).is_some() || !helped.contains(name) {
                    return Err(fault("a TYPE twice or before its HELP").into());
                }
                if (kind == "counter") != name.ends_with("_total") {
                    return Err(fault("only counters end in _total").into());
                }
                current = name;
            }
            _ => {
                let (sample, value) = line.rsplit_once(' ').ok_or_else(|| fault("no value"))?;
                let (name, labels) = sample.split_once('{').unwrap_or((sample, "}"));
                if name != current || !labels_are_good(labels) {
                    return Err(fault("a sample outside of its family, or bad labels").into());
                }
                let value: f64 = value.parse().map_err(|_| fault("no number"))?;
                if series.insert(sample.to_owned(), value).is_some() {
                    return Err(fault("a series twice").into());
                }
            }
        }
    }
    Ok(series)
}

/// `a="x",b="y"}` or just `}`.
fn labels_are_good(labels: &str) -> bool {
    let Some(pairs) = labels.strip_suffix('}') else { return false };
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    pairs.is_empty()
        || pairs.split("\",").all(|pair| {
            let pair = pair.strip_suffix('"').unwrap_or(pair);
            pair.split_once("=\"")
                .is_some_and(|(name, value)| is_name(name) && !value.contains('"'))
        })
}
