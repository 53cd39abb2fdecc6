//! Watches, plans, judges and writes the status.
