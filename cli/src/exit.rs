//! How commands end.

/// An exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Decided, ready, unchanged, clean.
    Done = 0,
    /// Not as expected: another verdict, a difference, a failed check, a finding.
    Otherwise = 1,
    /// The command line or the input cannot be used; for `wait` also: no answer in time.
    Usage = 2,
    /// Nothing could be decided.
    Undecided = 3,
}
