//! Scenes: models of kinds of application, each in a module whose header says what it models, after which source,
//! and what it is sensitive to.
//!
//! ```text
//! web_server  database (pages, row_cache)  database_churn  game  compiler (syntax, code)
//! broker (executor)  crowd  live_heap  long_churn  the workloads
//! shapes                                   sizes, blocks and maps that they share
//! ```

mod broker;
mod code;
mod compiler;
mod crowd;
mod database;
mod database_churn;
mod executor;
mod game;
mod live_heap;
mod long_churn;
mod pages;
mod row_cache;
mod shapes;
mod syntax;
mod web_server;

use crate::registry::Workload;

/// All of them, in the order of lists.
pub fn all() -> Vec<Workload> {
    let mut all = vec![
        web_server::WORKLOAD,
        database::WORKLOAD,
        database_churn::WORKLOAD,
        game::WORKLOAD,
        compiler::WORKLOAD,
        broker::WORKLOAD,
        crowd::WORKLOAD,
    ];
    all.extend(live_heap::WORKLOADS);
    all.extend(live_heap::FURTHER);
    all.push(long_churn::WORKLOAD);
    all
}

/// Bytes of free memory that a workload wants at scale 1; `None` where that is no question.
pub fn memory(name: &str) -> Option<u64> {
    live_heap::memory(name)
}

#[cfg(test)]
mod tests {
    use super::all;
    use crate::measure::Run;
    use crate::registry::{Parameters, Workload};

    fn outcome(workload: &Workload, seed: u64) -> stratalloc_bench_protocol::Outcome {
        let threads = workload.threads.default_number();
        let mut run = Run::new();
        (workload.run)(&Parameters { scale: 0.02, threads, seed }, &mut run);
        run.finish(workload.name, threads, None).unwrap()
    }

    #[test]
    fn equal_seeds_give_equal_results_and_other_seeds_others() {
        for workload in all() {
            let [one, same, other] = [7, 7, 8].map(|seed| outcome(&workload, seed));
            assert_eq!(one.checksum, same.checksum, "{}", workload.name);
            assert_eq!(one.operations, same.operations, "{}", workload.name);
            assert_ne!(one.checksum, other.checksum, "{}", workload.name);
            assert!(one.operations > 0 && one.wall > 0.0, "{}", workload.name);
        }
    }

    #[test]
    fn extra_figures_are_numbers() {
        for name in ["database-churn", "game", "live-1m", "live-4g", "long-churn"] {
            let workload = all().into_iter().find(|workload| workload.name == name).unwrap();
            let extra = outcome(&workload, 1).extra;
            assert!(
                !extra.is_empty() && extra.iter().all(|(_, value)| value.is_finite() && *value >= 0.0),
                "{extra:?}"
            );
        }
    }
}
