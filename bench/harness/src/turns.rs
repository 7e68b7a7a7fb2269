//! Measurements in turn, for benches whose every measurement is a process of its own and that need no more.
//! Used by the benches of C++ containers; [`session`](crate::session) is the larger one.

/// Measures everything `rounds` times. `cases` says of each measurement to which case it belongs; `measure` gets its
/// place in `cases`. The samples come back in the same order.
///
/// In a round the cases follow each other, and within a case its measurements do, so that those that are compared
/// are near each other in time. Each round begins a case with another of its measurements; all rounds together go once
/// around, so that a slow spell of the machine meets all of them.
///
/// ```
/// use stratalloc_bench::turns::in_turn;
///
/// let mut order = Vec::new();
/// let samples = in_turn(&["a", "a", "b"], 2, |round, index| {
///     order.push(index);
///     round * 10 + index
/// });
/// assert_eq!(order, [0, 1, 2, 1, 0, 2]);
/// assert_eq!(samples, [[0, 10], [1, 11], [2, 12]]);
/// ```
pub fn in_turn<S>(cases: &[&str], rounds: usize, mut measure: impl FnMut(usize, usize) -> S) -> Vec<Vec<S>> {
    let mut order: Vec<&str> = Vec::new();
    for case in cases {
        if !order.contains(case) {
            order.push(case);
        }
    }
    let mut samples: Vec<Vec<S>> = cases.iter().map(|_| Vec::with_capacity(rounds)).collect();
    for round in 0..rounds {
        for case in &order {
            let turn: Vec<usize> = (0..cases.len()).filter(|&index| cases[index] == *case).collect();
            let first = round * turn.len() / rounds;
            for place in 0..turn.len() {
                let index = turn[(first + place) % turn.len()];
                samples[index].push(measure(round, index));
            }
        }
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_measurement_of_a_case_begins_a_round_where_there_are_as_many_rounds() {
        let mut begun = Vec::new();
        let mut last = None;
        in_turn(&["a", "b", "a", "a"], 3, |round, index| {
            if index != 1 && last != Some(round) {
                begun.push(index);
                last = Some(round);
            }
        });
        assert_eq!(begun, [0, 2, 3]);
    }

    #[test]
    fn measurements_that_are_compared_follow_each_other() {
        let mut order = Vec::new();
        let samples = in_turn(&["a", "b", "a"], 1, |_, index| order.push(index));
        assert_eq!(order, [0, 2, 1]);
        assert!(samples.iter().all(|samples| samples.len() == 1));
    }
}
