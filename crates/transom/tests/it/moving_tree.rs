//! The host's files change while an action runs.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::json;

use crate::action::{Action, LISTEN, Live, Run};
use crate::world::{Engine, World, over_both_engines};

over_both_engines!(
    replaced_by_rename,
    replaced_before_it_is_opened,
    the_next_action_sees_the_new_version,
    changed_in_place_is_refused,
    changed_in_place_is_reported,
    changed_in_place_is_ignored,
    changed_after_it_was_read,
    the_time_put_back,
    linked_and_unlinked,
    changed_and_never_opened,
    deleted_before_it_is_opened,
    deleted_is_reported,
    touched_only,
    innocent_changes,
    a_failing_command_and_a_changed_input,
    changes_below_a_whole_directory,
    a_changed_input_and_outputs,
);

fn listen(action: Action<'_>) -> Live {
    let mut live = action.sh(LISTEN).start();
    live.says("ready");
    live
}

/// Writes and renames, as editors and compilers do.
fn replace(path: &Path, content: &str) {
    let new = path.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(new, path).unwrap();
}

fn overwrite(path: &Path, content: &str) {
    let mut file = File::options().write(true).open(path).unwrap();
    file.write_all(content.as_bytes()).unwrap();
}

/// A host file that is declared as `w/file`.
fn declared(world: &World) -> (Action<'_>, PathBuf) {
    let path = world.file("file", "one\n");
    (world.action().file("w/file", &path), path)
}

#[track_caller]
fn unchanged(run: Run) {
    let run = run.succeeded();
    assert_eq!(run.report()["changed_inputs"], json!([]));
    assert_eq!(run.stderr(), "");
}

fn replaced_by_rename(world: &World) {
    let (action, path) = declared(world);
    let mut live = listen(action);
    assert_eq!(live.ask("cat file"), "one");
    replace(&path, "two\n");
    assert_eq!(live.ask("cat file"), "one");
    assert_eq!(live.ask("stat -c %s file"), "4");
    unchanged(live.finish());
}

fn replaced_before_it_is_opened(world: &World) {
    let (action, path) = declared(world);
    let mut live = listen(action);
    replace(&path, "twenty-two\n");
    assert_eq!(live.ask("cat file; exec 3< file"), "one");
    replace(&path, "three\n");
    assert_eq!(
        live.ask("cat <&3; cat file | tr -d o; stat -c %s file > /dev/null"),
        "one"
    );
    assert_eq!(live.line(), "ne");
    unchanged(live.finish());
}

fn the_next_action_sees_the_new_version(world: &World) {
    let (action, path) = declared(world);
    let mut first = listen(action);
    replace(&path, "two\n");
    // While the first still runs.
    let second = world.action().file("w/file", &path);
    assert_eq!(second.prints("cat file"), "two\n");
    assert_eq!(first.ask("cat file"), "one");
    unchanged(first.finish());
    let third = world.action().file("w/file", &path);
    assert_eq!(third.prints("cat file"), "two\n");
}

fn names_the_change(world: &World, run: &Run, state: &str) {
    let path = world.path().join("file");
    let changed = run.report()["changed_inputs"].as_array().unwrap();
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert_eq!(changed[0]["path"], "w/file");
    assert_eq!(changed[0]["host_path"], json!(path));
    assert_eq!(changed[0]["state"], state);
    assert_eq!(changed[0]["pinned"]["size"], 4);
}

fn changed_in_place_is_refused(world: &World) {
    let (action, path) = declared(world);
    let mut live = listen(action);
    overwrite(&path, "two, in place\n");
    let answer = live.ask("cat file 2>&1 | sed 's/.*: //'");
    match world.engine {
        Engine::Fuse => assert_eq!(answer, "Stale file handle"),
        // Nobody looks when a bind mount is opened.
        Engine::Mounts => assert_eq!(answer, "two, in place"),
    }
    let run = live.finish().exited(123);
    names_the_change(world, &run, "changed-in-place");
    if world.engine == Engine::Fuse {
        // Once, although the kernel asks twice, and in words.
        let refusal = format!(
            " WARN `{}` was changed in place after it was pinned, so it cannot be opened\n",
            path.display()
        );
        assert_eq!(
            run.stderr().matches(&refusal).count(),
            1,
            "{}",
            run.stderr()
        );
    }
    let run = run.says("input `w/file`").says(path.to_str().unwrap());
    run.says("was changed in place")
        .says("outputs are not collected");
}

fn changed_in_place_is_reported(world: &World) {
    let (action, path) = declared(world);
    let mut live = listen(action.args(["--on-change", "report"]));
    overwrite(&path, "two, in place\n");
    assert_eq!(live.ask("cat file"), "two, in place");
    let run = live.finish().succeeded();
    names_the_change(world, &run, "changed-in-place");
    run.says("input `w/file`").says("was changed in place");
}

fn changed_in_place_is_ignored(world: &World) {
    let (action, path) = declared(world);
    let mut live = listen(action.args(["--on-change", "ignore"]));
    overwrite(&path, "two!\n");
    assert_eq!(live.ask("head -c3 file; echo"), "two");
    unchanged(live.finish());
}

fn changed_after_it_was_read(world: &World) {
    let (action, path) = declared(world);
    let mut live = listen(action);
    assert_eq!(live.ask("cat file"), "one");
    overwrite(&path, "two\n");
    let run = live.finish().exited(123);
    names_the_change(world, &run, "changed-in-place");
}

fn the_time_put_back(world: &World) {
    let (action, path) = declared(world);
    let mut live = listen(action);
    assert_eq!(live.ask("cat file"), "one");
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    overwrite(&path, "two\n");
    let file = File::options().write(true).open(&path).unwrap();
    file.set_modified(modified).unwrap();
    touched(world, live.finish());
}

fn linked_and_unlinked(world: &World) {
    let (action, path) = declared(world);
    let mut live = listen(action);
    let link = world.path().join("link");
    fs::hard_link(&path, &link).unwrap();
    fs::remove_file(&link).unwrap();
    assert_eq!(live.ask("cat file"), "one");
    touched(world, live.finish());
}

/// It is in the summary, and nothing fails.
#[track_caller]
fn touched(world: &World, run: Run) {
    let run = run.succeeded();
    names_the_change(world, &run, "touched");
    assert_eq!(run.stderr(), "");
}

fn deleted_before_it_is_opened(world: &World) {
    let (action, path) = declared(world);
    let mut live = listen(action);
    fs::remove_file(&path).unwrap();
    let answer = live.ask("cat file 2>&1 | sed 's/.*: //'");
    match world.engine {
        Engine::Fuse => assert_eq!(answer, "Stale file handle"),
        Engine::Mounts => assert_eq!(answer, "one"),
    }
    let run = live.finish().exited(123);
    names_the_change(world, &run, "deleted");
    run.says("input `w/file`").says("was deleted");
}

fn deleted_is_reported(world: &World) {
    let (action, path) = declared(world);
    let mut live = listen(action.args(["--on-change", "report"]));
    assert_eq!(live.ask("cat file"), "one");
    fs::remove_file(&path).unwrap();
    let run = live.finish().succeeded();
    names_the_change(world, &run, "deleted");
}

fn touched_only(world: &World) {
    // The time of the last change is part of the version.
    let (action, path) = declared(world);
    let mut live = listen(action);
    assert_eq!(live.ask("cat file"), "one");
    let file = File::options().write(true).open(&path).unwrap();
    file.set_modified(SystemTime::now()).unwrap();
    let run = live.finish().exited(123);
    names_the_change(world, &run, "changed-in-place");
}

fn changed_and_never_opened(world: &World) {
    let (action, path) = declared(world);
    let mut live = listen(action);
    assert_eq!(live.ask("stat -c %s file"), "4");
    overwrite(&path, "two\n");
    match world.engine {
        Engine::Fuse => unchanged(live.finish()),
        // Nobody knows whether it was opened.
        Engine::Mounts => names_the_change(world, &live.finish().exited(123), "changed-in-place"),
    }
}

fn innocent_changes(world: &World) {
    let (action, path) = declared(world);
    let mut live = listen(action);
    fs::hard_link(&path, world.path().join("another-name")).unwrap();
    assert_eq!(live.ask("cat file"), "one");
    let mut mode = fs::metadata(&path).unwrap().permissions();
    mode.set_readonly(true);
    fs::set_permissions(&path, mode).unwrap();
    assert_eq!(live.ask("cat file"), "one");
    // A new file beside it, and reading it.
    world.file("beside", "");
    fs::read(&path).unwrap();
    unchanged(live.finish());
}

fn a_failing_command_and_a_changed_input(world: &World) {
    let (action, path) = declared(world);
    let mut live = listen(action);
    assert_eq!(live.ask("cat file"), "one");
    overwrite(&path, "two\n");
    live.tell("exit 9");
    // Its own failure is what counts; the change is told all the same.
    let run = live.finish().exited(9);
    names_the_change(world, &run, "changed-in-place");
    run.says("input `w/file`");
}

fn changes_below_a_whole_directory(world: &World) {
    let path = world.file("tree/file", "one\n");
    world.file("tree/other", "other\n");
    let action = world
        .action()
        .directory("w/tree", world.path().join("tree"));
    let mut live = listen(action);
    assert_eq!(live.ask("cat tree/file"), "one");
    // What was not used may change.
    overwrite(&world.path().join("tree/other"), "changed\n");
    let run = if world.engine == Engine::Fuse {
        overwrite(&path, "two\n");
        assert_eq!(
            live.ask("cat tree/file 2>&1 | sed 's/.*: //'"),
            "Stale file handle"
        );
        let run = live.finish().exited(123);
        assert_eq!(run.report()["changed_inputs"][0]["path"], "w/tree/file");
        run.says("input `w/tree/file`")
    } else {
        // A bind mount of a directory shows it as it is.
        overwrite(&path, "two\n");
        assert_eq!(live.ask("cat tree/file"), "two");
        live.finish().succeeded()
    };
    assert!(!run.stderr().contains("other"));
}

fn a_changed_input_and_outputs(world: &World) {
    let (action, path) = declared(world);
    let mut live = listen(action.output("file", "w/out/made", "made"));
    assert_eq!(live.ask("cat file > out/made; echo made"), "made");
    overwrite(&path, "two\n");
    live.finish().exited(123);
    assert!(!world.exists("made"));
}
