use transom_module::PersistentItems;
use transom_test::{LoopVolume, Tmpfs, privileged};

use super::*;

#[test]
fn privileged_items_are_found_by_number_after_they_were_given_back() {
    privileged!("make volumes");
    let ext4 = LoopVolume::ext4(LoopVolume::BYTES_MIN).unwrap();
    let xfs = LoopVolume::xfs(LoopVolume::BYTES_MIN).unwrap();
    let tmpfs = Tmpfs::new(1 << 20).unwrap();
    for path in [ext4.path(), xfs.path(), tmpfs.path()] {
        fs::create_dir_all(path.join("a/b")).unwrap();
        fs::write(path.join("a/file"), "").unwrap();
        let definition = loaded(path);
        let persistent = definition.persistent_items().expect("finds by number");
        let volume = &definition.volume;
        for name in ["a", "a/b", "a/file"] {
            let entry = volume.at(name);
            assert_ne!(entry.generation, 0);
            volume.reclaim(entry.item);
            let again = persistent.by_id(&own(), entry.attributes.id).unwrap();
            let told = (again.attributes.id, again.attributes.kind, again.generation);
            assert_eq!(told.0, entry.attributes.id);
            assert_eq!(told.1, entry.attributes.kind);
            assert_eq!(told.2, entry.generation);
        }
        // A removed file is gone for good.
        let file = volume.at("a/file");
        let id = file.attributes.id;
        volume.reclaim(file.item);
        fs::remove_file(path.join("a/file")).unwrap();
        assert_eq!(errno_of(persistent.by_id(&own(), id)), Some(Errno::ESTALE));
    }
}

#[test]
fn privileged_a_number_leads_to_nothing_outside() {
    privileged!("make a volume");
    let ext4 = LoopVolume::ext4(LoopVolume::BYTES_MIN).unwrap();
    fs::create_dir(ext4.path().join("source")).unwrap();
    fs::write(ext4.path().join("source/inside"), "").unwrap();
    fs::write(ext4.path().join("outside"), "").unwrap();
    let outside = loaded(ext4.path()).volume.at("outside").attributes.id;

    let part = loaded(&ext4.path().join("source")).volume;
    assert_eq!(errno_of(part.by_id(&own(), outside)), Some(Errno::ESTALE));

    // The whole file system has them all, also when it is loaded anew.
    let whole = loaded(ext4.path()).volume;
    let found = whole.by_id(&own(), outside).unwrap();
    assert_eq!(found.item.id, outside);
}
