//! System calls and kernel structures: the only unsafe code.
