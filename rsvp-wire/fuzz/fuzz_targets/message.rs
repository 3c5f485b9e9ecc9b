#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rsvp_wire_fuzz::properties::message(bytes));
