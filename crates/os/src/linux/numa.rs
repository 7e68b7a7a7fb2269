//! How many NUMA nodes there are: asked when somebody wants to know, never at start-up.

use super::sys;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Most nodes told apart; threads on later ones share.
const MOST: usize = 64;

/// Nodes known: 1 until [`detect_nodes`] found more.
static NODES: AtomicUsize = AtomicUsize::new(1);

/// Nodes known so far.
#[inline]
pub(super) fn known() -> usize {
    NODES.load(Relaxed)
}

/// Reads from the system how many NUMA nodes it has (the highest number of a node that is online,
/// plus one; at most 64) and makes [`Os::nodes`](stratalloc_core::os::Os::nodes) say so from then on.
///
/// Three system calls, no allocation; 1 where the system does not tell. Any thread may call it.
pub fn detect_nodes() -> usize {
    let mut buffer = [0u8; 256];
    let count = match sys::open(c"/sys/devices/system/node/online", libc::O_RDONLY) {
        Ok(fd) => {
            let len = sys::read(fd, &mut buffer).unwrap_or(0);
            sys::close(fd);
            highest(&buffer[..len]).map_or(1, |node| (node + 1).min(MOST))
        }
        Err(_) => 1,
    };
    NODES.store(count, Relaxed);
    count
}

/// The highest number in a list such as `0-1,4`.
fn highest(list: &[u8]) -> Option<usize> {
    let numbers = list.split(|byte| !byte.is_ascii_digit()).filter(|digits| !digits.is_empty());
    numbers.filter_map(|digits| core::str::from_utf8(digits).ok()?.parse().ok()).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_nodes_are_understood() {
        assert_eq!(highest(b"0\n"), Some(0));
        assert_eq!(highest(b"0-3\n"), Some(3));
        assert_eq!(highest(b"0,2,8-11,5\n"), Some(11));
        assert_eq!(highest(b"\n"), None);
        assert_eq!(highest(b"99999999999999999999999"), None);
    }

    #[test]
    fn this_machine_has_at_least_one_and_the_caller_is_on_one() {
        use stratalloc_core::os::Os;
        let nodes = detect_nodes();
        assert!((1..=MOST).contains(&nodes));
        assert_eq!(crate::Linux.nodes(), nodes);
        assert!(crate::Linux.node() < nodes);
    }
}
