use crate::{Context, Result, Volume};

/// Device-specific requests: `ioctl(2)`. Only those whose number tells how
/// large their argument is arrive.
pub trait Controls: Volume {
    /// Answers `command`. `argument` is what the caller passed in, `room` how
    /// many bytes it can take back. `ENOTTY` for what the volume does not
    /// know. The volume must check the caller's right to it: the kernel does
    /// not.
    fn control(
        &self,
        context: &Context<'_>,
        item: &Self::Item,
        handle: Option<&Self::Handle>,
        command: u32,
        argument: &[u8],
        room: usize,
    ) -> Result<Reply>;
}

/// The answer to a [`Controls::control`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reply {
    /// What `ioctl(2)` returns, not negative.
    pub value: i32,
    /// What is written to the caller's argument.
    pub data: Vec<u8>,
}
