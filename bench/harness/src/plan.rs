//! In which order what is measured: workloads as blocks, in each block rounds, in each round all contenders in
//! turn, starting one further each round. So a run that is broken off has whole workloads, and no contender
//! always follows the same other.

use std::collections::HashSet;

use stratalloc_bench_protocol::{Description, Group};

use crate::choice::Chosen;
use crate::store::{Face, Kind, Plan, Sample};

/// One process to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The workload's place in the list of the chosen.
    pub workload: usize,
    /// The contender's place in the list of the chosen.
    pub contender: usize,
    /// What for.
    pub kind: Kind,
    /// From 0.
    pub round: u32,
    /// `--threads` of the workload.
    pub threads: Option<u32>,
}

/// The steps of one workload, one kind, one thread count and one round: saved together.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// All contenders in turn.
    pub steps: Vec<Step>,
}

/// What tells samples apart: workload, contender, face, kind, round, threads.
pub type Key = (String, String, Face, Kind, u32, Option<u32>);

/// Of a sample.
pub fn key(sample: &Sample) -> Key {
    (sample.workload.clone(), sample.contender.clone(), sample.face, sample.kind, sample.round, sample.threads)
}

impl Step {
    /// Of the sample that it will give.
    pub fn key(&self, workloads: &[Description], chosen: &[Chosen]) -> Key {
        let (workload, chosen) = (&workloads[self.workload], &chosen[self.contender]);
        (workload.name.clone(), chosen.contender.name.clone(), chosen.face, self.kind, self.round, self.threads)
    }
}

/// All blocks, without the steps whose samples are there. `usable` says which contenders can run.
pub fn blocks(
    plan: &Plan,
    workloads: &[Description],
    chosen: &[Chosen],
    usable: impl Fn(&Chosen) -> bool,
    present: &[Sample],
) -> Vec<Block> {
    let present: HashSet<Key> = present.iter().map(key).collect();
    let mut blocks = Vec::new();
    for (place, workload) in workloads.iter().enumerate() {
        for face in [Face::Preload, Face::Rust] {
            let candidates: Vec<usize> = (0..chosen.len())
                .filter(|&c| chosen[c].face == face && usable(&chosen[c]))
                .filter(|_| workload.group != Group::Program || face == Face::Preload)
                .collect();
            if candidates.is_empty() {
                continue;
            }
            for (kind, threads, rounds) in series(plan, workload) {
                for round in 0..rounds {
                    let step = |contender| Step { workload: place, contender, kind, round, threads };
                    let mut steps: Vec<Step> = candidates.iter().map(|&contender| step(contender)).collect();
                    let first = round as usize % steps.len();
                    steps.rotate_left(first);
                    steps.retain(|step| !present.contains(&step.key(workloads, chosen)));
                    if !steps.is_empty() {
                        blocks.push(Block { steps });
                    }
                }
            }
        }
    }
    blocks
}

/// What is measured of a workload: kind, threads, rounds.
fn series(plan: &Plan, workload: &Description) -> Vec<(Kind, Option<u32>, u32)> {
    let threads = plan.threads.filter(|_| workload.scales_with_threads);
    let mut series = vec![(Kind::Throughput, threads, plan.rounds)];
    if workload.latency {
        series.push((Kind::Latency, threads, plan.latency_rounds));
    }
    if workload.scales_with_threads {
        series.extend(plan.scaling.iter().map(|&count| (Kind::Scaling, Some(count), plan.rounds)));
    }
    series
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contenders::{Contender, Face as Way};

    fn chosen(name: &str, face: Face) -> Chosen {
        Chosen { contender: Contender { name: name.into(), face: Way::Plain, about: "" }, face }
    }

    fn workload(name: &str, group: Group, scales: bool, latency: bool) -> Description {
        Description {
            name: name.into(),
            group,
            models: String::new(),
            source: String::new(),
            sensitive_to: String::new(),
            threads: 1,
            scales_with_threads: scales,
            latency,
            memory: None,
            program: None,
        }
    }

    fn plan(rounds: u32) -> Plan {
        Plan {
            scale: 1.0,
            seed: 1,
            rest: 0,
            rest_rounds: 1,
            threads: Some(6),
            rounds,
            latency_rounds: 1,
            scaling: vec![1, 4],
            disturbance: 0.1,
        }
    }

    #[test]
    fn each_contender_is_in_each_place_once_in_as_many_rounds_as_contenders() {
        let chosen = ["a", "b", "c"].map(|name| chosen(name, Face::Preload));
        let blocks = blocks(&plan(3), &[workload("w", Group::Classic, false, false)], &chosen, |_| true, &[]);
        let order: Vec<Vec<usize>> =
            blocks.iter().map(|block| block.steps.iter().map(|step| step.contender).collect()).collect();
        assert_eq!(order, [[0, 1, 2], [1, 2, 0], [2, 0, 1]]);
        assert!(blocks.iter().enumerate().all(|(i, block)| block.steps.iter().all(|s| s.round == i as u32)));
    }

    #[test]
    fn workloads_are_blocks_with_what_each_can_do() {
        let chosen = [chosen("a", Face::Preload), chosen("b", Face::Rust)];
        let workloads = [
            workload("both", Group::Classic, true, true),
            workload("tail", Group::Scene, false, true),
            workload("tool", Group::Program, false, false),
        ];
        let blocks = blocks(&plan(2), &workloads, &chosen, |_| true, &[]);
        let steps: Vec<&Step> = blocks.iter().flat_map(|block| &block.steps).collect();
        let of = |place, face| {
            let series = steps.iter().filter(|s| s.workload == place && chosen[s.contender].face == face);
            series.map(|s| (s.kind, s.threads, s.round)).collect::<Vec<_>>()
        };
        let all = vec![
            (Kind::Throughput, Some(6), 0),
            (Kind::Throughput, Some(6), 1),
            (Kind::Latency, Some(6), 0),
            (Kind::Scaling, Some(1), 0),
            (Kind::Scaling, Some(1), 1),
            (Kind::Scaling, Some(4), 0),
            (Kind::Scaling, Some(4), 1),
        ];
        assert_eq!((of(0, Face::Preload), of(0, Face::Rust)), (all.clone(), all));
        let tail = [(Kind::Throughput, None, 0), (Kind::Throughput, None, 1), (Kind::Latency, None, 0)];
        assert_eq!(of(1, Face::Preload), tail);
        assert_eq!(of(2, Face::Preload), tail[..2]);
        assert_eq!(of(2, Face::Rust), [], "real programs run under preload only");
        assert!(steps.windows(2).all(|pair| pair[0].workload <= pair[1].workload));
    }

    #[test]
    fn contenders_that_could_not_be_built_are_left_out() {
        let chosen = ["a", "b"].map(|name| chosen(name, Face::Preload));
        let usable = |chosen: &Chosen| chosen.contender.name == "b";
        let blocks = blocks(&plan(1), &[workload("w", Group::Classic, false, false)], &chosen, usable, &[]);
        assert_eq!(blocks.len(), 1);
        assert_eq!(blocks[0].steps.iter().map(|step| step.contender).collect::<Vec<_>>(), [1]);
    }
}
