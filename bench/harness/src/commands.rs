//! What each command does. Each returns whether all went well; an error is bad input and ends with status 2.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use stratalloc_bench_protocol::Group;

use crate::arguments::{Arguments, Build, Faces, Instructions, Run, Task, Where, Who};
use crate::build::{QUICK, RELEASE};
use crate::choice::{self, Chosen};
use crate::compare;
use crate::contenders;
use crate::instructions;
use crate::interrupt;
use crate::machine;
use crate::plan;
use crate::prepare::{self, Prepared};
use crate::progress::Progress;
use crate::report;
use crate::series;
use crate::session::{self, Ended, Session};
use crate::store::{Face, Plan, Results};
use crate::terminal;

/// Scale of a smoke run.
const SMOKE_SCALE: f64 = 0.02;
/// Milliseconds of rest in a smoke run.
const SMOKE_REST: u64 = 10;

/// Does what is asked. `Ok(false)`: something that was measured or built failed.
pub fn execute(arguments: Arguments) -> Result<bool, String> {
    match (arguments.compare, arguments.task) {
        (Some(files), _) => compare_files(&files[0], &files[1]),
        (None, Some(Task::Run(options))) => run(*options),
        (None, Some(Task::List(places))) => list(&places),
        (None, Some(Task::Show { file })) => show(&file),
        (None, Some(Task::Report { file, out })) => report_file(&file, out),
        (None, Some(Task::Compare { old, new })) => compare_files(&old, &new),
        (None, Some(Task::Build(options))) => build(&options),
        (None, Some(Task::Instructions(options))) => count_instructions(&options),
        (None, None) => Err("no command: --help names them".to_owned()),
    }
}

fn load(path: &Path) -> Result<Results, String> {
    Results::load(path).map_err(|error| error.to_string())
}

fn show(file: &Path) -> Result<bool, String> {
    print!("{}", terminal::tables(&load(file)?));
    Ok(true)
}

fn compare_files(old: &Path, new: &Path) -> Result<bool, String> {
    print!("{}", compare::text(&load(old)?, &load(new)?)?);
    Ok(true)
}

fn report_file(file: &Path, out: Option<PathBuf>) -> Result<bool, String> {
    let results = load(file)?;
    let out = out.unwrap_or_else(|| file.with_extension("html"));
    write_report(&results, &out)?;
    println!("{}", out.display());
    Ok(true)
}

fn write_report(results: &Results, out: &Path) -> Result<(), String> {
    std::fs::write(out, report::html(results)).map_err(|error| format!("{}: {error}", out.display()))
}

/// Builds what is chosen, with a line for each on standard error.
fn prepare(places: &Where, chosen: Vec<Chosen>, profile: &'static str) -> Result<Prepared, String> {
    let folders = prepare::folders(places, &chosen, profile)?;
    let count = chosen.len();
    let mut place = 0;
    Ok(prepare::ready(chosen, &folders, places, |name| {
        place += 1;
        eprintln!("building or finding {place} of {count}: {name}");
    }))
}

fn list(places: &Where) -> Result<bool, String> {
    let glibc =
        Who { contenders: vec!["glibc".to_owned()], with: Vec::new(), tuned: Vec::new(), face: Faces::Preload };
    let prepared = prepare(places, choice::contenders(&glibc)?, RELEASE)?;
    println!("contenders:");
    for contender in contenders::all() {
        println!("  {:<20} {}", contender.name, contender.about);
    }
    let mut group = None;
    for workload in prepare::workloads(&prepared.any_binary()?)? {
        if group != Some(workload.group) {
            group = Some(workload.group);
            let plural = if workload.group == Group::Growth { "" } else { "s" };
            println!("{}:", format!("{:?}{plural}", workload.group).to_lowercase());
        }
        let missing = workload.program.and_then(|program| program.missing);
        println!("  {:<20} {}", workload.name, workload.models);
        println!("  {:<20} shows: {}", "", workload.sensitive_to);
        if let Some(missing) = missing {
            println!("  {:<20} not on this machine: {missing}", "");
        }
    }
    Ok(true)
}

fn build(options: &Build) -> Result<bool, String> {
    let prepared = prepare(&options.places, choice::contenders(&options.who)?, RELEASE)?;
    let mut fine = true;
    for (chosen, ready) in prepared.chosen.iter().zip(&prepared.ready) {
        let (name, face) = (&chosen.contender.name, chosen.face);
        match ready {
            Ok(ready) => {
                let file = ready.preload.as_ref().unwrap_or(&ready.workload);
                println!("{name} ({face}) {}: {}", ready.version, file.display());
            }
            Err(failure) => {
                fine = false;
                println!("{name} ({face}) FAILED: {failure}");
            }
        }
    }
    Ok(fine)
}

/// What a smoke run is.
fn smoke(mut options: Run) -> Run {
    if options.who.contenders.is_empty() {
        options.who.contenders = vec![contenders::OWN.to_owned(), "glibc".to_owned()];
    }
    options.rounds = 1;
    options.latency_rounds = 0;
    options.scaling.clear();
    options.scale = SMOKE_SCALE;
    options.rest = SMOKE_REST;
    // Nobody looks at its times: a busy machine is fine.
    options.disturbance = f64::MAX;
    options
}

fn run(options: Run) -> Result<bool, String> {
    let options = if options.smoke { smoke(options) } else { options };
    let chosen = choice::contenders(&options.who)?;
    let plan = Plan {
        scale: options.scale,
        seed: options.seed,
        rest: options.rest,
        rest_rounds: options.rest_rounds,
        threads: options.threads,
        rounds: options.rounds,
        latency_rounds: options.latency_rounds,
        scaling: options.scaling.clone(),
        disturbance: options.disturbance,
    };
    // All that can be refused is refused before compilers run.
    let profile = if options.smoke { QUICK } else { RELEASE };
    let folders = prepare::folders(&options.places, &chosen, profile)?;
    let out = out_file(&options, &folders.target)?;
    let existing = session::open(out.as_deref(), options.resume.is_some(), &plan)?;
    let prepared = prepare(&options.places, chosen, profile)?;
    let workloads =
        choice::workloads(&options.workloads, &prepare::workloads(&prepared.any_binary()?)?, options.smoke)?;
    let timeout = Duration::from_secs_f64(options.timeout);
    let mut session = Session::new(existing, out, plan, prepared, workloads, &options.again, timeout)?;
    interrupt::watch();
    let ended = session.run().map_err(|error| error.to_string())?;
    if !options.smoke {
        print!("{}", terminal::tables(&session.results));
    }
    if let Some(page) = &options.report {
        write_report(&session.results, page)?;
        eprintln!("report: {}", page.display());
    }
    let failures = session::failures(&session.results);
    if options.smoke {
        failures.iter().for_each(|failure| println!("FAILED: {failure}"));
        let passed = session.results.samples.iter().filter(|sample| sample.failure.is_none()).count();
        println!("smoke: {passed} runs passed, {} failures", failures.len());
    }
    match (&session.out, ended) {
        (Some(out), Ended::Interrupted) => {
            eprintln!("interrupted; go on with the same options and --resume {}", out.display());
        }
        (None, Ended::Interrupted) => eprintln!("interrupted"),
        (Some(out), Ended::Complete) => eprintln!("samples: {}", out.display()),
        (None, Ended::Complete) => {}
    }
    Ok(failures.is_empty() && ended == Ended::Complete)
}

/// Where samples go. Only a smoke run may be without: hours of measuring are never thrown away.
fn out_file(options: &Run, target: &Path) -> Result<Option<PathBuf>, String> {
    if let Some(file) = options.resume.as_ref().or(options.out.as_ref()) {
        return writable(file).map(Some);
    }
    if options.smoke {
        return Ok(None);
    }
    let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string().replace(':', "-");
    let folder = target.join("results");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(Some(folder.join(format!("{date}.json"))))
}

/// The file itself, if it can be written beside: better known now than after the first block.
fn writable(file: &Path) -> Result<PathBuf, String> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    match tempfile::NamedTempFile::new_in(folder) {
        Ok(_) if file.is_dir() => Err(format!("{} is a folder: name a file", file.display())),
        Ok(_) => Ok(file.to_owned()),
        Err(error) => Err(format!("{}: no file can be made in this folder: {error}", folder.display())),
    }
}

fn count_instructions(options: &Instructions) -> Result<bool, String> {
    instructions::available()?;
    if options.sizes.contains(&0) {
        return Err("--sizes 0: a block has at least one byte".to_owned());
    }
    let out = options.out.as_deref().map(writable).transpose()?;
    let existing = out.as_deref().filter(|path| path.exists()).map(load).transpose()?;
    let chosen = choice::contenders(&options.who)?;
    let prepared = prepare(&options.places, chosen, RELEASE)?;
    let plan = existing.as_ref().map_or_else(plan_of_counts, |results| results.plan.clone());
    let mut results = existing.unwrap_or_else(|| Results::new(machine::here(), plan.clone()));
    for record in prepared.records() {
        session::adopt_record(&mut results, record)?;
    }
    interrupt::watch();
    let mut progress = Progress::new(prepared.chosen.len() * options.sizes.len());
    let mut complete = true;
    'all: for (chosen, ready) in prepared.chosen.iter().zip(&prepared.ready) {
        let Ok(ready) = ready else { continue };
        for &size in &options.sizes {
            progress.begin(&format!("{}, {size} bytes", chosen.contender.name));
            let counted = match interrupt::count() {
                0 => instructions::sample(chosen, ready, size, options.pairs, &plan),
                _ => None,
            };
            let Some(sample) = counted else {
                complete = false;
                break 'all;
            };
            progress.step(sample.instructions_per_pair.map(|count| format!("{size} B {count:.1}")));
            results.samples.retain(|known| plan::key(known) != plan::key(&sample));
            results.samples.push(sample);
        }
        progress.block(&chosen.contender.name);
    }
    progress.end();
    if let Some(out) = &out {
        results.save(out).map_err(|error| error.to_string())?;
    }
    print!("{}", [Face::Preload, Face::Rust].map(|face| terminal::instructions(&results, face)).concat());
    let failures = session::failures(&results);
    failures.iter().for_each(|failure| println!("FAILED: {failure}"));
    let counted: usize = results.faces().into_iter().map(|face| series::instructions(&results, face).len()).sum();
    Ok(failures.is_empty() && complete && counted > 0)
}

/// Counts depend on none of this; a results file of counts alone can be continued by a run of the defaults.
fn plan_of_counts() -> Plan {
    Plan {
        scale: 1.0,
        seed: 1,
        rest: 1000,
        rest_rounds: 1,
        threads: None,
        rounds: 0,
        latency_rounds: 0,
        scaling: Vec::new(),
        disturbance: 0.1,
    }
}
