//! Numbers and times as people read them.

/// A number with so many significant digits, without needless zeros; empty if it is none.
pub(super) fn significant(number: f64, digits: usize) -> String {
    if !number.is_finite() {
        return String::new();
    }
    if number == 0.0 {
        return "0".to_owned();
    }
    let magnitude = number.abs().log10().floor() as i32;
    if !(-5..15).contains(&magnitude) {
        return trimmed_exponent(&format!("{number:.*e}", digits - 1));
    }
    let decimals = usize::try_from(digits as i32 - 1 - magnitude).unwrap_or(0);
    let text = format!("{number:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn trimmed_exponent(text: &str) -> String {
    match text.split_once('e') {
        Some((mantissa, exponent)) if mantissa.contains('.') => {
            format!("{}e{exponent}", mantissa.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text.to_owned(),
    }
}

/// A whole number with a comma every three digits.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A duration such as `1 h 3 min`, `3 min 20 s` or `4.2 s`.
pub(super) fn duration(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0..60 => format!("{:.1} s", milliseconds as f64 / 1000.0),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A size such as `1.3 GB`.
pub(super) fn size(bytes: u64) -> String {
    let mut size = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if size < 1000.0 {
            return format!("{} {unit}", significant(size, 3));
        }
        size /= 1000.0;
    }
    format!("{} TB", significant(size, 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let check = |number, expected: &str| assert_eq!(significant(number, 4), expected);
        check(0.0, "0");
        check(2.0, "2");
        check(1.23456, "1.235");
        check(0.0002, "0.0002");
        check(1e-8, "1e-8");
        check(123456.0, "123456");
        check(-0.5, "-0.5");
        check(f64::NAN, "");
        assert_eq!((grouped(999), grouped(1_234_567)), ("999".into(), "1,234,567".into()));
        assert_eq!(duration(4_200), "4.2 s");
        assert_eq!(duration(3_780_000), "1 h 3 min");
        assert_eq!((size(999), size(1_340_000_000)), ("999 B".into(), "1.34 GB".into()));
    }
}
