//! How contenders look: a colour and a marker each, the same everywhere and in every report.
//!
//! Colours are the style sheet's (`style.css`, light and dark); no two contenders are told apart by colour alone,
//! since each has a marker, and curves of different contenders differ in their dashes. Stratalloc has a colour and
//! weight that no peer has.

use maud::{Markup, PreEscaped, html};

use super::view::{Entrant, Role};
use crate::contenders::NULL;
use crate::store::OURS;

/// The style sheet.
pub const STYLE: &str = include_str!("style.css");
/// What makes the legend's buttons and the tables' headings work; the page is complete without it.
pub const SCRIPT: &str = include_str!("script.js");

/// Contenders with a colour of their own, by slot.
const KNOWN: [&str; 12] = [
    OURS,
    NULL,
    "mimalloc3",
    "mimalloc2",
    "snmalloc",
    "jemalloc",
    "tcmalloc",
    "rpmalloc",
    "rusty-alloc",
    "ferroc",
    "gperftools",
    "glibc",
];
/// Slots in all; those beyond [`KNOWN`] are for contenders given on the command line.
pub const SLOTS: usize = 18;

/// Gives out slots within one face.
#[derive(Default)]
pub struct Slots {
    strangers: usize,
}

impl Slots {
    /// A known contender's own slot, or the next of the rest (over again where there are more).
    pub fn take(&mut self, name: &str) -> usize {
        let name = name.replace('_', "-");
        KNOWN.iter().position(|known| *known == name).unwrap_or_else(|| {
            self.strangers += 1;
            KNOWN.len() + (self.strangers - 1) % (SLOTS - KNOWN.len())
        })
    }
}

/// Outlines of markers around the origin, about ten units wide. Stratalloc's and its copy's are for them alone.
const MARKERS: [&str; SLOTS] = [
    "M0-7.5 1.9-2.6 7.1-2.3 3.1 1 4.4 6.1 0 3.2-4.4 6.1-3.1 1-7.1-2.3-1.9-2.6Z",
    "M0-7.5 1.9-2.6 7.1-2.3 3.1 1 4.4 6.1 0 3.2-4.4 6.1-3.1 1-7.1-2.3-1.9-2.6Z",
    "M-4.7 0A4.7 4.7 0 1 0 4.7 0A4.7 4.7 0 1 0-4.7 0Z",
    "M-4.2-4.2H4.2V4.2H-4.2Z",
    "M0-5.4 5.2 4H-5.2Z",
    "M0-5.6 5.6 0 0 5.6-5.6 0Z",
    "M0 5.4 5.2-4H-5.2Z",
    "M-1.7-5H1.7V-1.7H5V1.7H1.7V5H-1.7V1.7H-5V-1.7H-1.7Z",
    "M-3.6-5.1 0-1.5 3.6-5.1 5.1-3.6 1.5 0 5.1 3.6 3.6 5.1 0 1.5-3.6 5.1-5.1 3.6-1.5 0-5.1-3.6Z",
    "M0-5.3 5-1.6 3.1 4.3H-3.1L-5-1.6Z",
    "M5.4 0-4 5.2V-5.2Z",
    "M-5.2-2.4H5.2V2.4H-5.2Z",
    "M-5.4 0 4 5.2V-5.2Z",
    "M-2.4-5.2H2.4V5.2H-2.4Z",
    "M-2.6-4.6H2.6L5.2 0 2.6 4.6H-2.6L-5.2 0Z",
    "M-4.7 0A4.7 4.7 0 0 1 4.7 0Z",
    "M-4.7 0A4.7 4.7 0 0 0 4.7 0Z",
    "M-5-5H5L0 5Z",
];

/// The markers, once a page; every drawing refers to them.
pub fn sprites() -> Markup {
    html! {
        svg.sprites width="0" height="0" aria-hidden="true" {
            defs {
                @for (slot, outline) in MARKERS.iter().enumerate() {
                    path id=(format!("m{slot}")) d=(outline) {}
                }
            }
        }
    }
}

/// A contender's marker at a place, which may be a number of units or a percentage.
pub fn marker(entrant: &Entrant, x: &str, y: &str, title: &str) -> Markup {
    html! {
        use class=(format!("mark {}", entrant.class())) data-c=(entrant.slot) href=(format!("#m{}", entrant.slot))
            x=(x) y=(y) { title { (title) } }
    }
}

/// A contender's marker among text.
pub fn inline_marker(entrant: &Entrant) -> Markup {
    html! {
        svg.key width="16" height="16" viewBox="-8 -8 16 16" aria-hidden="true" {
            use class=(format!("mark {}", entrant.class())) href=(format!("#m{}", entrant.slot)) {}
        }
    }
}

/// Marker and name.
pub fn named(entrant: &Entrant) -> Markup {
    let own = entrant.role == Role::Own;
    html! {
        span.who.strong[own] { (inline_marker(entrant)) (entrant.label()) }
    }
}

/// Styles that differ by slot only: colour and dashes.
pub fn slot_styles() -> PreEscaped<String> {
    const DASHES: [&str; 5] = ["none", "7 3", "2 3", "9 3 2 3", "4 2"];
    let rule = |slot: usize| {
        let dash = if slot == 0 { "none" } else { DASHES[slot % DASHES.len()] };
        format!(".c{slot}{{--c:var(--c{slot});--dash:{dash}}}")
    };
    PreEscaped((0..SLOTS).map(rule).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_the_same_for_the_same_name() {
        let (mut first, mut second) = (Slots::default(), Slots::default());
        assert_eq!(first.take("snmalloc"), second.take("snmalloc"));
        assert_eq!(first.take("rusty_alloc"), first.take("rusty-alloc"));
        assert_ne!(first.take("mine"), first.take("yours"));
        assert!((0..50).all(|index| first.take(&format!("lib{index}")) < SLOTS));
        assert!((0..50).all(|index| first.take(&format!("lib{index}")) >= KNOWN.len()));
    }

    #[test]
    fn every_slot_has_colours_in_both_modes() {
        for slot in 0..SLOTS {
            let uses = STYLE.matches(&format!("--c{slot}:")).count();
            assert_eq!(uses, 2, "slot {slot} has {uses} colours, not one for light and one for dark");
        }
    }
}
