//! Durations as milliseconds with fractions, for scenario files and command-line output.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de};

pub(crate) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    // Whole microseconds: finer figures are noise, and 0.12 reads better than 0.120345.
    #[allow(clippy::cast_precision_loss)]
    serializer.serialize_f64(value.as_micros() as f64 / 1000.0)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let ms = f64::deserialize(deserializer)?;
    Duration::try_from_secs_f64(ms / 1000.0)
        .map_err(|_| de::Error::custom(format!("{ms} is not a duration in milliseconds")))
}
