//! Threads of a workload: so many doing the same thing, their results in order.

use std::sync::Barrier;

/// Runs `work(index)` on `number` new threads at once and waits for all; the results stand in the order of indices.
/// The threads set out together, so that none does its work before the others exist.
pub fn crew<R: Send>(number: u32, work: impl Fn(u32) -> R + Sync) -> Vec<R> {
    let gate = Barrier::new(number as usize);
    let (gate, work) = (&gate, &work);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..number)
            .map(|index| {
                scope.spawn(move || {
                    gate.wait();
                    work(index)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a workload's thread does not panic")).collect()
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn results_come_in_order() {
        assert_eq!(super::crew(5, |index| index * 2), [0, 2, 4, 6, 8]);
    }
}
