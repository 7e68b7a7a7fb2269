//! Contenders in turn: samples, statistics, reports.
//!
//! | module | what it owns |
//! |---|---|
//! | `arguments`, `choice`, `commands` | the command line, names, what each command does |
//! | `contenders`, `build`, `cargo`, `versions` | what takes part, how it is built, how old it is |
//! | `plan`, `session`, `progress` | the order of runs, running them, showing how far it is |
//! | `measure`, `process`, `load`, `counters`, `instructions`, `interrupt`, `machine` | one sample, and all that is watched |
//! | `store` | the results document and its file |
//! | `turns` | the order of small benches that have no session |
//! | `stats`, `series` | medians, ratios, geometric means, intervals; latency and scaling |
//! | `terminal`, `compare`, `report` | tables, what changed, the HTML page |

pub mod arguments;
pub mod build;
mod cargo;
pub mod choice;
pub mod commands;
pub mod compare;
pub mod contenders;
pub mod counters;
pub mod instructions;
pub mod interrupt;
pub mod load;
pub mod machine;
pub mod measure;
pub mod plan;
pub mod prepare;
pub mod process;
pub mod progress;
pub mod report;
pub mod series;
pub mod session;
pub mod stats;
pub mod store;
pub mod terminal;
pub mod turns;
mod versions;
