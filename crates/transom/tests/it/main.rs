//! The program as its users run it: real commands in real views, over both
//! engines, as root and as somebody else.

mod action;
mod bad_input;
mod bazel;
mod daemon;
mod differences;
mod engines;
mod explaining;
mod inputs;
mod isolation;
mod leftovers;
mod limits;
mod modules;
mod mounting;
mod moving_tree;
mod outputs;
mod process;
mod protection;
mod requests;
mod sandboxfs;
mod steering;
mod summaries;
mod surroundings;
mod terminal;
mod tracing;
mod whole_life;
mod world;
mod wrapping;
