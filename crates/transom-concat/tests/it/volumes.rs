//! Volumes that are made, changed and used at the same time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use transom_module::{BlockVolumes, Container, Errno, VolumeManagement};

use crate::pool::{BLOCK, Pool, content, create, key_of};

#[test]
fn keys_are_exact() {
    let pool = Pool::formatted(&[10], "");
    let container = pool.load();
    create(&container, "a", 1);
    assert_eq!(key_of(&container, "a"), "0");
    for key in ["", "1", "00", "+0", "-0", " 0", "a", "18446744073709551616"] {
        let error = container.block_volume(key).err().unwrap();
        assert_eq!(error.errno(), Errno::ENOENT, "{key:?}");
        assert_eq!(container.remove(key).unwrap_err().errno(), Errno::ENOENT);
    }
    assert_eq!(
        container.create("b", None).unwrap_err().errno(),
        Errno::EINVAL
    );
    assert_eq!(container.block_volumes(), container.volumes());
}

#[test]
fn nobody_reads_what_a_removed_volume_has_left() {
    for options in ["", "layout=stripe,chunk=4k"] {
        let pool = Pool::formatted(&[10, 10], options);
        let container = pool.load();
        let secret = create(&container, "a", 20);
        secret.write(0, &[0x5e; 20 * BLOCK as usize]).unwrap();
        let shrunk = create_after(&container, 5);
        assert!(content(&*shrunk).iter().all(|byte| *byte == 0));
        container.remove(&key_of(&container, "a")).unwrap();
        let next = create(&container, "c", 15);
        assert!(content(&*next).iter().all(|byte| *byte == 0));
    }
}

/// Takes blocks from `a` and makes `b` of them.
fn create_after(
    container: &transom_concat::Concat,
    blocks: u64,
) -> std::sync::Arc<dyn transom_module::BlockVolume> {
    container
        .resize(&key_of(container, "a"), (20 - blocks) * BLOCK)
        .unwrap();
    create(container, "b", blocks)
}

#[test]
fn discarded_space_goes_back_to_the_host() {
    use std::os::unix::fs::MetadataExt;
    let pool = Pool::formatted(&[512, 512], "layout=stripe");
    let container = pool.load();
    let used = || {
        let blocks = |path| std::fs::metadata(path).unwrap().blocks();
        pool.paths.iter().map(blocks).sum::<u64>() * 512
    };
    let volume = create(&container, "a", 1024);
    volume.flush().unwrap();
    let before = used();
    volume.write(0, &vec![1; 1024 * BLOCK as usize]).unwrap();
    volume.flush().unwrap();
    let written = used();
    assert!(written >= before + 1024 * BLOCK, "{before} {written}");
    volume.discard(0..512 * BLOCK).unwrap();
    let discarded = used();
    assert!(discarded <= written - 512 * BLOCK, "{written} {discarded}");
    container.remove(&key_of(&container, "a")).unwrap();
    assert!(used() <= before, "{before} {}", used());
}

#[test]
fn volumes_do_not_meet_while_others_come_and_go() {
    const ROUNDS: u8 = 60;
    let pool = Pool::formatted(&[40, 40, 40], "");
    let container = pool.load();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for thread in 0..2_u8 {
            let volume = create(&container, &format!("steady {thread}"), 16);
            let (container, done) = (&container, &done);
            scope.spawn(move || {
                let mut round = 0_u8;
                while !done.load(Ordering::Relaxed) {
                    round = round.wrapping_add(1);
                    let bytes = vec![round ^ (thread << 7); 16 * BLOCK as usize];
                    volume.write(0, &bytes).unwrap();
                    assert!(content(&*volume) == bytes);
                    volume.flush().unwrap();
                    assert!(!container.volumes().is_empty());
                }
            });
        }
        for round in 0..ROUNDS {
            let name = format!("short {round}");
            let volume = create(&container, &name, 20);
            assert!(content(&*volume).iter().all(|byte| *byte == 0));
            volume.write(0, &vec![0xff; 20 * BLOCK as usize]).unwrap();
            let key = key_of(&container, &name);
            container.resize(&key, 10 * BLOCK).unwrap();
            container.resize(&key, 40 * BLOCK).unwrap();
            assert!(
                content(&*volume)[10 * BLOCK as usize..]
                    .iter()
                    .all(|byte| *byte == 0)
            );
            container.remove(&key).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    drop(container);
    pool.check("").done();
}
