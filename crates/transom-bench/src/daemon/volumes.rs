use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use transom_control::host::{
    CreateVolume, Load, Mount, Place, RemoveVolume, StartFormat, TaskState, Unload, Unmount,
    WatchTask,
};
use transom_control::{Bytes, Client};

use super::process::Daemon;
use super::report::Times;

/// Files that the container is made of.
const MEMBERS: usize = 3;

/// Room for each volume, in bytes.
const VOLUME_BYTES: u64 = 64 << 10;

/// Room in each member for what the container notes of its volumes.
const MARGIN_BYTES: u64 = 16 << 20;

/// A container with volumes, each mounted at a directory of its own.
#[derive(Debug)]
pub(super) struct Volumes {
    client: Client,
    directory: PathBuf,
    container: String,
    mounted: Vec<Mounted>,
}

#[derive(Debug)]
struct Mounted {
    volume: String,
    mount: String,
}

impl Volumes {
    /// Formats and loads the container, and makes and mounts the volumes.
    pub(super) fn make(daemon: &Daemon, count: u64, times: &mut Times) -> Result<Self> {
        let directory = daemon.directory().join("pool");
        fs::create_dir(&directory)?;
        let room = count * VOLUME_BYTES + MARGIN_BYTES;
        let members = (0..MEMBERS).map(|number| directory.join(format!("member-{number}")));
        let members: Vec<_> = members.collect();
        for member in &members {
            File::create(member)?.set_len(room)?;
        }
        let resources: Vec<_> = members.iter().map(|member| place(member)).collect();
        format(daemon, &resources)?;
        let mut client = daemon.connect()?;
        let load = Load {
            resources,
            ..Load::default()
        };
        let container = client.call(&load)?.container.id;
        let mut volumes = Self {
            client,
            directory,
            container,
            mounted: Vec::new(),
        };
        for number in 0..count {
            volumes.make_one(number, times)?;
        }
        Ok(volumes)
    }

    /// Unmounts and removes them, and gives the container back.
    pub(super) fn remove(mut self, times: &mut Times) -> Result<()> {
        for Mounted { volume, mount } in std::mem::take(&mut self.mounted) {
            let unmount = Unmount {
                mount: Some(mount),
                ..Unmount::default()
            };
            let begun = Instant::now();
            self.client.call(&unmount)?;
            times.add("unmount a volume", begun);
            let begun = Instant::now();
            self.client.call(&RemoveVolume { volume })?;
            times.add("remove a volume", begun);
        }
        let container = self.container;
        self.client.call(&Unload {
            container,
            ..Unload::default()
        })?;
        Ok(fs::remove_dir_all(&self.directory)?)
    }

    fn make_one(&mut self, number: u64, times: &mut Times) -> Result<()> {
        let name = format!("volume-{number}");
        let at = self.directory.join(&name);
        fs::create_dir(&at)?;
        let create = CreateVolume {
            container: self.container.clone(),
            name,
            bytes: Some(VOLUME_BYTES),
        };
        let begun = Instant::now();
        let volume = self.client.call(&create)?.volume.id;
        times.add("create a volume", begun);
        let mount = Mount {
            volume: volume.clone(),
            target: Some(place(&at)),
            ..Mount::default()
        };
        let begun = Instant::now();
        let mount = self.client.call(&mount)?.mount.id;
        times.add("mount a volume", begun);
        self.mounted.push(Mounted { volume, mount });
        write_and_read(&at.join("content")).with_context(|| at.display().to_string())
    }
}

fn format(daemon: &Daemon, resources: &[Place]) -> Result<()> {
    let format = StartFormat {
        module: "concat".into(),
        resources: resources.to_vec(),
        options: Vec::new(),
    };
    let task = daemon.connect()?.call(&format)?.task.id;
    let told = daemon.connect()?.more(&WatchTask { task })?;
    let last = told.last().context("nothing was told of the task")??;
    ensure!(last.task.state == TaskState::Done, "formatting: {last:?}");
    Ok(())
}

fn place(path: &Path) -> Place {
    Place {
        path: Some(Bytes::from(path)),
        descriptor: None,
    }
}

fn write_and_read(path: &Path) -> Result<()> {
    let mut content = File::options().read(true).write(true).open(path)?;
    content.write_all(b"written")?;
    content.rewind()?;
    let mut bytes = [0; 7];
    content.read_exact(&mut bytes)?;
    ensure!(bytes == *b"written", "it shows {bytes:?}");
    Ok(())
}
