//! What the model's sources may use: no floating point, no clock, no input or output.
//!
//! Clippy's `float_arithmetic` denies arithmetic alone; this reads the sources, so that a float is
//! not even kept or passed on, and names every module of `std` that is used.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::{Path, PathBuf};

/// Modules of `std` without a clock, IO, threads or surroundings; of `std::net` addresses alone.
const PURE: [&str; 7] = ["cmp", "collections", "error", "fmt", "mem", "net", "sync"];
const ADDRESSES: [&str; 3] = ["IpAddr", "Ipv4Addr", "Ipv6Addr"];
const SHARED: [&str; 1] = ["Arc"];

fn sources(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|e| e == "rs") {
            all.push(path);
        }
    }
}

/// The code of a line, without its comment.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// A number with a fraction: digits, a point, a digit; `x.0.1` is a field of a field.
fn has_fraction(code: &str) -> bool {
    let bytes = code.as_bytes();
    (1..bytes.len().saturating_sub(1)).any(|point| {
        let before = bytes[..point].iter().rposition(|c| !c.is_ascii_digit() && *c != b'_');
        let start = before.map_or(0, |place| place + 1);
        let part_of_a_word =
            start > 0 && (bytes[start - 1] == b'.' || bytes[start - 1].is_ascii_alphanumeric());
        bytes[point] == b'.'
            && start < point
            && bytes[start].is_ascii_digit()
            && !part_of_a_word
            && bytes[point + 1].is_ascii_digit()
    })
}

/// What is wrong with one line of code.
fn fault(code: &str) -> Option<String> {
    let float = |word: &&str| {
        ["f16", "f32", "f64", "f128"].iter().any(|f| {
            word == f || {
                word.ends_with(f)
                    && word.starts_with(|c: char| c.is_ascii_digit())
                    && !word.starts_with("0x")
            }
        })
    };
    if let Some(word) = words(code).find(float) {
        return Some(format!("a float: {word}"));
    }
    if has_fraction(code) {
        return Some("a number with a fraction".to_owned());
    }
    for after in code.split("std::").skip(1) {
        let mut path = words(after);
        let module = path.next().unwrap_or_default();
        let allowed: &[&str] = match module {
            "net" => &ADDRESSES,
            "sync" => &SHARED,
            _ => &[],
        };
        if !PURE.contains(&module) {
            return Some(format!("std::{module}"));
        }
        let names = path.take_while(|_| code.trim_start().starts_with("use "));
        if let Some(name) = names.into_iter().find(|n| !allowed.is_empty() && !allowed.contains(n))
        {
            return Some(format!("std::{module}::{name}"));
        }
    }
    let banned =
        ["println", "eprintln", "print", "dbg", "Instant", "SystemTime", "unsafe", "extern"];
    words(code).find(|word| banned.contains(word)).map(str::to_owned)
}

#[test]
fn the_model_has_no_floats_no_clock_and_no_io() {
    let mut all = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
    assert!(all.len() > 15, "{} files: not all sources were found", all.len());
    for path in all {
        for (index, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            if let Some(fault) = fault(code(line)) {
                panic!("{}:{}: {fault}; {line}", path.display(), index + 1);
            }
        }
    }
}

#[test]
fn what_is_denied_is_found_and_what_is_allowed_is_not() {
    let bad = [
        "let x: f64 = y;",
        "let x = 1.5;",
        "let x = 2f32;",
        "use std::time::Instant;",
        "use std::fs;",
        "use std::net::{IpAddr, UdpSocket};",
        "use std::sync::Mutex;",
        "let t = std::time::SystemTime::now();",
        "println!(\"\");",
        "std::thread::sleep(d);",
    ];
    for line in bad {
        assert!(fault(code(line)).is_some(), "{line}");
    }
    let good = [
        "self.0.1",
        "(0..5)",
        "let x = 1_000; // 1.5 R",
        "use std::net::{IpAddr, Ipv4Addr};",
        "use std::sync::Arc;",
        "match std::mem::take(&mut x) {}",
        "0x0f64",
        "a.1.2",
    ];
    for line in good {
        assert_eq!(fault(code(line)), None, "{line}");
    }
}
