//! Clients and servers over real sockets, clients that misbehave, and the
//! interface files against the types.

mod calls;
mod contract;
mod descriptors;
mod hostile;
mod others;
mod reference;
mod service;
mod sockets;
mod streams;
mod view;
