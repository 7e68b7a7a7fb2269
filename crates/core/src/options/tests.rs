use super::*;
use proptest::prelude::*;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

fn parse(text: &str) -> (Options, Vec<String>) {
    let mut options = Options::DEFAULT;
    let mut lines = Vec::new();
    options.parse(text.as_bytes(), &mut |problem| lines.push(problem.line().as_str().trim_end().to_string()));
    (options, lines)
}

fn clean(text: &str) -> Options {
    let (options, lines) = parse(text);
    assert!(lines.is_empty(), "{text}: {lines:?}");
    options
}

fn complaint(text: &str) -> String {
    let (options, lines) = parse(text);
    assert_eq!(options, Options::DEFAULT, "{text}");
    assert_eq!(lines.len(), 1, "{text}: {lines:?}");
    lines[0].clone()
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let options = Options::default();
    assert!(!options.show && options.report.is_empty() && !options.count);
    assert_eq!((options.dirty_min, options.dirty_percent), (2 << 20, 12));
    assert_eq!((options.purge_delay, options.purge_thread), (500, true));
    assert_eq!((options.parked_heaps, options.misuse, options.limit), (16, Misuse::Abort, 0));
    assert_eq!((options.soft_limit, options.follow_cgroup), (0, true));
    assert_eq!(clean(""), Options::DEFAULT);
}

#[test]
fn every_option_is_taken_from_a_list() {
    let expected = Options::DEFAULT
        .with_show(true)
        .with_report("/tmp/x.%p")
        .with_count(true)
        .with_dirty_min(64 << 10)
        .with_dirty_percent(0)
        .with_purge_delay(3_600_000)
        .with_purge_thread(false)
        .with_parked_heaps(4096)
        .with_misuse(Misuse::Ignore)
        .with_limit(1 << 40)
        .with_soft_limit(3 << 20)
        .with_follow_cgroup(false)
        .with_deepbind(true);
    let text = "show=1,report=/tmp/x.%p,count=1,dirty_min=64K,dirty_percent=0,purge_delay=3600000,\
                purge_thread=0,parked_heaps=4096,misuse=ignore,limit=1T,soft_limit=3M,follow_cgroup=0,deepbind";
    assert_eq!(clean(text), expected);
}

#[test]
fn a_profile_sets_four_options_and_those_that_are_set_themselves_stand() {
    let memory = Options::DEFAULT.with_profile(Profile::Memory);
    assert!(memory.dirty_min < Options::DEFAULT.dirty_min && memory.purge_delay < Options::DEFAULT.purge_delay);
    assert_eq!(clean("profile=memory"), memory);
    // Wherever the profile stands in the list.
    let expected = memory.with_purge_delay(50).with_parked_heaps(7);
    assert_eq!(clean("purge_delay=50,profile=memory,parked_heaps=7"), expected);
    assert_eq!(clean("profile=latency,profile=balanced"), Options::DEFAULT);
    for (word, profile) in [("latency", Profile::Latency), ("throughput", Profile::Throughput)] {
        let options = clean(&format!("profile={word}"));
        assert_eq!(options, Options::DEFAULT.with_profile(profile));
        assert!(options.dirty_min > Options::DEFAULT.dirty_min && options.purge_delay > 500, "{word}");
        assert_eq!(clean(&options.to_string()), options, "{word}");
    }
    let line = complaint("profile=fast");
    assert!(line.contains("profile=fast") && line.contains("balanced|latency|memory|throughput"), "{line}");
}

#[test]
fn setters_by_name_and_by_type_agree() {
    let mut options = Options::DEFAULT;
    for (name, value) in [("misuse", "warn"), ("limit", " 3G "), ("report", "a b"), ("show", "1")] {
        assert_eq!(options.set(name.as_bytes(), value.as_bytes()), Ok(()));
    }
    let typed = Options::DEFAULT.with_misuse(Misuse::Warn).with_limit(3 << 30).with_report("a b").with_show(true);
    assert_eq!(options, typed);
}

#[test]
fn a_flag_alone_means_one_and_spaces_and_empty_items_do_not_matter() {
    let options = clean(" , show ,,count , purge_thread = 0,\tdirty_percent\t=\t7 ,");
    assert!(options.show && options.count && !options.purge_thread);
    assert_eq!(options.dirty_percent, 7);
}

#[test]
fn of_duplicates_the_last_stands() {
    assert_eq!(clean("dirty_percent=1,dirty_percent=2").dirty_percent, 2);
    assert_eq!(clean("report=/a/long/path,report=b").report.as_bytes(), b"b");
    assert!(clean("report=a,report=").report.is_empty());
}

#[test]
fn sizes_take_binary_suffixes_in_any_case() {
    for (text, bytes) in [
        ("0", 0),
        ("123", 123),
        ("123B", 123),
        ("4k", 4 << 10),
        ("4KiB", 4 << 10),
        ("4m", 4 << 20),
        ("4mib", 4 << 20),
        ("4MIB", 4 << 20),
        ("4G", 4 << 30),
        ("1T", 1 << 40),
        ("1TiB", 1 << 40),
        ("1099511627776", 1 << 40),
    ] {
        assert_eq!(clean(&format!("dirty_min={text}")).dirty_min, bytes, "{text}");
    }
    for text in ["K", "4X", "4KB", "4Ki", "4 K", "-1", "+1", "0x10", "1.5G", "4KiBs", ""] {
        let line = complaint(&format!("dirty_min={text}"));
        let expected =
            format!("stratalloc: option 'dirty_min={text}' is not valid (0..=1T); the default 2M stands");
        assert_eq!(line, expected);
    }
    for text in ["2T", "1099511627777", "18446744073709551616", "99999999999999999999999T"] {
        assert!(complaint(&format!("dirty_min={text}")).contains("is out of range (0..=1T)"), "{text}");
    }
}

#[test]
fn bad_values_are_named_with_what_would_be_good() {
    for (text, line) in [
        ("show=2", "option 'show=2' is out of range (0 or 1); the default 0 stands"),
        ("show=yes", "option 'show=yes' is not valid (0 or 1); the default 0 stands"),
        ("purge_thread=2", "option 'purge_thread=2' is out of range (0 or 1); the default 1 stands"),
        ("dirty_percent=500", "option 'dirty_percent=500' is out of range (0..=100); the default 12 stands"),
        ("purge_delay=1s", "option 'purge_delay=1s' is not valid (0..=3600000); the default 500 stands"),
        ("misuse=Abort", "option 'misuse=Abort' is not valid (abort|warn|ignore); the default abort stands"),
        ("limit", "option 'limit' needs a value (0..=256T); the default 0 stands"),
        ("report", "option 'report' needs a value (a path of at most 255 bytes without a comma)"),
    ] {
        assert_eq!(complaint(text), format!("stratalloc: {line}"));
    }
}

#[test]
fn a_bad_value_leaves_the_other_options_and_the_value_before_it() {
    let (options, lines) = parse("dirty_percent=30,dirty_percent=101,nonsense=1,limit=8M");
    assert_eq!((options.dirty_percent, options.limit), (30, 8 << 20));
    assert_eq!(
        lines,
        [
            "stratalloc: option 'dirty_percent=101' is out of range (0..=100); 30 stands",
            "stratalloc: option 'nonsense' is unknown"
        ]
    );
}

#[test]
fn unknown_keys_get_the_nearest_valid_one() {
    for (key, name) in [
        ("dirty_mni", "dirty_min"),
        ("dirtymin", "dirty_min"),
        ("dirty-min", "dirty_min"),
        ("DIRTY_PERCENT", "dirty_percent"),
        ("dirty_procent", "dirty_percent"),
        ("purge_dealy", "purge_delay"),
        ("purgethread", "purge_thread"),
        ("parked_heap", "parked_heaps"),
        ("sohw", "show"),
        ("cuont", "count"),
        ("misue", "misuse"),
        ("limits", "limit"),
        ("reprot", "report"),
    ] {
        let expected = format!("stratalloc: option '{key}' is unknown; did you mean '{name}'?");
        assert_eq!(complaint(&format!("{key}=1")), expected);
    }
    for key in ["", "x", "arena_count", "background_thread", "a_key_that_is_longer_than_any_name"] {
        assert_eq!(complaint(&format!("{key}=1")), format!("stratalloc: option '{key}' is unknown"));
    }
}

#[test]
fn problems_name_kind_key_and_value_as_written() {
    let problem = Options::default().set(b"dirty_mni", b"4M").unwrap_err();
    assert_eq!(
        (problem.kind, problem.key, problem.value),
        (ProblemKind::UnknownKey, &b"dirty_mni"[..], &b"4M"[..])
    );
    assert_eq!(problem.option.map(|spec| spec.name), Some("dirty_min"));
    let mut kinds = Vec::new();
    Options::default().parse(b"limit,limit=x,limit=999T,lim=1", &mut |problem| kinds.push(problem.kind));
    use ProblemKind::*;
    assert_eq!(kinds, [MissingValue, BadValue, OutOfRange, UnknownKey]);
}

#[test]
fn foreign_text_is_escaped_and_shortened() {
    let mut options = Options::DEFAULT;
    let line = options.set(b"show", b"\x1b[2J\n\xff").unwrap_err().line();
    let expected = r"stratalloc: option 'show=\x1b[2J\x0a\xff' is not valid (0 or 1); the default 0 stands";
    assert_eq!(line.as_str().trim_end(), expected);
    let long = [0u8; 4096];
    let line = options.set(&long, &long).unwrap_err().line();
    assert!(line.as_str().ends_with("...' is unknown\n"), "{}", line.as_str());
    let line = options.set(b"misuse", &long).unwrap_err().line();
    assert!(line.as_str().ends_with("; the default abort stands\n"), "{}", line.as_str());
}

#[test]
fn report_paths_are_bounded() {
    let longest = "x".repeat(PATH_MAX);
    assert_eq!(clean(&format!("report={longest}")).report.as_bytes(), longest.as_bytes());
    assert!(complaint(&format!("report={longest}x")).contains("is out of range"));
    let mut options = Options::DEFAULT;
    for bad in [&b"a\0b"[..], b"a,b"] {
        assert_eq!(options.set(b"report", bad).unwrap_err().kind, ProblemKind::BadValue);
    }
    assert_eq!(clean("report=a=b").report.as_bytes(), b"a=b");
    assert!(ReportPath::new(b" a").is_none() && ReportPath::new(b"a ").is_none());
}

#[test]
fn report_paths_expand_every_process_id() {
    let path = ReportPath::new(b"%p/%%p.%px%").unwrap();
    let mut buffer = [1; 16];
    assert_eq!(path.expand(42, &mut buffer), Some(c"42/%42.42x%"));
    assert_eq!(path.expand(42, &mut buffer[..12]), Some(c"42/%42.42x%"));
    assert_eq!(path.expand(42, &mut buffer[..11]), None);
    assert_eq!(path.expand(42, &mut []), None);
    assert_eq!(ReportPath::NONE.expand(42, &mut buffer), Some(c""));
}

#[test]
fn printing_names_every_option_in_table_order() {
    let text = Options::DEFAULT.to_string();
    let names: Vec<&str> = text.split(',').map(|item| item.split_once('=').unwrap().0).collect();
    assert_eq!(names, TABLE.map(|spec| spec.name));
    let expected = "show=0,report=,count=0,profile=balanced,dirty_min=2M,dirty_percent=12,purge_delay=500,purge_thread=1,\
                    parked_heaps=16,own_heaps=0,misuse=abort,limit=0,soft_limit=0,follow_cgroup=1,huge_pages=auto,deepbind=0";
    assert_eq!(text, expected);
    let odd = Options { report: ReportPath::new(b"a\xffb").unwrap(), ..Options::DEFAULT };
    assert!(odd.to_string().contains("report=a\u{fffd}b,"));
}

#[test]
fn sizes_print_with_the_largest_suffix_that_loses_nothing() {
    for (bytes, text) in [
        (0, "0"),
        (1, "1"),
        (1023, "1023"),
        (1024, "1K"),
        (1 << 19, "512K"),
        (3 << 20, "3M"),
        ((1 << 30) + 1024, "1048577K"),
        (1 << 40, "1T"),
        (1 << 48, "256T"),
    ] {
        assert!(Options::DEFAULT.with_limit(bytes).to_string().contains(&format!(",limit={text},")));
    }
}

#[test]
fn the_table_describes_itself() {
    for spec in &TABLE {
        let default = spec.default();
        let mut options = Options::DEFAULT;
        assert_eq!(options.set(spec.name.as_bytes(), default.as_bytes()), Ok(()));
        assert_eq!(options, Options::DEFAULT, "{}", spec.name);
        assert!(!spec.help.is_empty() && !spec.help.contains(['|', '\n']), "{}", spec.name);
        assert!(!spec.values().as_bytes().is_empty());
    }
}

#[test]
#[should_panic(expected = "out of the option's range")]
fn typed_setters_refuse_what_is_out_of_range() {
    let _ = Options::DEFAULT.with_dirty_percent(101);
}

/// Text that is near to a list: names whole and mangled, values good and bad.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let names = prop::sample::select(TABLE.map(|spec| spec.name).to_vec());
    let value = prop_oneof![
        any::<u64>().prop_map(|number| number.to_string()),
        (0..5000u64, prop::sample::select(std::vec!["", "K", "MiB", "g", "T", "%"]))
            .prop_map(|(number, suffix)| format!("{number}{suffix}")),
        prop::sample::select(std::vec!["abort", "warn", "ignore", "", "0", "1", " /tmp/%p "])
            .prop_map(String::from),
    ];
    let item = (names, prop::sample::select(std::vec!["=", "", " = ", "x="]), value)
        .prop_map(|(name, sign, value)| format!("{name}{sign}{value}").into_bytes());
    prop::collection::vec(item, 0..8).prop_map(|items| items.join(&b','))
}

proptest! {
    #[test]
    fn parsing_takes_any_bytes(text in prop_oneof![prop::collection::vec(any::<u8>(), 0..600), nearly()]) {
        let mut options = Options::DEFAULT;
        options.parse(&text, &mut |problem| {
            let line = problem.line();
            assert!(line.as_str().ends_with('\n') && line.as_str().lines().count() == 1);
        });
        for spec in &TABLE {
            prop_assert!(options.raw(spec.key) <= spec.kind.max());
        }
    }

    #[test]
    fn what_is_printed_parses_to_the_same(text in nearly()) {
        let mut options = Options::DEFAULT;
        options.parse(&text, &mut |_| ());
        prop_assert_eq!(clean(&options.to_string()), options);
    }

    #[test]
    fn any_path_that_is_taken_is_printed_and_taken_again(path in "\\PC{0,90}") {
        let mut options = Options::DEFAULT;
        if options.set(b"report", path.as_bytes()).is_ok() {
            prop_assert_eq!(clean(&options.to_string()), options);
        }
    }
}
