//! A view that is made for somebody else holds nothing he could not open.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use transom_module::{Context, Errno, Volume};
use transom_projection::{
    Change, Client as User, HostRoot, Projection, ProjectionOptions, Tree, View, ViewOptions,
};
use transom_sys::credentials::Credentials;
use transom_test::{announce_skip, privileged, unprivileged};

use crate::client::{Client, refusal};
use crate::fixture::{Fixture, file, path, whole};

const USER: u32 = 65534;
const GROUP: u32 = 65533;
const SUPPLEMENTARY: u32 = 4242;

fn user(groups: &[u32]) -> User {
    User {
        uid: USER,
        gid: GROUP,
        groups: groups.to_vec(),
    }
}

/// The fixture's projection, as the user uses it.
fn with_rights_of(fixture: &Fixture, user: User) -> Projection {
    let host = HostRoot::of_process().unwrap().acting_for(user).unwrap();
    fixture.projection.with_host(Arc::new(host))
}

fn pin(projection: &Projection, name: &str, source: &Path) -> Result<Arc<View>, String> {
    let source = match source.is_dir() {
        true => whole(name, source),
        false => file(name, source),
    };
    projection
        .pin(Tree::build(vec![source]).unwrap(), ViewOptions::default())
        .map_err(|errors| errors.to_string())
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A file that its group alone may read.
fn file_of_group(fixture: &Fixture, name: &str, group: u32) -> std::path::PathBuf {
    let path = fixture.write(name, "of the group");
    chown(&path, Some(0), Some(group)).unwrap();
    chmod(&path, 0o640);
    path
}

#[test]
fn privileged_what_the_client_cannot_read_is_not_mapped() {
    privileged!("act for others");
    let fixture = Fixture::new();
    let projection = with_rights_of(&fixture, user(&[]));
    let open = fixture.write("open", "for all");
    let secret = fixture.write("secret", "for root");
    chmod(&secret, 0o600);
    let only_executed = fixture.write("program", "cannot be read");
    chmod(&only_executed, 0o711);
    let below_closed = fixture.write("closed/open", "out of reach");
    chmod(&fixture.host("closed"), 0o700);
    let only_listed = fixture.write("listed/open", "out of reach");
    chmod(&fixture.host("listed"), 0o744);
    let link = fixture.host("link");
    symlink(&secret, &link).unwrap();

    assert!(pin(&projection, "f", &open).is_ok());
    let closed = fixture.host("closed");
    let listed = fixture.host("listed");
    let unreadable = [
        &secret,
        &only_executed,
        &below_closed,
        &only_listed,
        &link,
        &closed,
        &listed,
    ];
    for source in unreadable {
        let error = pin(&projection, "f", source).unwrap_err();
        let expected = format!("`{}` cannot be read by this user", source.display());
        assert!(error.contains(&expected), "{error}");
    }
    // Root itself can, through the same projection.
    assert!(pin(&fixture.projection, "f", &secret).is_ok());
}

#[test]
fn privileged_every_group_of_the_client_counts_and_no_other() {
    privileged!("act for others");
    let fixture = Fixture::new();
    let of_group = file_of_group(&fixture, "of-group", SUPPLEMENTARY);
    let of_root = file_of_group(&fixture, "of-root", 0);
    for groups in [&[SUPPLEMENTARY][..], &[7, SUPPLEMENTARY, 9]] {
        let projection = with_rights_of(&fixture, user(groups));
        let view = pin(&projection, "f", &of_group).unwrap();
        let mut client = Client::new(&projection, &view);
        assert_eq!(client.read("f").unwrap(), "of the group");
        assert!(pin(&projection, "f", &of_root).is_err());
    }
    for groups in [&[][..], &[7, 9]] {
        let projection = with_rights_of(&fixture, user(groups));
        assert!(pin(&projection, "f", &of_group).is_err());
    }
}

#[test]
fn privileged_access_control_lists_are_obeyed() {
    privileged!("act for others");
    let fixture = Fixture::new();
    let denied = fixture.write("denied", "for all but one");
    let allowed = fixture.write("allowed", "for one");
    chmod(&denied, 0o644);
    chmod(&allowed, 0o600);
    for (path, entry) in [(&denied, "u:65534:-"), (&allowed, "u:65534:r")] {
        let status = Command::new("setfacl")
            .args(["-m", entry])
            .arg(path)
            .status();
        if !status.unwrap().success() {
            announce_skip(format_args!(
                "the temporary directory takes no access control lists"
            ));
            return;
        }
    }
    let projection = with_rights_of(&fixture, user(&[]));
    assert!(pin(&projection, "f", &denied).is_err());
    assert!(pin(&projection, "f", &allowed).is_ok());
}

#[test]
fn privileged_below_a_whole_directory_each_name_is_asked_for_with_the_clients_rights() {
    privileged!("act for others");
    let fixture = Fixture::new();
    fixture.write("tree/open", "for all");
    chmod(&fixture.write("tree/secret", "for root"), 0o600);
    fixture.write("tree/closed/open", "out of reach");
    let projection = with_rights_of(&fixture, user(&[]));
    let view = pin(&projection, "tree", &fixture.host("tree")).unwrap();
    let mut client = Client::new(&projection, &view);
    assert_eq!(client.read("tree/open").unwrap(), "for all");
    // It is seen, as on the host, and not read.
    assert_eq!(client.attributes("tree/secret").size, 8);
    assert_eq!(refusal(client.open("tree/secret")).0, Errno::EACCES);
    // A permission that is given later counts, as does one that is taken away.
    chmod(&fixture.host("tree/secret"), 0o644);
    assert_eq!(client.read("tree/secret").unwrap(), "for root");
    chmod(&fixture.host("tree/secret"), 0o600);
    assert_eq!(refusal(client.open("tree/secret")).0, Errno::EACCES);

    let closed = client.item("tree/closed");
    chmod(&fixture.host("tree/closed"), 0o700);
    let found = projection.lookup(&Context::internal(), &closed, OsStr::new("open"));
    assert_eq!(refusal(found).0, Errno::EACCES);
    let listed = client.try_list("tree/closed");
    assert_eq!(refusal(listed).0, Errno::EACCES);
}

#[test]
fn privileged_a_permission_taken_away_is_missed_at_the_next_open() {
    privileged!("act for others");
    for fixture in [Fixture::new(), Fixture::without_descriptors()] {
        let projection = with_rights_of(&fixture, user(&[]));
        let source = fixture.write("directory/file", "text");
        let view = pin(&projection, "f", &source).unwrap();
        let mut client = Client::new(&projection, &view);
        assert_eq!(client.read("f").unwrap(), "text");
        chmod(&source, 0o600);
        assert_eq!(refusal(client.open("f")).0, Errno::EACCES);
        chmod(&source, 0o644);
        assert_eq!(client.read("f").unwrap(), "text");
    }
}

#[test]
fn privileged_a_file_beyond_the_limit_is_found_again_with_the_clients_rights() {
    privileged!("act for others");
    let fixture = Fixture::without_descriptors();
    let projection = with_rights_of(&fixture, user(&[]));
    let source = fixture.write("directory/file", "text");
    let view = pin(&projection, "f", &source).unwrap();
    let tree = pin(&projection, "tree", &fixture.host("directory")).unwrap();
    let mut client = Client::new(&projection, &view);
    let mut of_tree = Client::new(&projection, &tree);
    assert_eq!(client.read("f").unwrap(), "text");
    assert_eq!(of_tree.read("tree/file").unwrap(), "text");
    chmod(&fixture.host("directory"), 0o700);
    assert_eq!(refusal(client.open("f")).0, Errno::EACCES);
    assert_eq!(refusal(of_tree.open("tree/file")).0, Errno::EACCES);
}

#[test]
fn privileged_steering_opens_with_the_clients_rights() {
    privileged!("act for others");
    let fixture = Fixture::new();
    let projection = with_rights_of(&fixture, user(&[]));
    let secret = fixture.write("secret", "for root");
    chmod(&secret, 0o600);
    let view = pin(&projection, "f", &fixture.write("open", "for all")).unwrap();
    let redirect = Change::Redirect {
        name: path("f"),
        source: secret.clone(),
    };
    let changes = [
        redirect,
        Change::Add(file("g", &secret)),
        Change::Replace(file("f", &secret)),
    ];
    for change in changes {
        let error = view.update(vec![change]).unwrap_err().to_string();
        assert!(error.contains("cannot be read by this user"), "{error}");
    }
    assert_eq!(view.epoch(), 0);
}

#[test]
fn privileged_what_depends_on_who_opens_it_is_not_mapped() {
    privileged!("act for others");
    let fixture = Fixture::new();
    let projection = with_rights_of(&fixture, user(&[]));
    for source in [
        "/proc/kallsyms",
        "/proc/self/maps",
        "/sys/kernel/uevent_seqnum",
        "/proc",
    ] {
        let error = pin(&projection, "f", Path::new(source)).unwrap_err();
        assert!(error.contains("depends on who opens it"), "{error}");
    }
    let error = pin(&projection, "f", Path::new("/dev/null")).unwrap_err();
    assert!(error.contains("is a character device"), "{error}");
    let view = pin(&projection, "root", Path::new("/")).unwrap();
    let mut client = Client::new(&projection, &view);
    let root = client.item("root");
    let found = projection.lookup(&Context::internal(), &root, OsStr::new("proc"));
    assert_eq!(refusal(found).0, Errno::EACCES);
}

#[test]
fn privileged_clients_share_no_version_with_others() {
    privileged!("act for others");
    let fixture = Fixture::new();
    let source = fixture.write("file", "text");
    let one = with_rights_of(&fixture, user(&[]));
    let other = with_rights_of(&fixture, user(&[SUPPLEMENTARY]));
    let mut items = Vec::new();
    for projection in [&one, &one.clone(), &other, &fixture.projection] {
        let view = pin(projection, "f", &source).unwrap();
        let item = Client::new(projection, &view).find("f").unwrap();
        items.push((view, item));
    }
    assert_eq!(items[0].1, items[1].1);
    assert_ne!(items[0].1, items[2].1);
    assert_ne!(items[0].1, items[3].1);
}

#[test]
fn without_privilege_nobody_is_acted_for() {
    unprivileged!();
    let error = HostRoot::of_process()
        .unwrap()
        .acting_for(user(&[]))
        .unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
    let options = ProjectionOptions::default();
    // And the process goes on with its own rights.
    let projection = Projection::new(HostRoot::of_process().unwrap(), options);
    assert!(pin(&projection, "f", Path::new("/etc/passwd")).is_ok());
}

/// What `/proc` says of the calling thread.
fn status(field: &str) -> String {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.unwrap()
        .split_ascii_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn privileged_a_thread_acts_for_a_client_with_its_groups_and_no_capability() {
    privileged!("act for others");
    let own = Credentials::of_this_thread().unwrap();
    let capabilities = status("CapEff:");
    let client = Arc::new(User {
        uid: 65534,
        gid: 65533,
        groups: vec![7, 4242],
    });
    let others = Arc::new(User {
        uid: 1,
        ..User::clone(&client)
    });
    own.act_as(&client, || {
        // Effective and real ids stay, so that the client can neither
        // signal the thread nor change its priority.
        assert_eq!(status("Uid:"), "0 0 0 65534");
        assert_eq!(status("Gid:"), "0 0 0 65533");
        assert_eq!(status("Groups:"), "7 4242");
        assert_eq!(status("CapEff:"), "0000000000000000");
        assert_eq!(own.act_as(&client, || status("Groups:")).unwrap(), "7 4242");
        assert_eq!(own.act_as(&others, || ()), Err(rustix::io::Errno::PERM));
        assert_eq!(status("Uid:"), "0 0 0 65534");
    })
    .unwrap();
    assert_eq!(status("Uid:"), "0 0 0 0");
    assert_eq!(status("Gid:"), "0 0 0 0");
    assert_eq!(status("Groups:"), "");
    assert_eq!(status("CapEff:"), capabilities);
}

#[test]
fn privileged_a_panic_ends_the_acting_too() {
    privileged!("act for others");
    let own = Credentials::of_this_thread().unwrap();
    let client = Arc::new(User {
        uid: 65534,
        gid: 65534,
        groups: Vec::new(),
    });
    let acting = std::panic::AssertUnwindSafe(|| own.act_as(&client, || panic!("on purpose")));
    assert!(std::panic::catch_unwind(acting).is_err());
    assert_eq!(status("Uid:"), "0 0 0 0");
    assert_eq!(
        own.act_as(&client, || status("CapEff:")).unwrap(),
        "0000000000000000"
    );
}
