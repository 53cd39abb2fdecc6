//! From evidence to verdict: pure and total.
