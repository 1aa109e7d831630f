//! The kernel reads the files, and not transom.

use transom_test::{KernelRequests, LoopVolume, SeedAction, Tmpfs, privileged};

use crate::action::Run;
use crate::world::{Engine, World};

/// The number of READ in the kernel's protocol.
const READ: u32 = 15;

/// Reads all inputs of the seed's action, which lie on two volumes, for the
/// first time since they were mounted.
fn run_the_seeds_action(engine: Engine) -> (Run, transom_test::RequestCounts) {
    let (ext4, xfs) = (
        LoopVolume::ext4(LoopVolume::BYTES_MIN).unwrap(),
        LoopVolume::xfs(LoopVolume::BYTES_MIN).unwrap(),
    );
    let seed = SeedAction::generate(ext4.path(), xfs.path()).unwrap();
    rustix::fs::sync();
    std::fs::write("/proc/sys/vm/drop_caches", "3").unwrap();

    let world = World::root(engine);
    let mut action = world.action();
    for file in seed.files() {
        action = action.file(&format!("w/{}", file.name.display()), &file.source);
    }
    // Each file in reads of at most 128 KiB, as a compiler does.
    let read = r#"
        my ($files, $reads, $bytes) = (0, 0, 0);
        for my $path (<STDIN>) {
            chomp $path;
            sysopen(my $file, $path, 0) or die "$path: $!";
            my $left = -s $file;
            while ($left > 0) { my $got = sysread($file, my $data, 131072) or die; $left -= $got; $bytes += $got; $reads++ }
            $files++;
        }
        print "$files $reads $bytes\n";
    "#;
    let names: String = seed
        .files()
        .iter()
        .map(|file| format!("{}\n", file.name.display()))
        .collect();
    let names = std::fs::File::open(world.file("names", names)).unwrap();
    let traced = KernelRequests::watch_all().unwrap();
    let run = action
        .stdin(names)
        .command(["perl", "-e", read])
        .run()
        .succeeded();
    let counts = traced.finish().unwrap();
    let bytes: u64 = seed.files().iter().map(|file| file.bytes).sum();
    assert_eq!(run.stdout(), format!("440 {} {bytes}\n", SeedAction::READS));
    assert_eq!(run.report()["declared"]["files"], 440);
    (run, counts)
}

/// Both witnesses, alone on the machine: the kernel's trace is of everybody's
/// requests.
#[test]
fn privileged_the_seeds_action_leaves_nothing_to_read_with_fuse() {
    privileged!("trace the kernel and mount volumes");
    let (run, counts) = run_the_seeds_action(Engine::Fuse);
    let requests = &run.report()["requests"];
    assert_eq!(requests["read"], 0, "{requests}");
    assert_eq!(requests["by_opcode"].get("READ"), None);
    assert_eq!(requests["served_opens"], 0);
    assert!(
        requests["passthrough_opens"].as_u64().unwrap() >= 440,
        "{requests}"
    );
    assert_eq!(counts.of(READ), 0, "{counts}");
    // The trace did see this connection.
    assert!(counts.total() > 440, "{counts}");
}

#[test]
fn privileged_the_seeds_action_leaves_nothing_to_ask_with_mounts() {
    privileged!("trace the kernel and mount volumes");
    let (run, counts) = run_the_seeds_action(Engine::Mounts);
    let requests = &run.report()["requests"];
    assert_eq!(requests["total"], 0, "{requests}");
    assert_eq!(counts.total(), 0, "{counts}");
}

/// Sources on three file systems in one view, as files and as a whole.
fn three_volumes(engine: Engine) {
    let world = World::root(engine);
    let ext4 = LoopVolume::ext4(LoopVolume::BYTES_MIN).unwrap();
    let xfs = LoopVolume::xfs(LoopVolume::BYTES_MIN).unwrap();
    let tmpfs = Tmpfs::new(1 << 20).unwrap();
    let mut action = world.action();
    for (name, path) in [
        ("ext4", ext4.path()),
        ("xfs", xfs.path()),
        ("tmpfs", tmpfs.path()),
    ] {
        std::fs::create_dir(path.join("tree")).unwrap();
        std::fs::write(path.join("file"), format!("{name}\n")).unwrap();
        std::fs::write(path.join("tree/leaf"), format!("{name} leaf\n")).unwrap();
        action = action
            .file(&format!("w/{name}.file"), path.join("file"))
            .directory(&format!("w/{name}"), path.join("tree"));
    }
    let run = action.sh("cat *.file */leaf").run().succeeded();
    assert_eq!(
        run.stdout(),
        "ext4\ntmpfs\nxfs\next4 leaf\ntmpfs leaf\nxfs leaf\n"
    );
    assert_eq!(run.report()["requests"]["read"], 0);
}

#[test]
fn privileged_three_volumes_with_fuse() {
    privileged!("mount volumes");
    three_volumes(Engine::Fuse);
}

#[test]
fn privileged_three_volumes_with_mounts() {
    privileged!("mount volumes");
    three_volumes(Engine::Mounts);
}
