//! Support for the tests that drive real daemons.
