//! How much one message may hold. Enforced when encoding and when decoding: what a peer would refuse is
//! never sent.

/// Bytes of any string that has no limit of its own.
pub const STRING_BYTES: usize = 1024;
/// Bytes of a URL.
pub const URL_BYTES: usize = 2048;
/// Bytes of a target's trusted roots, PEM.
pub const ROOTS_BYTES: usize = 64 * 1024;
/// Bytes of a projected token.
pub const TOKEN_BYTES: usize = 8 * 1024;
/// Bytes of the value of a `NO_PROXY` variable.
pub const EXCEPTIONS_BYTES: usize = 16 * 1024;

/// Targets of one check.
pub const TARGETS_PER_CHECK: usize = 64;
/// Targets of one pod.
pub const TARGETS: usize = 512;
/// Endpoints of a target.
pub const ENDPOINTS: usize = 64;
/// Addresses of a Service.
pub const SERVICE_ADDRESSES: usize = 16;
/// Networks a URL target may lead to.
pub const NETWORKS: usize = 256;
/// Controls of a target.
pub const CONTROLS: usize = 64;

/// DNS queries of a walk.
pub const QUERIES: usize = 64;
/// Addresses of one DNS answer.
pub const ADDRESSES: usize = 256;
/// Dials of a walk, direct; and as many again through a proxy.
pub const DIALS: usize = 128;
/// Neighbours of a walk.
pub const NEIGHBOURS: usize = 16;
/// Hops of a walk.
pub const HOPS: usize = 16;
/// Dials that one look asks for.
pub const TUPLES: usize = 64;
/// Entries of one socket's error queue.
pub const ICMP_ERRORS: usize = 16;
/// Containers of a pod.
pub const CONTAINERS: usize = 64;
/// Kinds of HTTP client.
pub const CLIENTS: usize = 64;
/// Transitions in one message, and in the sidecar's ring.
pub const TRANSITIONS: usize = 256;

/// Bytes of a message from a sidecar that has not said yet who it is: there is room for a token.
pub const HELLO_FRAME_BYTES: usize = 16 * 1024;
/// Bytes of any message from a sidecar.
pub const SIDECAR_FRAME_BYTES: usize = 256 * 1024;
/// Bytes of any message from the hub: the largest is a whole plan.
pub const HUB_FRAME_BYTES: usize = 4 * 1024 * 1024;
