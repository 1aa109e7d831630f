//! The control plane's wire contract, its server loop and its client.
//!
//! The protocol is [varlink](https://varlink.org): JSON objects, each ended by
//! a NUL byte, on a Unix socket. The contract is the interface file
//! `io.transom.View.varlink` beside this one; any varlink client can read it
//! from a running server and call it.
//!
//! Only the types of this crate are serialised on that wire.
//!
//! WHEN CHANGING THE CONTRACT: methods, parameters and types are only added,
//! and what is added to an existing method or type is optional (`?`). A change
//! that is not of this kind makes a new interface beside the old one. The
//! interface file, the types in `view.rs` and the test that holds them against
//! each other change in the same commit.

mod bytes;
mod client;
mod exchange;
mod framing;
pub mod host;
mod interface;
mod message;
mod method;
mod peer;
mod server;
mod service_error;
mod view;
pub mod views;

pub use bytes::Bytes;
pub use client::{CallError, Client};
pub use exchange::{ConnectionId, DESCRIPTORS_MAX, Descriptor, Exchange, MissingDescriptor};
pub use interface::{Interface, InterfaceBuilder, Next, Stream};
pub use message::MESSAGE_BYTES_MAX;
pub use method::{Empty, Method};
pub use peer::Peer;
pub use server::{CONNECTIONS_MAX, Listener, Service, check_directory, serve_connection, sweep};
pub use service_error::ServiceError;
pub use view::{Change, Description, Explanation, INTERFACE, INTERFACE_TEXT, Refusal};
