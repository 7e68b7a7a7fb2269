//! From values to places in a drawing: linear and logarithmic scales and the ticks of their axes.
//!
//! Used by every plot. Invariant: a scale's ends differ and are finite, so [`Scale::at`] is finite for each finite
//! value (and a logarithmic one takes what is not above zero as its lower end).

/// A range of values laid on a range of places.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    logarithmic: bool,
}

/// How far a range without extent is widened to both sides.
const WIDEN: f64 = 1.05;

impl Scale {
    /// `low` lies at `from`, `high` at `to`; values in between evenly.
    pub fn linear((low, high): (f64, f64), (from, to): (f64, f64)) -> Scale {
        let (low, high) = if low.is_finite() && high.is_finite() { (low, high) } else { (0.0, 1.0) };
        let high = if high > low { high } else { low + low.abs().max(1.0) * (WIDEN - 1.0) };
        Scale { low, high, from, to, logarithmic: false }
    }

    /// As [`Scale::linear`], but equal ratios are equal lengths. Both ends must be above zero to count.
    pub fn logarithmic((low, high): (f64, f64), (from, to): (f64, f64)) -> Scale {
        let sound = low.is_finite() && high.is_finite() && low > 0.0 && high > 0.0;
        let (low, high) = if sound { (low, high) } else { (1.0, 10.0) };
        let (low, high) = if high > low { (low, high) } else { (low / WIDEN, low * WIDEN) };
        Scale { low, high, from, to, logarithmic: true }
    }

    /// Where a value lies; beyond the ends it is drawn at the end.
    pub fn at(&self, value: f64) -> f64 {
        let value = if value.is_nan() { self.low } else { value.clamp(self.low, self.high) };
        let share = if self.logarithmic {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + share * (self.to - self.from)
    }

    /// Whether a value lies within the ends.
    pub fn holds(&self, value: f64) -> bool {
        value >= self.low && value <= self.high
    }

    /// About `wanted` round values within the ends, ascending.
    pub fn ticks(&self, wanted: usize) -> Vec<f64> {
        let wanted = wanted.max(2);
        if !self.logarithmic {
            return evenly(self.low, self.high, wanted);
        }
        let decades = (self.high / self.low).log10();
        // From coarse to fine: the first series that gives enough.
        let every = (decades / wanted as f64).ceil().max(1.0) as i32;
        let series: [&[f64]; 6] = [
            &[1.0],
            &[1.0, 3.0],
            &[1.0, 2.0, 5.0],
            &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0],
            &[1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0],
            &[1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.8, 2.0, 2.2, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
        ];
        let mut ticks = Vec::new();
        for leading in series {
            let next = self.of_decades(leading, if leading.len() == 1 { every } else { 1 });
            if next.len() > wanted + wanted / 2 {
                break;
            }
            ticks = next;
            if ticks.len() >= wanted {
                break;
            }
        }
        // A range narrower than the finest series is nearly linear.
        if ticks.len() < 3 { evenly(self.low, self.high, wanted) } else { ticks }
    }

    /// All values of the form `leading × 10^n` within the ends, of every `every`-th decade.
    fn of_decades(&self, leading: &[f64], every: i32) -> Vec<f64> {
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let mut ticks = Vec::new();
        for decade in (first..=last).filter(|decade| decade.rem_euclid(every) == 0) {
            ticks.extend(leading.iter().map(|digit| digit * 10f64.powi(decade)).filter(|&tick| self.holds(tick)));
        }
        ticks
    }
}

/// Multiples of 1, 2 or 5 times a power of ten.
fn evenly(low: f64, high: f64, wanted: usize) -> Vec<f64> {
    let rough = (high - low) / wanted as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|digit| digit * power).find(|&step| step >= rough * 0.999);
    let step = step.unwrap_or(10.0 * power);
    let (first, last) = ((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64);
    (first..=last).map(|index| index as f64 * step).collect()
}

/// The smallest and the largest of all finite values; `None` of nothing.
pub fn extent(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values.into_iter().filter(|value| value.is_finite()).fold(None, |extent, value| match extent {
        None => Some((value, value)),
        Some((low, high)) => Some((low.min(value), high.max(value))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_lie_at_the_ends() {
        let scale = Scale::linear((0.0, 10.0), (100.0, 0.0));
        assert_eq!((scale.at(0.0), scale.at(10.0), scale.at(2.5)), (100.0, 0.0, 75.0));
        assert_eq!(scale.at(40.0), 0.0);
        let scale = Scale::logarithmic((1.0, 100.0), (0.0, 200.0));
        assert!((scale.at(10.0) - 100.0).abs() < 1e-9);
        assert_eq!(scale.at(0.0), 0.0);
    }

    #[test]
    fn ranges_without_extent_are_widened() {
        for value in [0.0, 1.0, 5.0, 1e9] {
            assert!(Scale::linear((value, value), (0.0, 1.0)).at(value).is_finite());
            assert!(Scale::logarithmic((value, value), (0.0, 1.0)).at(value).is_finite());
        }
        assert!(Scale::logarithmic((f64::NAN, 2.0), (0.0, 1.0)).at(f64::INFINITY).is_finite());
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(Scale::linear((0.0, 97.0), (0.0, 1.0)).ticks(5), vec![0.0, 20.0, 40.0, 60.0, 80.0]);
        assert_eq!(Scale::logarithmic((1.0, 1e4), (0.0, 1.0)).ticks(5), vec![1.0, 10.0, 100.0, 1e3, 1e4]);
        for (low, high) in [(1.0, 1.3), (0.9, 4.0), (1.0, 20.0), (3.0, 7e6), (0.5, 0.50001), (1.0, 1e12)] {
            for wanted in [4, 6, 8] {
                let ticks = Scale::logarithmic((low, high), (0.0, 1.0)).ticks(wanted);
                assert!((2..=2 * wanted).contains(&ticks.len()), "{low}..{high}, {wanted} wanted: {ticks:?}");
                assert!(ticks.windows(2).all(|pair| pair[0] < pair[1]), "{ticks:?}");
            }
        }
    }

    #[test]
    fn extents_leave_out_what_is_no_number() {
        assert_eq!(extent([2.0, f64::NAN, 1.0, f64::INFINITY]), Some((1.0, 2.0)));
        assert_eq!(extent([f64::NAN]), None);
    }
}
