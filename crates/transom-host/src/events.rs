//! What happened, for whoever asks later.
//!
//! Each container has a stream of events, and the host has one, in which is
//! what concerns no container and, but for the progress of tasks, everything
//! that is told of containers too. Events of a stream are numbered from 1
//! without gaps, and the last [`EVENTS_KEPT_MAX`] are kept.
//!
//! ```text
//!   tell ──► stream of the container   41 42 43 44 45 46
//!       └──► stream of the host           ▲        ▲
//!                               subscription    another: each is a number
//! ```
//!
//! **A subscription is a cursor**, not a queue. Who stops reading costs nothing,
//! holds nobody up, and finds the events that are still kept when it reads on.
//! If some are not, it is told so ([`Heard::Gap`]) before the first that is: what
//! was missed may be any of what it wanted to know, so it has to look at the
//! state of things instead.
//!
//! **Numbers mean something only together with the [`StreamId`]**, which is
//! drawn at random when a stream begins. Events are not kept across a restart, so
//! numbers that went on across one would only hide that events are missing, and
//! would have to be written before each event to be sure not to be used twice.
//! So a restart begins new streams, and a cursor into an old one is a gap.
//!
//! **Locks.** Each stream has one, held to add or copy one event. Who tells holds
//! that of the table besides, so that all streams have the same order.

mod kind;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use transom_module::{ContainerId, Errno, Error, Result};

use crate::random;
use crate::text::cut;

pub use kind::EventKind;

/// How many events of each stream are kept.
pub const EVENTS_KEPT_MAX: usize = 1024;
/// How long the message of an event is, in bytes. The rest is cut off.
pub const MESSAGE_BYTES_MAX: usize = 1024;
/// Of how many unloaded containers the events are kept.
pub const UNLOADED_KEPT_MAX: usize = 64;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its number in the stream that it was read from.
    pub sequence: u64,
    /// The container that it concerns.
    pub container: Option<ContainerId>,
    /// When, for people: the clock may have been set meanwhile.
    pub at: SystemTime,
    /// What.
    pub kind: EventKind,
    /// The same in a sentence for people.
    pub message: String,
}

/// Which stream it is. No two are the same, also of the same container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamId(u64);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        random::write_hex(self.0, f)
    }
}

impl FromStr for StreamId {
    type Err = Error;

    /// `EINVAL` for what is not 16 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self> {
        random::read_hex(text).map(Self).ok_or_else(|| {
            let message = format!("`{text}` is not the identity of a stream of events");
            Error::new(Errno::EINVAL, message)
        })
    }
}

/// From where on a stream is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// What happens from now on.
    Now,
    /// All that is kept.
    Oldest,
    /// What came after an event that was read before.
    After {
        /// The stream that it was read from.
        stream: StreamId,
        /// Its number.
        sequence: u64,
    },
}

/// What reading a stream yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// The next event.
    Event(Event),
    /// Events are missing that were to come next. `first_kept` is the number of
    /// the one with which reading goes on.
    Gap {
        /// Of the oldest event that is kept, or else of the next one.
        first_kept: u64,
    },
    /// Nothing in the time that was given.
    Nothing,
    /// Nothing, and nothing will come: the container was unloaded.
    End,
}

/// All streams.
#[derive(Clone)]
pub struct Events(Arc<Streams>);

struct Streams {
    host: Arc<Stream>,
    containers: Mutex<Containers>,
}

#[derive(Default)]
struct Containers {
    streams: HashMap<ContainerId, Arc<Stream>>,
    /// Those that were unloaded, the longest ago first.
    unloaded: VecDeque<ContainerId>,
}

impl Events {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Streams {
            host: Arc::new(Stream::new(None)),
            containers: Mutex::default(),
        }))
    }

    /// Tells that something happened. What concerns a container begins its
    /// stream, if it has none; that it was [unloaded](EventKind::Unloaded) ends
    /// it, until something is told of it again.
    pub fn tell(
        &self,
        container: Option<ContainerId>,
        kind: EventKind,
        message: impl Into<String>,
    ) {
        let event = Event {
            sequence: 0,
            container,
            at: SystemTime::now(),
            kind,
            message: cut(message.into(), MESSAGE_BYTES_MAX),
        };
        let mut containers = self.containers();
        if let Some(container) = container {
            containers
                .stream_for(container, &event.kind)
                .push(event.clone());
        }
        let is_progress = matches!(event.kind, EventKind::TaskProgress { .. });
        if container.is_none() || !is_progress {
            self.0.host.push(event);
        }
    }

    /// The stream of that container, or the host's, from there on. `ENOENT` if
    /// nothing that is kept was told of the container.
    pub fn since(&self, container: Option<ContainerId>, since: Since) -> Result<Subscription> {
        let stream = match container {
            None => Some(Arc::clone(&self.0.host)),
            Some(container) => self.containers().streams.get(&container).cloned(),
        };
        let stream = stream.ok_or(Errno::ENOENT)?;
        let next = {
            let kept = stream.kept();
            match since {
                Since::Now => kept.end(),
                Since::Oldest => kept.first,
                Since::After { stream: id, sequence }
                    // What was never told cannot have been read here.
                    if id == stream.id && sequence < kept.end() =>
                {
                    sequence + 1
                }
                Since::After { .. } => UNKNOWN,
            }
        };
        Ok(Subscription { stream, next })
    }

    fn containers(&self) -> MutexGuard<'_, Containers> {
        let containers = &self.0.containers;
        containers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl Containers {
    /// The stream in which that is to be told.
    fn stream_for(&mut self, container: ContainerId, kind: &EventKind) -> Arc<Stream> {
        self.unloaded.retain(|unloaded| *unloaded != container);
        if *kind == EventKind::Unloaded {
            self.unloaded.push_back(container);
            if self.unloaded.len() > UNLOADED_KEPT_MAX {
                let oldest = self.unloaded.pop_front();
                oldest.and_then(|oldest| self.streams.remove(&oldest));
            }
        }
        let stream = self.streams.entry(container);
        Arc::clone(stream.or_insert_with(|| Arc::new(Stream::new(Some(container)))))
    }
}

/// Whoever reads a stream, and how far it has come.
pub struct Subscription {
    stream: Arc<Stream>,
    /// The number of the event to be read next.
    next: u64,
}

/// The number of no event, and before all that are kept: reading begins with a
/// gap.
const UNKNOWN: u64 = 0;

impl Subscription {
    /// The stream: what makes the numbers of its events positions.
    #[must_use]
    pub fn stream(&self) -> StreamId {
        self.stream.id
    }

    /// What comes next, for which it waits no longer than `patience`.
    #[must_use]
    pub fn next(&mut self, patience: Duration) -> Heard {
        // So far ahead that the clock cannot say it is for ever.
        let deadline = Instant::now().checked_add(patience);
        let mut kept = self.stream.kept();
        loop {
            if self.next < kept.first {
                self.next = kept.first;
                return Heard::Gap {
                    first_kept: kept.first,
                };
            }
            if let Some(event) = kept.get(self.next) {
                self.next += 1;
                return Heard::Event(event.clone());
            }
            if self.stream.is_over(&kept) {
                return Heard::End;
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Heard::Nothing;
            }
            kept = match left {
                None => {
                    let told = self.stream.told.wait(kept);
                    told.unwrap_or_else(PoisonError::into_inner)
                }
                Some(left) => {
                    let told = self.stream.told.wait_timeout(kept, left);
                    told.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("stream", &self.stream.id)
            .field("next", &self.next)
            .finish()
    }
}

struct Stream {
    id: StreamId,
    /// The container whose stream it is.
    container: Option<ContainerId>,
    kept: Mutex<Kept>,
    told: Condvar,
}

struct Kept {
    /// The number of the first of the events.
    first: u64,
    events: VecDeque<Event>,
}

impl Stream {
    fn new(container: Option<ContainerId>) -> Self {
        Self {
            id: StreamId(random::number()),
            container,
            kept: Mutex::new(Kept {
                first: 1,
                events: VecDeque::new(),
            }),
            told: Condvar::new(),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, mut event: Event) {
        let mut kept = self.kept();
        event.sequence = kept.end();
        if kept.events.len() == EVENTS_KEPT_MAX {
            kept.events.pop_front();
            kept.first += 1;
        }
        kept.events.push_back(event);
        self.told.notify_all();
    }

    fn is_over(&self, kept: &Kept) -> bool {
        let last = kept.events.back().map(|event| &event.kind);
        self.container.is_some() && last == Some(&EventKind::Unloaded)
    }
}

impl Kept {
    /// The number of the next event.
    fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    fn get(&self, sequence: u64) -> Option<&Event> {
        let index = usize::try_from(sequence.checked_sub(self.first)?).ok()?;
        self.events.get(index)
    }
}
