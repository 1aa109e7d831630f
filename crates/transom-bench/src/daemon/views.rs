use std::fs;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, ensure};
use rustix::fs::{Mode, OFlags, openat};
use serde_json::{Value, json};
use transom_control::{Bytes, Client, views};

use super::process::Daemon;
use super::report::Times;

/// Files of the host that all views show some of.
const SOURCES: usize = 32;

/// Files that each view shows.
const FILES: usize = 10;

/// Makes views, and has those that stay.
#[derive(Debug)]
pub(super) struct Views {
    client: Client,
    base: PathBuf,
    made: usize,
    kept: Vec<View>,
}

#[derive(Debug)]
struct View {
    id: String,
    /// Its detached mount, which stays as long as somebody has it open.
    tree: OwnedFd,
}

impl Views {
    pub(super) fn new(daemon: &Daemon) -> Result<Self> {
        let base = daemon.directory().join("sources");
        fs::create_dir(&base)?;
        for number in 0..SOURCES {
            fs::write(base.join(source(number)), source(number))?;
        }
        Ok(Self {
            client: daemon.connect()?,
            base,
            made: 0,
            kept: Vec::new(),
        })
    }

    /// Makes one that stays, and reads from it.
    pub(super) fn make(&mut self, times: &mut Times) -> Result<()> {
        let view = self.create(times)?;
        self.kept.push(view);
        Ok(())
    }

    /// Makes one, reads from it, and gives it back.
    pub(super) fn come_and_go(&mut self, times: &mut Times) -> Result<()> {
        let view = self.create(times)?;
        self.discard(view, times)
    }

    /// Gives back those that have stayed.
    pub(super) fn discard_all(&mut self, times: &mut Times) -> Result<()> {
        for view in std::mem::take(&mut self.kept) {
            self.discard(view, times)?;
        }
        Ok(())
    }

    fn create(&mut self, times: &mut Times) -> Result<View> {
        let first = self.made;
        self.made += 1;
        let call = views::Create {
            manifest: manifest(first),
            base: Bytes::from(&self.base),
            ..views::Create::default()
        };
        let begun = Instant::now();
        let (reply, mut descriptors) = self.client.call_with_descriptors(&call, &[])?;
        times.add("create a view", begun);
        let view = View {
            id: reply.view.id,
            tree: descriptors.take(reply.descriptor)?,
        };
        let begun = Instant::now();
        let text = read(&view.tree, &name(first))?;
        times.add("read one of its files", begun);
        ensure!(text == source(first), "{} shows {text:?}", view.id);
        Ok(view)
    }

    fn discard(&mut self, View { id, tree }: View, times: &mut Times) -> Result<()> {
        drop(tree);
        let begun = Instant::now();
        self.client.call(&views::Discard { view: id })?;
        times.add("drop a view", begun);
        Ok(())
    }
}

/// With `FILES` of the sources from one on.
fn manifest(first: usize) -> Value {
    let inputs: Vec<_> = (first..first + FILES)
        .map(|number| json!({ "name": name(number), "file": source(number) }))
        .collect();
    json!({ "version": 1, "inputs": inputs })
}

fn name(number: usize) -> String {
    format!("directory/{}", source(number))
}

fn source(number: usize) -> String {
    format!("file-{}", number % SOURCES)
}

fn read(tree: &OwnedFd, name: &str) -> Result<String> {
    let file = openat(tree, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut bytes = [0; 64];
    let count = rustix::io::read(&file, &mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes[..count]).into_owned())
}
