//! Reads what a reader of results must know of the machine. What cannot be read says so in its place.

use std::fs;
use std::process::Command;
use std::time::SystemTime;

use stratalloc_bench_protocol::Description;

use crate::counters;
use crate::store::Machine;

/// This machine, now.
pub fn here() -> Machine {
    let cores = std::thread::available_parallelism().map_or(1, |count| count.get() as u32);
    Machine {
        cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        cores,
        memory: memory().unwrap_or(0),
        kernel: line("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".to_owned()),
        libc: libc_version(),
        rustc: rustc(),
        governor: line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        huge_pages: line("/sys/kernel/mm/transparent_hugepage/enabled").and_then(|text| bracketed(&text)),
        counters: counters::available(),
        date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
    }
}

/// Why samples of these two must not stand in one file; `None` where they may. Kernel and compiler updates are
/// let pass: they are named, and a file is measured over days.
pub fn differs(file: &Machine, here: &Machine) -> Option<String> {
    let pairs = [
        ("processor", file.cpu.clone(), here.cpu.clone()),
        ("number of cores", file.cores.to_string(), here.cores.to_string()),
        ("C library", file.libc.clone(), here.libc.clone()),
    ];
    pairs
        .into_iter()
        .find(|(_, file, here)| file != here)
        .map(|(what, file, here)| format!("its {what} is '{file}', this machine's is '{here}'"))
}

/// The first line of a file.
fn line(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().next().map(|line| line.trim().to_owned())
}

/// The value of `name : value` lines.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let found = text.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| key.trim() == name);
    found.map(|(_, value)| value.trim().to_owned())
}

/// KiB.
fn memory() -> Option<u64> {
    field("/proc/meminfo", "MemTotal")?.split_whitespace().next()?.parse().ok()
}

/// Why a workload cannot run now for want of memory; `None` where it can.
pub fn lacks_memory(workload: &Description, scale: f64) -> Option<String> {
    let free = field("/proc/meminfo", "MemAvailable")?.split_whitespace().next()?.parse().ok()?;
    short_of_memory(workload, scale, free)
}

/// The same with so much free memory, KiB.
fn short_of_memory(workload: &Description, scale: f64, free: u64) -> Option<String> {
    let wanted = (workload.memory? as f64 * scale.min(1.0) / 1024.0) as u64;
    let mib = |kib: u64| kib / 1024;
    (wanted > free)
        .then(|| format!("it wants {} MiB of free memory, and this machine has {} MiB", mib(wanted), mib(free)))
}

/// The chosen word of `always [madvise] never`.
fn bracketed(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    rest.split_once(']').map(|(word, _)| word.to_owned())
}

fn rustc() -> String {
    let output = Command::new("rustc").arg("--version").output();
    let text = output.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    text.map_or_else(|| "unknown".to_owned(), |text| String::from_utf8_lossy(&text).trim().to_owned())
}

#[cfg(target_env = "gnu")]
fn libc_version() -> String {
    // SAFETY: the call takes nothing and returns a static C string.
    let version = unsafe { std::ffi::CStr::from_ptr(libc::gnu_get_libc_version()) };
    format!("glibc {}", version.to_string_lossy())
}

#[cfg(not(target_env = "gnu"))]
fn libc_version() -> String {
    "not glibc".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_of_huge_pages_is_the_bracketed_word() {
        assert_eq!(bracketed("always [madvise] never").as_deref(), Some("madvise"));
        assert_eq!(bracketed("always"), None);
    }

    #[test]
    fn a_heap_without_room_is_named_with_what_it_wants() {
        let mut workload: Description = serde_json::from_str(
            r#"{"name":"live-8g","group":"growth","models":"","source":"","sensitive_to":"","threads":1,
                "scales_with_threads":false,"latency":false,"program":null}"#,
        )
        .unwrap();
        assert_eq!(short_of_memory(&workload, 1.0, 0), None);
        workload.memory = Some(12 << 30);
        let said = short_of_memory(&workload, 2.0, 1 << 20).unwrap();
        assert!(said.contains("12288 MiB") && said.contains("1024 MiB"), "{said}");
        assert_eq!(short_of_memory(&workload, 0.05, 1 << 20), None);
        assert_eq!(short_of_memory(&workload, 1.0, 13 << 20), None);
    }

    #[test]
    fn another_processor_is_named_with_both() {
        let here = here();
        assert!(here.cores >= 1 && here.memory > 0 && here.date.ends_with('Z'), "{here:?}");
        assert_eq!(differs(&here, &here), None);
        let other = Machine { cpu: "Other".into(), ..here.clone() };
        let said = differs(&other, &here).unwrap();
        assert!(said.contains("'Other'") && said.contains(&here.cpu), "{said}");
        let later = Machine { kernel: "7.0".into(), date: "2030-01-01T00:00:00Z".into(), ..here.clone() };
        assert_eq!(differs(&later, &here), None);
    }
}
