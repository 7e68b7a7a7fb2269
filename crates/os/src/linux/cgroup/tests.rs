//! The texts as kernels and container engines write them, whole trees of files, and any bytes.

use super::text::{Membership, Mount, below, bytes, cpus, cpus_of_max, unescaped};
use super::*;
use proptest::prelude::*;
use std::ffi::CString;
use std::format;
use std::path::PathBuf;
use std::string::{String, ToString};
use std::vec::Vec;

/// A folder that stands for the root of a file system.
struct Tree {
    root: PathBuf,
}

impl Tree {
    fn new(files: &[(&str, &str)]) -> Self {
        static NEXT: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("stratalloc-cgroup-{}-{number}", std::process::id()));
        let tree = Self { root };
        for (path, text) in files {
            tree.write(path, text.as_bytes());
        }
        tree
    }

    fn write(&self, path: &str, text: &[u8]) {
        let path = self.root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn limits(&self) -> SystemLimits {
        limits_below(&CString::new(self.root.to_str().unwrap()).unwrap())
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

const V1: Source = Source::CgroupV1;
const V2: Source = Source::CgroupV2;

fn bound(value: u64, source: Source) -> Bound {
    Bound { value, source }
}

/// The affinity of the test's thread, or a tighter number.
fn at_most(cpus: u64, source: Source) -> Bound {
    affinity().min(bound(cpus, source))
}

const UNIFIED: &str = "35 24 0:30 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";

#[test]
fn the_tightest_of_a_cgroup_and_its_ancestors_counts_in_version_2() {
    let tree = Tree::new(&[
        ("proc/self/cgroup", "0::/a/b/c\n"),
        ("proc/self/mountinfo", UNIFIED),
        ("sys/fs/cgroup/a/b/c/memory.max", "max\n"),
        ("sys/fs/cgroup/a/b/c/memory.high", "900000\n"),
        ("sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n"),
        ("sys/fs/cgroup/a/b/memory.max", "2000000\n"),
        ("sys/fs/cgroup/a/b/memory.high", "max\n"),
        ("sys/fs/cgroup/a/b/cpu.max", "50000 100000\n"),
        ("sys/fs/cgroup/a/memory.max", "1000000\n"),
        ("sys/fs/cgroup/a/memory.high", "800000\n"),
        ("sys/fs/cgroup/a/cpu.max", "250000 100000\n"),
    ]);
    let limits = tree.limits();
    assert_eq!(limits.memory_max, bound(1_000_000, V2));
    assert_eq!(limits.memory_high, bound(800_000, V2));
    assert_eq!(limits.cpus, at_most(1, V2));
}

#[test]
fn version_1_has_a_hierarchy_for_each_controller_and_writes_no_limit_as_a_huge_number() {
    let mounts = "30 25 0:26 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                  31 25 0:27 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n\
                  32 25 0:28 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n";
    let tree = Tree::new(&[
        ("proc/self/cgroup", "11:cpuset:/\n5:memory:/job\n3:cpu,cpuacct:/slice/job\n1:name=systemd:/x\n0::/x\n"),
        ("proc/self/mountinfo", mounts),
        ("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "134217728\n"),
        ("sys/fs/cgroup/memory/job/memory.soft_limit_in_bytes", "9223372036854771712\n"),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ("sys/fs/cgroup/cpu,cpuacct/slice/job/cpu.cfs_quota_us", "-1\n"),
        ("sys/fs/cgroup/cpu,cpuacct/slice/job/cpu.cfs_period_us", "100000\n"),
        ("sys/fs/cgroup/cpu,cpuacct/slice/cpu.cfs_quota_us", "10000\n"),
        ("sys/fs/cgroup/cpu,cpuacct/slice/cpu.cfs_period_us", "20000\n"),
    ]);
    let limits = tree.limits();
    assert_eq!(limits.memory_max, bound(134_217_728, V1));
    assert_eq!(limits.memory_high, Bound::NONE);
    assert_eq!(limits.cpus, at_most(1, V1));
}

#[test]
fn a_machine_with_both_versions_takes_each_controller_where_it_is() {
    let mounts = "31 25 0:27 / /cg/memory rw - cgroup cgroup rw,memory\n\
                  40 25 0:29 / /cg/unified rw - cgroup2 cgroup2 rw\n";
    let tree = Tree::new(&[
        ("proc/self/cgroup", "0::/both\n4:memory:/m\n"),
        ("proc/self/mountinfo", mounts),
        ("cg/memory/m/memory.limit_in_bytes", "4096\n"),
        ("cg/unified/both/memory.max", "1\n"),
        ("cg/unified/both/cpu.max", "100000 100000\n"),
    ]);
    let limits = tree.limits();
    assert_eq!(limits.memory_max, bound(4096, V1), "version 2 does not have the controller here");
    assert_eq!(limits.cpus, at_most(1, V2));
}

#[test]
fn in_a_namespace_and_in_old_containers_the_mount_shows_the_own_cgroup() {
    for (own, root) in [
        ("/", "/"),                        // a cgroup namespace of its own
        ("/docker/1234", "/docker/1234"),  // bind mount, the host's path visible
        ("/../outside", "/"),              // moved out of the namespace's root
        ("/docker/1234", "/../.."),        // mounted from outside the namespace
        ("/docker/1234", "/other/cgroup"), // a mount that does not show it
    ] {
        let tree = Tree::new(&[
            ("proc/self/cgroup", &format!("0::{own}\n")),
            ("proc/self/mountinfo", &format!("9 8 0:1 {root} /sys/fs/cgroup ro - cgroup2 cgroup rw\n")),
            ("sys/fs/cgroup/memory.max", "70000\n"),
        ]);
        assert_eq!(tree.limits().memory_max, bound(70_000, V2), "{own} {root}");
    }
}

#[test]
fn of_several_mounts_the_one_that_shows_the_cgroup_is_taken() {
    let tree = Tree::new(&[
        ("proc/self/cgroup", "0::/pod/app\n"),
        (
            "proc/self/mountinfo",
            "1 0 0:1 /elsewhere /first rw - cgroup2 none rw\n\
             2 0 0:1 /pod /second\\040mount rw master:1 propagate_from:2 - cgroup2 none rw\n\
             3 0 0:1 / /third rw - cgroup2 none rw\n",
        ),
        ("first/memory.max", "1\n"),
        ("second mount/app/memory.max", "2222\n"),
        ("third/pod/app/memory.max", "3\n"),
    ]);
    assert_eq!(tree.limits().memory_max, bound(2222, V2));
}

#[test]
fn what_is_absent_or_unreadable_or_nonsense_is_no_limit() {
    let unlimited = SystemLimits { cpus: affinity(), ..SystemLimits::default() };
    assert_eq!(Tree::new(&[]).limits(), unlimited);
    assert_eq!(Tree::new(&[("proc/self/cgroup", "0::/a\n")]).limits(), unlimited);
    assert_eq!(Tree::new(&[("proc/self/mountinfo", UNIFIED)]).limits(), unlimited);
    let long = "/deep".repeat(200);
    for (own, text) in [
        ("0::/gone (deleted)\n", "1\n"),
        ("0::/a", ""),
        ("0::/a", "\n"),
        ("0::/a", "-1\n"),
        ("0::/a", "12 34 56\n"),
        ("0::/a", "0x1000\n"),
        ("0::/a", "99999999999999999999999999\n"),
        ("0::/a", &"7".repeat(64)),
        ("0::relative\n", "1\n"),
        ("x::/a\n", "1\n"),
        ("5:memory\n", "1\n"),
        (&format!("0::{long}\n"), "1\n"),
    ] {
        let tree = Tree::new(&[
            ("proc/self/cgroup", own),
            ("proc/self/mountinfo", UNIFIED),
            ("sys/fs/cgroup/a/memory.max", text),
            ("sys/fs/cgroup/a/memory.high", text),
            ("sys/fs/cgroup/a/cpu.max", if text == "12 34 56\n" { "0 0\n" } else { text }),
        ]);
        let limits = tree.limits();
        assert_eq!((limits.memory_max, limits.memory_high), (Bound::NONE, Bound::NONE), "{own:?} {text:?}");
    }
    // A folder where a file should be.
    let tree = Tree::new(&[
        ("proc/self/cgroup", "0::/a\n"),
        ("proc/self/mountinfo", UNIFIED),
        ("sys/fs/cgroup/a/memory.max/x", ""),
        ("sys/fs/cgroup/memory.max", "5000\n"),
    ]);
    assert_eq!(tree.limits().memory_max, bound(5000, V2));
}

#[test]
fn long_lines_of_other_mounts_and_a_last_line_without_its_end_are_passed() {
    let overlay = format!("9 8 0:7 / / rw - overlay overlay rw,lowerdir={}\n", "/layer:".repeat(2000));
    let exact = format!("9 8 0:7 / /{} rw - x y z\n", "e".repeat(LINE_MAX - 25));
    for before in [String::new(), overlay.clone(), overlay + &exact, exact] {
        let tree = Tree::new(&[
            ("proc/self/cgroup", "0::/a"),
            ("proc/self/mountinfo", &format!("{before}{}", UNIFIED.trim_end())),
            ("sys/fs/cgroup/a/memory.max", "123456"),
        ]);
        assert_eq!(tree.limits().memory_max, bound(123_456, V2), "{} bytes before", before.len());
    }
}

#[test]
fn lines_come_whole_whatever_the_buffer_cuts() {
    let lines: Vec<String> = (0..500).map(|n| format!("{n}{}", "x".repeat(n * 37 % 300))).collect();
    let tree = Tree::new(&[("file", &lines.join("\n"))]);
    let path = CString::new(tree.root.join("file").to_str().unwrap()).unwrap();
    let (mut seen, mut buffer) = (Vec::new(), [0; LINE_MAX]);
    each_line(&path, &mut buffer, |line| {
        seen.push(String::from_utf8_lossy(line).into_owned());
        true
    });
    assert_eq!(seen, lines);
    let mut count = 0;
    each_line(&path, &mut buffer, |_| {
        count += 1;
        count < 7
    });
    assert_eq!(count, 7);
}

#[test]
fn values_are_read_as_the_kernel_writes_them() {
    assert_eq!(bytes(b"max\n"), None);
    assert_eq!(bytes(b"0\n"), Some(0));
    assert_eq!(bytes(b"9223372036854771712\n"), None);
    assert_eq!(bytes(b"18446744073709551615\n"), None);
    for (text, expected) in [
        ("max 100000\n", None),
        ("100000 100000\n", Some(1)),
        ("100001 100000\n", Some(2)),
        ("1000 100000\n", Some(1)),
        ("1600000 100000\n", Some(16)),
        ("250000\n", Some(3)),
        ("1 0\n", None),
        ("0 100000\n", None),
        ("-1 100000\n", None),
        ("\n", None),
    ] {
        assert_eq!(cpus_of_max(text.as_bytes()), expected, "{text:?}");
    }
    assert_eq!(cpus(b"-1\n", b"100000\n"), None);
    assert_eq!(cpus(b"150000\n", b"100000\n"), Some(2));
}

#[test]
fn escapes_and_prefixes_of_paths() {
    let plain = |text: &str| String::from_utf8(unescaped(text.as_bytes()).collect()).unwrap();
    assert_eq!(plain("/a\\040b\\134c\\"), "/a b\\c\\");
    assert_eq!(plain("/a\\9\\04"), "/a\\9\\04");
    assert_eq!(below(b"/a/b", b"/"), Some(&b"/a/b"[..]));
    assert_eq!(below(b"/a/b", b"/a"), Some(&b"/b"[..]));
    assert_eq!(below(b"/a", b"/a"), Some(&b""[..]));
    assert_eq!(below(b"/", b"/"), Some(&b""[..]));
    assert_eq!(below(b"/ab", b"/a"), None);
    assert_eq!(below(b"/a/../b", b"/"), None);
    assert_eq!(below(b"/a", b"/.."), None);
}

#[test]
fn this_process_has_at_least_one_cpu_and_a_limit_only_with_its_source() {
    let limits = limits();
    assert!(limits.cpus.is_some() && (1..=8192).contains(&limits.cpus.value), "{limits:?}");
    for bound in [limits.cpus, limits.memory_max, limits.memory_high] {
        assert_eq!(bound.is_some(), bound.source != Source::Nobody, "{limits:?}");
    }
    // SAFETY: an all-zero set is an empty one, and the call writes no more than its size.
    let set = unsafe {
        let mut set: libc::cpu_set_t = core::mem::zeroed();
        assert_eq!(libc::sched_getaffinity(0, size_of_val(&set), &mut set), 0);
        libc::CPU_COUNT(&set)
    };
    assert_eq!(affinity(), bound(set as u64, Source::Affinity));
}

/// What kernels write, and what they never would.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "0",
        "5",
        ":",
        "::",
        "/",
        "/a",
        "/..",
        " ",
        " - ",
        "-",
        "cgroup",
        "cgroup2",
        "rw",
        ",",
        "memory",
        "cpu",
        "\\040",
        "\\777",
        "max",
        "100000",
        "99999999999999999999",
        "\0",
        "\u{ff}",
        "\n",
    ];
    let word = proptest::sample::select(words.map(|word| word.as_bytes().to_vec()).to_vec());
    prop_oneof![
        4 => proptest::collection::vec(word, 0..24).prop_map(|words| words.concat()),
        1 => proptest::collection::vec(any::<u8>(), 0..200),
    ]
}

proptest! {
    #[test]
    fn any_bytes_make_a_value_or_none(text in line()) {
        if let Some(membership) = Membership::of_line(&text) {
            prop_assert!(membership.path.starts_with(b"/"));
            prop_assert!(!(membership.unified && membership.controls(b"memory")));
        }
        if let Some(mount) = Mount::of_line(&text) {
            prop_assert!(mount.root.starts_with(b"/") && mount.point.starts_with(b"/"));
            prop_assert!(unescaped(mount.root).count() <= mount.root.len());
            prop_assert!(!(mount.unified && mount.controls(b"cpu")));
        }
        prop_assert!(bytes(&text).is_none_or(|value| value < 1 << 60));
        prop_assert!(cpus_of_max(&text).is_none_or(|value| value > 0));
        if let Some(rest) = below(&text, b"/a") {
            prop_assert!(text.ends_with(rest) && (rest.is_empty() || rest[0] == b'/'));
        }
    }

    #[test]
    fn any_files_make_limits(own in line(), mounts in line(), value in line()) {
        let tree = Tree::new(&[]);
        tree.write("proc/self/cgroup", &own);
        tree.write("proc/self/mountinfo", &mounts);
        for file in ["memory.max", "a/memory.max", "a/cpu.max", "a/memory.limit_in_bytes"] {
            tree.write(file, &value);
        }
        let limits = tree.limits();
        prop_assert_eq!(limits.memory_max.is_some(), limits.memory_max.source != Source::Nobody);
        prop_assert!(limits.cpus.value <= affinity().value && limits.cpus.value > 0);
    }

    #[test]
    fn numbers_survive(value in 0u64..1 << 60, quota in 1u64..1 << 40, period in 1u64..1 << 30) {
        prop_assert_eq!(bytes(value.to_string().as_bytes()), Some(value));
        prop_assert_eq!(cpus_of_max(format!("{quota} {period}\n").as_bytes()), Some(quota.div_ceil(period)));
    }
}
