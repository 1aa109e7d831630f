use std::io;
use std::marker::PhantomData;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::exchange::Descriptors;
use crate::message;
use crate::transport::{Receiver, Ungated, send};
use crate::{Method, Peer, ServiceError, check_directory};

/// Calls the methods of a server, one after the other.
///
/// ```no_run
/// use transom_control::{Client, host};
///
/// let mut client = Client::connect("/run/transom/host".as_ref())?;
/// let modules = client.call(&host::ListModules {})?.modules;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    receiver: Receiver,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError<E> {
    /// The connection failed.
    #[error("the control connection failed")]
    Connection(#[from] io::Error),
    /// The method says no.
    #[error("{0}")]
    Method(E),
    /// The server does not understand the call.
    #[error("{0}")]
    Service(ServiceError),
    /// The server answered with something else than the contract says.
    #[error("the server does not keep to the contract of {method}: {problem}")]
    Malformed {
        /// What was called.
        method: &'static str,
        /// What is wrong with the reply.
        problem: String,
    },
}

/// The replies to a call with `more`, until the last one or the first error.
#[derive(Debug)]
pub struct Replies<M> {
    client: Client,
    is_over: bool,
    method: PhantomData<fn() -> M>,
}

type Reply<M> = Result<<M as Method>::Reply, CallError<<M as Method>::Error>>;

#[derive(Serialize)]
struct Call<'c, M> {
    method: &'static str,
    parameters: &'c M,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    oneway: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Once,
    Oneway,
    More,
}

#[derive(Deserialize)]
struct RawReply<'r> {
    #[serde(borrow)]
    parameters: Option<&'r RawValue>,
    error: Option<String>,
    continues: Option<bool>,
}

impl Client {
    /// Connects to a socket, whoever may listen there.
    pub fn connect(path: &Path) -> io::Result<Self> {
        Ok(Self::over(UnixStream::connect(path)?))
    }

    /// Connects to a socket of our own user's, in a directory that nobody else
    /// can write.
    pub fn connect_to_own(path: &Path) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            check_directory(directory)?;
        }
        Self::connect(path)
    }

    /// Uses a connection that was handed to this process.
    #[must_use]
    pub fn over(stream: UnixStream) -> Self {
        Self {
            stream,
            receiver: Receiver::default(),
        }
    }

    /// Who serves the other end.
    pub fn server(&self) -> io::Result<Peer> {
        Peer::of(&self.stream)
    }

    /// Calls a method.
    pub fn call<M: Method>(&mut self, call: &M) -> Reply<M> {
        self.call_with_descriptors(call, &[])
            .map(|(reply, _)| reply)
    }

    /// Calls a method with descriptors, whose positions its parameters tell;
    /// returns those of the reply with it.
    pub fn call_with_descriptors<M: Method>(
        &mut self,
        call: &M,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(M::Reply, Descriptors), CallError<M::Error>> {
        self.send(call, descriptors, Mode::Once)?;
        let (reply, descriptors, _) = self.receive::<M>()?;
        Ok((reply, descriptors))
    }

    /// Calls a method that replies several times.
    pub fn more<M: Method>(mut self, call: &M) -> Result<Replies<M>, CallError<M::Error>> {
        self.send(call, &[], Mode::More)?;
        Ok(Replies {
            client: self,
            is_over: false,
            method: PhantomData,
        })
    }

    /// Calls a method and waits for nothing.
    pub fn oneway<M: Method>(&mut self, call: &M) -> Result<(), CallError<M::Error>> {
        self.send(call, &[], Mode::Oneway)
    }

    fn send<M: Method>(
        &mut self,
        call: &M,
        descriptors: &[BorrowedFd<'_>],
        mode: Mode,
    ) -> Result<(), CallError<M::Error>> {
        let call = Call {
            method: M::NAME,
            parameters: call,
            oneway: mode == Mode::Oneway,
            more: mode == Mode::More,
        };
        let message = message::encode(&call).map_err(malformed::<M>)?;
        Ok(send(&self.stream, &message, descriptors, None)?)
    }

    /// The next reply, its descriptors, and whether more follow.
    fn receive<M: Method>(&mut self) -> Result<(M::Reply, Descriptors, bool), CallError<M::Error>> {
        let received = self
            .receiver
            .next(&self.stream, None, &mut Ungated)?
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        let reply: RawReply<'_> =
            serde_json::from_slice(&received.bytes).map_err(malformed::<M>)?;
        if let Some(name) = reply.error {
            return Err(error::<M>(&name, &received.bytes));
        }
        let parameters = reply.parameters.map_or("{}", RawValue::get);
        let parameters = serde_json::from_str(parameters).map_err(malformed::<M>)?;
        let continues = reply.continues.unwrap_or_default();
        Ok((
            parameters,
            Descriptors::from(received.descriptors),
            continues,
        ))
    }
}

fn error<M: Method>(name: &str, message: &[u8]) -> CallError<M::Error> {
    fn decode<E: DeserializeOwned>(message: &[u8]) -> serde_json::Result<E> {
        serde_json::from_slice(message)
    }
    match name.starts_with("org.varlink.service.") {
        true => decode(message).map_or_else(malformed::<M>, CallError::Service),
        false => decode(message).map_or_else(malformed::<M>, CallError::Method),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn malformed<M: Method>(error: serde_json::Error) -> CallError<M::Error> {
    CallError::Malformed {
        method: M::NAME,
        problem: error.to_string(),
    }
}

impl<M: Method> Iterator for Replies<M> {
    type Item = Reply<M>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        Some(match self.client.receive::<M>() {
            Ok((reply, _, continues)) => {
                self.is_over = !continues;
                Ok(reply)
            }
            Err(error) => {
                self.is_over = true;
                Err(error)
            }
        })
    }
}
