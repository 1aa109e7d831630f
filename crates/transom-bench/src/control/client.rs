use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

/// The bytes of a call.
pub(super) struct Call(pub(super) Vec<u8>);

impl Call {
    pub(super) fn new(method: &str, parameters: &str) -> Result<Self> {
        let parameters: Value =
            serde_json::from_str(parameters).context("`--parameters` is not JSON")?;
        let call = json!({ "method": method, "parameters": parameters });
        let mut bytes = serde_json::to_vec(&call)?;
        bytes.push(0);
        Ok(Self(bytes))
    }
}

/// Calls any method, and looks at a reply as little as can be.
pub(super) struct Client {
    stream: BufReader<UnixStream>,
    reply: Vec<u8>,
}

impl Client {
    pub(super) fn connect(path: &Path) -> Result<Self> {
        let stream = UnixStream::connect(path).with_context(|| path.display().to_string())?;
        Ok(Self {
            stream: BufReader::new(stream),
            reply: Vec::new(),
        })
    }

    /// Calls, and waits for the whole reply; returns how long that took. An
    /// error as a reply is an error.
    pub(super) fn call(&mut self, Call(call): &Call) -> Result<Duration> {
        let begun = Instant::now();
        self.stream.get_mut().write_all(call)?;
        self.reply.clear();
        self.stream.read_until(0, &mut self.reply)?;
        let elapsed = begun.elapsed();
        ensure!(self.reply.pop() == Some(0), "the server hung up");
        ensure!(
            !self.reply.starts_with(b"{\"error\""),
            "{}",
            String::from_utf8_lossy(&self.reply)
        );
        Ok(elapsed)
    }
}
