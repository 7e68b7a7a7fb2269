//! A run of the bench: continues or starts a results document, runs the missing blocks, saves after each.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use stratalloc_bench_protocol::{Description, Group};

use crate::choice::{self, Chosen};
use crate::interrupt;
use crate::machine;
use crate::measure::Measuring;
use crate::plan::{self, Block, Step};
use crate::prepare::Prepared;
use crate::progress::Progress;
use crate::store::{ContenderRecord, Face, Kind, Plan, Results, Sample, StoreError};

/// Failures of a contender on a workload after which its further rounds are left out.
const PATIENCE: usize = 2;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All that was asked for is measured or recorded as failed.
    Complete,
    /// Somebody stopped it.
    Interrupted,
}

/// A run about to be done.
pub struct Session {
    /// The document, with all samples so far.
    pub results: Results,
    /// Where it is kept.
    pub out: Option<PathBuf>,
    prepared: Prepared,
    workloads: Vec<Description>,
    plan: Plan,
    timeout: Duration,
}

/// Reads the document to be continued, if there is one, and checks that samples of this plan may stand in it.
pub fn open(path: Option<&Path>, must_exist: bool, plan: &Plan) -> Result<Option<Results>, String> {
    let Some(path) = path else { return Ok(None) };
    if !must_exist && !path.exists() {
        return Ok(None);
    }
    let results = Results::load(path).map_err(|error| error.to_string())?;
    let file = path.display();
    if let Some(difference) = plan_differs(&results.plan, plan) {
        return Err(format!("{file} was measured with {difference}: choose the same, or another --out"));
    }
    if let Some(difference) = machine::differs(&results.machine, &machine::here()) {
        return Err(format!("{file} was measured on another machine: {difference}"));
    }
    Ok(Some(results))
}

/// What has to be equal but is not: of the file first, then as asked.
pub fn plan_differs(file: &Plan, asked: &Plan) -> Option<String> {
    let threads = |threads: Option<u32>| threads.map_or_else(|| "each workload's own".into(), |t| t.to_string());
    let pairs = [
        ("--scale", file.scale.to_string(), asked.scale.to_string()),
        ("--seed", file.seed.to_string(), asked.seed.to_string()),
        ("--rest", file.rest.to_string(), asked.rest.to_string()),
        ("--threads", threads(file.threads), threads(asked.threads)),
    ];
    pairs
        .into_iter()
        .find(|(_, file, asked)| file != asked)
        .map(|(what, file, asked)| format!("{what} {file}, not {asked}"))
}

impl Session {
    /// Puts what is chosen into the document. `again` names contenders, workloads or `failed` whose samples go.
    pub fn new(
        existing: Option<Results>,
        out: Option<PathBuf>,
        plan: Plan,
        prepared: Prepared,
        workloads: Vec<Description>,
        again: &[String],
        timeout: Duration,
    ) -> Result<Session, String> {
        let mut results = existing.unwrap_or_else(|| Results::new(machine::here(), plan.clone()));
        drop_samples(&mut results, again)?;
        results.plan.rounds = results.plan.rounds.max(plan.rounds);
        results.plan.rest_rounds = results.plan.rest_rounds.max(plan.rest_rounds);
        results.plan.latency_rounds = results.plan.latency_rounds.max(plan.latency_rounds);
        results.plan.scaling.extend(&plan.scaling);
        results.plan.scaling.sort_unstable();
        results.plan.scaling.dedup();
        for record in prepared.records() {
            adopt_record(&mut results, record)?;
        }
        for workload in &workloads {
            match results.workloads.iter_mut().find(|known| known.name == workload.name) {
                Some(known) => known.clone_from(workload),
                None => results.workloads.push(workload.clone()),
            }
        }
        results.workloads.sort_by_key(|workload| workload.group);
        Ok(Session { results, out, prepared, workloads, plan, timeout })
    }

    /// Runs what is missing.
    pub fn run(&mut self) -> Result<Ended, StoreError> {
        let (workloads, left_out) = self.measurable();
        let ready: HashMap<(String, Face), usize> = (0..self.prepared.chosen.len())
            .filter(|&place| self.prepared.ready[place].is_ok())
            .map(|place| (identity(&self.prepared.chosen[place]), place))
            .collect();
        let usable = |chosen: &Chosen| ready.contains_key(&identity(chosen));
        let blocks = plan::blocks(&self.plan, &workloads, &self.prepared.chosen, usable, &self.results.samples);
        let mut progress = Progress::new(blocks.iter().map(|block| block.steps.len()).sum());
        for (record, failure) in self.results.contenders.iter().filter_map(|r| Some((r, r.failure.as_ref()?))) {
            progress.note(&format!("{} ({}) takes no part: {failure}", record.name, record.face));
        }
        for (workload, reason) in &left_out {
            progress.note(&format!("{} is left out: {reason}", workload.name));
        }
        if !self.results.machine.counters {
            progress.note("this machine gives no hardware counters: samples are without them");
        }
        self.save()?;
        for block in &blocks {
            let interrupted = self.block(block, &workloads, &mut progress);
            self.results.check_agreement();
            self.save()?;
            if interrupted {
                progress.end();
                return Ok(Ended::Interrupted);
            }
        }
        progress.end();
        Ok(Ended::Complete)
    }

    /// The chosen workloads without programs that are not installed and heaps for which there is no memory now.
    /// The others come with the reason.
    fn measurable(&self) -> (Vec<Description>, Vec<(Description, String)>) {
        let (mut here, mut left_out) = (Vec::new(), Vec::new());
        for workload in &self.workloads {
            let missing = workload.program.as_ref().and_then(|program| program.missing.clone());
            match missing.or_else(|| machine::lacks_memory(workload, self.plan.scale)) {
                None => here.push(workload.clone()),
                Some(reason) => left_out.push((workload.clone(), reason)),
            }
        }
        (here, left_out)
    }

    /// Runs a block; says whether it was interrupted.
    fn block(&mut self, block: &Block, workloads: &[Description], progress: &mut Progress) -> bool {
        let Some(first) = block.steps.first() else { return false };
        let title = self.title(first, workloads);
        for step in &block.steps {
            if interrupt::count() > 0 {
                return true;
            }
            let (workload, chosen) = (&workloads[step.workload], &self.prepared.chosen[step.contender]);
            let Ok(ready) = &self.prepared.ready[step.contender] else { continue };
            if self.failures(step, workload, chosen) >= PATIENCE {
                progress.step(None);
                continue;
            }
            let name = &chosen.contender.name;
            progress.begin(&format!("{title}, {name}"));
            let counters = self.results.machine.counters;
            let measuring = Measuring { plan: &self.plan, timeout: self.timeout, counters };
            let Some(sample) = measuring.sample(step, workload, chosen, ready) else { return true };
            let result = match (&sample.failure, &sample.outcome) {
                (Some(failure), _) => {
                    progress.note(&format!("{title}, {name}: FAILED: {failure}"));
                    format!("{name} FAILED")
                }
                (None, Some(outcome)) if sample.disturbed => format!("{name} {:.3} s (disturbed)", outcome.wall),
                (None, Some(outcome)) => format!("{name} {:.3} s", outcome.wall),
                (None, None) => name.clone(),
            };
            progress.step(Some(result));
            self.results.samples.push(sample);
        }
        progress.block(&title);
        false
    }

    /// How often this contender failed at this already.
    fn failures(&self, step: &Step, workload: &Description, chosen: &Chosen) -> usize {
        let same = |sample: &&Sample| {
            sample.workload == workload.name
                && sample.contender == chosen.contender.name
                && sample.face == chosen.face
                && sample.kind == step.kind
                && sample.threads == step.threads
        };
        self.results.samples.iter().filter(same).filter(|s| s.failure.is_some() && !s.disagrees).count()
    }

    fn title(&self, step: &Step, workloads: &[Description]) -> String {
        let rounds = if step.kind == Kind::Latency { self.plan.latency_rounds } else { self.plan.rounds };
        let mut title = workloads[step.workload].name.clone();
        if self.prepared.chosen[step.contender].face == Face::Rust {
            title += " (rust)";
        }
        if step.kind != Kind::Throughput {
            title += &format!(", {}", step.kind);
        }
        if let Some(threads) = step.threads {
            title += &format!(", {threads} threads");
        }
        format!("{title}, round {} of {rounds}", step.round + 1)
    }

    fn save(&self) -> Result<(), StoreError> {
        self.out.as_deref().map_or(Ok(()), |path| self.results.save(path))
    }
}

fn identity(chosen: &Chosen) -> (String, Face) {
    (chosen.contender.name.clone(), chosen.face)
}

/// Takes samples out of a document, so that they are measured again.
fn drop_samples(results: &mut Results, again: &[String]) -> Result<(), String> {
    let mut known: Vec<String> = results.workloads.iter().map(|workload| workload.name.clone()).collect();
    known.extend(results.contenders.iter().map(|record| record.name.clone()));
    known.push("failed".to_owned());
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    if let Some(unknown) = again.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(choice::unknown("name for --again", unknown, &known));
    }
    let named = |name: &String| again.contains(name);
    let failed = again.iter().any(|name| name == "failed");
    results.samples.retain(|sample| {
        let again = named(&sample.workload) || named(&sample.contender);
        !(again || failed && sample.failure.is_some())
    });
    Ok(())
}

/// Puts a contender's record into a document. Refused if samples of another build of it are there.
pub fn adopt_record(results: &mut Results, record: ContenderRecord) -> Result<(), String> {
    let place = results.contenders.iter().position(|known| known.name == record.name && known.face == record.face);
    let Some(place) = place else {
        // Preloaded first, so that the columns of a face stand together.
        let end = match record.face {
            Face::Preload => results.contenders.iter().take_while(|known| known.face == Face::Preload).count(),
            Face::Rust => results.contenders.len(),
        };
        results.contenders.insert(end, record);
        return Ok(());
    };
    let known = &results.contenders[place];
    let of_known = |s: &Sample| s.contender == record.name && s.face == record.face;
    let measured = results.samples.iter().any(of_known);
    if let (Some(old), Some(new), true) = (&known.fingerprint, &record.fingerprint, measured)
        && old != new
    {
        let name = &record.name;
        // A global face's file changes with each new workload, which changes nothing for the older ones.
        if record.face == Face::Preload {
            return Err(format!(
                "the results hold samples of another build of {name} ({old}, now {new}): \
                 measure it again with --again {name}, or choose another --out"
            ));
        }
        eprintln!("note: the binary of {name} is another one than before ({old}, now {new})");
    }
    if measured && record.failure.is_some() {
        // What was measured stays described as it was then.
        results.contenders[place].failure = record.failure;
    } else {
        results.contenders[place] = record;
    }
    Ok(())
}

/// All that went wrong, a line each.
pub fn failures(results: &Results) -> Vec<String> {
    let contenders = results.contenders.iter().filter_map(|record| {
        let failure = record.failure.as_ref()?;
        Some(format!("{} ({}): {failure}", record.name, record.face))
    });
    let mut grouped: Vec<(String, &str, usize)> = Vec::new();
    for sample in &results.samples {
        let Some(failure) = &sample.failure else { continue };
        let mut what = format!("{} with {} ({}", sample.workload, sample.contender, sample.face);
        if sample.kind != Kind::Throughput {
            what += &format!(", {}", sample.kind);
        }
        what += ")";
        match grouped.iter_mut().find(|(known, text, _)| *known == what && *text == failure) {
            Some((.., count)) => *count += 1,
            None => grouped.push((what, failure, 1)),
        }
    }
    let samples = grouped.into_iter().map(|(what, failure, count)| match count {
        1 => format!("{what}: {failure}"),
        count => format!("{what}, {count} times: {failure}"),
    });
    contenders.chain(samples).collect()
}

/// The programs that could not be measured for want of a package.
pub fn missing_programs(results: &Results) -> Vec<String> {
    let missing = |workload: &Description| {
        let program = workload.program.as_ref().filter(|_| workload.group == Group::Program)?;
        let missing = program.missing.as_ref()?;
        Some(format!("{}: {missing} (Debian's package {})", workload.name, program.package))
    };
    results.workloads.iter().filter_map(missing).collect()
}
