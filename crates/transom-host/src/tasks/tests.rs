use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;
use crate::{Heard, Since};

mod saved;

const CONTAINER: ContainerId = ContainerId::from_bytes([1; 16]);
const OTHER: ContainerId = ContainerId::from_bytes([2; 16]);

/// Long enough for anything that happens at all.
const PATIENCE: Duration = Duration::from_secs(30);

fn order(container: ContainerId) -> TaskOrder {
    TaskOrder {
        about: TaskSubject {
            container: Some(container),
            module: "test".into(),
            kind: "scrub".into(),
        },
        owner: 0,
        options: vec![("depth".into(), Some("2".into())), ("force".into(), None)],
    }
}

fn tasks() -> Tasks {
    Tasks::new(None, Events::new()).unwrap()
}

/// Work that goes to a checkpoint whenever it is told to, and ends when it is
/// told nothing more.
struct Steered {
    id: TaskId,
    orders: Option<Sender<()>>,
    passed: Receiver<()>,
}

impl Steered {
    fn start(tasks: &Tasks, container: ContainerId) -> Self {
        let (orders, given) = channel();
        let (tell, passed) = channel();
        let work = move |task: Task| {
            for () in given {
                if let Err(stop) = task.checkpoint() {
                    return task.end(stop.into());
                }
                _ = tell.send(());
            }
            task.complete(Ok(()))
        };
        Self {
            id: tasks.start(order(container), work).unwrap(),
            orders: Some(orders),
            passed,
        }
    }

    /// Lets the work go to a checkpoint; whether it comes out is another matter.
    fn order(&self) {
        self.orders.as_ref().unwrap().send(()).unwrap();
    }

    fn step(&self) {
        self.order();
        self.passed.recv_timeout(PATIENCE).unwrap();
    }
}

fn end_of(tasks: &Tasks, id: TaskId) -> TaskEnd {
    match tasks.watch(id).unwrap().last() {
        Some(TaskEvent::Ended(end)) => end,
        other => panic!("{other:?}"),
    }
}

/// Waits until a task is in that state.
fn becomes(tasks: &Tasks, id: TaskId, state: &TaskState) {
    let mut watch = tasks.watch(id).unwrap();
    let is_it = |event| matches!(event, TaskEvent::State(now) if now == *state);
    assert!(watch.any(is_it), "never {state}");
}

#[test]
fn a_task_tells_its_whole_life() {
    let tasks = tasks();
    let work = |task: Task| {
        assert_eq!(task.options(), order(CONTAINER).options);
        task.log("looking");
        task.progress(1, 2);
        task.complete(Ok(()))
    };
    let id = tasks.start(order(CONTAINER), work).unwrap();
    let told: Vec<_> = tasks.watch(id).unwrap().collect();
    let wanted = [
        TaskEvent::Started,
        TaskEvent::Line("looking".into()),
        TaskEvent::Progress(Progress { done: 1, of: 2 }),
        TaskEvent::Ended(TaskEnd::Done),
    ];
    assert_eq!(told, wanted);
    // Who comes late hears the same.
    assert_eq!(tasks.watch(id).unwrap().collect::<Vec<_>>(), wanted);
    let info = tasks.get(id).unwrap();
    assert_eq!(info.state, TaskState::Ended(TaskEnd::Done));
    assert!(info.ended.is_some() && !info.resumable);
}

#[test]
fn the_container_hears_of_its_tasks() {
    let events = Events::new();
    let tasks = Tasks::new(None, events.clone()).unwrap();
    let work = |task: Task| {
        for done in 0..1000 {
            task.progress(done, 1000);
        }
        task.complete(Ok(()))
    };
    let id = tasks.start(order(CONTAINER), work).unwrap();
    assert_eq!(end_of(&tasks, id), TaskEnd::Done);
    assert!(tasks.suspend_all(PATIENCE).is_empty());
    let mut told = events.since(Some(CONTAINER), Since::Oldest).unwrap();
    let mut kinds = Vec::new();
    while let Heard::Event(event) = told.next(Duration::ZERO) {
        kinds.push(event.kind);
    }
    assert_eq!(kinds.first(), Some(&EventKind::TaskStarted { task: id }));
    assert_eq!(kinds.last(), Some(&EventKind::TaskEnded { task: id }));
    // A thousand values are not a thousand events.
    assert!(kinds.len() < 100, "{}", kinds.len());
}

#[test]
fn failures_and_panics_say_why() {
    let tasks = tasks();
    let failing = |task: Task| {
        let error = Error::new(Errno::ENOSPC, "no room for the copy");
        task.complete(Err(error))
    };
    let panicking = |task: Task| {
        task.progress(1, 2);
        panic!("slot {} is empty", 7)
    };
    // Its task is told of as dropped, by the panic of another thread.
    let forgetting = |task: Task| {
        std::thread::spawn(|| drop(task))
            .join()
            .map(|()| panic!("x"))
            .unwrap()
    };
    let failed = |errno, message: &str| TaskEnd::Failed {
        errno,
        message: message.into(),
    };
    let end = |id: Result<TaskId>| end_of(&tasks, id.unwrap());
    let order = || order(CONTAINER);
    assert_eq!(
        end(tasks.start(order(), failing)),
        failed(Errno::ENOSPC, "no room for the copy")
    );
    assert_eq!(
        end(tasks.start(order(), panicking)),
        failed(Errno::EIO, "the work panicked: slot 7 is empty")
    );
    assert_eq!(
        end(tasks.start(order(), forgetting)),
        failed(Errno::EIO, "the work panicked: x")
    );
}

#[test]
fn a_paused_task_waits_at_its_checkpoint() {
    let tasks = tasks();
    let work = Steered::start(&tasks, CONTAINER);
    let state = || tasks.get(work.id).unwrap().state;
    work.step();
    tasks.pause(work.id).unwrap();
    assert_eq!(state(), TaskState::Pausing);
    work.order();
    becomes(&tasks, work.id, &TaskState::Paused);
    assert!(work.passed.try_recv().is_err());
    tasks.resume(work.id).unwrap();
    work.passed.recv_timeout(PATIENCE).unwrap();
    assert_eq!(state(), TaskState::Running);
}

#[test]
fn a_cancelled_task_that_does_not_look_delays_nobody() {
    let tasks = tasks();
    let mut work = Steered::start(&tasks, CONTAINER);
    tasks.cancel(work.id).unwrap();
    assert_eq!(tasks.get(work.id).unwrap().state, TaskState::Cancelling);
    // Another is started, and ends, meanwhile.
    let other = tasks
        .start(order(CONTAINER), |task| task.complete(Ok(())))
        .unwrap();
    assert_eq!(end_of(&tasks, other), TaskEnd::Done);
    let stuck = tasks.stop_all_of(CONTAINER, Stop::Cancelled, Duration::ZERO);
    assert_eq!(stuck, [work.id]);
    assert_eq!(tasks.pause(work.id).unwrap_err().errno(), Errno::EINVAL);
    work.order();
    assert_eq!(end_of(&tasks, work.id), TaskEnd::Cancelled);
    let error = tasks.cancel(work.id).unwrap_err();
    assert!(error.to_string().ends_with("is cancelled"), "{error}");
    work.orders = None;
}

#[test]
fn cancelling_wakes_a_paused_task() {
    let tasks = tasks();
    let work = Steered::start(&tasks, CONTAINER);
    tasks.pause(work.id).unwrap();
    work.order();
    becomes(&tasks, work.id, &TaskState::Paused);
    tasks.cancel(work.id).unwrap();
    assert_eq!(end_of(&tasks, work.id), TaskEnd::Cancelled);
}

#[test]
fn work_that_is_done_before_it_looks_is_done() {
    let tasks = tasks();
    let mut work = Steered::start(&tasks, CONTAINER);
    tasks.cancel(work.id).unwrap();
    work.orders = None;
    assert_eq!(end_of(&tasks, work.id), TaskEnd::Done);
}

#[test]
fn a_container_is_held_whatever_its_owner_wants() {
    let tasks = tasks();
    let (one, other) = (
        Steered::start(&tasks, CONTAINER),
        Steered::start(&tasks, OTHER),
    );
    tasks.pause(one.id).unwrap();
    tasks.pause_all_of(CONTAINER);
    other.step();
    let later = Steered::start(&tasks, CONTAINER);
    later.order();
    one.order();
    for id in [one.id, later.id] {
        becomes(&tasks, id, &TaskState::Paused);
        assert!(tasks.get(id).unwrap().held);
    }
    // The hold is not the owner's to undo, nor the other way round.
    tasks.resume(later.id).unwrap();
    assert_eq!(tasks.get(later.id).unwrap().state, TaskState::Paused);
    tasks.resume_all_of(CONTAINER);
    later.passed.recv_timeout(PATIENCE).unwrap();
    assert_eq!(tasks.get(one.id).unwrap().state, TaskState::Paused);
    tasks.resume(one.id).unwrap();
    one.passed.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn no_more_than_so_many_are_under_way() {
    let tasks = tasks();
    let of = |owner| TaskOrder {
        owner,
        ..order(CONTAINER)
    };
    let (release, released) = channel::<()>();
    let released = Arc::new(std::sync::Mutex::new(released));
    let start = |owner| {
        let released = Arc::clone(&released);
        tasks.start(of(owner), move |task| {
            _ = released.lock().unwrap().recv();
            task.complete(Ok(()))
        })
    };
    for _ in 0..OWNER_TASKS_MAX {
        start(1000).unwrap();
    }
    let error = start(1000).unwrap_err();
    assert!(error.to_string().contains("of your tasks"), "{error}");
    for _ in OWNER_TASKS_MAX..TASKS_MAX {
        start(0).unwrap();
    }
    let error = start(0).unwrap_err();
    assert_eq!(error.errno(), Errno::EAGAIN);
    assert_eq!(tasks.list().len(), TASKS_MAX);
    drop(release);
    assert!(
        tasks
            .stop_all_of(CONTAINER, Stop::Cancelled, PATIENCE)
            .is_empty()
    );
    start(1000).unwrap();
}

#[test]
fn of_those_that_have_ended_the_last_are_kept() {
    let tasks = tasks();
    let stays = Steered::start(&tasks, CONTAINER);
    let mut ids = Vec::new();
    for _ in 0..TASKS_KEPT_MAX + 10 {
        let id = tasks
            .start(order(OTHER), |task| task.complete(Ok(())))
            .unwrap();
        end_of(&tasks, id);
        ids.push(id);
    }
    tasks.stop_all_of(OTHER, Stop::Cancelled, PATIENCE);
    // The table is trimmed just after the end is told.
    let deadline = Instant::now() + PATIENCE;
    while tasks.list().len() > TASKS_KEPT_MAX + 1 && Instant::now() < deadline {
        std::thread::yield_now();
    }
    let kept: Vec<_> = tasks.list().iter().map(|task| task.id).collect();
    assert_eq!(kept[0], stays.id);
    assert_eq!(kept[1..], ids[10..]);
    assert_eq!(tasks.watch(ids[0]).unwrap_err().errno(), Errno::ENOENT);
}

#[test]
fn who_watches_slowly_loses_lines_and_no_memory() {
    let tasks = tasks();
    let (release, released) = channel::<()>();
    let lines = LINES_KEPT_MAX as u64 * 3;
    let work = move |task: Task| {
        for line in 0..lines {
            task.log(line.to_string());
            task.progress(line, lines);
        }
        _ = released.recv();
        task.complete(Ok(()))
    };
    let id = tasks.start(order(CONTAINER), work).unwrap();
    let mut watch = tasks.watch(id).unwrap();
    assert_eq!(watch.next(), Some(TaskEvent::Started));
    drop(release);
    end_of(&tasks, id);
    let mut told = watch.peekable();
    let Some(TaskEvent::LinesLost(lost)) = told.next() else {
        panic!("nothing lost")
    };
    assert_eq!(lost, lines - LINES_KEPT_MAX as u64);
    for line in lost..lines {
        assert_eq!(told.next(), Some(TaskEvent::Line(line.to_string())));
    }
    let last = Progress {
        done: lines - 1,
        of: lines,
    };
    let rest = [TaskEvent::Progress(last), TaskEvent::Ended(TaskEnd::Done)];
    assert_eq!(told.collect::<Vec<_>>(), rest);
}

#[test]
fn a_waiting_watch_can_give_up_and_go_on() {
    let tasks = tasks();
    let mut work = Steered::start(&tasks, CONTAINER);
    let mut watch = tasks.watch(work.id).unwrap();
    assert!(watch.wait(Duration::ZERO));
    assert_eq!(watch.next(), Some(TaskEvent::Started));
    assert!(!watch.wait(Duration::from_millis(1)));
    work.orders = None;
    assert!(watch.wait(PATIENCE));
    assert_eq!(watch.next(), Some(TaskEvent::Ended(TaskEnd::Done)));
    assert!(watch.wait(Duration::ZERO));
    assert_eq!(watch.next(), None);
}

#[test]
fn every_watcher_hears_the_last_progress() {
    let tasks = tasks();
    let (go, gone) = channel::<()>();
    let work = move |task: Task| {
        for done in 0..100_000 {
            task.progress(done, 100_000);
        }
        _ = gone.recv();
        task.complete(Ok(()))
    };
    let id = tasks.start(order(CONTAINER), work).unwrap();
    let watchers: Vec<_> = (0..4)
        .map(|_| {
            let mut watch = tasks.watch(id).unwrap();
            std::thread::spawn(move || {
                let last = Progress {
                    done: 99_999,
                    of: 100_000,
                };
                // Heard although the work stands still then.
                assert!(watch.any(|event| event == TaskEvent::Progress(last)));
            })
        })
        .collect();
    for watcher in watchers {
        watcher.join().unwrap();
    }
    drop(go);
}
