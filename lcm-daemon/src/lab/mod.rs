//! Throw-away networks of namespaces, for the demo and the tests.
