//! Keeps a status within its limits: samples go first, then messages, then rows.

use super::{
    ConnectivityCheckStatus, MAX_OUTAGES, MAX_ROW_MESSAGE, MAX_SAMPLE, MAX_SAMPLES, MAX_STATUS, MAX_TEMPLATES,
};
use crate::condition::{MAX_MESSAGE, clamp};

/// Brings every text to its own limit, and then the whole to [`MAX_STATUS`].
pub(super) fn fit(status: &mut ConnectivityCheckStatus) {
    clamp_texts(status);
    // One that is left out counts as new when an operator starts, which is the careful side.
    status.observed_templates.truncate(MAX_TEMPLATES);
    status.outages.drain(..status.outages.len().saturating_sub(MAX_OUTAGES));
    if !fits(status) {
        status.targets.iter_mut().for_each(|row| row.samples.clear());
    }
    if !fits(status) {
        status.targets.iter_mut().for_each(|row| row.message.clear());
    }
    while !fits(status) && status.targets.pop().is_some() {
        status.omitted = Some(status.omitted.unwrap_or(0) + 1);
    }
}

fn clamp_texts(status: &mut ConnectivityCheckStatus) {
    for condition in &mut status.conditions {
        condition.message = clamp(&condition.message, MAX_MESSAGE);
    }
    let mut samples_left = MAX_SAMPLES;
    for row in &mut status.targets {
        row.message = clamp(&row.message, MAX_ROW_MESSAGE);
        row.samples.truncate(samples_left);
        samples_left -= row.samples.len();
        for sample in &mut row.samples {
            *sample = clamp(sample, MAX_SAMPLE);
        }
    }
}

/// Whether the status is small enough. What cannot be written as JSON has no size and is refused later.
fn fits(status: &ConnectivityCheckStatus) -> bool {
    serde_json::to_vec(status).map_or(0, |json| json.len()) <= MAX_STATUS
}
