//! The HTML report: one file with everything in it, for a person who has to choose an allocator.
//!
//! [`html()`] turns a results document into a page that needs no network, no script (one small script makes the
//! legend and the tables' headings react) and no fonts of its own, in light and dark, from a phone's width up. Who
//! calls it: `commands`. From top to bottom the page answers: where does Stratalloc stand, where does it lose, how
//! does each workload look, and how was that measured.
//!
//! | module | what it owns |
//! |---|---|
//! | `view` | what all sections look at: contenders and metrics of a face |
//! | `figures`, `scale`, `plot`, `look` | numbers in words, scales, frames with curves, colours and markers |
//! | `headline` … `method` | the sections, in the order of the page |
//!
//! Plots are written as SVG by these modules, not by a plotting crate: hover titles, a page-wide legend, colours
//! that follow light and dark, and drawings that keep their letters' size at any width are not to be had from one.
//! Invariant: all text from the document passes through `maud`, which escapes it; all numbers pass through
//! `figures` or `scale`, which let no `NaN` and no infinity out.

mod fastpath;
mod figures;
mod headline;
mod heat;
mod latency;
mod look;
#[cfg(test)]
mod made_up;
mod memory;
mod method;
mod overview;
mod plot;
mod ratios;
mod scale;
mod scaling;
mod standing;
#[cfg(test)]
mod tests;
mod view;
mod workloads;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::store::{Face, Results};
use view::{Field, fields};

/// The whole page.
pub fn html(results: &Results) -> String {
    let fields = fields(results);
    let chapters: Vec<Vec<Section>> = fields.iter().map(sections).collect();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Stratalloc against its peers, " (results.machine.date) }
                style { (PreEscaped(look::STYLE)) (look::slot_styles()) }
            }
            body {
                (look::sprites())
                header { div {
                    h1 { "Stratalloc against its peers" }
                    @match fields.first() {
                        Some(field) => {
                            (headline::verdict(field))
                            (headline::circumstances(results))
                            (headline::tiles(field))
                        }
                        None => {
                            p.verdict { "No contender took part." }
                            (headline::circumstances(results))
                        }
                    }
                    (headline::warnings(results))
                    (contents(&fields, &chapters))
                } }
                @if let Some(field) = fields.first() { (legend(&fields, field)) }
                main {
                    @for (index, (field, sections)) in fields.iter().zip(&chapters).enumerate() {
                        @if index > 0 {
                            section id=(format!("{}-chapter", field.face)) {
                                h2 { (face_words(field.face)) }
                                (headline::verdict(field))
                                (headline::tiles(field))
                            }
                        }
                        @for section in sections { (section.content) }
                    }
                    (method::method(results))
                }
                footer {
                    "Written by the measuring bench of Stratalloc, format " (results.format)
                    ". The JSON document that this page was made from has every sample."
                }
                script { (PreEscaped(look::SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// A section that has something to show.
struct Section {
    /// Its address, after the face's name.
    name: &'static str,
    /// What links to it say.
    words: &'static str,
    content: Markup,
}

/// A face's sections, without those for which nothing was measured.
fn sections(field: &Field) -> Vec<Section> {
    let all = [
        ("overview", "time against memory", overview::overview(field)),
        ("standing", "losses and wins", standing::standing(field)),
        ("table", "every workload", heat::heat(field)),
        ("ratios", "ratios", ratios::ratios(field)),
        ("time", "memory over time", memory::over_time(field)),
        ("work", "fragmentation", memory::over_work(field)),
        ("latency", "latency", latency::latency(field)),
        ("threads", "threads", scaling::threads(field)),
        ("live", "live heap", scaling::live_heap(field)),
        ("churn", "long run", scaling::long_run(field)),
        ("instructions", "instructions", fastpath::fast_paths(field)),
        ("workloads", "the workloads", workloads::workloads(field)),
    ];
    let all = all.into_iter().map(|(name, words, content)| Section { name, words, content });
    all.filter(|section| !section.content.0.is_empty()).collect()
}

/// What a face is, as a heading.
fn face_words(face: Face) -> &'static str {
    match face {
        Face::Preload => "As a preloaded library",
        Face::Rust => "As the program's global allocator, in Rust",
    }
}

/// Links to the first face's sections, to the other faces and to the method.
fn contents(fields: &[Field], chapters: &[Vec<Section>]) -> Markup {
    html! {
        nav aria-label="Contents" {
            @for (field, sections) in fields.iter().zip(chapters).take(1) {
                @for section in sections {
                    a href=(format!("#{}-{}", field.face, section.name)) { (section.words) }
                }
            }
            @for field in fields.iter().skip(1) {
                a href=(format!("#{}-chapter", field.face)) { "as global allocator" }
            }
            a href="#method" { "method" }
        }
    }
}

/// The contenders' markers, in sight all the way down.
fn legend(fields: &[Field], first: &Field) -> Markup {
    // A contender of another face only, such as one that is no library, stands at the end.
    let others = fields.iter().flat_map(|field| &field.entrants);
    let others = others.filter(|other| first.entrants.iter().all(|entrant| entrant.slot != other.slot));
    html! {
        div.legend { div role="group" aria-label="Contenders: press to emphasise" {
            @for entrant in first.entrants.iter().chain(others) {
                button type="button" aria-pressed="false" data-c=(entrant.slot) class=[entrant.emphasis()]
                    title=(entrant.record.note.as_deref().unwrap_or(&entrant.record.version)) {
                    (look::inline_marker(entrant)) (entrant.label())
                    @if !entrant.measured { " (not measured)" }
                }
            }
        } }
    }
}
