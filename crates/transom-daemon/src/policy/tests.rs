use std::os::fd::OwnedFd;

use rustix::process::{Gid, PidfdFlags, Uid, getpid, pidfd_open};

use super::*;

fn parse(text: &str) -> Result<Policy, PolicyError> {
    let names = Names::parse(
        "root:x:0:0:::\nalice:x:1000:1000:::\n",
        "root:x:0:\nstaff:x:50:alice\n",
    );
    Policy::parse(text, "policy.toml", &names)
}

fn caller(uid: u32, groups: &[u32]) -> Peer {
    let process: OwnedFd = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    Peer {
        uid: Uid::from_raw(uid),
        gid: Gid::from_raw(uid),
        groups: groups.iter().copied().map(Gid::from_raw).collect(),
        pid: getpid(),
        pidfd: process,
    }
}

#[test]
fn without_a_file_everybody_has_views_and_root_everything() {
    let policy = Policy::default();
    let user = caller(1000, &[]);
    for action in Action::ALL {
        assert!(policy.check(action, &caller(0, &[])).is_ok());
        let allowed = policy.check(action, &user).is_ok();
        assert_eq!(allowed, action == Action::Views, "{action:?}");
    }
    assert!(
        policy
            .check_foreign(Action::SteerOthers, &user, 1000)
            .is_ok()
    );
    let denial = policy
        .check_foreign(Action::SteerOthers, &user, 1001)
        .unwrap_err();
    assert_eq!(
        denial.to_string(),
        "user 1000 may not change what others have made (allow.steer-others = [], the built-in \
         policy)"
    );
}

#[test]
fn users_and_groups_are_allowed_by_name_and_number() {
    let policy = parse(
        r#"
[allow]
views = []
load = ["user:alice"]
mount = ["group:staff", "user:7"]
status = ["group:9", "everyone"]
"#,
    )
    .unwrap();
    let may = |action, caller: &Peer| policy.check(action, caller).is_ok();
    let (alice, staff, other) = (caller(1000, &[]), caller(2, &[3, 50]), caller(7, &[]));
    assert!(!may(Action::Views, &alice));
    assert!(may(Action::Load, &alice) && !may(Action::Load, &staff));
    assert!(may(Action::Mount, &staff) && may(Action::Mount, &other));
    assert!(!may(Action::Mount, &alice));
    assert!(may(Action::Status, &alice) && may(Action::Status, &staff));
    assert!(!may(Action::Block, &alice));
    // A user's own group counts like the others.
    assert!(
        parse("allow.block = [\"group:2\"]")
            .unwrap()
            .check(Action::Block, &staff)
            .is_ok()
    );
    let denial = policy.check(Action::Mount, &alice).unwrap_err();
    assert_eq!(
        denial.rule,
        r#"allow.mount = ["group:50", "user:7"], policy.toml:5"#
    );
}

#[test]
fn limits_are_called_as_they_are_written() {
    let policy = parse("[limits.user]\nviews = 1\n\n[limits.all]\nnames = 5\n").unwrap();
    let (user, all) = (
        Arc::new(policy.allowance_of_user()),
        Arc::new(policy.allowance_of_all()),
    );
    let take = |names| transom_projection::Charge::take([user.clone(), all.clone()], names);
    let error = take(6).unwrap_err().to_string();
    assert_eq!(
        error,
        "that would be more than 5 names (limits.all.names = 5, policy.toml:5)"
    );
    let _one = take(5).unwrap();
    let error = take(0).unwrap_err().to_string();
    assert!(
        error.contains("limits.user.views = 1, policy.toml:2"),
        "{error}"
    );
}

#[test]
fn a_mistake_is_told_with_its_line() {
    let wrong = [
        ("allow = 3", 1, "invalid type"),
        ("[allow]\nviews = \"everyone\"", 2, "invalid type"),
        (
            "[allow]\nvews = []",
            2,
            "there is no action \"vews\"; there are views, load",
        ),
        ("[allow]\n\nload = [\"alice\"]", 3, "\"alice\" is nobody"),
        (
            "[allow]\nload = [\n  \"user:bob\",\n]",
            3,
            "there is no user \"bob\"",
        ),
        ("[limits.user]\nviews = -1", 2, "invalid value"),
        ("[limits.user]\nfiles = 1", 2, "unknown field `files`"),
        ("[limits\n", 1, ""),
    ];
    for (text, line, problem) in wrong {
        let error = parse(text).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("policy.toml:{line}: ")),
            "{error}"
        );
        assert!(error.contains(problem), "{error}");
    }
}
