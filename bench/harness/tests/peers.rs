//! Every peer, built as the bench builds it: what its library exports, that a process under preload uses it for all
//! of the family, and that real programs do there what they do without.
//!
//! Building takes some minutes the first time, so these tests run when asked for:
//! `cargo test -p stratalloc-bench --test peers -- --ignored`. What they build stays in `target/bench`
//! (`STRATALLOC_BENCH_TARGET` names another folder).

use object::{Object, ObjectSymbol};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use stratalloc_bench::build::RELEASE;
use stratalloc_bench::contenders::{self, Face, Folders, Origin, Ready};

/// What each peer must export itself: a name left to glibc would return blocks that the peer can't free.
const FAMILY: &[&str] = &[
    "malloc",
    "calloc",
    "realloc",
    "reallocarray",
    "free",
    "aligned_alloc",
    "posix_memalign",
    "memalign",
    "valloc",
    "pvalloc",
    "malloc_usable_size",
    "_Znwm",
    "_Znam",
    "_ZnwmRKSt9nothrow_t",
    "_ZnwmSt11align_val_t",
    "_ZdlPv",
    "_ZdaPv",
    "_ZdlPvm",
    "_ZdlPvmSt11align_val_t",
];

/// rpmalloc 1.4 has no aligned operators: C++ then uses those of its own library, which call `aligned_alloc`.
const NOT_IN: &[(&str, &str)] = &[("rpmalloc", "_ZnwmSt11align_val_t")];

fn folders() -> Folders {
    let bench = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
    let target = std::env::var_os("STRATALLOC_BENCH_TARGET").map(PathBuf::from);
    let target = target.unwrap_or_else(|| bench.parent().unwrap().join("target").join("bench"));
    Folders { bench, target, library: None, profile: RELEASE }
}

fn peers() -> Vec<Ready> {
    let peers: Vec<_> = contenders::all()
        .into_iter()
        .filter(|contender| matches!(contender.face, Face::Preload(Origin::Peer { .. })))
        .collect();
    assert!(peers.len() >= 7, "{peers:?}");
    peers.iter().map(|peer| peer.ready(&folders()).unwrap_or_else(|failure| panic!("{failure}"))).collect()
}

fn under(library: Option<&Path>, program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).env_remove("LD_PRELOAD");
    if let Some(library) = library {
        command.env("LD_PRELOAD", library);
    }
    command.output().unwrap_or_else(|error| panic!("{program}: {error}"))
}

#[test]
#[ignore = "builds every peer"]
fn each_exports_the_whole_family() {
    for peer in peers() {
        let library = peer.preload.unwrap();
        let bytes = std::fs::read(&library).unwrap();
        let file = object::File::parse(&*bytes).unwrap();
        let exported: BTreeSet<&str> = file
            .dynamic_symbols()
            .filter(|symbol| symbol.is_definition())
            .filter_map(|symbol| symbol.name().ok())
            .collect();
        let missing: Vec<_> = FAMILY
            .iter()
            .filter(|name| !exported.contains(*name) && !NOT_IN.contains(&(peer.name.as_str(), name)))
            .collect();
        assert!(missing.is_empty(), "{}: {} lacks {missing:?}", peer.name, library.display());
    }
}

#[test]
#[ignore = "builds every peer"]
fn each_serves_every_module_of_a_process() {
    for peer in peers() {
        let library = peer.preload.unwrap();
        let output = Command::new("/bin/ls")
            .arg("/")
            .env("LD_PRELOAD", &library)
            .env("LD_BIND_NOW", "1")
            .env("LD_DEBUG", "bindings")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}: {output:?}", peer.name);
        // `binding file /bin/ls [0] to /…/libpeer.so [0]: normal symbol `malloc' [GLIBC_2.2.5]`
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        let mut seen = 0;
        for line in words.lines() {
            let Some((files, symbol)) = line.split_once(": normal symbol `") else { continue };
            let symbol = symbol.split('\'').next().unwrap();
            let Some((_, to)) = files.split_once(" to ") else { continue };
            let to = to.rsplit_once(" [").map_or(to, |(file, _)| file);
            if FAMILY.contains(&symbol) {
                assert_eq!(Path::new(to), library, "{}: {line}", peer.name);
                seen += 1;
            }
        }
        assert!(seen >= 4, "{}: {seen} bindings of the family in\n{words}", peer.name);
    }
}

#[test]
#[ignore = "builds every peer"]
fn programs_do_under_each_what_they_do_without() {
    let threads = "import threading, json\n\
        def work():\n    for i in range(50): json.dumps({str(k): [k] * 10 for k in range(200)})\n\
        threads = [threading.Thread(target=work) for _ in range(4)]\n\
        [t.start() for t in threads]; [t.join() for t in threads]\n\
        print(sum(len(str(i)) for i in range(20000)))";
    let rows = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) \
        select count(*), sum(length(hex(i * 7919))) from n group by i % 7";
    let programs: [(&str, &[&str]); 4] = [
        ("ls", &["-l", "/usr"]),
        ("python3", &["-c", threads]),
        ("sqlite3", &[":memory:", rows]),
        ("c++", &["-E", "-P", "-x", "c++", "/dev/null"]),
    ];
    let peers = peers();
    for (program, arguments) in programs {
        if Command::new(program).arg("--version").output().is_err() {
            eprintln!("{program} is not installed: left out");
            continue;
        }
        let expected = under(None, program, arguments);
        assert!(expected.status.success(), "{program}: {expected:?}");
        for peer in &peers {
            let output = under(peer.preload.as_deref(), program, arguments);
            assert!(output.status.success(), "{program} under {}: {output:?}", peer.name);
            assert_eq!(output.stdout, expected.stdout, "{program} under {}", peer.name);
        }
    }
}

#[test]
#[ignore = "builds every peer and every face of the workload"]
fn each_global_face_holds_its_allocator() {
    let folders = folders();
    for contender in contenders::all() {
        let Face::Global { feature } = contender.face else { continue };
        let ready = contender.ready(&folders).unwrap_or_else(|failure| panic!("{failure}"));
        let output = under(None, ready.workload.to_str().unwrap(), &["run", "larson", "--scale", "0.01"]);
        assert!(output.status.success(), "{feature}: {output:?}");
        let outcome: stratalloc_bench_protocol::Outcome = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(outcome.allocator, feature.replacen("global-", "global:", 1), "{feature}");
    }
}
