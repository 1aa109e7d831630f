//! The daemon as its clients meet it: over a socket.

mod confinement;
mod hostile_views;
mod users;
mod views;
