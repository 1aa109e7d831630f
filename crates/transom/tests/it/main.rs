//! The program as its users run it: real commands in real views, over both
//! engines, as root and as somebody else.

mod action;
mod inputs;
mod isolation;
mod process;
mod surroundings;
mod world;
