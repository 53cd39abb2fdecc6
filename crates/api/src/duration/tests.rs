//! Durations as the API writes and reads them.

use super::*;

#[test]
fn every_written_form_is_read() {
    for (text, ms) in [
        ("500ms", 500),
        ("10s", 10_000),
        ("1m", 60_000),
        ("1h", 3_600_000),
        ("1m30s", 90_000),
        ("1h2m3s4ms", 3_723_004),
        ("0s", 0),
        ("99999h99999h99999h99999h", 4 * 99_999 * 3_600_000),
    ] {
        let parsed: DurationString = text.parse().expect(text);
        assert_eq!(parsed.get(), Duration::from_millis(ms), "the value of {text}");
        assert_eq!(parsed.to_string(), text, "the text is kept");
    }
}

#[test]
fn other_forms_are_refused_by_name() {
    for text in ["", "10", "s", "10 s", "-1s", "1.5s", "1d", "100000s", "1s1s1s1s1s", "1M", "10s ", "١s"] {
        let refused = text.parse::<DurationString>();
        assert_eq!(refused, Err(ParseDurationError(text.to_owned())), "{text:?} is no duration");
    }
    let message = ParseDurationError("10".into()).to_string();
    assert!(message.contains("\"10\"") && message.contains("10s"), "value and remedy are named: {message}");
}

#[test]
fn a_duration_is_written_in_its_largest_unit() {
    for (ms, text) in
        [(0, "0ms"), (500, "500ms"), (1_500, "1500ms"), (10_000, "10s"), (120_000, "2m"), (7_200_000, "2h")]
    {
        let written = DurationString::from(Duration::from_millis(ms));
        assert_eq!(written.as_str(), text);
        assert_eq!(written, text.parse().expect(text), "what is written reads back");
    }
}

#[test]
fn json_is_the_text() {
    let read: DurationString = serde_json::from_str("\"1m30s\"").expect("a duration");
    assert_eq!(serde_json::to_string(&read).expect("JSON"), "\"1m30s\"");
    let refused = serde_json::from_str::<DurationString>("\"soon\"").expect_err("no duration");
    assert!(refused.to_string().contains("\"soon\" is no duration"), "{refused}");
}
