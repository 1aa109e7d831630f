//! What builds really do: a C project compiled file by file, node resolving
//! its modules, a JavaScript project bundled and type-checked, a thousand views
//! with a hundred actions, programs that many actions execute at once, runs that
//! are killed at any moment, and the suites that others test file systems with.
//!
//! Some of it is done with the program, as its users would; some with the
//! crates below it, where one process has to serve many views.

#![expect(clippy::print_stdout, reason = "figures, for whoever runs the tests")]

// The worlds and actions of the other suite of this crate; each uses a part.
#[allow(unused, reason = "the other suite uses the rest")]
#[path = "../it/action.rs"]
mod action;
#[allow(unused, reason = "the other suite uses the rest")]
#[path = "../it/world.rs"]
mod world;

mod bazel;
mod c_project;
mod compile;
mod executables;
mod host;
mod javascript;
mod killed;
mod model;
mod node;
mod scale;
mod seed;
mod suites;
mod tarpit;
mod wrapped;
