//! An interface and what answers it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::message::{self, Message};
use crate::{ConnectionId, Exchange, Method, ServiceError};

/// What a streamed call is answered with: each call of it waits for the next
/// item, at most for the given time, so that the server sees in between whether
/// the client is still there. It holds no lock when it returns, and it is asked
/// only when everything before has been sent: what it has to keep for a slow
/// client is its own to limit.
pub type Stream<T, E> = Box<dyn FnMut(Duration) -> Next<T, E> + Send>;

/// What a [`Stream`] has.
#[derive(Debug)]
pub enum Next<T, E> {
    /// This, and more may follow.
    Item(T),
    /// This, and nothing after it.
    Last(T),
    /// Nothing within the time.
    Nothing,
    /// The stream ends with this error.
    Failed(E),
}

/// An interface with the service that answers it.
pub struct Interface {
    name: &'static str,
    description: &'static str,
    methods: BTreeMap<&'static str, Entry>,
    at_end: Box<dyn Fn(ConnectionId) + Send + Sync>,
}

/// The table of an interface's methods, while it is put together.
pub struct InterfaceBuilder<S> {
    service: Arc<S>,
    interface: Interface,
}

/// What comes of a call, or an error of its interface.
type Outcome<M, T> = Result<T, <M as Method>::Error>;

type Streamed<M> = Stream<<M as Method>::Reply, <M as Method>::Error>;

/// One method, whatever its types.
pub(crate) struct Entry {
    pub(crate) is_streamed: bool,
    pub(crate) answer: Answer,
}

type Answer = Box<dyn Fn(&mut Exchange, &str) -> serde_json::Result<Answered> + Send + Sync>;

/// What a call is answered with.
pub(crate) enum Answered {
    /// One message, with the descriptors that the exchange was given.
    Reply(Message),
    /// One message without.
    Error(Message),
    /// To be asked for messages.
    Stream(Messages),
}

/// The messages of a [`Stream`]: `None` for [`Next::Nothing`].
pub(crate) type Messages =
    Box<dyn FnMut(Duration) -> serde_json::Result<Option<StreamedMessage>> + Send>;

/// One message of a stream.
pub(crate) struct StreamedMessage {
    pub(crate) message: Message,
    pub(crate) is_last: bool,
}

impl Interface {
    /// An interface of that name and text, without methods yet.
    #[must_use]
    pub fn builder<S: Send + Sync + 'static>(
        name: &'static str,
        description: &'static str,
        service: Arc<S>,
    ) -> InterfaceBuilder<S> {
        let interface = Self {
            name,
            description,
            methods: BTreeMap::new(),
            at_end: Box::new(|_| ()),
        };
        InterfaceBuilder { service, interface }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its text.
    #[must_use]
    pub fn description(&self) -> &'static str {
        self.description
    }

    /// The names of its methods.
    pub fn methods(&self) -> impl Iterator<Item = &'static str> {
        self.methods.keys().copied()
    }

    pub(crate) fn method(&self, name: &str) -> Option<&Entry> {
        self.methods.get(name)
    }

    pub(crate) fn connection_ended(&self, connection: ConnectionId) {
        (self.at_end)(connection);
    }
}

impl<S: Send + Sync + 'static> InterfaceBuilder<S> {
    /// Adds a method that is answered once.
    #[must_use]
    pub fn method<M: Method + 'static>(
        self,
        function: fn(&S, &mut Exchange, M) -> Outcome<M, M::Reply>,
    ) -> Self {
        self.add(false, move |service, exchange, call: M| {
            Ok(match function(service, exchange, call) {
                Ok(reply) => Answered::Reply(message::reply(&reply, false)?),
                Err(error) => Answered::Error(message::encode(&error)?),
            })
        })
    }

    /// Adds a method that is answered with a stream.
    #[must_use]
    pub fn stream<M: Method + 'static>(
        self,
        function: fn(&S, &mut Exchange, M) -> Outcome<M, Streamed<M>>,
    ) -> Self {
        self.add(true, move |service, exchange, call: M| {
            Ok(match function(service, exchange, call) {
                Ok(stream) => Answered::Stream(messages(stream)),
                Err(error) => Answered::Error(message::encode(&error)?),
            })
        })
    }

    /// Says what is told when a connection is over.
    #[must_use]
    pub fn at_end(mut self, function: fn(&S, ConnectionId)) -> Self {
        let service = Arc::clone(&self.service);
        self.interface.at_end = Box::new(move |connection| function(&service, connection));
        self
    }

    /// The interface with all its methods.
    #[must_use]
    pub fn build(self) -> Interface {
        self.interface
    }

    fn add<M: Method + 'static>(
        mut self,
        is_streamed: bool,
        answer: impl Fn(&S, &mut Exchange, M) -> serde_json::Result<Answered> + Send + Sync + 'static,
    ) -> Self {
        let service = Arc::clone(&self.service);
        let answer = Box::new(move |exchange: &mut Exchange, parameters: &str| {
            match serde_json::from_str(parameters) {
                Ok(call) => answer(&service, exchange, call),
                Err(error) => {
                    let parameter = error.to_string();
                    let error = ServiceError::InvalidParameter { parameter };
                    Ok(Answered::Error(message::encode(&error)?))
                }
            }
        });
        let (_, name) = M::NAME.rsplit_once('.').unwrap_or_default();
        let entry = Entry {
            is_streamed,
            answer,
        };
        self.interface.methods.insert(name, entry);
        self
    }
}

fn messages<T: Serialize + 'static, E: Serialize + 'static>(mut stream: Stream<T, E>) -> Messages {
    Box::new(move |patience| {
        let (message, is_last) = match stream(patience) {
            Next::Item(item) => (message::reply(&item, true)?, false),
            Next::Last(item) => (message::reply(&item, false)?, true),
            Next::Failed(error) => (message::encode(&error)?, true),
            Next::Nothing => return Ok(None),
        };
        Ok(Some(StreamedMessage { message, is_last }))
    })
}

impl fmt::Debug for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interface")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl<S> fmt::Debug for InterfaceBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.interface.fmt(f)
    }
}
