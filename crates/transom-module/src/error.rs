use std::fmt;

/// What every operation of a volume returns.
pub type Result<T> = std::result::Result<T, Error>;

/// The error number a caller sees.
///
/// The values are those of Linux; the constants name the ones modules use.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(i32);

macro_rules! errnos {
    ($($name:ident: $meaning:literal,)*) => {
        impl Errno {
            $(#[doc = $meaning] pub const $name: Self = Self(libc::$name);)*

            fn symbol(self) -> Option<&'static str> {
                match self.0 {
                    $(libc::$name => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

errnos! {
    EACCES: "Permission denied.",
    EAGAIN: "Try again.",
    EBADF: "Bad file descriptor.",
    EBUSY: "Device or resource busy.",
    EEXIST: "File exists.",
    EFBIG: "File too large.",
    EINTR: "Interrupted.",
    EINVAL: "Invalid argument.",
    EIO: "Input or output error.",
    EISDIR: "Is a directory.",
    ELOOP: "Too many symbolic links, or file systems stacked too deeply.",
    EMFILE: "Too many are open, or loaded.",
    ENAMETOOLONG: "File name too long.",
    ENODATA: "No such extended attribute.",
    ENODEV: "No such device, or module.",
    ENOENT: "No such file or directory.",
    ENOMEM: "Out of memory.",
    ENOSPC: "No space left on device.",
    ENOSYS: "Not implemented: the kernel will not ask again.",
    ENOTDIR: "Not a directory.",
    ENOTEMPTY: "Directory not empty.",
    ENOTTY: "Not a request this file knows.",
    ENXIO: "No such region or device.",
    EOPNOTSUPP: "Operation not supported.",
    EPERM: "Operation not permitted.",
    ERANGE: "Result too large for the buffer.",
    EROFS: "Read-only file system.",
    ESTALE: "The file is no longer the one that was meant.",
    ETIMEDOUT: "The operation took longer than its deadline.",
    EXDEV: "Crosses volumes.",
}

impl Errno {
    /// Wraps a raw error number. Anything that is not positive becomes `EIO`:
    /// zero would read as success.
    #[must_use]
    pub fn from_raw(raw: i32) -> Self {
        if raw > 0 { Self(raw) } else { Self::EIO }
    }

    /// The positive error number.
    #[must_use]
    pub fn raw(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Errno {
    /// What it is called, such as `EINVAL`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.symbol() {
            Some(symbol) => f.write_str(symbol),
            None => write!(f, "errno {}", self.0),
        }
    }
}

/// A failed operation: an error number for the caller, and for the operator
/// who reads the log an optional message with its cause.
///
/// Refusals that are part of normal life (a name that does not exist) are made
/// from the bare [`Errno`]; failures that somebody should look at carry a
/// message, and only those are logged.
#[derive(Debug)]
pub struct Error {
    errno: Errno,
    detail: Option<Box<Detail>>,
}

#[derive(Debug)]
struct Detail {
    message: String,
    source: Option<std::io::Error>,
}

impl Error {
    /// An error the operator should read about.
    #[must_use]
    pub fn new(errno: Errno, message: impl Into<String>) -> Self {
        Self {
            errno,
            detail: Some(Box::new(Detail {
                message: message.into(),
                source: None,
            })),
        }
    }

    /// A failed host operation. The caller gets the host's error number.
    #[must_use]
    pub fn from_host(source: std::io::Error, message: impl Into<String>) -> Self {
        let errno = Errno::from_raw(source.raw_os_error().unwrap_or(libc::EIO));
        Self {
            errno,
            detail: Some(Box::new(Detail {
                message: message.into(),
                source: Some(source),
            })),
        }
    }

    /// What the caller is told.
    #[must_use]
    pub fn errno(&self) -> Errno {
        self.errno
    }

    /// Whether the operator should be told: the error carries a message.
    #[must_use]
    pub fn is_notable(&self) -> bool {
        self.detail.is_some()
    }
}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Self {
        Self {
            errno,
            detail: None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.detail {
            Some(detail) => f.write_str(&detail.message),
            None => write!(f, "{:?}", self.errno),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let source = self.detail.as_ref()?.source.as_ref()?;
        Some(source)
    }
}
