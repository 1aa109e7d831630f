//! Serves volumes to the Linux kernel over FUSE.
