//! What is being done, on the standard error, where it takes longer than a second and somebody looks.

use std::io::{self, IsTerminal as _};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Nothing is said of what is done sooner.
const PATIENCE: Duration = Duration::from_secs(1);

/// One line that says what is being done, and goes with this.
#[derive(Debug, Default)]
pub struct Progress {
    shared: Option<Arc<Shared>>,
}

/// What is shared with the thread that waits.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    done: Condvar,
}

#[derive(Debug, Default)]
struct State {
    done: bool,
    what: String,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Says what is being done now. Not a terminal: nothing is ever said.
    pub fn says(&mut self, what: impl Into<String>) {
        if self.shared.is_none() && io::stderr().is_terminal() {
            let shared = Arc::new(Shared::default());
            let waiting = Arc::clone(&shared);
            thread::spawn(move || waiting.wait());
            self.shared = Some(shared);
        }
        let Some(shared) = &self.shared else { return };
        let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.what = what.into();
        if let Some(bar) = &state.bar {
            bar.set_message(state.what.clone());
        }
    }
}

impl Shared {
    /// Begins to say something, unless it is done sooner.
    fn wait(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.done.wait_timeout_while(state, PATIENCE, |state| !state.done);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.done {
            return;
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
            bar.set_style(style);
        }
        bar.set_message(state.what.clone());
        bar.enable_steady_tick(Duration::from_millis(120));
        state.bar = Some(bar);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let Some(shared) = &self.shared else { return };
        let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.done = true;
        if let Some(bar) = &state.bar {
            bar.finish_and_clear();
        }
        drop(state);
        shared.done.notify_all();
    }
}
