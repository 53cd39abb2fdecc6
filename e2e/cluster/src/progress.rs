//! Saying what goes on: a spinner with the elapsed time on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Where long work reports to. A step lasts until the next one begins or [`Progress::end`].
pub trait Progress: Send {
    /// A new step: what is being done.
    fn begin(&mut self, step: &str);
    /// Where the step is, such as the file it works on; replaces the last detail.
    fn detail(&mut self, text: &str);
    /// The last step is done.
    fn end(&mut self);
}

/// Reports nothing: for tests, whose output is their failures.
pub struct Quiet;

impl Progress for Quiet {
    fn begin(&mut self, _: &str) {}
    fn detail(&mut self, _: &str) {}
    fn end(&mut self) {}
}

/// Reports to standard error, for a person or for the log of a CI system.
#[derive(Default)]
pub struct Terminal {
    step: Option<Step>,
}

struct Step {
    log: LoggedStep,
    spinner: Option<ProgressBar>,
}

/// In a log, a long step shows every so often that it lives.
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);

/// A step as a log tells it, where every detail would be too much.
#[derive(Debug)]
pub struct LoggedStep {
    name: String,
    started: Instant,
    shown: Instant,
}

impl LoggedStep {
    /// A step that begins now.
    pub fn begin(name: &str, now: Instant) -> Self {
        Self { name: name.to_owned(), started: now, shown: now }
    }

    /// The line to show for a detail: one every 30 s.
    pub fn detail(&mut self, text: &str, now: Instant) -> Option<String> {
        if now.duration_since(self.shown) < SIGN_OF_LIFE {
            return None;
        }
        self.shown = now;
        Some(format!("{} ... {} s: {text}", self.name, now.duration_since(self.started).as_secs()))
    }
}

impl Progress for Terminal {
    fn begin(&mut self, step: &str) {
        self.end();
        let spinner = stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {prefix} ({elapsed}) {wide_msg:.dim}");
            let bar = ProgressBar::new_spinner().with_prefix(step.to_owned());
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        self.step = Some(Step { log: LoggedStep::begin(step, Instant::now()), spinner });
    }

    fn detail(&mut self, text: &str) {
        let Some(step) = &mut self.step else { return };
        if let Some(spinner) = &step.spinner {
            spinner.set_message(text.to_owned());
        } else if let Some(sign) = step.log.detail(text, Instant::now()) {
            line(&format!("  {sign}"));
        }
    }

    fn end(&mut self) {
        let Some(step) = self.step.take() else { return };
        if let Some(spinner) = step.spinner {
            spinner.finish_and_clear();
        }
        line(&format!("  {} ({:.1} s)", step.log.name, step.log.started.elapsed().as_secs_f64()));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.end();
    }
}

fn line(text: &str) {
    // Progress that cannot be written is no reason to stop the work.
    let _ = writeln!(stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::LoggedStep;
    use std::time::{Duration, Instant};

    #[test]
    fn a_log_shows_every_thirty_seconds_that_a_step_lives() {
        let begun = Instant::now();
        let mut step = LoggedStep::begin("building", begun);
        let mut shown = Vec::new();
        for second in 1..=95 {
            let now = begun + Duration::from_secs(second);
            shown.extend(step.detail(&format!("file {second}"), now));
        }
        assert_eq!(
            shown,
            ["building ... 30 s: file 30", "building ... 60 s: file 60", "building ... 90 s: file 90"]
        );
    }
}
