//! `cpp`: containers of the C++ standard library on our allocators and on others, on the same work, in one run.
//!
//! ```text
//! programs   the C++ programs: compiling them, what they list, one measurement
//! report     medians, ratios, tables in Markdown, the JSON
//! ../cc      the C++ programs: `run.hpp` the frame, `workloads.hpp` the loops, a file for each library
//! ```
//!
//! # Method
//! Each measurement is a process of its own. In a round every contender of every case is measured once, and each round
//! begins with another contender. The figure is the median over the rounds, in nanoseconds for each operation; the
//! ratio is to the lowest of the row. Of each process the highest resident memory is kept too.
//!
//! | case | operation |
//! |---|---|
//! | `vector-build` | a number is pushed to the back of a vector that began empty; at the end all of it goes |
//! | `vector-churn` | in a table of vectors, one is replaced by another of 1 to 64 numbers, pushed one by one |
//! | `deque-churn` | in a queue of constant length, one object of 40 bytes comes and one goes |
//! | `string-churn` | in a table of strings, one is replaced by another of 16 to 255 characters |
//! | `list-`, `map-`, `umap-build` | an element comes into a container that began empty; at the end all of it goes |
//! | `list-churn` | a random element is erased, another inserted before a random one |
//! | `set-`, `map-`, `umap-churn` | a random key leaves, a new one comes |
//! | `map-copy`, `umap-copy` | an element's share of copying a container and dropping the copy |
//!
//! Sizes are 100, ten thousand (`10k`) and a million elements (`1m`); `t2` is two threads, each with a container of
//! its own. `umap` is `std::unordered_map`. Lists hold 40 bytes (nodes of 56), maps a number and 40 bytes (80), sets a
//! number (40), hash tables two numbers (24). Before the clock starts, containers that churn have lived for at least
//! a quarter as many steps, and others were built and dropped for an eighth of the times. The work depends on seed and
//! size only; the checksum over all that the containers held must be the same for all contenders, or the run fails.
//!
//! Three groups. `threads`: allocators that serve any thread. `own`: a heap or pool for each container, which its own
//! thread uses. `arena`: what frees all at once, in cases that build and drop. A container of one thread may have
//! either of the first two, so they stand in one row; an arena's ratio is to the same figure, which is never its own.
//!
//! All allocators but the C library's are linked statically; compiler and flags are the same for all. Each program
//! looks first from where it got `malloc`, `free` and `operator new`: ours takes their place, in all other programs they
//! must be the C library's and libstdc++'s. A difference is an error before anything is measured.
//!
//! Run it with `cargo xtask bench cpp`, which builds our library first.

mod programs;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use programs::{Entry, Ours, Program, Sample};
use stratalloc_bench::turns::in_turn;
use stratalloc_bench::{interrupt, machine};

#[derive(Parser)]
#[command(about = "Containers of C++ on allocators, in turn", bin_name = "cargo xtask bench cpp")]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    run: Run,
}

#[derive(Subcommand)]
enum Verb {
    /// Name all contenders of all cases
    List(Places),
    /// The tables of a file that --out wrote
    Show {
        /// The file
        file: PathBuf,
        /// Which clock the figures are of
        #[arg(long, value_enum, default_value_t = Clock::Wall)]
        clock: Clock,
    },
}

#[derive(Args)]
struct Places {
    /// libstratalloc.a
    #[arg(long, value_name = "LIB", env = "STRATALLOC_BENCH_ARCHIVE")]
    #[arg(default_value_os_t = root("target/release/libstratalloc.a"))]
    archive: PathBuf,
    /// The folder of stratalloc.h
    #[arg(long, value_name = "DIR", default_value_os_t = root("include"))]
    include: PathBuf,
    /// Where the C++ programs go
    #[arg(long, value_name = "DIR", env = "STRATALLOC_BENCH_TARGET", default_value_os_t = root("target/bench"))]
    target: PathBuf,
}

#[derive(Args)]
struct Run {
    #[command(flatten)]
    places: Places,
    /// Measurements of each contender
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only cases whose name contains one of these, separated by commas
    #[arg(long, value_delimiter = ',')]
    case: Vec<String>,
    /// Only these contenders, separated by commas
    #[arg(long, value_delimiter = ',')]
    contender: Vec<String>,
    /// Factor on the number of operations
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Which clock the figures are of: on a machine that does other work, CPU time
    #[arg(long, value_enum, default_value_t = Clock::Wall)]
    clock: Clock,
    /// Where to write all samples as JSON
    #[arg(long)]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Clock {
    /// What a clock on the wall shows
    Wall,
    /// What the measured threads used of the processor
    Cpu,
}

/// A path in the repository.
fn root(path: &str) -> PathBuf {
    let bench = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    bench.ancestors().nth(2).map_or_else(|| PathBuf::from(path), |root| root.join(path))
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.verb {
        Some(Verb::List(places)) => list(&places),
        Some(Verb::Show { file, clock }) => show(&file, clock),
        None => run(&cli.run),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("cpp: {message}");
            ExitCode::from(2)
        }
    }
}

fn prepared(places: &Places) -> Result<(Vec<Program>, Vec<Entry>), String> {
    let header = places.include.join("stratalloc/allocator.hpp");
    for (file, advice) in
        [(&places.archive, "`cargo xtask build` makes it"), (&header, "--include names its folder")]
    {
        if !file.is_file() {
            return Err(format!("{} is not there: {advice}", file.display()));
        }
    }
    let ours = Ours { include: places.include.clone(), archive: places.archive.clone() };
    let programs = programs::compile(&ours, &places.target.join("cpp"))?;
    let entries = programs::entries(&programs)?;
    Ok((programs, entries))
}

fn list(places: &Places) -> Result<bool, String> {
    let (programs, entries) = prepared(places)?;
    for entry in entries {
        let party = if entry.ours { "ours" } else { "other" };
        let version = &programs[entry.program].version;
        println!("{:20}{:9}{party:7}{:20}{version}", entry.case, entry.group.word(), entry.contender);
    }
    Ok(true)
}

fn run(run: &Run) -> Result<bool, String> {
    if run.rounds == 0 {
        return Err("--rounds 0 measures nothing".into());
    }
    if !(run.scale > 0.0 && run.scale <= 1000.0) {
        return Err(format!("--scale {}: it is a number above 0 and up to 1000", run.scale));
    }
    let (programs, all) = prepared(&run.places)?;
    if let Some(unknown) = run.contender.iter().find(|name| all.iter().all(|entry| entry.contender != **name)) {
        return Err(format!("no contender {unknown:?}; `list` names them"));
    }
    if let Some(unknown) = run.case.iter().find(|part| all.iter().all(|entry| !entry.case.contains(part.as_str())))
    {
        return Err(format!("no case contains {unknown:?}; `list` names them"));
    }
    let entries: Vec<Entry> = all
        .into_iter()
        .filter(|entry| run.contender.is_empty() || run.contender.contains(&entry.contender))
        .filter(|entry| run.case.is_empty() || run.case.iter().any(|part| entry.case.contains(part.as_str())))
        .collect();
    if entries.is_empty() {
        return Err("none of these contenders takes part in these cases; `list` names them".into());
    }
    interrupt::watch();
    let machine = machine::here();
    let cases: Vec<&str> = entries.iter().map(|entry| entry.case.as_str()).collect();
    let mut begun = 0;
    let samples = in_turn(&cases, run.rounds, |round, index| {
        if begun <= round {
            eprintln!("round {} of {}", round + 1, run.rounds);
            begun = round + 1;
        }
        if interrupt::count() > 0 {
            return Err("interrupted".to_owned());
        }
        let entry = &entries[index];
        let sample = programs::measure(&programs, entry, run.scale);
        if let Err(reason) = &sample {
            eprintln!("{} in {}: {reason}", entry.contender, entry.case);
        }
        sample
    });
    let versions = programs.iter().map(|program| program.version.clone()).collect();
    let document = report::Document::new(machine, versions, run.scale, run.rounds, &entries, samples);
    if let Some(path) = &run.out {
        document.write(path)?;
    }
    print!("{}", document.markdown(run.clock));
    Ok(tell(&document))
}

fn show(file: &std::path::Path, clock: Clock) -> Result<bool, String> {
    let document = report::Document::read(file)?;
    print!("{}", document.markdown(clock));
    Ok(tell(&document))
}

/// Says what failed; whether nothing did.
fn tell(document: &report::Document) -> bool {
    let failures = document.failures();
    for failure in &failures {
        eprintln!("failed: {failure}");
    }
    failures.is_empty()
}

impl Clock {
    fn of(self, sample: &Sample) -> f64 {
        match self {
            Clock::Wall => sample.wall_ns,
            Clock::Cpu => sample.cpu_ns,
        }
    }
}
