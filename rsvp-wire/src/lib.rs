//! RSVP messages and objects as they travel.
#![forbid(unsafe_code)]
