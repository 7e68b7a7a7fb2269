//! The C family as POSIX, C23 and glibc document it: errno, edge cases, alignment, contents, figures.

use stratalloc_tests::library::archive;
use stratalloc_tests::{c, cxx, on_libc, on_library};

/// What may stay resident after a trim, KiB over the start.
const LEFT_KIB: i64 = 4096;

#[test]
fn every_failure_returns_null_with_the_documented_errno() {
    on_library(c("surface/failures.c").build()).passes();
}

#[test]
fn every_function_at_its_edges_also_when_memory_is_really_out() {
    on_library(c("surface/edges.c").build()).passes();
}

#[test]
fn aligned_alloc_refuses_alignments_that_are_no_powers_of_two() {
    on_library(c("surface/alignment_arguments.c").build()).arg("strict").passes();
}

#[test]
fn zero_sizes_and_null_pointers_do_what_glibc_documents() {
    on_library(c("surface/zero_sizes.c").build()).passes();
}

#[test]
fn every_size_is_aligned_from_every_entry_point() {
    on_library(c("surface/alignment.c").build()).passes();
}

#[test]
fn usable_size_is_writable_to_its_last_byte() {
    on_library(c("surface/usable_size.c").build()).passes();
}

#[test]
fn calloc_is_zero_after_dirty_reuse() {
    on_library(c("surface/calloc_zero.c").build()).passes();
}

#[test]
fn realloc_keeps_contents_up_and_down_and_stays_inside_its_class() {
    on_library(c("surface/realloc_contents.c").build()).passes();
}

#[test]
fn realloc_doubling_to_one_gib_copies_nothing_above_the_large_threshold() {
    on_library(c("surface/realloc_doubling.c").build()).args([1024, 64]).passes();
}

#[test]
fn free_keeps_errno_even_when_the_kernel_refuses() {
    on_library(c("surface/free_errno.c").build()).passes();
}

#[test]
fn mallinfo_and_mallopt_answer_for_this_allocator() {
    let outcome = on_library(c("surface/figures.c").build()).passes();
    // malloc_stats in glibc's words, which scripts look for.
    for words in ["system bytes", "in use bytes", "max mmap regions", "max mmap bytes"] {
        assert!(outcome.err().contains(words), "malloc_stats says no `{words}`: {outcome}");
    }
}

#[test]
fn figures_grow_and_shrink_with_what_is_allocated() {
    on_library(c("surface/inspect.c").build()).passes();
}

#[test]
fn malloc_trim_gives_back_what_is_free_at_once() {
    on_library(c("surface/trim.c").build()).args([LEFT_KIB]).passes();
}

#[test]
fn malloc_info_writes_well_formed_xml() {
    let outcome = on_library(c("surface/malloc_info.c").build()).passes();
    let document = outcome.out();
    let root = well_formed(&document).unwrap_or_else(|fault| panic!("{fault}:\n{document}"));
    assert_eq!(root, "malloc", "the root element of\n{document}");
}

#[test]
fn blocks_that_the_c_library_allocates_are_ours() {
    on_library(c("surface/libc_blocks.c").build()).passes();
}

#[test]
fn glibcs_alias_names_are_ours() {
    on_library(c("surface/libc_aliases.c").build()).passes();
}

#[test]
fn operators_new_and_delete_with_libstdcxx() {
    on_library(cxx("surface/operators.cpp").build()).passes();
}

#[test]
fn operators_new_and_delete_with_libcxx() {
    let source = cxx("surface/operators.cpp")
        .compiler("clang++", "clang libc++-16-dev libc++abi-16-dev")
        .flag("-stdlib=libc++");
    on_library(source.build()).passes();
}

#[test]
fn operators_new_when_memory_is_out() {
    on_library(cxx("surface/new_handler.cpp").build()).passes();
}

#[test]
fn operators_new_without_a_cxx_runtime() {
    on_library(c("surface/no_runtime.c").build()).passes();
}

#[test]
fn operators_new_with_a_cxx_runtime_that_comes_late() {
    let plugin = cxx("surface/late_runtime.cpp").variant("plugin").shared().build();
    let host = c("surface/late_runtime.cpp").variant("host").flag("-xc").flag("-DHOST");
    on_library(host.build()).arg(plugin).passes();
}

#[test]
fn a_programs_own_operators_serve_every_form() {
    for variant in ["plain", "aligned"] {
        let source = || {
            let source = cxx("surface/replaced_operators.cpp").flag("-Wno-sized-deallocation");
            if variant == "plain" { source.variant("plain") } else { source.variant("aligned").flag("-DALIGNED") }
        };
        on_library(source().build()).passes();
        on_libc(source().variant("archive").flag("-DSTATIC_EXECUTABLE").link(archive()).build()).passes();
    }
}

#[test]
fn a_programs_own_malloc_serves_what_is_made_of_it() {
    on_library(c("surface/own_family.c").build()).passes();
    on_library(c("surface/wrapper.c").build()).passes();
}

#[test]
fn a_small_program_costs_at_most_512_kib() {
    let program = c("process/small_program.c").build();
    // The least of a few runs: the C library's own start-up varies by pages.
    let least = |run: fn(&std::path::PathBuf) -> i64| (0..5).map(|_| run(&program)).min().expect("five runs");
    let libc = least(|program| on_libc(program).passes().figure("RSS "));
    let ours = least(|program| on_library(program).passes().figure("RSS "));
    println!("RSS {ours} KiB, on the C library's malloc {libc} KiB");
    assert!(ours - libc <= 512, "{ours} KiB, on the C library's malloc {libc} KiB");
}

/// Checks that `document` is one well-formed XML element (elements, attributes, comments, a prolog)
/// and returns the root's name.
fn well_formed(document: &str) -> Result<String, String> {
    let mut open: Vec<String> = Vec::new();
    let mut root = None;
    let mut rest = document.trim();
    while let Some(start) = rest.find('<') {
        let text = rest[..start].trim();
        if open.is_empty() && !text.is_empty() {
            return Err(format!("text outside the root: {text:?}"));
        }
        rest = &rest[start + 1..];
        let end = rest.find('>').ok_or("a tag is not closed")?;
        let tag = &rest[..end];
        rest = &rest[end + 1..];
        if tag.starts_with('?') || tag.starts_with("!--") {
            continue;
        }
        if let Some(name) = tag.strip_prefix('/') {
            let expected = open.pop().ok_or_else(|| format!("</{name}> closes nothing"))?;
            if name.trim() != expected {
                return Err(format!("</{name}> closes <{expected}>"));
            }
            continue;
        }
        let (body, empty) = tag.strip_suffix('/').map_or((tag, false), |body| (body, true));
        let name: String = body.chars().take_while(|c| !c.is_whitespace()).collect();
        attributes(&body[name.len()..])?;
        if open.is_empty() && root.replace(name.clone()).is_some() {
            return Err(format!("a second root: <{name}>"));
        }
        if !empty {
            open.push(name);
        }
    }
    match (open.pop(), root, rest.trim()) {
        (Some(name), ..) => Err(format!("<{name}> is not closed")),
        (None, Some(root), "") => Ok(root),
        (None, root, rest) => Err(format!("root {root:?}, then {rest:?}")),
    }
}

fn attributes(mut text: &str) -> Result<(), String> {
    text = text.trim();
    while !text.is_empty() {
        let (name, rest) = text.split_once('=').ok_or_else(|| format!("an attribute without value: {text:?}"))?;
        let quote = rest.chars().next().filter(|c| *c == '"' || *c == '\'');
        let quote = quote.ok_or_else(|| format!("the value of {name} is not quoted"))?;
        let (value, after) =
            rest[1..].split_once(quote).ok_or_else(|| format!("the value of {name} does not end"))?;
        if value.contains('<') {
            return Err(format!("the value of {name} has a `<`"));
        }
        text = after.trim_start();
    }
    Ok(())
}
