//! How far a run is: a bar with the time left on a terminal, otherwise one line a block.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Shown on standard error, so that tables on standard output stay clean.
pub struct Progress {
    bar: Option<ProgressBar>,
    start: Instant,
    done: usize,
    total: usize,
    line: Vec<String>,
}

impl Progress {
    /// Of so many runs.
    pub fn new(total: usize) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total as u64);
            let form = "{bar:30} {pos}/{len}  {elapsed} spent, {eta} left  {wide_msg}";
            if let Ok(style) = ProgressStyle::with_template(form) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(500));
            bar
        });
        Progress { bar, start: Instant::now(), done: 0, total, line: Vec::new() }
    }

    /// A line that stays.
    pub fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    /// What runs now.
    pub fn begin(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_owned());
        }
    }

    /// A run ended, or was left out.
    pub fn step(&mut self, result: Option<String>) {
        self.done += 1;
        self.line.extend(result);
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    /// A block ended.
    pub fn block(&mut self, what: &str) {
        let results = std::mem::take(&mut self.line);
        if self.bar.is_none() && !results.is_empty() {
            let left = remaining(self.start.elapsed(), self.done, self.total);
            let left = humantime::format_duration(Duration::from_secs(left.as_secs()));
            eprintln!("[{}/{}, {left} left] {what}: {}", self.done, self.total, results.join(", "));
        }
    }

    /// Takes the bar away.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The time left if the rest goes as fast as what is done.
fn remaining(elapsed: Duration, done: usize, total: usize) -> Duration {
    if done == 0 { Duration::ZERO } else { elapsed.mul_f64(total.saturating_sub(done) as f64 / done as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_in_proportion() {
        assert_eq!(remaining(Duration::from_secs(10), 2, 6), Duration::from_secs(20));
        assert_eq!(remaining(Duration::from_secs(10), 6, 6), Duration::ZERO);
        assert_eq!(remaining(Duration::from_secs(10), 0, 6), Duration::ZERO);
    }
}
