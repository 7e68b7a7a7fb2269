//! Losses as plainly as wins: each workload's ratio of Stratalloc to the best peer in it, worst first.

use maud::{Markup, html};

use super::figures::{length, percent, ratio, tick};
use super::headline::interval;
use super::heat::tab;
use super::scale::{Scale, extent};
use super::view::{Field, Standings, Verdict, anchor};

/// The largest ratio (and the smallest, inverted) that has its own place; what is beyond is drawn at the end.
const WIDEST: f64 = 8.0;

/// The section; nothing where Stratalloc or all peers are missing.
pub fn standing(field: &Field) -> Markup {
    if field.standings.iter().all(|standings| standings.rows.is_empty()) {
        return html! {};
    }
    html! {
        section id=(format!("{}-standing", field.face)) {
            h2 { "Where Stratalloc loses, and where it wins" }
            p.lede {
                "Against the best peer of each workload, whichever that is: so several strong peers are beaten "
                "only by being ahead of each at what it is best at. Worst first. A bar to the right is behind, "
                "to the left ahead; what lies within the grey band, or whose interval reaches 1, is not told "
                "from noise."
            }
            div.halves {
                @for standings in &field.standings {
                    div {
                        h3 { (tab(standings.metric)) }
                        @if standings.rows.is_empty() {
                            p.note { "Not measured." }
                        } @else {
                            (score(standings))
                            @if let Some(mean) = &standings.mean {
                                p.note { "Geometric mean of Stratalloc to the best peer: " b { (interval(mean)) } }
                            }
                            (bars(field, standings))
                        }
                    }
                }
            }
        }
    }
}

/// What each verdict is called, the worst first.
const VERDICTS: [(Verdict, &str); 3] =
    [(Verdict::Behind, "behind"), (Verdict::Level, "level within noise"), (Verdict::Ahead, "ahead")];

/// How many of each verdict.
fn score(standings: &Standings) -> Markup {
    html! {
        div.score {
            @for (verdict, words) in VERDICTS {
                span class=(verdict.class()) { b { (standings.count(verdict)) } " " (words) }
            }
            span { "noise: ± " (percent(standings.noise)) }
        }
    }
}

fn bars(field: &Field, standings: &Standings) -> Markup {
    let noise = standings.noise;
    let far = extent(standings.rows.iter().map(|row| row.ratio.value.ln().abs())).map_or(0.0, |(_, high)| high);
    let far = (far * 1.08).exp().max(1.0 + 2.0 * noise).clamp(1.1, WIDEST);
    let scale = Scale::logarithmic((1.0 / far, far), (1.0, 99.0));
    let ticks = ticks(far);
    let band = (1.0 / (1.0 + noise), 1.0 + noise);
    let place = |value: f64| format!("{}%", length(scale.at(value)));
    let stretch = |from: f64, to: f64| format!("{}%", length((scale.at(to) - scale.at(from)).max(0.3)));
    html! {
        div.rows {
            (heading(&ticks, &scale))
            @for standing in &standings.rows {
                @let verdict = Verdict::of(&standing.ratio, noise);
                @let value = standing.ratio.value;
                @let rival = &field.entrants[standing.peer];
                @let figure = interval(&standing.ratio);
                @let title = format!("{}: {figure} of {}, the best peer", standing.workload, rival.label());
                div.name {
                    a href=(format!("#{}", anchor(field.face, &standing.workload))) { (standing.workload) }
                    small { "best: " (rival.label()) }
                }
                svg.track role="img" aria-label=(title) {
                    title { (title) }
                    rect.noise x=(place(band.0)) width=(stretch(band.0, band.1)) y="0" height="32" {}
                    @for &tick in &ticks { line.grid x1=(place(tick)) x2=(place(tick)) y1="0" y2="32" {} }
                    line.one x1=(place(1.0)) x2=(place(1.0)) y1="0" y2="32" {}
                    @let (left, right) = (value.min(1.0), value.max(1.0));
                    rect class=(verdict.class()) x=(place(left)) width=(stretch(left, right)) y="10" height="12" rx="1.5" {}
                    @if let Some((low, high)) = standing.ratio.bounds {
                        line.whisker x1=(place(low)) x2=(place(high)) y1="16" y2="16" {}
                    }
                }
                div class=(format!("value {}", verdict.class())) {
                    (ratio(value))
                    @if value > far || value < 1.0 / far { small { "off the scale" } }
                }
            }
        }
    }
}

/// Ticks to both sides of 1, mirrored: 0.5 lies as far as 2.
fn ticks(far: f64) -> Vec<f64> {
    let upper: &[f64] = match far {
        far if far < 1.25 => &[1.1, 1.2],
        far if far < 1.6 => &[1.25, 1.5],
        far if far < 3.0 => &[1.5, 2.0],
        _ => &[2.0, 4.0, 8.0],
    };
    let upper = upper.iter().copied().filter(|&tick| tick <= far);
    let lower = upper.clone().map(|tick| 1.0 / tick);
    lower.chain([1.0]).chain(upper.clone()).collect()
}

fn heading(ticks: &[f64], scale: &Scale) -> Markup {
    html! {
        div {}
        svg.track.ticks aria-hidden="true" {
            @for &value in ticks {
                text x=(format!("{}%", length(scale.at(value)))) y="12" text-anchor="middle" {
                    (tick((value * 100.0).round() / 100.0))
                }
            }
        }
        div {}
    }
}
