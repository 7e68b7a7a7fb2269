//! A plot of curves in a frame: both axes with ticks and words, a curve a contender, the values in hover titles.
//!
//! Used by the sections on memory over time, latency and scaling. Stratalloc's curve is drawn last, over the
//! others.

use maud::{Markup, html};

use super::figures::length;
use super::look::marker;
use super::scale::Scale;
use super::view::{Entrant, Role};

const LEFT: f64 = 50.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 36.0;

/// Size of a drawing in units; the page scales it to the width it has, so it should be about that wide.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    width: f64,
    height: f64,
}

/// For one of three in a row.
pub const SMALL: Frame = Frame { width: 360.0, height: 216.0 };
/// For one of two in a row.
pub const WIDE: Frame = Frame { width: 510.0, height: 250.0 };

impl Frame {
    /// Where curves' horizontal places lie.
    pub const fn across(self) -> (f64, f64) {
        (LEFT, self.width - RIGHT)
    }

    /// Where their vertical places lie, the lowest value first.
    pub const fn upward(self) -> (f64, f64) {
        (self.height - BOTTOM, TOP)
    }
}

/// Values with the words for them.
pub type Ticks = Vec<(f64, String)>;

/// One axis.
pub struct Axis {
    /// Where values lie.
    pub scale: Scale,
    /// Where lines are drawn and what stands there, with its unit.
    pub ticks: Ticks,
}

/// One contender's curve.
pub struct Curve<'a> {
    /// Whose.
    pub entrant: &'a Entrant<'a>,
    /// Left to right.
    pub points: Vec<(f64, f64)>,
    /// What hovering says beside the name.
    pub title: String,
    /// Whether each point is a measurement of its own and gets a marker.
    pub marked: bool,
}

/// Draws the plot. `label` says in words what is seen, `words` what is laid off to the right; the axes' scales are
/// those of the frame.
pub fn plot(
    frame: Frame,
    label: &str,
    (across, words): (&Axis, &str),
    upward: &Axis,
    mut curves: Vec<Curve>,
) -> Markup {
    // Peers first, copies, then Stratalloc on top.
    curves.sort_by_key(|curve| match curve.entrant.role {
        Role::Peer => 0,
        Role::Copy => 1,
        Role::Own => 2,
    });
    let (right, floor) = (frame.across().1, frame.upward().0);
    html! {
        @let view = format!("0 0 {} {}", frame.width, frame.height);
        svg.plot.wide[frame.width > SMALL.width] viewBox=(view) role="img" aria-label=(label) {
            @for (value, tick) in &upward.ticks {
                @let y = upward.scale.at(*value);
                line.grid x1=(LEFT) x2=(right) y1=(length(y)) y2=(length(y)) {}
                text.axis x=(LEFT - 5.0) y=(length(y + 3.8)) text-anchor="end" { (tick) }
            }
            @for (value, tick) in &across.ticks {
                @let x = across.scale.at(*value);
                line.grid x1=(length(x)) x2=(length(x)) y1=(TOP) y2=(floor) {}
                // Words at the right end stay within the drawing.
                @let anchor = if x > right - 12.0 { "end" } else { "middle" };
                text.axis x=(length(x)) y=(floor + 14.0) text-anchor=(anchor) { (tick) }
            }
            line.frame x1=(LEFT) x2=(right) y1=(floor) y2=(floor) {}
            text.axis x=((LEFT + right) / 2.0) y=(frame.height - 5.0) text-anchor="middle" { (words) }
            @for curve in &curves {
                @let path = path(&curve.points, &across.scale, &upward.scale);
                @let title = format!("{}: {}", curve.entrant.label(), curve.title);
                g.series data-c=(curve.entrant.slot) {
                    title { (title) }
                    path class=(format!("curve {}", curve.entrant.class())) d=(path) {}
                    path.hit d=(path) {}
                    @if curve.marked || curve.points.len() == 1 {
                        @for &(x, y) in &curve.points {
                            @let at = (length(across.scale.at(x)), length(upward.scale.at(y)));
                            (marker(curve.entrant, &at.0, &at.1, &title))
                        }
                    }
                }
            }
        }
    }
}

/// The curve as SVG path data; places are relative after the first, which halves the length of the text.
fn path(points: &[(f64, f64)], across: &Scale, upward: &Scale) -> String {
    let mut data = String::new();
    let tenths = |value: f64| (value * 10.0).round() as i64;
    let mut last = None;
    for &(x, y) in points {
        let place = (tenths(across.at(x)), tenths(upward.at(y)));
        let written = |value: i64| length(value as f64 / 10.0);
        match last {
            None => data.push_str(&format!("M{} {}", written(place.0), written(place.1))),
            Some(last) if last == place => continue,
            Some((x, y)) => data.push_str(&format!("l{} {}", written(place.0 - x), written(place.1 - y))),
        }
        last = Some(place);
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_and_skip_what_does_not_move() {
        let scale = Scale::linear((0.0, 10.0), (0.0, 100.0));
        let points = [(0.0, 0.0), (0.0, 0.0), (1.0, 2.0), (2.0, 1.0)];
        assert_eq!(path(&points, &scale, &scale), "M0 0l10 20l10 -10");
        assert_eq!(path(&[], &scale, &scale), "");
    }
}
