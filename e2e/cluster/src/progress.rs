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
    name: String,
    started: Instant,
    shown: Instant,
    spinner: Option<ProgressBar>,
}

/// In a log, a long step shows every so often that it lives.
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);

impl Progress for Terminal {
    fn begin(&mut self, step: &str) {
        self.end();
        let now = Instant::now();
        let spinner = stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {prefix} ({elapsed}) {wide_msg:.dim}");
            let bar = ProgressBar::new_spinner().with_prefix(step.to_owned());
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        self.step = Some(Step { name: step.to_owned(), started: now, shown: now, spinner });
    }

    fn detail(&mut self, text: &str) {
        let Some(step) = &mut self.step else { return };
        if let Some(spinner) = &step.spinner {
            spinner.set_message(text.to_owned());
        } else if step.shown.elapsed() > SIGN_OF_LIFE {
            step.shown = Instant::now();
            line(&format!("  {} ... {} s: {text}", step.name, step.started.elapsed().as_secs()));
        }
    }

    fn end(&mut self) {
        let Some(step) = self.step.take() else { return };
        if let Some(spinner) = step.spinner {
            spinner.finish_and_clear();
        }
        line(&format!("  {} ({:.1} s)", step.name, step.started.elapsed().as_secs_f64()));
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
