//! All workloads.

mod big_file;
mod compile;
mod many_files;
mod programs;
mod tree;

use std::path::Path;

use anyhow::Result;

use super::workload::{Scale, Workload};
use big_file::{Access, BigFile, Pages};
use many_files::{ManyFiles, Operation};

/// Makes a workload whose files are in a directory of their own.
pub(crate) type Make = fn(backing: &Path, Scale) -> Result<Box<dyn Workload>>;

/// All of them by their names.
pub(crate) const WORKLOADS: &[(&str, Make)] = &[
    ("read-sequential", |at, scale| {
        BigFile::to_read(at, scale, Access::Sequential, Pages::OfHost)
    }),
    ("read-sequential-again", |at, scale| {
        BigFile::to_read(at, scale, Access::Sequential, Pages::OfMount)
    }),
    ("read-sequential-cold", |at, scale| {
        BigFile::to_read(at, scale, Access::Sequential, Pages::Nowhere)
    }),
    ("read-random", |at, scale| {
        BigFile::to_read(at, scale, Access::Random, Pages::OfHost)
    }),
    ("read-random-again", |at, scale| {
        BigFile::to_read(at, scale, Access::Random, Pages::OfMount)
    }),
    ("read-random-cold", |at, scale| {
        BigFile::to_read(at, scale, Access::Random, Pages::Nowhere)
    }),
    ("write-sequential", |at, scale| {
        BigFile::to_write(at, scale, Access::Sequential)
    }),
    ("write-random", |at, scale| {
        BigFile::to_write(at, scale, Access::Random)
    }),
    ("create", |at, scale| {
        ManyFiles::make(at, scale, Operation::Create)
    }),
    ("stat", |at, scale| {
        ManyFiles::make(at, scale, Operation::Stat)
    }),
    ("stat-again", |at, scale| {
        ManyFiles::make(at, scale, Operation::StatAgain)
    }),
    ("read-small", |at, scale| {
        ManyFiles::make(at, scale, Operation::Read)
    }),
    ("list", |at, scale| {
        ManyFiles::make(at, scale, Operation::List)
    }),
    ("list-stat", |at, scale| {
        ManyFiles::make(at, scale, Operation::ListStat)
    }),
    ("unlink", |at, scale| {
        ManyFiles::make(at, scale, Operation::Unlink)
    }),
    ("find", programs::find),
    ("find-size", programs::find_size),
    ("git-status", programs::git_status),
    ("untar", programs::untar),
    ("compile", compile::compile),
];
