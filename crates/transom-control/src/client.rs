use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::framing::{self as message, Call, Reader, Reply};
use crate::view::wire::{
    DescribeReply, ErrorParameters, ExplainCall, StatisticsReply, TraceReply, UpdateCall,
    UpdateReply,
};
use crate::{Change, Description, Explanation, INTERFACE, check_directory};

/// Calls `io.transom.View`.
pub struct Client {
    stream: UnixStream,
    reader: Reader<UnixStream>,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The connection failed.
    #[error("the connection to the view failed")]
    Connection(#[from] io::Error),
    /// The view does not do that; nothing has changed.
    #[error("{0}")]
    Refused(String),
    /// The server answered with something else than the contract says.
    #[error("the server does not speak {INTERFACE}: {0}")]
    Protocol(String),
}

impl Client {
    /// Connects to the socket of a view, in a directory that nobody else can
    /// write.
    pub fn connect(path: &Path) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            check_directory(directory)?;
        }
        Self::over(UnixStream::connect(path)?)
    }

    /// Uses a connection that was handed to this process.
    pub fn over(stream: UnixStream) -> io::Result<Self> {
        let reader = Reader::new(stream.try_clone()?);
        Ok(Self { stream, reader })
    }

    /// The process that serves the view.
    pub fn server_pid(&self) -> io::Result<u32> {
        let server = rustix::net::sockopt::socket_peercred(&self.stream)?;
        Ok(server.pid.as_raw_nonzero().get().cast_unsigned())
    }

    /// The view itself.
    pub fn describe(&mut self) -> Result<Description, CallError> {
        self.call("Describe", &())
            .map(|reply: DescribeReply| reply.view)
    }

    /// Applies all changes or none; returns the new epoch.
    pub fn update(&mut self, changes: Vec<Change>) -> Result<u64, CallError> {
        self.call("Update", &UpdateCall { changes })
            .map(|reply: UpdateReply| reply.epoch)
    }

    /// Why a path is there, or is not.
    pub fn explain(&mut self, path: Value) -> Result<Explanation, CallError> {
        self.call("Explain", &ExplainCall { path })
    }

    /// Which inputs were used so far.
    pub fn trace(&mut self) -> Result<Value, CallError> {
        self.call("Trace", &()).map(|reply: TraceReply| reply.trace)
    }

    /// Requests so far.
    pub fn statistics(&mut self) -> Result<Value, CallError> {
        self.call("Statistics", &())
            .map(|reply: StatisticsReply| reply.statistics)
    }

    fn call<R: DeserializeOwned>(
        &mut self,
        method: &str,
        parameters: &impl Serialize,
    ) -> Result<R, CallError> {
        let protocol = |error: serde_json::Error| CallError::Protocol(error.to_string());
        let parameters = serde_json::to_value(parameters).map_err(protocol)?;
        let call = Call {
            method: format!("{INTERFACE}.{method}"),
            parameters,
            oneway: false,
        };
        message::write(&self.stream, &call)?;
        let bytes = self
            .reader
            .next()?
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        let reply: Reply = serde_json::from_slice(&bytes).map_err(protocol)?;
        match reply.error {
            None => R::deserialize(reply.parameters).map_err(protocol),
            Some(name) if name.starts_with(INTERFACE) => {
                let ErrorParameters { message } =
                    serde_json::from_value(reply.parameters).map_err(protocol)?;
                Err(CallError::Refused(message))
            }
            Some(name) => Err(CallError::Protocol(format!("{name} {}", reply.parameters))),
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}
