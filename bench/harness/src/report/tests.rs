//! Whether the page is well formed, complete and free of nonsense, on made-up results with all that can be missing.

use scraper::{Html, Selector};
use stratalloc_bench_protocol::{Buckets, Group, Latency};

use super::html;
use super::made_up::{Extent, contender, machine, outcome, plan, results, sample, workload};
use crate::store::{Face, Kind, Results};

/// Renders and checks what holds of every report; the parsed page.
fn checked(results: &Results) -> (String, Html) {
    let text = html(results);
    let page = Html::parse_document(&text);
    assert!(page.errors.is_empty(), "not well-formed HTML: {:?}", &page.errors[..page.errors.len().min(5)]);
    // Drawings by themselves are XML.
    let mut drawings = 0;
    for piece in text.split("<svg").skip(1) {
        let end = piece.find("</svg>").expect("each drawing is closed");
        let drawing = format!("<svg{}</svg>", &piece[..end]);
        if let Err(error) = roxmltree::Document::parse(&drawing) {
            panic!("not well-formed SVG: {error}: {}", &drawing[..drawing.len().min(300)]);
        }
        drawings += 1;
    }
    assert!(drawings > 0, "not even the markers");
    no_nonsense(&page);
    nothing_from_outside(&text, &page);
    links_lead_somewhere(&page);
    (text, page)
}

/// Neither in what is read nor in any attribute there is a number that is none.
fn no_nonsense(page: &Html) {
    let nonsense = |text: &str| {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric());
        words.map(str::to_ascii_lowercase).any(|word| ["nan", "inf", "infinity"].contains(&word.as_str()))
    };
    for node in page.tree.nodes() {
        let within_code =
            node.parent().and_then(|parent| parent.value().as_element().map(|e| e.name().to_owned()));
        if within_code.is_some_and(|name| name == "script" || name == "style") {
            continue;
        }
        if let Some(text) = node.value().as_text() {
            assert!(!nonsense(text), "{text:?}");
        }
        if let Some(element) = node.value().as_element() {
            for (name, value) in element.attrs() {
                assert!(!nonsense(value), "{name}={value:?} of {}", element.name());
            }
        }
    }
}

/// The page loads nothing.
fn nothing_from_outside(text: &str, page: &Html) {
    for forbidden in ["http://", "https://", "//cdn", "@import", "url("] {
        assert!(!text.contains(forbidden), "{forbidden}");
    }
    let loading = Selector::parse("link, img, iframe, script[src], object, embed").expect("a selector");
    assert_eq!(page.select(&loading).count(), 0);
}

/// Each address within the page exists, once.
fn links_lead_somewhere(page: &Html) {
    let with = |selector: &str, attribute: &str| -> Vec<String> {
        let selector = Selector::parse(selector).expect("a selector");
        page.select(&selector).filter_map(|e| e.value().attr(attribute)).map(str::to_owned).collect()
    };
    let mut targets = with("[id]", "id");
    targets.sort();
    assert!(targets.windows(2).all(|pair| pair[0] != pair[1]), "an id twice: {targets:?}");
    let mut links = with("a[href], use[href]", "href");
    links.extend(with("label[for]", "for").iter().map(|id| format!("#{id}")));
    for link in links {
        let target = link.strip_prefix('#').expect("links stay within the page").to_owned();
        assert!(targets.binary_search(&target).is_ok(), "{link} leads nowhere");
    }
}

/// The text that a reader sees of what a selector finds.
fn texts(page: &Html, selector: &str) -> Vec<String> {
    let selector = Selector::parse(selector).expect("a selector");
    page.select(&selector).map(|element| element.text().collect::<Vec<_>>().concat()).collect()
}

/// A few contenders on one workload, each with given wall times by round.
fn simple(rows: &[(&str, &[f64])]) -> Results {
    let rounds = rows.iter().map(|(_, walls)| walls.len()).max().unwrap_or(0);
    let mut results = Results::new(machine(), plan(rounds as u32));
    results.workloads.push(workload("larson", Group::Classic));
    for (name, walls) in rows {
        let record = contender(name, Face::Preload, "1.0");
        for (round, &wall) in walls.iter().enumerate() {
            let memory = (wall * 10_000.0) as u64;
            results.samples.push(sample(&record, Kind::Throughput, round as u32, outcome("larson", wall, memory)));
        }
        results.contenders.push(record);
    }
    results
}

#[test]
fn a_full_report_names_everyone_and_everything() {
    let mut extent = Extent::small();
    extent.faces = vec![Face::Preload, Face::Rust];
    let results = results(&extent);
    let (_, page) = checked(&results);
    let heat = texts(&page, "#preload-table thead th").join(" ");
    for record in results.contenders.iter().filter(|record| record.face == Face::Preload) {
        assert!(heat.contains(&record.name), "{} has no column: {heat}", record.name);
    }
    let parts = texts(&page, "#method tbody th");
    assert!(results.contenders.iter().all(|record| parts.contains(&record.name)), "{parts:?}");
    let rows = texts(&page, "#preload-table tbody th");
    let described = texts(&page, "#preload-workloads dd").join(" ");
    for workload in &results.workloads {
        assert!(rows.iter().any(|row| row.trim() == workload.name), "{} has no row", workload.name);
        assert!(described.contains(&workload.sensitive_to), "{} is not described", workload.name);
    }
    let sections = [
        "overview",
        "standing",
        "table",
        "ratios",
        "time",
        "work",
        "latency",
        "threads",
        "live",
        "churn",
        "instructions",
    ];
    for section in sections {
        assert_eq!(texts(&page, &format!("#preload-{section} h2")).len(), 1, "no section {section}");
    }
    assert_eq!(texts(&page, "#rust-chapter .verdict").len(), 1);
    assert!(texts(&page, "#rust-chapter .verdict")[0].contains("Stratalloc needs"));
}

#[test]
fn a_page_as_large_as_a_real_one_is_whole_and_no_burden() {
    let results = results(&Extent { faces: vec![Face::Preload], ..Extent::realistic() });
    let (text, page) = checked(&results);
    assert!(text.len() < 4 << 20, "{} bytes", text.len());
    let selector = Selector::parse("#preload-ratios use").expect("a selector");
    let columns = results.contenders.iter().filter(|r| r.face == Face::Preload).count();
    assert_eq!(page.select(&selector).count(), 2 * columns * results.workloads.len());
}

#[test]
fn the_verdict_says_what_the_figures_say() {
    let verdict = |own: &[f64], peer: &[f64]| {
        let (_, page) = checked(&simple(&[("stratalloc", own), ("snmalloc", peer), ("glibc", &[9.0, 9.0, 9.0])]));
        texts(&page, ".verdict")[0].clone()
    };
    let ahead = verdict(&[0.80, 0.81, 0.79], &[1.00, 1.01, 0.99]);
    assert!(ahead.contains("20 % less time than snmalloc, the fastest peer"), "{ahead}");
    assert!(ahead.contains("20 % less peak memory than snmalloc, the leanest peer"), "{ahead}");
    let behind = verdict(&[1.50, 1.51, 1.49], &[1.00, 1.01, 0.99]);
    assert!(behind.contains("50 % more time than snmalloc"), "{behind}");
    let far_behind = verdict(&[3.0, 3.0, 3.0], &[1.00, 1.01, 0.99]);
    assert!(far_behind.contains("3.00 times the time of snmalloc"), "{far_behind}");
    let level = verdict(&[0.95, 1.05, 1.00], &[1.00, 0.95, 1.05]);
    assert!(level.contains("as much time as snmalloc"), "{level}");
}

#[test]
fn losses_stand_first() {
    let mut all = simple(&[("stratalloc", &[1.0, 1.0, 1.0]), ("snmalloc", &[1.2, 1.2, 1.2])]);
    for (name, own, peer) in [("bad", 3.0, 1.0), ("good", 1.0, 2.0), ("same", 1.0, 1.0)] {
        all.workloads.push(workload(name, Group::Classic));
        for round in 0..3 {
            for (record, wall) in all.contenders.clone().iter().zip([own, peer]) {
                all.samples.push(sample(record, Kind::Throughput, round, outcome(name, wall, 1000)));
            }
        }
    }
    let (_, page) = checked(&all);
    let time = texts(&page, "#preload-standing .halves > div:first-child .name a");
    assert_eq!(time, ["bad", "same", "larson", "good"]);
    let values = texts(&page, "#preload-standing .halves > div:first-child .value");
    assert_eq!(values, ["3.00", "1.00", "0.83", "0.50"]);
    let score = texts(&page, "#preload-standing .halves > div:first-child .score span b");
    assert_eq!(score, ["1", "1", "2"]);
}

#[test]
fn cells_hold_ratios_and_hover_titles() {
    let (_, page) = checked(&simple(&[("stratalloc", &[0.3, 0.3, 0.3]), ("glibc", &[0.6, 0.75, 0.6])]));
    let selector = Selector::parse("#preload-table .tab:first-of-type tr:not(.mean) td").expect("a selector");
    let cells: Vec<_> = page.select(&selector).take(2).collect();
    let read = |index: usize| cells[index].text().collect::<String>();
    assert_eq!((read(0).as_str(), read(1).as_str()), ("1.00", "2.00"));
    let title = cells[1].value().attr("title").expect("a hover title");
    assert_eq!(title, "glibc on larson: median 600 ms, quartiles 600 ms to 675 ms, 3 rounds");
    assert!(cells[0].value().classes().any(|class| class == "own"));
    assert!(cells[1].value().classes().any(|class| class == "h5"));
}

#[test]
fn nothing_at_all_is_a_page() {
    let (_, page) = checked(&Results::new(machine(), plan(0)));
    assert_eq!(texts(&page, ".verdict"), ["No contender took part."]);
    let mut unmeasured = results(&Extent::small());
    unmeasured.samples.clear();
    let (_, page) = checked(&unmeasured);
    assert_eq!(texts(&page, ".verdict"), ["No workload has been measured yet."]);
    assert!(texts(&page, "#method tbody th").contains(&"glibc".to_owned()));
}

#[test]
fn a_contender_alone_is_not_judged() {
    let (_, page) = checked(&simple(&[("stratalloc", &[0.3, 0.31])]));
    assert!(texts(&page, ".verdict")[0].contains("no peer beside it"));
    let (_, page) = checked(&simple(&[("glibc", &[0.3, 0.31]), ("snmalloc", &[0.2, 0.2])]));
    let verdict = &texts(&page, ".verdict")[0];
    assert!(verdict.contains("Stratalloc is not among") && verdict.contains("snmalloc"), "{verdict}");
}

#[test]
fn a_single_round_has_no_intervals_and_says_so() {
    let (_, page) = checked(&simple(&[("stratalloc", &[0.3]), ("glibc", &[0.6])]));
    assert!(texts(&page, ".warnings li").iter().any(|line| line.contains("a single round")));
    assert!(texts(&page, ".verdict")[0].starts_with("In a single round, over 1 workload"));
    let selector = Selector::parse("#preload-overview .bar, .whisker").expect("a selector");
    assert_eq!(page.select(&selector).count(), 0);
}

#[test]
fn failures_are_named_with_their_reasons() {
    let mut results = results(&Extent::small());
    let reason = "exit status 134 <aborted>";
    for sample in results.samples.iter_mut().filter(|s| s.contender == "mimalloc3" && s.workload == "sh6") {
        sample.failure = Some(reason.to_owned());
        sample.outcome = None;
    }
    results.contenders.push({
        let mut record = contender("snmalloc", Face::Preload, "");
        record.failure = Some("no C++ compiler".to_owned());
        record
    });
    results.samples[0].disturbed = true;
    let (_, page) = checked(&results);
    let warnings = texts(&page, ".warnings li");
    assert!(warnings.iter().any(|line| line == &format!("mimalloc3 failed on sh6: {reason}")), "{warnings:?}");
    assert!(warnings.iter().any(|line| line.contains("snmalloc (preload) could not take part: no C++ compiler")));
    assert!(warnings.iter().any(|line| line.contains("stayed disturbed")));
    let selector = Selector::parse("#preload-table td.none").expect("a selector");
    let titles: Vec<&str> = page.select(&selector).filter_map(|cell| cell.value().attr("title")).collect();
    assert!(titles.contains(&&*format!("mimalloc3 failed on sh6: {reason}")), "{titles:?}");
    assert!(titles.iter().any(|title| title.contains("no C++ compiler")));
    assert!(texts(&page, "#preload-overview tbody th").iter().any(|row| row.contains("(26 of 27)")));
}

#[test]
fn older_versions_and_missing_programs_are_warned_of() {
    let mut results = simple(&[("stratalloc", &[0.3, 0.3]), ("rpmalloc", &[0.6, 0.6])]);
    let mut node = workload("node", Group::Program);
    node.program.as_mut().expect("a program").missing = Some("node is not installed".to_owned());
    results.workloads.push(node);
    let (_, page) = checked(&results);
    let warnings = texts(&page, ".warnings li");
    assert!(warnings.contains(&"older than upstream's newest release: rpmalloc 1.0 (newest: 2.0.1)".to_owned()));
    assert!(warnings.contains(&"not measured, because not installed: node".to_owned()), "{warnings:?}");
}

#[test]
fn zeros_are_drawn_without_nonsense() {
    let mut results = simple(&[("stratalloc", &[0.0, 0.0]), ("glibc", &[0.0, 0.0])]);
    for sample in &mut results.samples {
        let outcome = sample.outcome.as_mut().expect("all have run");
        (outcome.user, outcome.system, outcome.peak_rss, outcome.rest_rss) = (0.0, 0.0, 0, Some(0));
        (outcome.minor_faults, outcome.operations, outcome.threads) = (0, 0, 0);
        outcome.extra = vec![("zeros".to_owned(), 0.0), ("no number".to_owned(), f64::NAN)];
        outcome.rss_by_work = vec![(0, 0), (0, 0), (0, 0)];
        sample.rss_over_time = vec![(0, 0), (0, 0), (0, 0)];
        let mut scaling = sample.clone();
        scaling.kind = Kind::Scaling;
    }
    let mut scaling = results.samples[0].clone();
    scaling.kind = Kind::Scaling;
    let mut latency = results.samples[0].clone();
    latency.kind = Kind::Latency;
    let zeros = Buckets(vec![(0, 1)]);
    latency.outcome.as_mut().expect("it has run").latency =
        Some(Latency { allocate: zeros, free: Buckets::default() });
    let mut instructions = results.samples[0].clone();
    (instructions.kind, instructions.workload, instructions.instructions_per_pair) =
        (Kind::Instructions, "pair-16".to_owned(), Some(0.0));
    results.samples.extend([scaling, latency, instructions]);
    let (_, page) = checked(&results);
    for section in ["time", "work", "latency", "threads", "instructions"] {
        assert_eq!(texts(&page, &format!("#preload-{section} h2")).len(), 1, "no section {section}");
    }
}

#[test]
fn extremes_are_drawn_without_nonsense() {
    let mut results = simple(&[("stratalloc", &[1e-9, 1e9]), ("glibc", &[1e9, 1e-9]), ("snmalloc", &[1.0, 1.0])]);
    for sample in &mut results.samples {
        sample.rss_over_time = vec![(0, u64::MAX), (u64::MAX, 0), (1, 1)];
        sample.foreign_load = f64::NAN;
    }
    results.plan.scale = f64::NAN;
    results.plan.disturbance = f64::INFINITY;
    checked(&results);
}

#[test]
fn text_is_escaped_wherever_it_stands() {
    let nasty = "<b>&\"'</script><svg onload=alert(1)>";
    let mut results = results(&Extent { workloads: 24, ..Extent::small() });
    for record in &mut results.contenders {
        if record.name == "mimalloc3" {
            record.name = nasty.to_owned();
            record.version = nasty.to_owned();
            (record.note, record.lags_behind) = (Some(nasty.to_owned()), Some(nasty.to_owned()));
        }
    }
    for sample in &mut results.samples {
        if sample.contender == "mimalloc3" {
            sample.contender = nasty.to_owned();
        }
        if sample.workload == "game" {
            sample.workload = nasty.to_owned();
            let outcome = sample.outcome.as_mut().expect("all have run");
            outcome.workload = nasty.to_owned();
            outcome.extra.push((nasty.to_owned(), 2.0));
        }
    }
    results.samples[1].failure = Some(nasty.to_owned());
    let described = results.workloads.iter_mut().find(|workload| workload.name == "game").expect("a workload");
    *described = workload(nasty, Group::Scene);
    (described.models, described.source, described.sensitive_to) = (nasty.into(), nasty.into(), nasty.into());
    described.latency = true;
    results.machine.cpu = nasty.to_owned();
    let (text, page) = checked(&results);
    assert!(!text.contains("<b>&"), "a name went out as it came in");
    let selector = Selector::parse("svg[onload], script").expect("a selector");
    assert_eq!(page.select(&selector).count(), 1, "only the page's own script");
    assert!(texts(&page, "#method tbody th").contains(&nasty.to_owned()));
    assert!(texts(&page, "#preload-latency h3").contains(&nasty.to_owned()));
}
