//! How it was measured, in plain words, and who took part in which version.

use maud::{Markup, html};

use super::figures::{NONE, counted, percent};
use crate::contenders::{NULL, OWN};
use crate::stats::{COVERAGE, DEFAULT_NOISE, RESAMPLES};
use crate::store::Results;

/// No machine has so many cores: a limit above it is none.
const UNLIMITED: f64 = 1e5;

/// The section.
pub fn method(results: &Results) -> Markup {
    let plan = &results.plan;
    html! {
        section.method id="method" {
            h2 { "How it was measured" }
            dl {
                dt { "A process each" }
                dd {
                    "Each run is a process of its own, so nothing is left over from another allocator. Under "
                    "“preload” the library gets into an unchanged program by "
                    code { "LD_PRELOAD" } "; under “rust” it is the "
                    "program's " code { "#[global_allocator]" } ", called with sizes and inlined where it can be. "
                    "Every process says which library its " code { "malloc" } " came from; a run with the wrong "
                    "one is not counted, nor is one whose result differs from the other contenders' result."
                }
                dt { "In turn" }
                dd {
                    "Of each workload all contenders run once, then all again, "
                    (counted(plan.rounds as usize, "round")) " in all, in an order that rotates: a machine that grows "
                    "warm or busy meets everybody. Random numbers start from the same seed (" (plan.seed) ") for all, "
                    "so everybody does the same work."
                }
                dt { "Noise" }
                dd {
                    "While a run goes on, the CPU time of everything else on the machine is watched"
                    @if plan.disturbance < UNLIMITED {
                        "; if it is above " (percent(plan.disturbance)) " of one core, the run is repeated, and if "
                        "that does not help it is kept and marked as disturbed."
                    } @else { "; but there was no limit from which a run would have been repeated." }
                }
                dt { "The null contender" }
                dd {
                    code { (NULL) } " is a copy of the very file that " code { (OWN) } " is, and takes part like "
                    "everyone else. Whatever the two differ by is not due to the allocator. The difference that "
                    "nine workloads in ten stay below is the noise floor: a smaller difference between "
                    "Stratalloc and a "
                    "peer is called level here. Without a null copy " (percent(DEFAULT_NOISE)) " is taken. The null copy is never the best "
                    "of a row, as it would be a second draw for Stratalloc."
                }
                dt { "Medians, ratios, means" }
                dd {
                    "A cell is the median over the rounds, its spread the range between the quartiles. A ratio "
                    "is that median divided by the lowest of the row, so 1 is the best. Over workloads, ratios "
                    "are averaged by the geometric mean, in which twice as good and twice as bad cancel out. A "
                    "contender that failed on a workload has no ratio there and is averaged over the others; the "
                    "table of means says over how many."
                }
                dt { "Intervals" }
                dd {
                    (percent(COVERAGE)) " intervals come from " (RESAMPLES) " bootstrap resamples: rounds are "
                    "drawn with replacement, the same ones for all contenders of a workload. They say how far "
                    "another measurement on this machine with these workloads may differ. They do not say what "
                    "another machine or another program would show."
                }
                dt { "Memory" }
                dd {
                    "Peak memory is the kernel's own high-water mark of resident memory, up to the end of the "
                    "measured part. Memory at rest is what is resident "
                    (plan.rest) " ms after everything was freed, with no call to the allocator in between. "
                    "Courses over time are sampled from outside."
                }
                dt { "Latency" }
                dd {
                    "Measured by a build of its own that times each call to the allocator and sorts it into a "
                    "histogram of two significant digits, "
                    (counted(plan.latency_rounds as usize, "round")) ". Timing costs time, so these runs tell "
                    "nothing about throughput, and throughput is never taken from them. The longest call of a "
                    "contender may be the kernel's scheduling rather than the allocator."
                }
                dt { "Instructions" }
                dd {
                    "Counted by callgrind: N pairs of allocation and release, then 2N; the difference divided by "
                    "N is one pair."
                }
            }
            h3 { "Who took part" }
            div.scroll { table.plain {
                thead { tr {
                    @for words in ["contender", "face", "version", "upstream's newest", "remarks"] {
                        th scope="col" { (words) }
                    }
                } }
                tbody { @for record in &results.contenders {
                    tr.own[record.name == OWN] {
                        th scope="row" { (record.name) }
                        td.text { (record.face) }
                        td.text { @if record.version.is_empty() { (NONE) } @else { (record.version) } }
                        td.text { (record.lags_behind.as_deref().unwrap_or("the same, or not known")) }
                        td.text {
                            @if let Some(failure) = &record.failure { "could not take part: " (failure) ". " }
                            (record.note.as_deref().unwrap_or_default())
                        }
                    }
                } }
            } }
        }
    }
}
