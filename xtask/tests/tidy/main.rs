//! The rules of this repository that neither the compiler nor a lint knows,
//! one test each. A failure names the file, the line and the remedy.

mod code;
mod dependencies;
mod documents;
mod links;
mod repository;
mod sources;
mod text;
