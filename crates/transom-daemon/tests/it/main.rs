//! The daemon as its clients meet it: over a socket.

mod users;
mod views;
