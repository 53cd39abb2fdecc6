//! The mutating webhook that injects the sidecar.
