//! Block volumes over NBD, the network block device protocol, on a unix socket.
//!
//! ```text
//!   connect ─► handshake: options, until one chooses an export
//!                  └─► transmission: requests and replies, several at a time
//! ```
//!
//! `server.rs` offers exports (`exports.rs`) on a socket (`socket.rs`).
//! `handshake.rs` and `transmission.rs` are the two phases of a connection
//! (`connection.rs`), and `wire.rs` the words of both. Each connection has a
//! thread that reads, and workers (`../jobs.rs`) as long as it keeps them busy, so
//! that neither a slow request nor a client that does not take its replies delays
//! anybody else.
//!
//! All connections of an export use one volume, and a flush is of the volume:
//! what was replied to on any of them is durable then. So clients may use
//! several for one disk.

mod connection;
mod exports;
mod handshake;
mod server;
mod socket;
mod transmission;
pub mod wire;

pub use crate::jobs::{REQUEST_BYTES_MAX, REQUESTS_MAX};
pub use connection::HANDSHAKE_PATIENCE;
pub use handshake::{Exports, negotiate};
pub use server::{CONNECTIONS_MAX, EXPORTS_MAX, ExportStatus, NbdServer};
