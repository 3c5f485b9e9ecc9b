//! The only room that talks to sockets and netlink.
