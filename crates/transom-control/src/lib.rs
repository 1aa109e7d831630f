//! The control plane's wire contract and its client.
