//! `lcmctl decode`: the RSVP packets of a capture, as text or JSON.
//!
//! ```text
//! file -> capture (frames) -> link (IP packet) -> crate::ip (headers, fragments)
//!      -> message (header, objects, faults) -> text, or record with object and policy (JSON)
//! ```
//!
//! A capture may be hostile: every layer reads checked slices, one record and a bounded number of
//! fragments are in memory, and nesting (bundles, reports) ends after one level.

mod capture;
mod link;
mod message;
mod money;
mod object;
mod policy;
mod record;
#[cfg(test)]
mod tests;
mod text;

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use capture::{Capture, CaptureError, Frame};
use link::Place;
use record::Record;
use text::{Lines, Seen};

use crate::exit::Exit;
use crate::ip::fragments::{Fragments, Outcome};
use crate::ip::{self, IpPacket};

#[derive(Debug, Args)]
pub(crate) struct DecodeArgs {
    /// Capture in pcap or pcapng format; - for standard input.
    file: PathBuf,
    /// Print one JSON object a line and packet.
    #[arg(long)]
    json: bool,
}

/// Prints the packets of a capture. [`Exit::Ok`] if the file could be read to its end, whatever is
/// in the packets.
pub(crate) fn run(args: &DecodeArgs) -> Exit {
    let out = BufWriter::new(io::stdout().lock());
    let result = open(&args.file).map_err(Failure::Capture).and_then(|input| {
        Decoder { out, json: args.json, fragments: Fragments::default(), counts: Counts::default() }
            .run(input)
    });
    let shown = if args.file == Path::new("-") { Path::new("standard input") } else { &args.file };
    let failed = |what: &dyn fmt::Display| {
        eprintln!("lcmctl: {} {what}", shown.display());
        Exit::Failed
    };
    match result {
        Ok(counts) if counts.frames > 0 && counts.unsupported == counts.frames => {
            failed(&Unsupported(&counts))
        }
        Ok(counts) => {
            for warning in counts.warnings() {
                eprintln!("lcmctl: {}: {warning}", shown.display());
            }
            Exit::Ok
        }
        Err(Failure::Capture(error)) => failed(&error),
        // Whoever reads the output has seen enough.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Ok,
        Err(Failure::Output(error)) => {
            eprintln!("lcmctl: cannot write the output: {error}");
            Exit::Failed
        }
    }
}

fn open(path: &Path) -> Result<Box<dyn Read>, CaptureError> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    Ok(Box::new(BufReader::with_capacity(1 << 16, File::open(path)?)))
}

#[derive(Debug)]
enum Failure {
    Capture(CaptureError),
    Output(io::Error),
}

impl From<CaptureError> for Failure {
    fn from(error: CaptureError) -> Self {
        Self::Capture(error)
    }
}

/// What was seen beside the packets that were printed.
#[derive(Debug, Default)]
struct Counts {
    frames: u64,
    /// Frames of link types that cannot be read.
    unsupported: u64,
    /// The link type of the first of them.
    link_type: u32,
    /// IP packets of which not all fragments were there.
    lost: u64,
    /// Fragments that were cut when they were captured.
    cut_fragments: u64,
    /// Frames that were cut before the end of their IP header.
    cut_headers: u64,
}

/// What to say about a capture without a single frame that can be read.
struct Unsupported<'a>(&'a Counts);

impl fmt::Display for Unsupported<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { link_type, .. } = self.0;
        write!(f, "has link type {link_type}; what can be read: {}", link::SUPPORTED)
    }
}

impl Counts {
    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let Self { unsupported, link_type, lost, cut_fragments, cut_headers, .. } = self;
        if *unsupported > 0 {
            warnings.push(format!(
                "{unsupported} frames of link type {link_type} or others were left out; what can \
                 be read: {}",
                link::SUPPORTED
            ));
        }
        if *lost > 0 {
            warnings.push(format!(
                "{lost} fragmented packets are not shown, since fragments of them are missing or \
                 contradict each other"
            ));
        }
        if *cut_fragments > 0 {
            warnings.push(format!(
                "{cut_fragments} fragments were cut by the capture and not used; capture with \
                 `tcpdump -s 0`"
            ));
        }
        if *cut_headers > 0 {
            warnings.push(format!(
                "{cut_headers} frames were cut by the capture before their IP header ended; \
                 capture with `tcpdump -s 0`"
            ));
        }
        warnings
    }
}

#[derive(Debug)]
struct Decoder<W> {
    out: W,
    json: bool,
    fragments: Fragments<Place>,
    counts: Counts,
}

impl<W: Write> Decoder<W> {
    /// Prints what can be read; after an error too, the packets before it are printed.
    fn run(mut self, input: impl Read) -> Result<Counts, Failure> {
        let result = self.frames(input);
        self.out.flush().map_err(Failure::Output)?;
        self.counts.lost = self.fragments.lost();
        result.map(|()| self.counts)
    }

    fn frames(&mut self, input: impl Read) -> Result<(), Failure> {
        let mut capture = Capture::open(input)?;
        while let Some(frame) = capture.next()? {
            self.counts.frames += 1;
            self.frame(&frame).map_err(Failure::Output)?;
        }
        Ok(())
    }

    fn frame(&mut self, frame: &Frame<'_>) -> io::Result<()> {
        if !link::is_supported(frame.link_type) {
            if self.counts.unsupported == 0 {
                self.counts.link_type = frame.link_type;
            }
            self.counts.unsupported += 1;
            return Ok(());
        }
        let Some(network) = link::ip_packet(frame.link_type, frame.interface, frame.data) else {
            return Ok(());
        };
        let Some(packet) = ip::parse(network.bytes) else {
            self.counts.cut_headers += u64::from(frame.cut);
            return Ok(());
        };
        let Some(fragment) = packet.fragment else { return self.packet(frame, &packet) };
        if !packet.may_be_rsvp() {
            return Ok(());
        }
        if packet.payload.len() < packet.payload_len {
            self.counts.cut_fragments += 1;
            return Ok(());
        }
        match self.fragments.take(&packet, fragment, network.place, frame.time_ns) {
            Outcome::Whole(whole) => {
                let packet = ip::behind_extensions(IpPacket {
                    ttl: whole.ttl,
                    protocol: whole.protocol,
                    payload: &whole.payload,
                    payload_len: whole.payload.len(),
                    fragment: None,
                    ..packet
                });
                // A fragment within fragments is not put together: nobody sends it.
                if packet.fragment.is_some() { Ok(()) } else { self.packet(frame, &packet) }
            }
            Outcome::Waiting | Outcome::Refused => Ok(()),
        }
    }

    /// Prints a whole packet if it is RSVP.
    fn packet(&mut self, frame: &Frame<'_>, packet: &IpPacket<'_>) -> io::Result<()> {
        if !ip::is_rsvp(packet) {
            return Ok(());
        }
        let decoded = message::decode(packet.payload, packet.payload_len);
        let &IpPacket { src, dst, ttl, .. } = packet;
        let seen = Seen { frame: frame.number, time_ns: frame.time_ns, src, dst, ttl };
        if !self.json {
            return writeln!(self.out, "{}", Lines(&seen, &decoded));
        }
        let mut envelope = Record::new();
        envelope.put("frame", seen.frame);
        envelope.put_some("time", seen.time_ns.map(|time| text::Utc(time).to_string()));
        envelope.put_text("src", src);
        envelope.put_text("dst", dst);
        envelope.put("ttl", ttl);
        serde_json::to_writer(&mut self.out, &message::record(&decoded, &envelope))?;
        self.out.write_all(b"\n")
    }
}
