//! What is being done, on the standard error, where it takes longer than a second and somebody looks.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Nothing is said of what is done sooner.
const PATIENCE: Duration = Duration::from_secs(1);

/// One line that says what is being done, and goes with this.
#[derive(Debug)]
pub struct Progress {
    begun: Instant,
    bar: Option<ProgressBar>,
}

impl Default for Progress {
    fn default() -> Self {
        Self { begun: Instant::now(), bar: None }
    }
}

impl Progress {
    /// Says what is being done now. Not a terminal: nothing is ever said.
    pub fn says(&mut self, what: impl Into<String>) {
        if self.bar.is_none() && self.begun.elapsed() >= PATIENCE {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            self.bar = Some(bar);
        }
        if let Some(bar) = &self.bar {
            bar.set_message(what.into());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
