use std::collections::{BTreeMap, BTreeSet};

use transom_module::{ItemId, OpenDirectories};
use transom_test::{LoopVolume, Tmpfs, privileged, temp_dir};

use super::*;

/// Lists the root in parts of `room` entries; `between` is called after each.
fn list(
    volume: &Passthrough,
    room: usize,
    with_attributes: bool,
    mut between: impl FnMut(usize),
) -> Vec<Listed> {
    let root = volume.root_item();
    let handle = volume.open_directory(&own(), &root).unwrap();
    let mut listed = Vec::new();
    let mut from = Cookie::default();
    for part in 0.. {
        let mut sink = Sink::new(room, with_attributes);
        volume
            .enumerate_open(&own(), &root, &handle, from, &mut sink)
            .unwrap();
        let Some(last) = sink.entries.last() else {
            break;
        };
        from = last.next;
        listed.append(&mut sink.entries);
        between(part);
    }
    volume.close(handle);
    listed
}

#[test]
fn listings_are_complete_in_parts_of_any_size() {
    let directory = temp_dir().unwrap();
    for number in 0..300 {
        fs::write(directory.path().join(format!("file {number}")), "").unwrap();
    }
    fs::create_dir(directory.path().join("directory")).unwrap();
    let volume = volume(directory.path()).volume;
    for room in [1, 7, 1000] {
        for with_attributes in [false, true] {
            let listed = list(&volume, room, with_attributes, |_| {});
            assert_eq!(listed.len(), 303);
            let by_name: BTreeMap<_, _> = listed.iter().map(|e| (e.name.clone(), e)).collect();
            assert_eq!(by_name.len(), 303);
            for (name, entry) in by_name {
                let is_dots = name == "." || name == "..";
                assert_eq!(
                    entry.found.is_some(),
                    with_attributes && !is_dots,
                    "{name:?}"
                );
                let id = match is_dots {
                    true => ItemId::ROOT,
                    false => volume.at(name.to_str().unwrap()).item.id,
                };
                assert_eq!(entry.id, id.raw(), "{name:?}");
            }
        }
    }
    // Without a handle.
    let mut sink = Sink::new(1000, false);
    volume
        .enumerate(&own(), &volume.root_item(), Cookie::default(), &mut sink)
        .unwrap();
    assert_eq!(sink.entries.len(), 303);
}

#[test]
fn the_parent_is_listed_under_its_own_number() {
    let directory = temp_dir().unwrap();
    fs::create_dir_all(directory.path().join("a/b")).unwrap();
    let volume = volume(directory.path()).volume;
    for (path, parent) in [("a", ItemId::ROOT), ("a/b", volume.at("a").item.id)] {
        let mut sink = Sink::new(10, false);
        volume
            .enumerate(&own(), &volume.at(path).item, Cookie::default(), &mut sink)
            .unwrap();
        let up = sink
            .entries
            .iter()
            .find(|entry| entry.name == "..")
            .unwrap();
        assert_eq!(up.id, parent.raw());
    }
}

#[test]
fn privileged_what_stays_is_listed_once_while_other_names_come_and_go() {
    privileged!("make volumes");
    let ext4 = LoopVolume::ext4(LoopVolume::BYTES_MIN).unwrap();
    let xfs = LoopVolume::xfs(LoopVolume::BYTES_MIN).unwrap();
    let btrfs = LoopVolume::btrfs(LoopVolume::BYTES_MIN).unwrap();
    let tmpfs = Tmpfs::new(16 << 20).unwrap();
    for path in [ext4.path(), xfs.path(), btrfs.path(), tmpfs.path()] {
        let path = path.join("listed");
        fs::create_dir(&path).unwrap();
        let stays: BTreeSet<OsString> = (0..500).map(|n| format!("stays {n}").into()).collect();
        for (number, name) in stays.iter().enumerate() {
            fs::write(path.join(name), "").unwrap();
            fs::write(path.join(format!("goes {number}")), "").unwrap();
        }
        let volume = volume(&path).volume;
        let mut going = 0..500;
        let listed = list(&volume, 17, true, |part| {
            for number in going.by_ref().take(9) {
                fs::remove_file(path.join(format!("goes {number}"))).unwrap();
            }
            fs::write(path.join(format!("comes {part}")), "").unwrap();
        });
        let mut seen = BTreeSet::new();
        for entry in listed {
            let name = entry.name.display().to_string();
            assert!(seen.insert(entry.name), "{}: {name} twice", path.display());
        }
        assert!(stays.is_subset(&seen), "{}", path.display());
    }
}
