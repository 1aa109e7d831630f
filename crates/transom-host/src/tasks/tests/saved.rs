//! What outlives the daemon.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use tempfile::TempDir;
use transom_module::Outcome;

use super::*;

fn tasks_in(directory: &TempDir) -> Tasks {
    Tasks::new(Some(directory.path().join("tasks")), Events::new()).unwrap()
}

fn files_in(directory: &TempDir) -> usize {
    fs::read_dir(directory.path().join("tasks"))
        .unwrap()
        .count()
}

/// Work that counts from what it has saved to `until`, and then waits to be
/// stopped.
fn counting(until: u8) -> impl FnOnce(Task) -> Completed + Send + 'static {
    move |task| {
        let from = task.saved().map_or(0, |saved| saved[0]);
        for count in from..until {
            task.save(&[count + 1]).unwrap();
        }
        task.log("counted");
        loop {
            if let Err(stop) = task.checkpoint() {
                return task.end(stop.into());
            }
            std::thread::yield_now();
        }
    }
}

fn counts(tasks: &Tasks, id: TaskId) {
    let line = TaskEvent::Line("counted".into());
    assert!(tasks.watch(id).unwrap().any(|event| event == line));
}

#[test]
fn a_suspended_task_goes_on_after_a_restart() {
    let directory = transom_test::temp_dir().unwrap();
    let first = tasks_in(&directory);
    let id = first.start(order(CONTAINER), counting(3)).unwrap();
    counts(&first, id);
    assert!(first.suspend_all(PATIENCE).is_empty());
    assert_eq!(end_of(&first, id), TaskEnd::Suspended);
    let error = first.start(order(CONTAINER), counting(1)).unwrap_err();
    assert!(error.to_string().contains("the daemon ends"), "{error}");

    let second = tasks_in(&directory);
    assert!(second.resumable(OTHER).is_empty());
    let [left] = &second.resumable(CONTAINER)[..] else {
        panic!("{:?}", second.list())
    };
    assert_eq!((left.id, &left.order), (id, &order(CONTAINER)));
    assert_eq!(left.state, TaskState::Ended(TaskEnd::Suspended));
    let work = |task: Task| {
        assert_eq!(task.saved(), Some(&[3][..]));
        task.complete(Ok(()))
    };
    second.restart(id, work).unwrap();
    assert_eq!(end_of(&second, id), TaskEnd::Done);
    assert_eq!(second.list().len(), 1);
    assert_eq!(files_in(&directory), 0);
    let error = second.restart(id, counting(1)).unwrap_err();
    assert_eq!(error.errno(), Errno::ENOENT);
}

#[test]
fn a_task_is_suspended_with_its_container_and_goes_on_with_it() {
    let directory = transom_test::temp_dir().unwrap();
    let tasks = tasks_in(&directory);
    let id = tasks.start(order(CONTAINER), counting(3)).unwrap();
    counts(&tasks, id);
    assert!(
        tasks
            .stop_all_of(CONTAINER, Stop::Suspended, PATIENCE)
            .is_empty()
    );
    assert!(tasks.get(id).unwrap().resumable);
    tasks.restart(id, counting(5)).unwrap();
    let error = tasks.restart(id, counting(5)).unwrap_err();
    assert_eq!(error.errno(), Errno::EINVAL);
    counts(&tasks, id);
    tasks.cancel(id).unwrap();
    assert_eq!(end_of(&tasks, id), TaskEnd::Cancelled);
    assert_eq!(files_in(&directory), 0);
}

#[test]
fn a_suspended_task_can_be_cancelled() {
    let directory = transom_test::temp_dir().unwrap();
    let first = tasks_in(&directory);
    let id = first.start(order(CONTAINER), counting(1)).unwrap();
    counts(&first, id);
    first.suspend_all(PATIENCE);
    let second = tasks_in(&directory);
    second.cancel(id).unwrap();
    assert_eq!(files_in(&directory), 0);
    assert_eq!(second.cancel(id).unwrap_err().errno(), Errno::EINVAL);
    assert!(second.resumable_all().is_empty());
}

#[test]
fn what_has_saved_nothing_is_not_resumed() {
    let directory = transom_test::temp_dir().unwrap();
    let tasks = tasks_in(&directory);
    let id = tasks.start(order(CONTAINER), counting(0)).unwrap();
    assert!(tasks.suspend_all(PATIENCE).is_empty());
    assert_eq!(end_of(&tasks, id), TaskEnd::Suspended);
    assert!(!tasks.get(id).unwrap().resumable);
    assert!(tasks_in(&directory).list().is_empty());
}

#[test]
fn too_much_is_not_saved() {
    let directory = transom_test::temp_dir().unwrap();
    let tasks = tasks_in(&directory);
    let work = |task: Task| {
        task.save(&[1]).unwrap();
        let error = task.save(&vec![0; SAVED_BYTES_MAX + 1]).unwrap_err();
        task.end(Outcome::Failed(error))
    };
    let id = tasks.start(order(CONTAINER), work).unwrap();
    let TaskEnd::Failed { errno, .. } = end_of(&tasks, id) else {
        panic!("not failed")
    };
    assert_eq!(errno, Errno::EFBIG);
}

#[test]
fn what_is_not_understood_is_told_and_left_alone() {
    let directory = transom_test::temp_dir().unwrap();
    let kept = directory.path().join("tasks");
    fs::create_dir(&kept).unwrap();
    let broken = ["0000000000000001.task", "x.task"];
    for name in broken {
        fs::write(kept.join(name), "{}\n").unwrap();
    }
    fs::write(kept.join("0000000000000002.new"), "unfinished").unwrap();
    fs::write(kept.join("README"), "").unwrap();
    let events = Events::new();
    let tasks = Tasks::new(Some(kept.clone()), events.clone()).unwrap();
    assert!(tasks.list().is_empty());
    let mut told = events.since(None, Since::Oldest).unwrap();
    for _ in broken {
        let Heard::Event(event) = told.next(Duration::ZERO) else {
            panic!("no trouble")
        };
        assert_eq!(event.kind, EventKind::Trouble);
        assert!(event.message.contains(".task"), "{}", event.message);
    }
    let left: BTreeSet<_> = fs::read_dir(&kept)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

/// The directory for a process that is to be killed.
const KILLED_IN: &str = "TRANSOM_TEST_KILLED_IN";
/// How much it saves at once: several pages.
const SAVED: usize = 20_000;

/// Saves the numbers from 1, as often as they fit, until it is killed; says each
/// that is saved.
fn save_until_killed(directory: &std::path::Path) {
    let tasks = Tasks::new(Some(directory.into()), Events::new()).unwrap();
    let work = |task: Task| {
        for count in 1_u32.. {
            let state: Vec<_> = count.to_le_bytes().repeat(SAVED / 4);
            task.save(&state).unwrap();
            println!("\nsaved {count}");
        }
        task.complete(Ok(()))
    };
    let id = tasks.start(order(CONTAINER), work).unwrap();
    end_of(&tasks, id);
}

#[test]
fn what_was_saved_survives_kill_9() {
    if let Some(directory) = std::env::var_os(KILLED_IN) {
        return save_until_killed(directory.as_ref());
    }
    for round in 0..8 {
        let directory = transom_test::temp_dir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "tasks::tests::saved::what_was_saved_survives_kill_9",
            ])
            .arg("--nocapture")
            .env(KILLED_IN, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let saved = lines.filter_map(|line| line.unwrap().strip_prefix("saved ")?.parse().ok());
        let last: u32 = saved.take(3 + round * 5).last().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();

        let tasks = Tasks::new(Some(directory.path().into()), Events::new()).unwrap();
        let [left] = &tasks.resumable_all()[..] else {
            panic!("{:?}", tasks.list())
        };
        let (tell, told) = channel();
        let work = move |task: Task| {
            tell.send(task.saved().unwrap().to_vec()).unwrap();
            task.complete(Ok(()))
        };
        tasks.restart(left.id, work).unwrap();
        let state = told.recv_timeout(PATIENCE).unwrap();
        let count = u32::from_le_bytes(state[..4].try_into().unwrap());
        assert!(count >= last, "{count} is before {last}");
        assert_eq!(state, count.to_le_bytes().repeat(SAVED / 4));
        assert_eq!(end_of(&tasks, left.id), TaskEnd::Done);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_file_is_read_as_it_was_written_or_not_at_all() {
    let task = SavedTask {
        order: order(CONTAINER),
        saved: b"\n\0{}".to_vec(),
    };
    let bytes = task.encode().unwrap();
    assert_eq!(SavedTask::decode(&bytes), Ok(task));
    for length in 0..bytes.len() {
        assert!(SavedTask::decode(&bytes[..length]).is_err(), "{length}");
    }
    let longer = [&bytes[..], b"x"].concat();
    assert!(SavedTask::decode(&longer).is_err());
    let text = String::from_utf8(bytes).unwrap();
    let later = text.replace("transom 1", "transom 2");
    let wrong = SavedTask::decode(later.as_bytes()).unwrap_err();
    assert_eq!(wrong, "its version is 2, not 1");
    let other = text.replace("\"owner\"", "\"other\":1,\"owner\"");
    assert!(SavedTask::decode(other.as_bytes()).is_err());
}
