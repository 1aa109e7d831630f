//! The concat module on real files, as a host drives it.

mod devices;
mod hostile;
mod killed;
mod loading;
mod maintenance;
mod model;
mod mounted;
mod patrol;
mod pool;
mod volumes;
