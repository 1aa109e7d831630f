//! Block devices as members.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Command;

use transom_concat::{Concat, ConcatModule};
use transom_module::{Errno, Jobs, LoadOptions, Maintenance, Resource, ResourceKind, Result};
use transom_test::privileged;

use crate::pool::{BLOCK, Pool, Told, content, create, disk, ended, load, load_options};

/// A file as a loop device.
struct Loop(PathBuf);

impl Loop {
    fn of(file: &Path) -> Self {
        let made = Command::new("losetup")
            .args(["--find", "--show"])
            .arg(file)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        Self(String::from_utf8(made.stdout).unwrap().trim_end().into())
    }

    fn resource(&self) -> Resource {
        let device = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&self.0)
            .unwrap();
        Resource::new(ResourceKind::BlockDevice, &self.0, device.into())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup")
            .arg("--detach")
            .arg(&self.0)
            .status();
    }
}

struct Devices {
    // Before the files: fields drop in this order.
    loops: Vec<Loop>,
    _files: Pool,
}

impl Devices {
    fn formatted(blocks: &[u64], options: &str) -> Self {
        let files = Pool::of_files(blocks);
        let loops = files.paths.iter().map(|path| Loop::of(path)).collect();
        let devices = Self {
            loops,
            _files: files,
        };
        devices.maintain(|resources, task| {
            ConcatModule.format(resources, &load_options(options), task)
        });
        devices
    }

    fn resources(&self) -> Vec<Resource> {
        self.loops.iter().map(Loop::resource).collect()
    }

    fn load(&self) -> Result<Concat> {
        load(self.resources(), &LoadOptions::default())
    }

    fn maintain(
        &self,
        work: impl FnOnce(Vec<Resource>, transom_module::Task) -> transom_module::Completed,
    ) {
        ended(&Told::default(), |task| work(self.resources(), task)).done();
    }
}

#[test]
fn privileged_block_devices_are_members() {
    privileged!("make loop devices");
    let devices = Devices::formatted(&[256, 256], "layout=stripe,chunk=4k");
    let container = devices.load().unwrap();
    let volume = create(&container, "a", 300);
    let mut expected = vec![3; 300 * BLOCK as usize];
    volume.write(0, &expected).unwrap();
    // Partly less than what the device could do by itself.
    volume.write_zeroes(512..100 * BLOCK + 512).unwrap();
    expected[512..100 * BLOCK as usize + 512].fill(0);
    volume.flush().unwrap();
    assert!(content(&*volume) == expected);
    volume.discard(0..300 * BLOCK).unwrap();
    let discarded = content(&*volume);
    assert!(discarded.iter().all(|byte| *byte == 0 || *byte == 3));
    volume.write(BLOCK, &[7; 512]).unwrap();
    ended(&Told::default(), |task| container.run("patrol", task)).done();
    drop((container, volume));

    devices.maintain(|resources, task| ConcatModule.check(resources, &load_options(""), task));
    let container = devices.load().unwrap();
    assert_eq!(content(&*disk(&container, "a"))[BLOCK as usize], 7);
}

#[test]
fn privileged_a_device_in_use_is_refused_and_told_by_whom() {
    privileged!("make loop devices and mount");
    let devices = Devices::formatted(&[2000], "");
    let container = devices.load().unwrap();
    let error = devices.load().unwrap_err();
    assert_eq!(error.errno(), Errno::EBUSY);
    let me = format!("process {}", std::process::id());
    assert!(error.to_string().contains(&me), "{error}");
    let device = &devices.loops[0].0;
    let run = |program: &str, arguments: &[&str], last: &Path| {
        let output = Command::new(program)
            .args(arguments)
            .arg(device)
            .arg(last)
            .output();
        output.unwrap().status.success()
    };
    let target = transom_test::temp_dir().unwrap();
    // Nobody else uses it either, while it is loaded.
    assert!(!run("mkfs.ext4", &["-q"], Path::new("1000")));
    drop(container);
    assert!(run("mkfs.ext4", &["-q"], Path::new("1000")));
    assert!(run("mount", &[], target.path()));
    let error = ended(&Told::default(), |task| {
        ConcatModule.format(devices.resources(), &load_options("force"), task)
    });
    assert!(run("umount", &[], Path::new("--")));
    let error = error.failed();
    assert_eq!(error.errno(), Errno::EBUSY);
    let target = format!("the mount at `{}`", target.path().display());
    assert!(error.to_string().contains(&target), "{error}");
}
