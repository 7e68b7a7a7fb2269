//! gcc and g++: the same source must become the same object, byte for byte.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use stratalloc_tests::tools::{Folder, preloadable};
use stratalloc_tests::{Run, on_libc, on_library};

/// A C file of some 1000 functions with loops, switches, structs and floating point.
fn large_c_file() -> String {
    let mut text =
        String::from("#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <math.h>\n");
    for n in 0..500u32 {
        let (a, b, c) = (n * 7919 % 1000 + 1, n * 104_729 % 77 + 2, n * 31 % 13 + 1);
        write!(
            text,
            "struct s{n} {{ int a[{b}]; double d; struct s{n} *next; char name[{a}]; }};
static int f{n}(struct s{n} *s, int count) {{
    int sum = {a};
    for (int i = 0; i < count && s; i++, s = s->next) {{
        switch (s->a[i % {b}] % {c}) {{
        case 0: sum += (int)sqrt(s->d * {a}); break;
        case 1: memmove(s->name, s->name + 1, sizeof s->name - 1); sum ^= s->name[0]; break;
        default: for (int j = 0; j < {b}; j++) sum = sum * 31 + s->a[j] / (j + {c}); 
        }}
    }}
    return sum;
}}
int g{n}(void *p, int n) {{ char text[{a}]; snprintf(text, sizeof text, \"%d\", n); return f{n}(p, n) + atoi(text); }}
"
        )
        .expect("writing to a string");
    }
    text
}

const CXX: &str = r##"
#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <regex>
#include <string>
#include <unordered_map>
#include <vector>
template <int N> struct Chain { std::map<int, std::vector<Chain<N - 1>>> next; };
template <> struct Chain<0> { std::string end; };
template <int N> int walk(const Chain<N> &c) { int n = 0; for (auto &e : c.next) for (auto &i : e.second) n += walk(i); return n; }
template <> int walk<0>(const Chain<0> &c) { return (int)c.end.size(); }
int main() {
    Chain<40> chain; std::regex r(R"((\w+)\s+(\d+))");
    std::unordered_map<std::string, std::function<int(int)>> table;
    std::vector<std::shared_ptr<std::string>> v; std::sort(v.begin(), v.end());
    std::cout << walk(chain) << table.size() << std::regex_match(std::string(), r) << '\n';
}
"##;

fn same_object(compiler: &str, package: &str, file: &str, text: &str) {
    let folder = Folder::new(compiler);
    let compiler = preloadable(compiler, package);
    fs::write(folder.join(file), text).expect("the source file");
    let compile = |run: fn(&Path) -> Run, name: &str| {
        run(&compiler).dir(folder.path()).args(["-O2", "-g", "-c", file, "-o", name]).passes();
        fs::read(folder.join(name)).expect("the object")
    };
    let libc = compile(|compiler| on_libc(compiler), "object");
    let ours = compile(|compiler| on_library(compiler), "object");
    assert!(libc.len() > 10_000, "an object of {} bytes", libc.len());
    assert!(libc == ours, "the objects differ ({} and {} bytes)", libc.len(), ours.len());
}

#[test]
fn gcc_compiles_a_large_c_file_to_the_same_object() {
    same_object("gcc", "gcc", "large.c", &large_c_file());
}

#[test]
fn gxx_compiles_templates_to_the_same_object() {
    same_object("g++", "g++", "templates.cpp", CXX);
}
