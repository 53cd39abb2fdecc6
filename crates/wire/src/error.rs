//! Why bytes are no message of this protocol.

/// Why a message is refused. Every variant names the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes are not a protobuf message of the expected type.
    #[error("the frame of {bytes} bytes cannot be decoded")]
    Undecodable {
        /// Length of the frame.
        bytes: usize,
        /// What the decoder says.
        #[source]
        source: prost::DecodeError,
    },
    /// The frame as a whole is too large.
    #[error("the frame has {bytes} bytes, {limit} are allowed")]
    FrameTooLarge {
        /// Length of the frame.
        bytes: usize,
        /// The most allowed.
        limit: usize,
    },
    /// A field that must be set is not, or holds a kind of message that this version does not know.
    #[error("{field} is missing or of a kind this version does not know")]
    Missing {
        /// Which field.
        field: &'static str,
    },
    /// Too many entries.
    #[error("{field} has {count} entries, {limit} are allowed")]
    TooMany {
        /// Which field.
        field: &'static str,
        /// Entries found.
        count: usize,
        /// The most allowed.
        limit: usize,
    },
    /// Too many bytes.
    #[error("{field} has {bytes} bytes, {limit} are allowed")]
    TooLong {
        /// Which field.
        field: &'static str,
        /// Bytes found.
        bytes: usize,
        /// The most allowed.
        limit: usize,
    },
    /// A value outside of what the field can mean.
    #[error("{field} is {value}, expected {expected}")]
    Invalid {
        /// Which field.
        field: &'static str,
        /// The value, as it reads; never a secret.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
}
