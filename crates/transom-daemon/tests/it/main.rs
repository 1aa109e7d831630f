//! The daemon as its clients meet it: over a socket.

mod hostile_views;
mod users;
mod views;
