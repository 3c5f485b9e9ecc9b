//! The properties of the fuzz targets on a stable compiler: over the corpus, over the byte vectors,
//! and over seeded mutations of both. `RSVP_WIRE_MUTATIONS` sets the number of mutations (default
//! 200,000), `RSVP_WIRE_SEED` the seed; a failure names both the seed and the input.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[allow(missing_docs, unreachable_pub, dead_code)]
#[path = "../fuzz/src/properties.rs"]
mod properties;

use std::fmt::Write as _;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use common::hex;

/// Every vector, whole and without its object header, and every file of the corpus.
fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for text in [include_str!("vectors/objects.txt"), include_str!("vectors/messages.txt")] {
        for line in text.lines() {
            let bytes = hex(line.rsplit(" | ").next().unwrap());
            // What `properties::objects` makes of class, C-Type and body is the object again.
            seeds.push(bytes[2..].to_vec());
            seeds.push(bytes);
        }
    }
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut files = Vec::new();
    for target in fs::read_dir(&corpus).unwrap() {
        let inputs = fs::read_dir(target.unwrap().path()).unwrap();
        files.extend(inputs.map(|input| input.unwrap().path()));
    }
    files.sort();
    assert!(!files.is_empty(), "no corpus in {}", corpus.display());
    seeds.extend(files.iter().map(|file| fs::read(file).unwrap()));
    seeds
}

fn mutate(rng: &mut fastrand::Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = rng.choice(seeds).unwrap().clone();
    for _ in 0..rng.u32(1..=4) {
        if bytes.is_empty() {
            break;
        }
        let at = rng.usize(..bytes.len());
        match rng.u32(..8) {
            0 => bytes[at] ^= 1 << rng.u32(..8),
            1 => bytes[at] = rng.u8(..),
            2 => bytes[at] = *rng.choice([0, 1, 4, 0x7f, 0x80, 0xc0, 0xff].iter()).unwrap(),
            3 => bytes.truncate(at),
            // Lengths are what a decoder trusts: put another one anywhere.
            4 if at + 1 < bytes.len() => {
                let length = (rng.u16(..) % 128).to_be_bytes();
                bytes[at..at + 2].copy_from_slice(&length);
            }
            5 => drop(bytes.splice(at..at, rng.choice(seeds).unwrap().iter().copied())),
            6 => {
                let end = at + rng.usize(..=bytes.len() - at).min(16);
                drop(bytes.drain(at..end));
            }
            _ => {
                let word = at & !3;
                let copy: Vec<_> =
                    bytes[word..].iter().copied().take(4 * rng.usize(1..8)).collect();
                drop(bytes.splice(word..word, copy));
            }
        }
    }
    bytes.truncate(4096);
    bytes
}

fn check(bytes: &[u8], from: &str) {
    for (name, property) in properties::ALL {
        if catch_unwind(AssertUnwindSafe(|| property(bytes))).is_err() {
            let digits = bytes.iter().fold(String::new(), |mut digits, byte| {
                write!(digits, "{byte:02x}").unwrap();
                digits
            });
            panic!("property {name} does not hold for {from}: {digits}");
        }
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect(name))
}

#[test]
fn properties_hold_for_the_corpus_and_the_vectors() {
    for (index, seed) in seeds().iter().enumerate() {
        check(seed, &format!("seed input {index}"));
    }
}

#[test]
fn r024_properties_hold_for_mutations() {
    let seeds = seeds();
    let seed = setting("RSVP_WIRE_SEED", 1);
    let mut rng = fastrand::Rng::with_seed(seed);
    let rounds = setting("RSVP_WIRE_MUTATIONS", 200_000);
    let mut accepted = 0;
    for round in 0..rounds {
        let mut bytes = mutate(&mut rng, &seeds);
        check(&bytes, &format!("seed {seed}, mutation {round}"));
        // How many get past the header and all checks behind it, checksum and length put right.
        if let Some([_, _, c1, c0, _, _, l1, l0]) = bytes.first_chunk().copied() {
            let length = (bytes.len() as u16).to_be_bytes();
            if [c1, c0, l1, l0] != [0, 0, length[0], length[1]] {
                bytes[2..4].fill(0);
                bytes[6..8].copy_from_slice(&length);
            }
            accepted += u64::from(rsvp_wire::Message::parse(&bytes).is_ok());
        }
    }
    println!("{accepted} of {rounds} mutations are messages that are accepted");
    assert!(accepted > rounds / 100, "mutations hardly get past the checks: {accepted}");
}
