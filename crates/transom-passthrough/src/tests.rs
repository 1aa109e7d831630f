//! The volume as its callers meet it, without a mount.
