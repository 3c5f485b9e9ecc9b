//! What can be wrong with a journal, and where.

use std::path::PathBuf;
use std::{error, fmt, io};

use super::record::FORMAT;

/// The first thing that is wrong in a journal.
#[derive(Debug)]
pub struct Fault {
    /// In which file.
    pub file: PathBuf,
    /// Where in it: the offset of the record, in bytes.
    pub offset: u64,
    /// Number of the record that should stand there.
    pub number: u64,
    /// What is wrong.
    pub wrong: Wrong,
}

/// What is wrong at some place of a journal.
#[derive(Debug)]
pub enum Wrong {
    /// It cannot be read.
    Io(io::Error),
    /// The file has no header, or a damaged one.
    Header,
    /// A newer program wrote the file.
    Newer {
        /// The version that it names.
        version: u16,
    },
    /// The file does not continue the one before it: another first record than its name says, or
    /// another history.
    Joint,
    /// Records are missing before this file.
    Gap {
        /// Its first record.
        first: u64,
    },
    /// The record does not continue the chain, or is cut off, and others follow.
    Record,
    /// The journal ends in bytes that are no record, no more of them than one write brings: what a
    /// crash leaves behind.
    TornTail {
        /// How many.
        bytes: u64,
    },
    /// The record continues the chain, but this program does not know what it says.
    Body,
}

impl Fault {
    /// Whether this is what a crash leaves behind: all records before it stand, and what was
    /// acknowledged is among them.
    pub fn is_torn_tail(&self) -> bool {
        matches!(self.wrong, Wrong::TornTail { .. })
    }
}

impl PartialEq for Wrong {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Io(one), Self::Io(other)) => one.kind() == other.kind(),
            (Self::Newer { version: one }, Self::Newer { version: other }) => one == other,
            (Self::Gap { first: one }, Self::Gap { first: other }) => one == other,
            (Self::TornTail { bytes: one }, Self::TornTail { bytes: other }) => one == other,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, offset, number, wrong } = self;
        write!(f, "{}, offset {offset}, record {number}: {wrong}", file.display())
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "cannot be read: {error}"),
            Self::Header => f.write_str("the file's header is damaged, or it is no journal"),
            Self::Newer { version } => write!(
                f,
                "written in version {version}, and this program knows no version after {FORMAT}; \
                 use the program that wrote it, or a newer one"
            ),
            Self::Joint => f.write_str("the file does not continue the one before it"),
            Self::Gap { first } => {
                write!(f, "missing, with all before {first}, where the next file begins")
            }
            Self::Record => f.write_str("the record is damaged: it does not continue the chain"),
            Self::TornTail { bytes } => {
                write!(f, "the last {bytes} bytes are no record: a write that was cut off")
            }
            Self::Body => f.write_str("the record is whole, but its contents are not known"),
        }
    }
}

impl error::Error for Fault {}
