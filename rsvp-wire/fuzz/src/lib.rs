//! What holds for any bytes: nothing panics, and what was read, written and read again is the
//! same. The fuzz targets and the stable test `tests/mutations.rs` check the same functions.

#![forbid(unsafe_code)]

pub mod properties;
