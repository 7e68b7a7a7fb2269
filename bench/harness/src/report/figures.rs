//! Numbers as people read them: ratios, times, memory, counts, and percentages, each with its unit.
//!
//! Called by every part of the report. Invariant: whatever comes in, no `NaN` and no `inf` goes out; a number that
//! does not exist is an en dash.

/// What stands where there is no number.
pub const NONE: &str = "–";

/// `1.00`, `13.5`, `240`: fewer digits the larger.
pub fn ratio(value: f64) -> String {
    let finite = value.is_finite();
    match value {
        _ if !finite => NONE.to_owned(),
        value if value < 9.995 => format!("{value:.2}"),
        value if value < 99.95 => format!("{value:.1}"),
        value if value < 99_999.5 => format!("{value:.0}"),
        value => count(value),
    }
}

/// A share as percent, `35 %`, with a decimal below ten: `4.1 %`, but `4 %`.
pub fn percent(share: f64) -> String {
    let value = share * 100.0;
    match value.abs() {
        size if !size.is_finite() => NONE.to_owned(),
        size if size > 0.0 && size < 0.05 => "<0.1 %".to_owned(),
        size if (size - size.round()).abs() < 1e-9 => format!("{value:.0} %"),
        size if size < 9.95 => format!("{value:.1} %"),
        _ => format!("{value:.0} %"),
    }
}

/// Three significant digits of a number between 0.001 and 1000.
fn digits(value: f64) -> String {
    match value.abs() {
        size if size < 9.995 => format!("{value:.2}"),
        size if size < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// The value in the largest unit in which it is at least one; units ascend, each with what it is worth.
fn scaled(value: f64, units: &[(f64, &str)]) -> String {
    if !value.is_finite() {
        return NONE.to_owned();
    }
    // A value that rounding carries into the next unit (999.9 of 1000) is shown in that unit.
    let fits = |&&(worth, _): &&(f64, &str)| value.abs() >= worth * 0.9995;
    let &(worth, unit) = units.iter().rev().find(fits).unwrap_or(&units[0]);
    if value == 0.0 { format!("0 {unit}") } else { format!("{} {unit}", digits(value / worth)) }
}

/// Nanoseconds, in the unit that fits.
pub fn nanoseconds(value: f64) -> String {
    scaled(value, &[(1.0, "ns"), (1e3, "µs"), (1e6, "ms"), (1e9, "s")])
}

/// Seconds, in the unit that fits.
pub fn seconds(value: f64) -> String {
    scaled(value, &[(1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms"), (1.0, "s")])
}

/// KiB, in the unit that fits.
pub fn kib(value: f64) -> String {
    scaled(value, &[(1.0, "KiB"), (1024.0, "MiB"), (1024.0 * 1024.0, "GiB")])
}

/// A count: `950`, `12.3k`, `4.56M`, `7.80G`.
pub fn count(value: f64) -> String {
    match value.abs() {
        size if !size.is_finite() => NONE.to_owned(),
        size if size < 10.0 && value.fract() != 0.0 => format!("{value:.1}"),
        size if size < 999.5 => format!("{value:.0}"),
        size if size < 999.5e3 => format!("{}k", digits(value / 1e3)),
        size if size < 999.5e6 => format!("{}M", digits(value / 1e6)),
        _ => format!("{}G", digits(value / 1e9)),
    }
}

/// A tick of an axis: as short as it can be said.
pub fn tick(value: f64) -> String {
    if !value.is_finite() {
        return NONE.to_owned();
    }
    let (value, suffix) = match value.abs() {
        size if size >= 1e9 => (value / 1e9, "G"),
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = format!("{value:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{suffix}")
}

/// A length in a drawing: two decimals are finer than any screen.
pub fn length(value: f64) -> String {
    let text = format!("{:.2}", if value.is_finite() { value } else { 0.0 });
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// A list as a sentence has it: `a`, `a and b`, `a, b and c`.
pub fn listed<S: AsRef<str>>(words: &[S]) -> String {
    match words {
        [] => String::new(),
        [only] => only.as_ref().to_owned(),
        [rest @ .., last] => {
            let rest: Vec<&str> = rest.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", rest.join(", "), last.as_ref())
        }
    }
}

/// `1 round`, `5 rounds`.
pub fn counted(count: usize, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_fit() {
        assert_eq!(nanoseconds(12.0), "12.0 ns");
        assert_eq!(nanoseconds(1_250.0), "1.25 µs");
        assert_eq!(nanoseconds(999.9), "1.00 µs");
        assert_eq!(seconds(0.299), "299 ms");
        assert_eq!(seconds(12.34), "12.3 s");
        assert_eq!(seconds(0.0), "0 ns");
        assert_eq!(kib(512.0), "512 KiB");
        assert_eq!(kib(29.0 * 1024.0), "29.0 MiB");
        assert_eq!(kib(1536.0 * 1024.0), "1.50 GiB");
        assert_eq!(count(12_345.0), "12.3k");
        assert_eq!(count(0.0), "0");
        assert_eq!(count(2.5), "2.5");
        assert_eq!(percent(0.041), "4.1 %");
        assert_eq!(percent(0.35), "35 %");
        assert_eq!(percent(0.04), "4 %");
        assert_eq!(percent(0.0001), "<0.1 %");
    }

    #[test]
    fn ratios_lose_digits_as_they_grow() {
        assert_eq!(ratio(1.0), "1.00");
        assert_eq!(ratio(9.999), "10.0");
        assert_eq!(ratio(13.47), "13.5");
        assert_eq!(ratio(1234.0), "1234");
    }

    #[test]
    fn what_is_no_number_is_a_dash() {
        let functions = [ratio, percent, nanoseconds, seconds, kib, count, tick];
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(functions.iter().all(|function| function(value) == NONE));
            assert_eq!(length(value), "0");
        }
    }

    #[test]
    fn ticks_and_lengths_are_short() {
        assert_eq!(tick(1.5), "1.5");
        assert_eq!(tick(20.0), "20");
        assert_eq!(tick(50_000.0), "50k");
        assert_eq!(length(12.50), "12.5");
        assert_eq!(length(-0.001), "0");
    }

    #[test]
    fn sentences_list_with_and() {
        assert_eq!(listed(&["a"]), "a");
        assert_eq!(listed(&["a", "b", "c"]), "a, b and c");
        assert_eq!(counted(1, "round"), "1 round");
        assert_eq!(counted(5, "round"), "5 rounds");
    }
}
