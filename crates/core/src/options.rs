//! Options: one table that describes each of them, and what follows from it.
//!
//! An option is a row of [`TABLE`]: its name, what it accepts, its default and a line of help.
//! Parsing the environment variable `STRATALLOC`, the typed twin [`Options::set`], printing the
//! effective configuration and the help of the command line all read that table, so they cannot
//! disagree. Adding an option means a row, a field and an arm in `put` and `raw`; the compiler
//! asks for the rest.
//!
//! Nothing here allocates, and parsing does not use `core::fmt`: the text is read before the first
//! allocation of the process returns. What cannot be understood is handed to a callback as a
//! [`Problem`], never dropped; the value that stood before stands, and the other options take
//! effect.
//!
//! | item | text |
//! |---|---|
//! | list | `key=value,key=value`; spaces around keys and values are ignored, empty items skipped |
//! | flag | `0` or `1`; the name alone means `1` |
//! | size | bytes, or a number with `K`, `M`, `G`, `T` (also `KiB`, …; powers of 1024, any case) |
//! | path | as it is, at most [`PATH_MAX`] bytes; `%p` stands for the process id |

mod path;
mod problem;
mod profile;
mod table;
#[cfg(test)]
mod tests;
mod text;

pub use path::{PATH_MAX, ReportPath};
pub use problem::{Problem, ProblemKind};
pub use profile::Profile;
pub use table::{Kind, Spec, TABLE};
pub use text::Text;

use core::fmt;
use table::{Key, ROWS};

/// What follows the message on a bad `free` (a foreign, interior or already freed pointer).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misuse {
    /// The process is aborted.
    Abort,
    /// The bad call is ignored after its message.
    Warn,
    /// The bad call is ignored without a message.
    Ignore,
}

impl Misuse {
    /// The one of this number, in the order of the variants.
    pub(crate) const fn of(raw: u64) -> Misuse {
        match raw {
            0 => Misuse::Abort,
            1 => Misuse::Warn,
            _ => Misuse::Ignore,
        }
    }
}

/// Which pages regions are mapped in; see [`Options::huge_pages`].
///
/// What the system lacks is replaced by the next that it has: pages of 1 GiB by pages of 2 MiB, those by
/// transparent huge pages, those by the system's ordinary pages. `show` says what is in force and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HugePages {
    /// As the system does by itself: no advice is given, and nothing is asked.
    Off,
    /// None, also where the system uses them by itself (`MADV_NOHUGEPAGE`).
    Never,
    /// Transparent huge pages for what is mapped beyond the first 4 MiB (`MADV_HUGEPAGE`).
    Madvise,
    /// Transparent huge pages from the first region on.
    Always,
    /// Reserved pages of 2 MiB (hugetlbfs) for what is mapped beyond the first 4 MiB.
    Hugetlb,
    /// Reserved pages of 1 GiB once 256 MiB are mapped, of 2 MiB before.
    Hugetlb1g,
    /// Transparent huge pages for small blocks beyond the first 32 MiB, one at a time, for as long as they come faster
    /// than ordinary ones; only where the system gives them to those who ask.
    Auto,
}

impl HugePages {
    /// The one of this number, in the order of the variants.
    pub(crate) const fn of(raw: u64) -> HugePages {
        match raw {
            0 => HugePages::Off,
            1 => HugePages::Never,
            2 => HugePages::Madvise,
            3 => HugePages::Always,
            4 => HugePages::Hugetlb,
            5 => HugePages::Hugetlb1g,
            _ => HugePages::Auto,
        }
    }
}

/// The effective configuration.
///
/// Made from [`DEFAULT`](Options::DEFAULT) by the `with_…` setters, by [`set`](Options::set) with
/// names, or by [`parse`](Options::parse) from a list; all three know the same options. The
/// setters are `const` and panic on a value out of range: in a `const` or `static` that is a
/// compile error.
///
/// ```
/// use stratalloc_core::options::{Misuse, Options};
///
/// const OPTIONS: Options = Options::DEFAULT
///     .with_dirty_percent(25)
///     .with_purge_delay(200)
///     .with_misuse(Misuse::Warn)
///     .with_report("/tmp/report.%p");
///
/// let mut parsed = Options::DEFAULT;
/// parsed.parse(
///     b"dirty_percent=25, purge_delay=200, misuse=warn, report=/tmp/report.%p",
///     &mut |problem| panic!("{problem:?}"),
/// );
/// assert_eq!(parsed, OPTIONS);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Print the configuration at start and the statistics at exit.
    pub show: bool,
    /// File that gets the machine-readable statistics at exit; empty for none.
    pub report: ReportPath,
    /// Count every allocation by class.
    pub count: bool,
    /// Which trade of time for memory the four options after this one were set for.
    pub profile: Profile,
    /// Bytes of freed memory that may stay resident whatever the peak; three quarters of them where all of the peak was
    /// freed, but for a 64th (unless [`dirty_percent`](Self::dirty_percent) is 0: then no peak counts).
    pub dirty_min: usize,
    /// Freed memory that may stay resident, in percent of the recent peak.
    pub dirty_percent: u32,
    /// Milliseconds that freed memory may stay resident.
    pub purge_delay: u32,
    /// A background thread enforces `purge_delay` in processes that run threads or churn.
    pub purge_thread: bool,
    /// Heaps of threads that left which wait whole for the next thread.
    pub parked_heaps: u32,
    /// Threads that get a heap of their own at once; further ones share the heaps of CPUs until they are busy. 0: two for
    /// each CPU, at least 16.
    pub own_heaps: u32,
    /// What follows the message on a bad free.
    pub misuse: Misuse,
    /// Bytes of span memory that may be mapped; 0 for no limit.
    pub limit: usize,
    /// Bytes in memory beyond which everything free is given back and the callback is called; 0 for what the
    /// container's limits make.
    pub soft_limit: usize,
    /// Soft limit and caches follow the limits of the process's cgroup and its CPU affinity.
    pub follow_cgroup: bool,
    /// Which pages regions are mapped in.
    pub huge_pages: HugePages,
    /// Where this is the process's malloc: libraries that are loaded with `RTLD_DEEPBIND` find the C library's malloc
    /// first, as that flag says. Otherwise the flag is left out, since blocks pass from one to the other.
    pub deepbind: bool,
}

impl Options {
    /// Every option at its default.
    pub const DEFAULT: Options = {
        let mut options = Options {
            show: false,
            report: ReportPath::NONE,
            count: false,
            profile: Profile::Balanced,
            dirty_min: 0,
            dirty_percent: 0,
            purge_delay: 0,
            purge_thread: false,
            parked_heaps: 0,
            own_heaps: 0,
            misuse: Misuse::Abort,
            limit: 0,
            soft_limit: 0,
            follow_cgroup: false,
            huge_pages: HugePages::Auto,
            deepbind: false,
        };
        let mut i = 0;
        while i < ROWS.len() {
            options.put(ROWS[i].key, ROWS[i].default);
            i += 1;
        }
        options
    };

    /// Takes the options in `text`, a list `key=value,key=value`; hands what it cannot understand
    /// to `problem` and goes on. Of duplicates, the last stands; a `profile` counts as standing first.
    ///
    /// Costs a few hundred nanoseconds; does not allocate or panic, whatever the bytes.
    ///
    /// ```
    /// use stratalloc_core::options::Options;
    ///
    /// let mut options = Options::DEFAULT;
    /// let mut lines = Vec::new();
    /// options.parse(b"dirty_mni=4M, show, dirty_percent=500", &mut |problem| {
    ///     lines.push(problem.line().as_str().to_owned());
    /// });
    /// assert!(options.show);
    /// assert_eq!(lines, [
    ///     "stratalloc: option 'dirty_mni' is unknown; did you mean 'dirty_min'?\n",
    ///     "stratalloc: option 'dirty_percent=500' is out of range (0..=100); the default 12 stands\n",
    /// ]);
    /// ```
    pub fn parse(&mut self, text: &[u8], problem: &mut dyn FnMut(Problem<'_>)) {
        for profiles in [true, false] {
            for item in text.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                let (key, value) = match item.iter().position(|&byte| byte == b'=') {
                    Some(at) => (item[..at].trim_ascii_end(), Some(item[at + 1..].trim_ascii_start())),
                    None => (item, None),
                };
                if item.is_empty() || (key == b"profile") != profiles {
                    continue;
                }
                if let Err(refused) = self.apply(key, value) {
                    problem(refused);
                }
            }
        }
    }

    /// Sets one option by name: the same names and texts as in a list.
    ///
    /// # Errors
    /// The [`Problem`]; nothing is changed then.
    ///
    /// ```
    /// use stratalloc_core::options::{Options, ProblemKind};
    ///
    /// let mut options = Options::DEFAULT;
    /// assert_eq!(options.set(b"limit", b"512M"), Ok(()));
    /// assert_eq!(options.limit, 512 << 20);
    /// let problem = options.set(b"parked_heaps", b"many").unwrap_err();
    /// assert_eq!(problem.kind, ProblemKind::BadValue);
    /// ```
    pub fn set<'a>(&mut self, name: &'a [u8], value: &'a [u8]) -> Result<(), Problem<'a>> {
        self.apply(name, Some(value.trim_ascii()))
    }

    fn apply<'a>(&mut self, key: &'a [u8], value: Option<&'a [u8]>) -> Result<(), Problem<'a>> {
        let Some(spec) = TABLE.iter().find(|spec| spec.name.as_bytes() == key) else {
            let option = problem::nearest(key);
            let value = value.unwrap_or_default();
            return Err(Problem { kind: ProblemKind::UnknownKey, key, value, option, kept: 0 });
        };
        let read = match (spec.kind, value) {
            (Kind::Flag, None) => Ok(1),
            (_, None) => Err(ProblemKind::MissingValue),
            (Kind::Path, Some(path)) => match ReportPath::new(path) {
                Some(path) => {
                    self.report = path;
                    return Ok(());
                }
                None if path.len() > PATH_MAX => Err(ProblemKind::OutOfRange),
                None => Err(ProblemKind::BadValue),
            },
            (_, Some(text)) => spec.read(text),
        };
        match read {
            Ok(raw) => {
                self.put(spec.key, raw);
                Ok(())
            }
            Err(kind) => {
                let value = value.unwrap_or_default();
                Err(Problem { kind, key, value, option: Some(spec), kept: self.raw(spec.key) })
            }
        }
    }

    /// Writes every option as `key=value`, separated by commas: a list that [`parse`](Self::parse)
    /// understands. (Bytes of a path that are not UTF-8 come out as U+FFFD.)
    ///
    /// # Errors
    /// `out`'s.
    ///
    /// ```
    /// use stratalloc_core::options::Options;
    ///
    /// let mut text = String::new();
    /// Options::DEFAULT.with_limit(1 << 30).write_to(&mut text).unwrap();
    /// assert!(text.starts_with("show=0,report=,count=0,profile=balanced,dirty_min=2M,"));
    /// assert!(text.ends_with(",limit=1G,soft_limit=0,follow_cgroup=1,huge_pages=auto,deepbind=0"));
    /// ```
    pub fn write_to(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        for (i, spec) in TABLE.iter().enumerate() {
            if i > 0 {
                out.write_str(",")?;
            }
            out.write_str(spec.name)?;
            out.write_str("=")?;
            self.write_spec(spec, out)?;
        }
        Ok(())
    }

    /// Writes the value of the option of that name, as [`set`](Self::set) takes it. `None`: there is no such option.
    ///
    /// ```
    /// use stratalloc_core::options::Options;
    ///
    /// let mut text = String::new();
    /// assert_eq!(Options::DEFAULT.write_value(b"dirty_min", &mut text), Some(Ok(())));
    /// assert_eq!(text, "2M");
    /// assert_eq!(Options::DEFAULT.write_value(b"dirty", &mut text), None);
    /// ```
    pub fn write_value(&self, name: &[u8], out: &mut dyn fmt::Write) -> Option<fmt::Result> {
        let spec = TABLE.iter().find(|spec| spec.name.as_bytes() == name)?;
        Some(self.write_spec(spec, out))
    }

    fn write_spec(&self, spec: &Spec, out: &mut dyn fmt::Write) -> fmt::Result {
        if spec.kind == Kind::Path {
            return self.report.write_to(out);
        }
        let mut value = Text::new();
        spec.push_value(&mut value, self.raw(spec.key));
        out.write_str(value.as_str())
    }

    /// The value of an option in the form that [`Spec`] reads and writes; 0 for a path.
    const fn raw(&self, key: Key) -> u64 {
        match key {
            Key::Show => self.show as u64,
            Key::Report => 0,
            Key::Count => self.count as u64,
            Key::Profile => self.profile as u64,
            Key::DirtyMin => self.dirty_min as u64,
            Key::DirtyPercent => self.dirty_percent as u64,
            Key::PurgeDelay => self.purge_delay as u64,
            Key::PurgeThread => self.purge_thread as u64,
            Key::ParkedHeaps => self.parked_heaps as u64,
            Key::OwnHeaps => self.own_heaps as u64,
            Key::Misuse => self.misuse as u64,
            Key::Limit => self.limit as u64,
            Key::SoftLimit => self.soft_limit as u64,
            Key::FollowCgroup => self.follow_cgroup as u64,
            Key::HugePages => self.huge_pages as u64,
            Key::Deepbind => self.deepbind as u64,
        }
    }

    /// Stores a raw value that lies in the option's range.
    const fn put(&mut self, key: Key, raw: u64) {
        match key {
            Key::Show => self.show = raw != 0,
            Key::Report => self.report = ReportPath::NONE,
            Key::Count => self.count = raw != 0,
            Key::Profile => self.put_profile(Profile::of(raw)),
            Key::DirtyMin => self.dirty_min = raw as usize,
            Key::DirtyPercent => self.dirty_percent = raw as u32,
            Key::PurgeDelay => self.purge_delay = raw as u32,
            Key::PurgeThread => self.purge_thread = raw != 0,
            Key::ParkedHeaps => self.parked_heaps = raw as u32,
            Key::OwnHeaps => self.own_heaps = raw as u32,
            Key::Misuse => self.misuse = Misuse::of(raw),
            Key::Limit => self.limit = raw as usize,
            Key::SoftLimit => self.soft_limit = raw as usize,
            Key::FollowCgroup => self.follow_cgroup = raw != 0,
            Key::HugePages => self.huge_pages = HugePages::of(raw),
            Key::Deepbind => self.deepbind = raw != 0,
        }
    }

    const fn with(mut self, key: Key, raw: u64) -> Self {
        assert!(raw <= ROWS[key as usize].kind.max(), "the value is out of the option's range");
        self.put(key, raw);
        self
    }
}

/// Setters, one for each option; see [`TABLE`] for ranges and defaults.
impl Options {
    /// With [`show`](Self::show).
    pub const fn with_show(self, show: bool) -> Self {
        self.with(Key::Show, show as u64)
    }

    /// With [`report`](Self::report); empty for none.
    ///
    /// # Panics
    /// On a path longer than [`PATH_MAX`] bytes, or with a comma, a NUL or spaces at its ends.
    pub const fn with_report(mut self, path: &str) -> Self {
        match ReportPath::new(path.as_bytes()) {
            Some(path) => self.report = path,
            None => panic!("the report's path is too long, or has a comma, a NUL or spaces at its ends"),
        }
        self
    }

    /// With [`count`](Self::count).
    pub const fn with_count(self, count: bool) -> Self {
        self.with(Key::Count, count as u64)
    }

    /// With [`profile`](Self::profile), and the four options that it sets: other setters come after it.
    pub const fn with_profile(self, profile: Profile) -> Self {
        self.with(Key::Profile, profile as u64)
    }

    /// With [`dirty_min`](Self::dirty_min), bytes. Panics above 1 TiB.
    pub const fn with_dirty_min(self, bytes: usize) -> Self {
        self.with(Key::DirtyMin, bytes as u64)
    }

    /// With [`dirty_percent`](Self::dirty_percent). Panics above 100.
    pub const fn with_dirty_percent(self, percent: u32) -> Self {
        self.with(Key::DirtyPercent, percent as u64)
    }

    /// With [`purge_delay`](Self::purge_delay), milliseconds. Panics above an hour.
    pub const fn with_purge_delay(self, millis: u32) -> Self {
        self.with(Key::PurgeDelay, millis as u64)
    }

    /// With [`purge_thread`](Self::purge_thread).
    pub const fn with_purge_thread(self, thread: bool) -> Self {
        self.with(Key::PurgeThread, thread as u64)
    }

    /// With [`parked_heaps`](Self::parked_heaps). Panics above 4096.
    pub const fn with_parked_heaps(self, heaps: u32) -> Self {
        self.with(Key::ParkedHeaps, heaps as u64)
    }

    /// With [`own_heaps`](Self::own_heaps). Panics above 1,000,000.
    pub const fn with_own_heaps(self, heaps: u32) -> Self {
        self.with(Key::OwnHeaps, heaps as u64)
    }

    /// With [`misuse`](Self::misuse).
    pub const fn with_misuse(self, misuse: Misuse) -> Self {
        self.with(Key::Misuse, misuse as u64)
    }

    /// With [`limit`](Self::limit), bytes; 0 for none. Panics above 256 TiB.
    pub const fn with_limit(self, bytes: usize) -> Self {
        self.with(Key::Limit, bytes as u64)
    }

    /// With [`soft_limit`](Self::soft_limit), bytes; 0 for what the container's limits make. Panics above
    /// 256 TiB.
    pub const fn with_soft_limit(self, bytes: usize) -> Self {
        self.with(Key::SoftLimit, bytes as u64)
    }

    /// With [`follow_cgroup`](Self::follow_cgroup).
    pub const fn with_follow_cgroup(self, follow: bool) -> Self {
        self.with(Key::FollowCgroup, follow as u64)
    }

    /// With [`huge_pages`](Self::huge_pages).
    pub const fn with_huge_pages(self, pages: HugePages) -> Self {
        self.with(Key::HugePages, pages as u64)
    }

    /// With [`deepbind`](Self::deepbind).
    pub const fn with_deepbind(self, honour: bool) -> Self {
        self.with(Key::Deepbind, honour as u64)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_to(f)
    }
}
