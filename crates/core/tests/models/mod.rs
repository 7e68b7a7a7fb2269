//! What loom models of several threads share.

use loom::model::Builder;
use loom::sync::Arc;
use loom::thread;

/// Runs `threads` and, on this one, `own` side by side over a `world`, then `last`; in every interleaving with at most so
/// many preemptions.
pub fn side_by_side<W: Send + Sync + 'static>(
    preemptions: usize,
    world: impl Fn() -> Arc<W> + Send + Sync + 'static,
    threads: Vec<fn(&W)>,
    own: fn(&W),
    last: impl Fn(&W) + Send + Sync + 'static,
) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 10_000;
    builder.check(move || {
        let world = world();
        let others: Vec<_> = threads
            .iter()
            .map(|&body| {
                let world = world.clone();
                thread::spawn(move || body(&world))
            })
            .collect();
        own(&world);
        others.into_iter().for_each(|thread| thread.join().unwrap());
        last(&world);
    });
}
