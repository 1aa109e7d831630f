//! The projection over real host files, called directly: no mount, no
//! privilege.

mod changing_host;
mod client;
mod explaining;
mod fixture;
mod for_clients;
mod looking;
mod pinning;
mod random;
mod steering;
mod tracing;
mod whole_directories;
