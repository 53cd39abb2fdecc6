//! Amounts of CPU and memory as the API server spells them in pods, LimitRanges and ResourceQuotas: every form
//! of a quantity (apimachinery `pkg/api/resource/quantity.go`), in thousandths of a core or a byte.

use super::Resource;

/// Of a quantity that is not negative; rounded up as Kubernetes does (`Quantity.MilliValue`). Nothing for text that is
/// no quantity.
pub(crate) fn amount(text: &str) -> Option<u128> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let digits: u128 = format!("{whole}{decimals}").parse().ok()?;
    let (unit, divisor) = unit(suffix)?;
    let places = u32::try_from(decimals.len()).ok()?;
    let divisor = 10_u128.checked_pow(places)?.checked_mul(divisor)?;
    Some(digits.checked_mul(unit)?.div_ceil(divisor))
}

/// Thousandths in one of the unit, as a fraction.
fn unit(suffix: &str) -> Option<(u128, u128)> {
    const DECIMAL: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
    const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let power = |of: &[&str; 7]| of.iter().position(|name| *name == suffix);
    match suffix {
        "n" => return Some((1, 1_000_000)),
        "u" => return Some((1, 1000)),
        "m" => return Some((1, 1)),
        _ => {}
    }
    if let Some(power) = power(&DECIMAL) {
        return Some((1000_u128.pow(u32::try_from(power).ok()? + 1), 1));
    }
    if let Some(power) = power(&BINARY) {
        return Some((1000 << (10 * power), 1));
    }
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    let scale = 10_u128.checked_pow(exponent.unsigned_abs())?;
    if exponent < 0 { Some((1000, scale)) } else { Some((scale.checked_mul(1000)?, 1)) }
}

/// An amount as people write it: `100m`, `2`, `16Mi`.
pub(crate) fn text(resource: Resource, amount: u128) -> String {
    if !amount.is_multiple_of(1000) {
        return format!("{amount}m");
    }
    let whole = amount / 1000;
    let suffixes: &[(u32, &str)] = match resource {
        Resource::Cpu => &[],
        Resource::Memory => &[(30, "Gi"), (20, "Mi"), (10, "Ki")],
    };
    let fits = |(bits, _): &&(u32, &str)| whole > 0 && whole.trailing_zeros() >= *bits;
    match suffixes.iter().find(fits) {
        Some((bits, suffix)) => format!("{}{suffix}", whole >> bits),
        None => whole.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_quantity_is_read() {
        for (text, expected) in [
            ("0", Some(0)),
            ("10m", Some(10)),
            ("100n", Some(1)),
            ("1500u", Some(2)),
            ("0.5m", Some(1)),
            (".5", Some(500)),
            ("1.", Some(1000)),
            ("1.2345", Some(1235)),
            ("2k", Some(2_000_000)),
            ("1E", Some(10_u128.pow(21))),
            ("1e3", Some(1_000_000)),
            ("15e-1", Some(1500)),
            ("2E2", Some(200_000)),
            ("1Ki", Some(1_024_000)),
            ("0.5Gi", Some((512 << 20) * 1000)),
            ("16Ei", Some((16 << 60) * 1000)),
            ("", None),
            (".", None),
            ("-1", None),
            ("1.2.3", None),
            ("1KB", None),
            ("1e", None),
            ("1e99", None),
            ("m", None),
            ("99999999999999999999999999999999999999999", None),
        ] {
            assert_eq!(amount(text), expected, "{text:?} in thousandths");
        }
    }

    #[test]
    fn amounts_are_written_as_they_are_read() {
        for (resource, amount, expected) in [
            (Resource::Cpu, 100, "100m"),
            (Resource::Cpu, 2000, "2"),
            (Resource::Cpu, 1500, "1500m"),
            (Resource::Memory, (16 << 20) * 1000, "16Mi"),
            (Resource::Memory, (1 << 30) * 1000, "1Gi"),
            (Resource::Memory, 1_025_000, "1025"),
            (Resource::Memory, 0, "0"),
        ] {
            let written = text(resource, amount);
            assert_eq!(written, expected);
            assert_eq!(super::amount(&written), Some(amount), "{written} reads back");
        }
    }
}
