//! How long a target takes to answer one pod: distributions of bounded size, kept while the same is asked of it.

use std::fmt;
use std::time::Duration;

use peerwalk_diagnosis::Quantiles;
use peerwalk_model::report::Took;
use sketches_ddsketch::{Config, DDSketch};

#[cfg(test)]
mod tests;

/// Values are kept within a twentieth of what they are.
const ACCURACY: f64 = 0.05;
/// So many bins hold everything from [`LEAST`] to [`MOST`].
const BINS: u32 = 128;
/// What is faster counts as no time at all, in seconds.
const LEAST: f64 = 0.001;
/// What is slower counts as this, in seconds; no walk may take longer.
const MOST: f64 = 120.0;
/// Walks after which a distribution begins anew, beside the one before it: what was long ago is forgotten.
const WALKS: usize = 500;

/// How long walks took that passed.
#[derive(Clone, Debug)]
pub struct Latency {
    /// The plan's generation since which the same is asked; what was asked before is another target's.
    asked: u64,
    /// Signature and number of the last walk that was taken in.
    counted: (u64, u32),
    connect: Distribution,
    whole: Distribution,
    told: (Quantiles, Quantiles),
}

impl Latency {
    /// Nothing is known yet.
    pub fn new(asked: u64) -> Self {
        Self {
            asked,
            counted: (0, 0),
            connect: Distribution::default(),
            whole: Distribution::default(),
            told: <(Quantiles, Quantiles)>::default(),
        }
    }

    /// Whether it is about a target that has been asked the same since this generation of the plan.
    pub fn is_of(&self, asked: u64) -> bool {
        self.asked == asked
    }

    /// A walk that passed, told by its signature and its number in the run. Every heartbeat tells the last one again.
    pub fn add(&mut self, walk: (u64, u32), took: Took) {
        if self.counted == walk {
            return;
        }
        self.counted = walk;
        self.connect.add(took.connect);
        self.whole.add(took.whole);
        let (connect, whole) = (self.connect.quantiles(), self.whole.quantiles());
        if moved(self.told.0, connect) || moved(self.told.1, whole) {
            self.told = (connect, whole);
        }
    }

    /// How many walks it rests on.
    pub fn walks(&self) -> usize {
        self.whole.count()
    }

    /// Of the connection and of the whole walk. They stand until one of them has moved by a quarter, so that what is
    /// said of them does not change with every walk.
    pub fn told(&self) -> (Quantiles, Quantiles) {
        self.told
    }

    /// The distribution of whole walks.
    pub fn whole(&self) -> &Distribution {
        &self.whole
    }
}

/// Whether one of them is another by more than a quarter.
fn moved(told: Quantiles, now: Quantiles) -> bool {
    let far = |told: Duration, now: Duration| now.abs_diff(told) * 4 > told;
    far(told.p50, now.p50) || far(told.p99, now.p99)
}

/// A distribution of the last [`WALKS`] values, and of as many before them.
#[derive(Clone)]
pub struct Distribution {
    present: DDSketch,
    before: DDSketch,
}

impl Default for Distribution {
    fn default() -> Self {
        let empty = DDSketch::new(Config::new(ACCURACY, BINS, LEAST));
        Self { present: empty.clone(), before: empty }
    }
}

impl fmt::Debug for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {}", self.quantiles(), self.count())
    }
}

impl Distribution {
    fn add(&mut self, value: Duration) {
        if self.present.count() >= WALKS {
            let Self { present, .. } = std::mem::take(self);
            self.before = present;
        }
        self.present.add(value.as_secs_f64().min(MOST));
    }

    /// Takes in another one, of another pod.
    pub fn merge(&mut self, other: &Self) {
        for part in [&other.present, &other.before] {
            // Every one has the same configuration, which is all that could be wrong.
            let _same = self.present.merge(part);
        }
    }

    fn count(&self) -> usize {
        self.present.count() + self.before.count()
    }

    /// Half of all, and all but one in a hundred, take no longer than this; zero without any.
    pub fn quantiles(&self) -> Quantiles {
        let mut all = Self::default();
        all.merge(self);
        let at = |q| {
            let seconds = all.present.quantile(q).ok().flatten().unwrap_or_default();
            Duration::try_from_secs_f64(seconds).unwrap_or_default()
        };
        Quantiles { p50: at(0.5), p99: at(0.99) }
    }
}
