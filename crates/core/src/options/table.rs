//! The table: what each option is called, accepts, means and is by default.

use super::problem::{NAME_MAX, ProblemKind};
use super::text::{self, Text};

/// The words of `misuse`, in the order of [`Misuse`](super::Misuse)'s variants.
const MISUSE: [&str; 3] = ["abort", "warn", "ignore"];
/// The words of `huge_pages`, in the order of [`HugePages`](super::HugePages)'s variants.
const HUGE_PAGES: [&str; 7] = ["off", "never", "madvise", "always", "hugetlb", "hugetlb1g", "auto"];

/// The words of `profile`, in the order of [`Profile`](super::Profile)'s variants.
const PROFILES: [&str; 4] = ["balanced", "latency", "memory", "throughput"];

/// Place of an option in [`TABLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Show,
    Report,
    Count,
    Profile,
    DirtyMin,
    DirtyPercent,
    PurgeDelay,
    PurgeThread,
    ParkedHeaps,
    OwnHeaps,
    Misuse,
    Limit,
    SoftLimit,
    FollowCgroup,
    HugePages,
    Deepbind,
}

/// What an option accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 0 or 1; the name alone means 1.
    Flag,
    /// A whole number from 0 to `max`.
    Count {
        /// Largest value.
        max: u64,
    },
    /// Bytes from 0 to `max`, with or without a binary suffix.
    Size {
        /// Largest value.
        max: u64,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A file path of at most [`PATH_MAX`](super::PATH_MAX) bytes; empty for none.
    Path,
}

impl Kind {
    /// Largest raw value: of a choice, the index of the last word.
    pub(super) const fn max(self) -> u64 {
        match self {
            Kind::Flag => 1,
            Kind::Count { max } | Kind::Size { max } => max,
            Kind::Choice(words) => words.len() as u64 - 1,
            Kind::Path => 0,
        }
    }
}

/// One option: a row of [`TABLE`].
///
/// ```
/// use stratalloc_core::options::TABLE;
///
/// let row = TABLE.iter().find(|row| row.name == "dirty_min").unwrap();
/// assert_eq!(row.values().as_str(), "0..=1T");
/// assert_eq!(row.default().as_str(), "2M");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The name, as it is written in lists and given to [`Options::set`](super::Options::set).
    pub name: &'static str,
    /// What it accepts.
    pub kind: Kind,
    /// What it does, in one line.
    pub help: &'static str,
    pub(super) key: Key,
    pub(super) default: u64,
}

impl Spec {
    const fn new(key: Key, name: &'static str, kind: Kind, default: u64, help: &'static str) -> Spec {
        assert!(default <= kind.max());
        Spec { name, kind, help, key, default }
    }

    /// The values it accepts, as text: `0 or 1`, `0..=100`, `0..=1T`, `abort|warn|ignore`.
    pub fn values(&self) -> Text {
        let mut text = Text::new();
        match self.kind {
            Kind::Flag => text.push(b"0 or 1"),
            Kind::Count { .. } | Kind::Size { .. } => {
                text.push(b"0..=");
                self.push_value(&mut text, self.kind.max());
            }
            Kind::Choice(words) => {
                for (i, word) in words.iter().enumerate() {
                    if i > 0 {
                        text.push(b"|");
                    }
                    text.push(word.as_bytes());
                }
            }
            Kind::Path => text.push(b"a path of at most 255 bytes without a comma"),
        }
        text
    }

    /// The default as text; empty for a path that is not set.
    pub fn default(&self) -> Text {
        let mut text = Text::new();
        self.push_value(&mut text, self.default);
        text
    }

    pub(super) fn push_value(&self, text: &mut Text, raw: u64) {
        match self.kind {
            Kind::Flag | Kind::Count { .. } => text.push_number(raw),
            Kind::Size { .. } => text.push_size(raw),
            Kind::Choice(words) => text.push(words.get(raw as usize).unwrap_or(&"").as_bytes()),
            Kind::Path => {}
        }
    }

    /// The raw value that `text` means.
    pub(super) fn read(&self, text: &[u8]) -> Result<u64, ProblemKind> {
        let number = match self.kind {
            Kind::Flag | Kind::Count { .. } => text::number(text),
            Kind::Size { .. } => text::size(text),
            Kind::Choice(words) => {
                let place = words.iter().position(|word| word.as_bytes() == text);
                return place.map(|i| i as u64).ok_or(ProblemKind::BadValue);
            }
            Kind::Path => return Err(ProblemKind::BadValue),
        };
        match number {
            Some(value) if value <= self.kind.max() => Ok(value),
            Some(_) => Err(ProblemKind::OutOfRange),
            None => Err(ProblemKind::BadValue),
        }
    }
}

/// Largest size an option accepts: 1 TiB, or all of a smaller address space.
const SIZE_MAX: u64 = if usize::BITS > 40 { 1 << 40 } else { usize::MAX as u64 };
/// Largest limit: 256 TiB, or all of a smaller address space.
const LIMIT_MAX: u64 = if usize::BITS > 48 { 1 << 48 } else { usize::MAX as u64 };

/// Every option, in the order in which they are printed.
pub static TABLE: [Spec; ROWS.len()] = ROWS;

pub(super) const ROWS: [Spec; 16] = [
    Spec::new(
        Key::Show,
        "show",
        Kind::Flag,
        0,
        "print the effective configuration at start and the statistics at exit, on stderr",
    ),
    Spec::new(
        Key::Report,
        "report",
        Kind::Path,
        0,
        "file that gets the machine-readable statistics at exit; `%p` stands for the process id",
    ),
    Spec::new(
        Key::Count,
        "count",
        Kind::Flag,
        0,
        "count every allocation by size class; switches the fast path off",
    ),
    Spec::new(
        Key::Profile,
        "profile",
        Kind::Choice(&PROFILES),
        0,
        "sets dirty_min, dirty_percent, purge_delay and parked_heaps together; one that is set itself stands",
    ),
    Spec::new(
        Key::DirtyMin,
        "dirty_min",
        Kind::Size { max: SIZE_MAX },
        2 << 20,
        "freed memory that may stay resident whatever the peak",
    ),
    Spec::new(
        Key::DirtyPercent,
        "dirty_percent",
        Kind::Count { max: 100 },
        12,
        "freed memory that may stay resident, in percent of the recent peak",
    ),
    Spec::new(
        Key::PurgeDelay,
        "purge_delay",
        Kind::Count { max: 3_600_000 },
        500,
        "milliseconds that freed memory may stay resident while the process runs threads or keeps allocating",
    ),
    Spec::new(
        Key::PurgeThread,
        "purge_thread",
        Kind::Flag,
        1,
        "a background thread enforces purge_delay in processes that run threads or churn",
    ),
    Spec::new(
        Key::ParkedHeaps,
        "parked_heaps",
        Kind::Count { max: 4096 },
        16,
        "heaps of threads that left which wait whole for the next thread",
    ),
    Spec::new(
        Key::OwnHeaps,
        "own_heaps",
        Kind::Count { max: 1_000_000 },
        0,
        "threads with heaps of their own before others share the CPUs' until busy; 0: two a CPU, at least 16",
    ),
    Spec::new(
        Key::Misuse,
        "misuse",
        Kind::Choice(&MISUSE),
        0,
        "on a bad free (foreign, interior or already freed pointer): message and abort, message only, or nothing",
    ),
    Spec::new(
        Key::Limit,
        "limit",
        Kind::Size { max: LIMIT_MAX },
        0,
        "hard limit on memory mapped for blocks, beyond which allocations return null; 0 for none",
    ),
    Spec::new(
        Key::SoftLimit,
        "soft_limit",
        Kind::Size { max: LIMIT_MAX },
        0,
        "memory held beyond which all that is free goes back and the callback is called; 0 follows the cgroup",
    ),
    Spec::new(
        Key::FollowCgroup,
        "follow_cgroup",
        Kind::Flag,
        1,
        "soft limit, dirty budget and caches follow the cgroup's memory and CPU limits and the CPU affinity",
    ),
    Spec::new(
        Key::HugePages,
        "huge_pages",
        Kind::Choice(&HUGE_PAGES),
        6,
        "huge pages for blocks: as the system does, none, beyond 4 MiB, for all, reserved ones, or where they pay",
    ),
    Spec::new(
        Key::Deepbind,
        "deepbind",
        Kind::Flag,
        0,
        "libraries loaded with RTLD_DEEPBIND use the C library's malloc, as that flag says, instead of this one",
    ),
];

// Proof, at compile time: a key is its row's index, and no name is longer than the spelling
// suggestion looks at.
const _: () = {
    let mut i = 0;
    while i < ROWS.len() {
        assert!(ROWS[i].key as usize == i);
        assert!(ROWS[i].name.len() <= NAME_MAX);
        i += 1;
    }
};
