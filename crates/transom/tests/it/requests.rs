//! The kernel reads the files, and not transom.

use transom_test::{KernelRequests, LoopVolume, RequestCounts, SeedAction, Tmpfs, privileged};

use crate::action::Run;
use crate::world::{Engine, World};

/// The numbers of two requests in the kernel's protocol.
const OPEN: u32 = 14;
const READ: u32 = 15;

/// Reads all inputs of the seed's action, which lie on two volumes, for the
/// first time since they were mounted.
fn run_the_seeds_action(engine: Engine) -> (Run, Vec<RequestCounts>) {
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
    let names = seed.files().iter();
    let names: String = names
        .map(|file| format!("{}\n", file.name.display()))
        .collect();
    let names = std::fs::File::open(world.file("names", names)).unwrap();
    let traced = KernelRequests::watch_all().unwrap();
    // What is mounted for the action, by device number, and then the reading.
    let script = "cut -d' ' -f3 /proc/self/mountinfo | sort -u; exec perl -e \"$1\"";
    let run = action
        .stdin(names)
        .command(["sh", "-c", script, "sh", read]);
    let run = run.run().succeeded();
    let counts = traced.finish().unwrap();

    let printed = run.stdout();
    let mut lines: Vec<_> = printed.lines().collect();
    let bytes: u64 = seed.files().iter().map(|file| file.bytes).sum();
    let expected = format!("440 {} {bytes}", SeedAction::READS);
    assert_eq!(lines.pop(), Some(&*expected));
    assert_eq!(run.report()["declared"]["files"], 440);
    // A connection is named by its minor number. Those of the action's mounts
    // are ours; others belong to whoever else uses the machine.
    let devices = lines.iter().filter_map(|device| device.strip_prefix("0:"));
    let ours = devices.map(|minor| counts.of_connection(minor.parse().unwrap()));
    (run, ours.collect())
}

#[test]
fn privileged_no_reads_with_fuse() {
    privileged!("trace the kernel and mount volumes");
    let (run, counts) = run_the_seeds_action(Engine::Fuse);
    let requests = &run.report()["requests"];
    assert_eq!(requests["read"], 0, "{requests}");
    assert_eq!(requests["by_opcode"].get("READ"), None);
    assert_eq!(requests["served_opens"], 0);
    let opens = requests["passthrough_opens"].as_u64().unwrap();
    assert!(opens >= 440, "{requests}");
    // The kernel says the same, and did see this connection.
    let sum = |count: fn(&RequestCounts) -> u64| counts.iter().map(count).sum::<u64>();
    assert_eq!(sum(|counts| counts.of(READ)), 0, "{counts:?}");
    assert!(sum(|counts| counts.of(OPEN)) >= 440, "{counts:?}");
}

#[test]
fn privileged_no_requests_with_mounts() {
    privileged!("trace the kernel and mount volumes");
    let (run, counts) = run_the_seeds_action(Engine::Mounts);
    let requests = &run.report()["requests"];
    assert_eq!(requests["total"], 0, "{requests}");
    assert!(!counts.is_empty());
    let total: u64 = counts.iter().map(RequestCounts::total).sum();
    assert_eq!(total, 0, "{counts:?}");
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
