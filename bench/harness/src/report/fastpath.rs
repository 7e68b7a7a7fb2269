//! Instructions of a pair of `malloc` and `free`: what does not depend on the machine's mood.

use maud::{Markup, html};

use super::figures::NONE;
use super::view::Field;
use crate::series::instructions;

/// The section; nothing where nothing was counted.
pub fn fast_paths(field: &Field) -> Markup {
    let counted = instructions(field.results, field.face);
    let mut sizes: Vec<u64> = counted.iter().map(|&(size, ..)| size).collect();
    sizes.dedup();
    if sizes.is_empty() {
        return html! {};
    }
    let value = |size: u64, name: &str| {
        counted.iter().find(|(s, contender, _)| *s == size && contender == name).map(|&(.., value)| value)
    };
    html! {
        section id=(format!("{}-instructions", field.face)) {
            h2 { "Instructions of the fast paths" }
            p.lede {
                "One " code { "malloc" } " and the " code { "free" } " of the same block, over and over, counted "
                "by callgrind: exact, and the same on every machine of this kind. Fewer instructions are not "
                "always less time: cache misses and page faults are not seen here."
            }
            div.scroll { table.heat {
                thead { tr {
                    th scope="col" { "block size" }
                    @for entrant in &field.entrants {
                        th scope="col" data-c=(entrant.slot) class=[entrant.emphasis()] { (entrant.label()) }
                    }
                } }
                tbody { @for size in sizes {
                    @let of_size = counted.iter().filter(|(s, ..)| *s == size).map(|&(.., value)| value);
                    @let lowest = of_size.fold(f64::INFINITY, f64::min);
                    tr {
                        th scope="row" { (bytes(size)) }
                        @for entrant in &field.entrants {
                            @match value(size, &entrant.record.name).filter(|value| value.is_finite()) {
                                Some(value) => {
                                    // No allocator serves a pair in less than one instruction.
                                    @let class = entrant.cell(value.max(1.0) / lowest.max(1.0));
                                    td class=(class) data-c=(entrant.slot) { (format!("{value:.1}")) }
                                }
                                None => { td.none { (NONE) } }
                            }
                        }
                    }
                } }
            } }
        }
    }
}

fn bytes(size: u64) -> String {
    match size {
        size if size >= 1 << 20 && size % (1 << 20) == 0 => format!("{} MiB", size >> 20),
        size if size >= 1 << 10 && size % (1 << 10) == 0 => format!("{} KiB", size >> 10),
        size => format!("{size} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_exact() {
        assert_eq!([16, 1000, 1024, 1536, 2 << 20].map(bytes), ["16 B", "1000 B", "1 KiB", "1536 B", "2 MiB"]);
    }
}
