//! From chosen names to what can be run: folders, built contenders, the list of workloads.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use stratalloc_bench_protocol::Description;

use crate::arguments::Where;
use crate::choice::Chosen;
use crate::contenders::{BuildFailure, Contender, Face as Way, Folders, Origin, Ready};
use crate::process;
use crate::store::ContenderRecord;
use crate::versions;

/// The chosen, and for each what a run needs or why it has none.
pub struct Prepared {
    /// In the order of columns.
    pub chosen: Vec<Chosen>,
    /// One for each of them.
    pub ready: Vec<Result<Ready, BuildFailure>>,
}

/// Where everything is, and the profile for the workload binary. An error if Stratalloc's library is needed and is not
/// there.
pub fn folders(places: &Where, chosen: &[Chosen], profile: &'static str) -> Result<Folders, String> {
    let bench = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned();
    let root = bench.parent().unwrap_or(Path::new(".")).to_owned();
    let target = places.target.clone().unwrap_or_else(|| root.join("target").join("bench"));
    let target = std::path::absolute(&target).map_err(|error| format!("{}: {error}", target.display()))?;
    let ours = |way: &Way| matches!(way, Way::Preload(Origin::Own | Origin::Null | Origin::Tuned(_)));
    let needed = |chosen: &Chosen| ours(&chosen.contender.face);
    let library = places.library.clone().unwrap_or_else(|| root.join("target/release/libstratalloc.so"));
    let library = match library.canonicalize() {
        Ok(library) if library.is_file() => Some(library),
        _ if !chosen.iter().any(needed) => None,
        Ok(_) => return Err(format!("{} is not a file: --library names libstratalloc.so", library.display())),
        Err(error) => {
            let path = library.display();
            return Err(format!(
                "{path}: {error}; `cargo xtask build` makes the library, --library says where it is"
            ));
        }
    };
    Ok(Folders { bench, target, library, profile })
}

/// Builds or finds everything; `tell` gets a line before each contender that may take minutes.
pub fn ready(chosen: Vec<Chosen>, folders: &Folders, places: &Where, mut tell: impl FnMut(&str)) -> Prepared {
    let mut ready = Vec::new();
    for chosen in &chosen {
        tell(&chosen.contender.name);
        ready.push(one(&chosen.contender, folders, places));
    }
    Prepared { chosen, ready }
}

/// One contender.
fn one(contender: &Contender, folders: &Folders, places: &Where) -> Result<Ready, BuildFailure> {
    let Some(binary) = &places.workload_binary else { return contender.ready(folders) };
    let preload = match &contender.face {
        Way::Plain | Way::Global { .. } => None,
        Way::Preload(Origin::Given(path)) => Some(path.clone()),
        Way::Preload(Origin::Own) => folders.library.clone(),
        Way::Preload(_) => {
            let reason = "it is not built where --workload-binary is given".to_owned();
            return Err(BuildFailure { name: contender.name.clone(), reason, output: Vec::new() });
        }
    };
    let binary = binary.canonicalize().map_err(|error| BuildFailure {
        name: contender.name.clone(),
        reason: format!("--workload-binary {}: {error}", binary.display()),
        output: Vec::new(),
    })?;
    let name = contender.name.clone();
    let latency_workload = binary.clone();
    Ok(Ready {
        name,
        preload,
        workload: binary,
        latency_workload,
        version: "given".into(),
        note: None,
        environment: Vec::new(),
    })
}

/// All workloads, as the binary tells them.
pub fn workloads(binary: &Path) -> Result<Vec<Description>, String> {
    let mut command = Command::new(binary);
    process::clean_environment(&mut command);
    let output = command.arg("list").output().map_err(|error| format!("{}: {error}", binary.display()))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(format!("`{} list` ended with {}: {words}", binary.display(), output.status));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("`{} list`: {error}", binary.display()))
}

impl Prepared {
    /// The first binary `workload` that could be built, without an allocator of its own if there is one such.
    pub fn any_binary(&self) -> Result<PathBuf, String> {
        let plain = |chosen: &Chosen| !matches!(chosen.contender.face, Way::Global { .. });
        let built = || self.chosen.iter().zip(&self.ready).filter_map(|(c, r)| r.as_ref().ok().map(|r| (c, r)));
        if let Some((_, ready)) = built().find(|(chosen, _)| plain(chosen)).or_else(|| built().next()) {
            return Ok(ready.workload.clone());
        }
        let reasons: Vec<String> =
            self.ready.iter().filter_map(|r| r.as_ref().err().map(|failure| failure.to_string())).collect();
        Err(format!("no contender can be measured:\n{}", reasons.join("\n")))
    }

    /// What results say of the contenders.
    pub fn records(&self) -> Vec<ContenderRecord> {
        self.chosen.iter().zip(&self.ready).map(|(chosen, ready)| record(chosen, ready)).collect()
    }
}

fn record(chosen: &Chosen, ready: &Result<Ready, BuildFailure>) -> ContenderRecord {
    let mut record = ContenderRecord {
        name: chosen.contender.name.clone(),
        face: chosen.face,
        version: String::new(),
        path: None,
        fingerprint: None,
        note: None,
        failure: None,
        lags_behind: None,
    };
    match ready {
        Ok(ready) => {
            let global = matches!(chosen.contender.face, Way::Global { .. });
            record.version.clone_from(&ready.version);
            record.note.clone_from(&ready.note);
            record.lags_behind = versions::newer(&ready.name, &ready.version).map(str::to_owned);
            record.path = ready.preload.clone().or_else(|| global.then(|| ready.workload.clone()));
            record.fingerprint = record.path.as_deref().and_then(|path| fingerprint(path).ok());
        }
        Err(failure) => record.failure = Some(failure.to_string()),
    }
    record
}

/// A hash (FNV-1a, 64 bits) of a file's bytes: tells two builds apart, protects against nothing.
fn fingerprint(path: &Path) -> io::Result<String> {
    let mut file = io::BufReader::with_capacity(1 << 16, fs::File::open(path)?);
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(format!("{hash:016x}"));
        }
        for &byte in &buffer[..count] {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_those_of_fnv() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(fingerprint(file.path()).unwrap(), "cbf29ce484222325");
        fs::write(file.path(), "foobar").unwrap();
        assert_eq!(fingerprint(file.path()).unwrap(), "85944171f73967e8");
    }
}
