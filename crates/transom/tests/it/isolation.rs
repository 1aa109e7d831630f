//! What is not declared does not exist, and nothing leads out of the view.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::process::Command;

use crate::action::Action;
use crate::world::{Engine, World, over_both_engines};

over_both_engines!(
    namespaces_of_its_own,
    undeclared_names_do_not_exist,
    listings_hold_declared_names_only,
    proc_does_not_lead_out,
    proc_self_names_the_view,
    standard_files_do_not_lead_out,
    only_its_own_processes_are_visible,
    the_network_is_a_loopback_interface,
    the_network_of_the_host_when_asked,
    the_host_name_cannot_be_changed,
    the_inputs_of_another_view_are_absent,
);

const NAMESPACES: [&str; 6] = ["mnt", "user", "pid", "net", "ipc", "uts"];

fn namespaces_of_its_own(world: &World) {
    let script = "cd /proc/self/ns; readlink mnt user pid net ipc uts";
    let links = NAMESPACES.map(|name| std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap());
    let shared = |arguments: &[&str]| {
        let printed = world.action().args(arguments).prints(script);
        let inside = printed.lines().zip(&links);
        let shared = inside.filter(|(inside, outside)| outside.as_os_str() == *inside);
        shared
            .map(|(name, _)| name[..3].to_owned())
            .collect::<Vec<_>>()
    };
    let none: [&str; 0] = [];
    assert_eq!(shared(&[]), none);
    assert_eq!(shared(&["--network"]), ["net"]);
}

/// Tries each path in every way there is, and tells of those that are not
/// absent.
const TRY: &str = r#"
    use Cwd "realpath"; use POSIX ();
    for my $path (@ARGV) {
        my %tried = (
            open => sub { open(my $file, "<", $path) },
            write => sub { open(my $file, "+<", $path) },
            stat => sub { stat $path },
            lstat => sub { lstat $path },
            opendir => sub { opendir(my $directory, $path) },
            readlink => sub { defined readlink $path },
            access => sub { POSIX::access($path, 0) },
            chdir => sub { chdir $path },
            exec => sub { no warnings; exec { $path } $path },
        );
        for my $way (sort keys %tried) {
            $! = 0;
            print "$way $path: ", $! || "worked", "\n" if $tried{$way}->() || !$!{ENOENT};
        }
        print "glob $path\n" if grep { -e } glob("$path* $path/* \Q$path\E");
        my $real = realpath($path);
        print "realpath $path\n" if defined $real && -e $real;
    }
"#;

/// Declares `w/sub/declared`, whose host directory holds an undeclared file
/// too. Returns the path of that.
fn with_a_secret(world: &World) -> (Action<'_>, String) {
    let declared = world.file("src/declared", "declared\n");
    let secret = world.file("src/secret", "secret\n");
    let action = world.action().file("w/sub/declared", declared);
    (action, secret.to_str().unwrap().to_owned())
}

fn undeclared_names_do_not_exist(world: &World) {
    let (action, secret) = with_a_secret(world);
    let directory = world.path().to_str().unwrap();
    let mut paths: Vec<String> = [
        "secret",
        "sub/secret",
        "sub/../secret",
        "sub/../sub/./secret",
        "../w/sub/secret",
        "../../../../w/secret",
        "/w/../secret",
        "/proc/self/cwd/sub/secret",
        "/proc/self/root/w/secret",
        "to-the-host",
        "sub/DECLARED",
        "/etc",
        "/root",
        "/home",
        "/var",
        "/sys",
        "/run",
        "/mnt",
    ]
    .map(String::from)
    .into();
    for prefix in [
        "",
        "..",
        "../..",
        "../../../../../..",
        "sub/../../..",
        "/proc/self/root",
        "/proc/self/cwd/../..",
    ] {
        paths.push(format!("{prefix}{secret}"));
        paths.push(format!("{prefix}{directory}"));
    }
    let command = ["perl", "-e", TRY].map(String::from);
    let run = action
        .symlink("w/to-the-host", &secret)
        .command(command.into_iter().chain(paths))
        .run()
        .succeeded();
    // The link itself is declared.
    assert_eq!(
        run.stdout(),
        "lstat to-the-host: worked\nreadlink to-the-host: worked\n"
    );
}

fn listings_hold_declared_names_only(world: &World) {
    let (action, secret) = with_a_secret(world);
    let script = format!(
        "ls -A / . sub; echo * sub/* s*/*; ls -d sub/s* 2>&1; realpath sub/.. sub/declared ../w/./sub
         find / -xdev -name secret; realpath -e {secret} 2>&1; cd sub/..; pwd -P; cd ../..; pwd -P"
    );
    let run = action.sh(&script).run();
    assert_eq!(
        run.stdout(),
        format!(
            ".:\nsub\n\n/:\nbin\ndev\nlib\nlib64\nproc\ntmp\nusr\nw\n\nsub:\ndeclared\n\
             sub sub/declared sub/declared\n\
             ls: cannot access 'sub/s*': No such file or directory\n\
             /w\n/w/sub/declared\n/w/sub\n\
             realpath: {secret}: No such file or directory\n/w\n/\n"
        )
    );
}

fn proc_does_not_lead_out(world: &World) {
    let (action, secret) = with_a_secret(world);
    let script = format!(
        r#"
        for process in self thread-self 1 1/task/1 $$ $PPID; do
            for link in root cwd exe fd/0 fd/1 fd/2 fd/3 fd/4 fd/5 fd/6 fd/7 fd/8 fd/9 fd/10; do
                for path in {secret} /../../../../../{secret} /../secret; do
                    cat "/proc/$process/$link$path" > /dev/null 2>&1 && echo "found at $process/$link$path"
                done
            done
        done
        for secret in environ maps mem fd/0 map_files cwd root exe stack syscall; do
            for process in /proc/[0-9]*; do
                test "$process" = "/proc/$$" && continue
                head -c1 "$process/$secret" 2> /dev/null && echo "read $process/$secret"
                ls "$process/$secret/" 2> /dev/null | head -1 | grep . && echo "listed $process/$secret"
            done
        done < /dev/null
        nsenter -t 1 -m true 2> /dev/null && echo "entered the mount namespace of pid 1"
        nsenter -t 1 -U true 2> /dev/null && echo "entered the user namespace of pid 1"
        ls -l /proc/self/fd | grep -v -e total -e '/dev/null' -e 'pipe:' -e /proc/
        true
        "#
    );
    let run = action.sh(&script).run().succeeded();
    assert_eq!((run.stdout(), run.stderr()), (String::new(), String::new()));
}

fn proc_self_names_the_view(world: &World) {
    let (action, _) = with_a_secret(world);
    let script = "
        readlink /proc/self/exe /proc/self/cwd /proc/self/root
        cut -c74- /proc/self/maps | grep / | grep -v '^/usr/'
        exec 5< sub/declared; readlink /proc/self/fd/5
        cut -d' ' -f 5 /proc/self/mountinfo | sort -u | grep -v -e '^/dev' -e '^/proc'";
    let run = action.sh(script).run().succeeded();
    let binds = match world.engine {
        Engine::Fuse => "",
        Engine::Mounts => "/usr\n/w/sub/declared\n",
    };
    assert_eq!(
        run.stdout(),
        format!("/usr/bin/readlink\n/w\n/\n/w/sub/declared\n/\n/tmp\n{binds}")
    );
}

fn standard_files_do_not_lead_out(world: &World) {
    let (action, _) = with_a_secret(world);
    let directory = std::fs::File::open(world.path()).unwrap();
    let run = action.stdin(directory).sh("echo ran").run();
    assert_eq!(run.stdout(), "");
    run.exited(125).says("open file 0 is a directory");
}

fn only_its_own_processes_are_visible(world: &World) {
    let ours = std::process::id();
    let script = format!(
        "echo /proc/[0-9]*; kill -0 {ours} 2> /dev/null && echo reached
         echo $$; test -e /proc/{ours} && echo seen; kill -9 1; echo alive"
    );
    let (action, _) = with_a_secret(world);
    let run = action.sh(&script).run();
    assert_eq!(run.stdout(), "/proc/1 /proc/2\n2\nalive\n");
}

/// Connects to a port of 127.0.0.1, to a server of its own, and to an abstract
/// socket.
const CONNECT: &str = r#"
    use IO::Socket::INET; use Socket;
    my ($port, $name) = @ARGV;
    print "host: ", (IO::Socket::INET->new("127.0.0.1:$port") ? "connected" : $!), "\n";
    my $server = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1") or die "listen: $@";
    my $own = $server->sockport;
    print "own: ", (IO::Socket::INET->new("127.0.0.1:$own") ? "connected" : $!), "\n";
    socket(my $unix, PF_UNIX, SOCK_STREAM, 0) or die;
    print "abstract: ", (connect($unix, pack_sockaddr_un("\0$name")) ? "connected" : $!), "\n";
    open(my $devices, "<", "/proc/net/dev"); my @names = map { /(\S+):/ } <$devices>;
    print "interfaces: ", scalar(@names), "\n";
"#;

/// Listens on the host and lets the action connect.
fn connect_to_the_host(world: &World, arguments: &[&str]) -> String {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port().to_string();
    let name = format!("transom-test-{}-{port}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    let command = ["perl", "-e", CONNECT, &port, &name];
    let run = world
        .action()
        .args(arguments)
        .command(command)
        .run()
        .succeeded();
    run.stdout()
}

fn the_network_is_a_loopback_interface(world: &World) {
    assert_eq!(
        connect_to_the_host(world, &[]),
        "host: Connection refused\nown: connected\nabstract: Connection refused\ninterfaces: 1\n"
    );
}

fn the_network_of_the_host_when_asked(world: &World) {
    let devices = std::fs::read_to_string("/proc/net/dev").unwrap();
    let interfaces = devices.matches(':').count();
    assert_eq!(
        connect_to_the_host(world, &["--network"]),
        format!("host: connected\nown: connected\nabstract: connected\ninterfaces: {interfaces}\n")
    );
}

fn the_host_name_cannot_be_changed(world: &World) {
    let name = || {
        let output = Command::new("uname").arg("-n").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let before = name();
    world
        .action()
        .sh("hostname intruder 2> /dev/null; uname -n")
        .run();
    assert_eq!(name(), before);
}

/// The views of one host process share a file system, but not this one: each
/// `transom run` is a process of its own. What they could share is the scratch.
fn the_inputs_of_another_view_are_absent(world: &World) {
    let one = world.file("one", "one\n");
    let two = world.file("two", "two\n");
    let mut first = world
        .action()
        .file("w/one", one)
        .sh("echo ready; read line")
        .start();
    first.says("ready");
    let printed = world
        .action()
        .file("w/two", two)
        .prints("ls . /..; cat ../*/one 2>&1 || true");
    assert!(printed.starts_with(".:\ntwo\n"), "{printed}");
    assert!(
        printed.ends_with("No such file or directory\n"),
        "{printed}"
    );
    first.finish().exited(1);
}
