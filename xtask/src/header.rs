//! `header`: `include/stratalloc.h` from the documentation and the signatures of libstratalloc's `strat_` functions.
//!
//! cbindgen writes the declarations; the frame around them (what holds for all functions, the version, the macros) is
//! here. The header is checked in, and `header --check` compares: nobody needs this to build.

use crate::{Failure, Result, root};
use cbindgen::{Builder, Config, DocumentationStyle, Language, Layout, Style};
use std::fs;
use std::path::PathBuf;

/// The modules that declare what C programs see, in the header's order.
const MODULES: &[&str] = &["blocks", "heaps", "pools", "process"];

/// What begins the header.
const HEAD: &str = "\
/* Stratalloc for C and C++: what libstratalloc offers beyond malloc and its family, which the headers of the C
 * library declare. Link with -lstratalloc.
 *
 * Every function may be called by any thread at any time, unless its comment says otherwise. None throws, and none
 * changes errno but where its comment says so. A block is aligned to 16 bytes at least, and one of size 0 is a block
 * like any other. The blocks of malloc, operator new and strat_malloc, and of heaps, are of one kind: each may be
 * given to free, strat_free, operator delete, strat_realloc and the others, on any thread. Blocks of pools go back to
 * their pool.
 *
 * In a fork's child everything may be used at once; what heaps and pools say about that is with their types.
 *
 * Made from the library's source by `cargo xtask header`: not to be edited. */";

/// What follows the includes.
const MACROS: &str = "
#define STRAT_VERSION_MAJOR {major}
#define STRAT_VERSION_MINOR {minor}
#define STRAT_VERSION_PATCH {patch}

/* None of these functions throws. */
#if defined(__cplusplus) && __cplusplus >= 201103L
#define STRAT_NOEXCEPT noexcept
#else
#define STRAT_NOEXCEPT
#endif";

/// `cargo xtask header`
pub fn task(check: bool) -> Result<()> {
    let path = root().join("include/stratalloc.h");
    let text = generate()?;
    if !check {
        fs::write(&path, text).map_err(|error| Failure::new(format_args!("{}: {error}", path.display())))?;
        println!("{}", path.display());
        return Ok(());
    }
    let there =
        fs::read_to_string(&path).map_err(|error| Failure::new(format_args!("{}: {error}", path.display())))?;
    match difference(&there, &text) {
        None => Ok(()),
        Some((line, there, made)) => Err(Failure::new(format_args!(
            "{} is not what the source says; `cargo xtask header` writes it anew\n  line {line} is    {there}\n  \
             line {line} must be {made}",
            path.display()
        ))),
    }
}

/// The first line in which two texts differ.
fn difference<'a>(there: &'a str, made: &'a str) -> Option<(usize, &'a str, &'a str)> {
    if there == made {
        return None;
    }
    let (mut old, mut new) = (there.lines(), made.lines());
    let mut number = 0;
    loop {
        number += 1;
        let (old, new) = (old.next(), new.next());
        if old != new || old.is_none() {
            return Some((number, old.unwrap_or("missing"), new.unwrap_or("missing")));
        }
    }
}

/// The header's text.
fn generate() -> Result<String> {
    let source = |module: &&str| -> PathBuf { root().join(format!("crates/capi/src/{module}.rs")) };
    let mut config = Config {
        language: Language::C,
        style: Style::Tag,
        header: Some(HEAD.to_owned()),
        include_guard: Some("STRATALLOC_H".to_owned()),
        cpp_compat: true,
        no_includes: true,
        sys_includes: ["stdbool.h", "stddef.h", "stdint.h"].map(str::to_owned).into(),
        after_includes: Some(macros()),
        usize_is_size_t: true,
        documentation_style: DocumentationStyle::Doxy,
        line_length: 110,
        tab_width: 4,
        ..Config::default()
    };
    config.function.args = Layout::Horizontal;
    config.function.postfix = Some("STRAT_NOEXCEPT".to_owned());
    let mut builder = Builder::new().with_config(config);
    for path in MODULES.iter().map(source) {
        if !path.is_file() {
            return Err(Failure::new(format_args!("{} is not there", path.display())));
        }
        builder = builder.with_src(path);
    }
    let bindings = builder.generate().map_err(|error| Failure::new(format_args!("cbindgen: {error}")))?;
    let mut text = Vec::new();
    bindings.write(&mut text);
    let text = String::from_utf8(text).map_err(|error| Failure::new(format_args!("the header: {error}")))?;
    Ok(tidy(&text))
}

fn macros() -> String {
    MACROS
        .replace("{major}", env!("CARGO_PKG_VERSION_MAJOR"))
        .replace("{minor}", env!("CARGO_PKG_VERSION_MINOR"))
        .replace("{patch}", env!("CARGO_PKG_VERSION_PATCH"))
}

/// Longest line of a declaration.
const WIDTH: usize = 110;

/// What cbindgen has no setting for: a declaration's postfix on its last line, declarations wrapped at [`WIDTH`], comments of
/// one line on one line.
fn tidy(text: &str) -> String {
    let mut out: Vec<String> = Vec::new();
    for line in text.lines().map(str::trim_end) {
        let last = out.last_mut();
        match (line.trim_start(), last) {
            (postfix, Some(last)) if postfix.starts_with("STRAT_NOEXCEPT;") => {
                let declaration = format!("{last} {postfix}");
                out.pop();
                wrap(&declaration, &mut out);
            }
            ("*/", Some(last)) if last.trim_start().starts_with("* ") => {
                let comment = last.trim_start().trim_start_matches("* ").to_owned();
                match out.len().checked_sub(2).and_then(|at| out.get(at)).map(|first| first.trim_end()) {
                    Some(first) if first.trim_start() == "/**" => {
                        let joined = format!("{first} {comment} */");
                        out.truncate(out.len() - 2);
                        out.push(joined);
                    }
                    _ => out.push(line.to_owned()),
                }
            }
            (declaration, _) if declaration.ends_with("STRAT_NOEXCEPT;") => wrap(line, &mut out),
            _ => out.push(line.to_owned()),
        }
    }
    out.join("\n") + "\n"
}

/// Adds a declaration, broken after commas where it is too long.
fn wrap(declaration: &str, out: &mut Vec<String>) {
    let mut line = String::new();
    for part in declaration.split_inclusive(", ") {
        if !line.is_empty() && line.len() + part.trim_end().len() > WIDTH {
            out.push(line.trim_end().to_owned());
            line = "        ".to_owned();
        }
        line.push_str(part);
    }
    out.push(line.trim_end().to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exports;
    use std::collections::BTreeSet;

    #[test]
    fn the_header_is_what_the_source_says() {
        if let Err(Failure(why)) = task(true) {
            panic!("{why}");
        }
    }

    #[test]
    fn the_header_declares_what_the_library_exports() {
        let text = generate().unwrap_or_else(|Failure(why)| panic!("{why}"));
        let declared: BTreeSet<&str> = text
            .split("STRAT_NOEXCEPT;")
            .filter_map(|before| {
                let (head, _) = before.rsplit_once('(').filter(|(head, _)| !head.ends_with("(*strat_visitor)"))?;
                let start = head.rfind("strat_")?;
                Some(&head[start..])
            })
            .collect();
        let exported: BTreeSet<&str> = exports::all().filter(|name| name.starts_with("strat_")).collect();
        assert_eq!(declared, exported);
    }

    #[test]
    fn the_first_line_that_differs_is_named() {
        assert_eq!(difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(difference("a\nb\n", "a\nc\n"), Some((2, "b", "c")));
        assert_eq!(difference("a\n", "a\nc\n"), Some((2, "missing", "c")));
    }
}
