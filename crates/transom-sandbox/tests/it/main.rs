//! Real actions in real namespaces, as root and as somebody else.

mod base;
mod collecting;
mod inputs;
mod leftovers;
mod many;
mod process;
mod terminal;
mod views;
mod walls;
mod world;
mod writable;
