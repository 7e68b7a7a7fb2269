//! The started process: passing signals on, waiting, looking for the library in it.
//!
//! One thread does all of it: the signals of interest are blocked and fetched one at a time, the
//! end of the child among them. So the child's id is never used after it was waited for, and no
//! code runs inside a signal handler.

use crate::outcome::{Ended, Loaded, Usage};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// What is passed on. Not the signals that report a fault of this process itself, not those of
/// terminal access, and not the two that cannot be caught.
const PASSED_ON: [i32; 13] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGCONT,
    libc::SIGTSTP,
    libc::SIGALRM,
    libc::SIGWINCH,
    libc::SIGURG,
    libc::SIGIO,
    libc::SIGPWR,
];

/// How long a program may run without showing the library before it counts as not loaded.
const PATIENCE: Duration = Duration::from_secs(2);

/// How a started process ended.
pub struct Finished {
    /// Its process id.
    pub pid: u32,
    /// How it ended.
    pub ended: Ended,
    /// From its start to its end.
    pub wall: Duration,
    /// What the system charged.
    pub usage: Usage,
    /// Whether the library was seen in it.
    pub loaded: Loaded,
}

/// Starts `command`, passes signals on, and waits for its end. `not_loaded` is called with the
/// process id if the process runs without `library`.
///
/// # Errors
/// Those of starting it.
pub fn run(mut command: Command, library: &Path, not_loaded: &dyn Fn(u32)) -> io::Result<Finished> {
    let signals = Signals::take();
    let (mask, ignores_children) = (signals.mask_before, signals.ignored_children);
    let restore = move || {
        if ignores_children {
            // SAFETY: async-signal-safe, with a valid signal and disposition.
            unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        }
        set_mask(&mask);
        Ok(())
    };
    // SAFETY: `restore` makes only async-signal-safe calls and touches no memory but its captures.
    unsafe { command.pre_exec(restore) };
    let start = Instant::now();
    let child = command.spawn()?;
    let pid = child.id();
    let mut watch = Watch::new(start);
    loop {
        if watch.look(pid, library) {
            not_loaded(pid);
        }
        while let Some(change) = next_change(pid)? {
            match change {
                Change::Ended(ended, usage) => {
                    let loaded = watch.loaded;
                    return Ok(Finished { pid, ended, wall: start.elapsed(), usage, loaded });
                }
                // Stops like the program, so that the shell that waits for us notices.
                Change::Stopped => raise(libc::SIGSTOP),
            }
        }
        if let Some(signal) = signals.next(pid, watch.pause) {
            send(pid, signal);
        }
    }
}

/// Ends this process by `signal`; returns if that does not end processes.
pub fn end_by(signal: i32) {
    // The program has left its core file, if any; a second one of ours would only hide it.
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `none` lives through the call.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) };
    // SAFETY: the default disposition is valid for any signal; a wrong number is refused.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
    // A signal that is blocked here would only become pending.
    set_mask(&empty_set());
    raise(signal);
}

/// The signals of interest, blocked; the mask before comes back when this is dropped.
struct Signals {
    set: libc::sigset_t,
    mask_before: libc::sigset_t,
    ignored_children: bool,
}

impl Signals {
    fn take() -> Signals {
        let mut set = empty_set();
        for signal in PASSED_ON.into_iter().chain(libc::SIGRTMIN()..=libc::SIGRTMAX()).chain([libc::SIGCHLD]) {
            // SAFETY: `set` is a valid set and `signal` a valid signal.
            unsafe { libc::sigaddset(&mut set, signal) };
        }
        // If whoever started us ignores the ends of children, ours could not be waited for.
        // SAFETY: valid signal and disposition.
        let before = unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
        let mut mask_before = empty_set();
        // SAFETY: both sets are valid and live through the call.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, &mut mask_before) };
        Signals { set, mask_before, ignored_children: before == libc::SIG_IGN }
    }

    /// Waits for a signal, at most for `pause`. Gives it if it is to be passed on to `pid`.
    fn next(&self, pid: u32, pause: Option<Duration>) -> Option<i32> {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        let signal = match pause {
            // SAFETY: the set is valid, and `info` has room for what is written.
            None => unsafe { libc::sigwaitinfo(&self.set, info.as_mut_ptr()) },
            Some(pause) => {
                let mut limit = MaybeUninit::<libc::timespec>::zeroed();
                // SAFETY: all-zero bytes are a valid `timespec`.
                let limit = unsafe { limit.assume_init_mut() };
                limit.tv_sec = pause.as_secs() as libc::time_t;
                limit.tv_nsec = pause.subsec_nanos().into();
                // SAFETY: as above, and `limit` lives through the call.
                unsafe { libc::sigtimedwait(&self.set, info.as_mut_ptr(), limit) }
            }
        };
        if signal <= 0 || signal == libc::SIGCHLD {
            return None;
        }
        // SAFETY: the call succeeded and filled it in; all-zero bytes were valid before.
        let info = unsafe { info.assume_init() };
        // Signals of the terminal come from the kernel and reached the whole process group.
        let from_process = info.si_code <= 0;
        // SAFETY: signals sent by a process carry the sender's id.
        let from_child = from_process && unsafe { info.si_pid() } as u32 == pid;
        (from_process && !from_child).then_some(signal)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        set_mask(&self.mask_before);
    }
}

fn empty_set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `set` has room for a set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: filled in by the call, which cannot fail.
    unsafe { set.assume_init() }
}

fn set_mask(mask: &libc::sigset_t) {
    // SAFETY: `mask` is a valid set; async-signal-safe.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, mask, std::ptr::null_mut()) };
}

fn raise(signal: i32) {
    // SAFETY: no memory is involved; a wrong number is refused.
    unsafe { libc::raise(signal) };
}

fn send(pid: u32, signal: i32) {
    // SAFETY: no memory is involved, and `pid` is a child of ours not yet waited for.
    unsafe { libc::kill(pid as libc::pid_t, signal) };
}

enum Change {
    Stopped,
    Ended(Ended, Usage),
}

/// What has become of the child since the last call, if anything.
fn next_change(pid: u32) -> io::Result<Option<Change>> {
    let (mut status, mut usage) = (0, MaybeUninit::<libc::rusage>::zeroed());
    let flags = libc::WNOHANG | libc::WUNTRACED;
    // SAFETY: `status` and `usage` have room for what is written.
    let found = unsafe { libc::wait4(pid as libc::pid_t, &mut status, flags, usage.as_mut_ptr()) };
    if found < 0 {
        return Err(io::Error::last_os_error());
    }
    if found == 0 {
        return Ok(None);
    }
    if libc::WIFSTOPPED(status) {
        return Ok(Some(Change::Stopped));
    }
    // SAFETY: all-zero bytes are valid, and the call filled it in.
    let usage = unsafe { usage.assume_init() };
    let time = |time: libc::timeval| {
        Duration::new(time.tv_sec.max(0) as u64, 0) + Duration::from_micros(time.tv_usec.max(0) as u64)
    };
    let ended = match libc::WIFSIGNALED(status) {
        true => Ended::Signal(libc::WTERMSIG(status)),
        false => Ended::Code(libc::WEXITSTATUS(status)),
    };
    let usage = Usage {
        user: time(usage.ru_utime),
        system: time(usage.ru_stime),
        peak_resident: usage.ru_maxrss.max(0) as u64 * 1024,
        minor_faults: usage.ru_minflt.max(0) as u64,
        major_faults: usage.ru_majflt.max(0) as u64,
    };
    Ok(Some(Change::Ended(ended, usage)))
}

/// Looks for the library in the program's address space until it is there or time is up.
struct Watch {
    start: Instant,
    /// Until the next look; `None` when there is nothing more to look for.
    pause: Option<Duration>,
    loaded: Loaded,
}

impl Watch {
    /// The first pause; each later one is twice as long, up to a tenth of a second.
    const FIRST: Duration = Duration::from_micros(100);

    fn new(start: Instant) -> Watch {
        Watch { start, pause: Some(Watch::FIRST), loaded: Loaded::Unknown }
    }

    /// True, once, when it is clear that the program runs without the library.
    fn look(&mut self, pid: u32, library: &Path) -> bool {
        let Some(pause) = self.pause else {
            return false;
        };
        let Some(found) = maps(pid, library) else {
            self.pause = None;
            return false;
        };
        if found {
            (self.pause, self.loaded) = (None, Loaded::Yes);
        } else if self.start.elapsed() > PATIENCE {
            (self.pause, self.loaded) = (None, Loaded::No);
            return true;
        } else {
            self.pause = Some((pause * 2).min(Duration::from_millis(100)));
        }
        false
    }
}

/// Whether a process has `library` mapped; `None` if that cannot be told (it has ended, or may
/// not be looked at).
fn maps(pid: u32, library: &Path) -> Option<bool> {
    let maps = std::fs::read(format!("/proc/{pid}/maps")).ok().filter(|maps| !maps.is_empty())?;
    Some(maps.split(|&byte| byte == b'\n').any(|line| line.ends_with(library.as_os_str().as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_seen_where_it_is_and_missed_where_it_is_not() {
        let me = std::process::id();
        let exe = std::env::current_exe().unwrap().canonicalize().unwrap();
        let mut watch = Watch::new(Instant::now());
        assert!(!watch.look(me, &exe));
        assert_eq!((watch.loaded, watch.pause), (Loaded::Yes, None));

        let missing = Path::new("/nowhere/libstratalloc.so");
        let mut watch = Watch::new(Instant::now());
        assert!(!watch.look(me, missing));
        assert_eq!((watch.loaded, watch.pause), (Loaded::Unknown, Some(Watch::FIRST * 2)));
        watch.start -= PATIENCE * 2;
        assert!(watch.look(me, missing));
        assert!(!watch.look(me, missing), "said once only");
        assert_eq!(watch.loaded, Loaded::No);

        let mut watch = Watch::new(Instant::now());
        assert!(!watch.look(u32::MAX, &exe));
        assert_eq!((watch.loaded, watch.pause), (Loaded::Unknown, None));
    }
}
