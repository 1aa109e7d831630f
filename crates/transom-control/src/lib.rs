//! The control plane's wire contract, its server and its client.
//!
//! The protocol is [varlink](https://varlink.org): JSON objects, each ended by
//! a NUL byte, on a Unix socket, with descriptors beside them. The contract is
//! the interface files beside this one; any varlink client can read them from a
//! running server and call it. Each has a module with a type for each of its
//! types and calls, and a trait to answer it: [`host`], [`views`], [`view`].
//!
//! ```text
//!   Client ─ calls, descriptors ─► Socket ─► Server ── a thread for each connection
//!                                              │
//!                                           Services ─► Interface ─► HostService ...
//!          ◄─ replies, streams, descriptors ───┴──────────── Exchange: who calls ┘
//! ```
//!
//! Only the types of this crate are serialised on that wire.
//!
//! WHEN CHANGING THE CONTRACT: methods, parameters and types are only added,
//! and what is added to an existing method or type is optional (`?`). A change
//! that is not of this kind makes a new interface beside the old one. The
//! interface file and the types change in the same commit; `tests/it/contract.rs`
//! holds them against each other.

mod accounts;
mod admission;
mod bytes;
mod client;
mod connection;
mod exchange;
pub mod host;
mod interface;
mod introspection;
mod message;
mod method;
mod peer;
mod server;
mod services;
mod socket;
mod transport;
pub mod view;
pub mod views;

pub use accounts::{DESCRIPTORS_OF_USER_MAX, LARGE_MESSAGES_OF_USER_MAX};
pub use admission::{
    Admission, CONNECTIONS_MAX, Callers, SYSTEM_CONNECTIONS_MAX, SYSTEM_CONNECTIONS_OF_USER_MAX,
};
pub use bytes::Bytes;
pub use client::{CallError, Client, Replies};
pub use exchange::{
    ConnectionId, DESCRIPTORS_MAX, Descriptor, Descriptors, Exchange, MissingDescriptor,
};
pub use interface::{Interface, InterfaceBuilder, Next, Stream};
pub use introspection::{
    GetInfo, GetInfoReply, GetInterfaceDescription, GetInterfaceDescriptionReply, ServiceError,
};
pub use message::MESSAGE_BYTES_MAX;
pub use method::{Empty, Method};
pub use peer::Peer;
pub use server::Server;
pub use services::Services;
pub use socket::{Permission, Socket, check_directory, sweep};
