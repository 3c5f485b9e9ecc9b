//! Who owes whom what for an RSVP reservation.
#![forbid(unsafe_code)]
