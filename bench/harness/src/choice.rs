//! From names on the command line to workloads and contenders, with the nearest names for what is unknown.

use stratalloc_bench_protocol::{Description, Group};

use crate::arguments::{Faces, Who};
use crate::contenders::{self, Contender};
use crate::store::Face;

/// A contender in the face in which it is to be measured: libc's own malloc stands in both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Who.
    pub contender: Contender,
    /// In which of the two tables.
    pub face: Face,
}

/// What to say of a name that nothing has.
pub fn unknown(kind: &str, name: &str, known: &[&str]) -> String {
    let mut near: Vec<(usize, &str)> = known
        .iter()
        .map(|&known| {
            let part = name.len() > 2 && (known.contains(name) || name.contains(known));
            (if part { 1 } else { strsim::osa_distance(name, known) }, known)
        })
        .filter(|&(distance, _)| distance <= 1 + name.len() / 3)
        .collect();
    near.sort_unstable();
    let near: Vec<&str> = near.into_iter().take(3).map(|(_, name)| name).collect();
    match near.as_slice() {
        [] => format!("unknown {kind} '{name}'; there are: {}", known.join(", ")),
        near => format!("unknown {kind} '{name}'; did you mean {}?", near.join(" or ")),
    }
}

/// The workloads of these names and groups, in the order of the list, without doubles. A word that ends with `*` stands
/// for all names that begin like it. Of no words, all but the group `growth`, which is no kind of program;
/// in a smoke run that too.
pub fn workloads(asked: &[String], all: &[Description], smoke: bool) -> Result<Vec<Description>, String> {
    let group = |word: &str| match word {
        "classic" | "classics" => Some(Group::Classic),
        "scene" | "scenes" => Some(Group::Scene),
        "program" | "programs" => Some(Group::Program),
        "growth" => Some(Group::Growth),
        _ => None,
    };
    let names = |word: &str, workload: &Description| match word.strip_suffix('*') {
        Some(start) => workload.name.starts_with(start),
        None => workload.name == word,
    };
    let mut known: Vec<&str> = all.iter().map(|workload| workload.name.as_str()).collect();
    known.extend(["classic", "scene", "program", "growth"]);
    for word in asked {
        if group(word).is_none() && !all.iter().any(|workload| names(word, workload)) {
            return Err(unknown("workload", word, &known));
        }
    }
    let wanted = |workload: &&Description| {
        let of = |word: &String| names(word, workload) || group(word) == Some(workload.group);
        if asked.is_empty() { smoke || workload.group != Group::Growth } else { asked.iter().any(of) }
    };
    Ok(all.iter().filter(wanted).cloned().collect())
}

/// Who takes part, by face, in the order of lists; those of `--with` and `--tuned` at the end of the preloaded.
pub fn contenders(who: &Who) -> Result<Vec<Chosen>, String> {
    let mut preloaded = Vec::new();
    let mut globals = Vec::new();
    for contender in contenders::all() {
        match contender.face {
            contenders::Face::Preload(_) => preloaded.push(contender),
            contenders::Face::Plain => {
                globals.push(contender.clone());
                preloaded.push(contender);
            }
            contenders::Face::Global { .. } => globals.push(contender),
        }
    }
    let mut given = Vec::new();
    let with = who.with.iter().map(|argument| ("--with", argument, Contender::given(argument)));
    let tuned = who.tuned.iter().map(|argument| ("--tuned", argument, Contender::tuned(argument)));
    for (option, argument, contender) in with.chain(tuned) {
        let contender = contender?;
        if given.contains(&contender.name) {
            return Err(format!("{option} {argument}: the name '{}' is given twice", contender.name));
        }
        given.push(contender.name.clone());
        preloaded.push(contender);
    }
    let in_face = |face, list: Vec<Contender>| {
        let taken = if who.face.has(face) { list } else { Vec::new() };
        taken.into_iter().map(move |contender| Chosen { contender, face })
    };
    let all: Vec<Chosen> = in_face(Face::Preload, preloaded).chain(in_face(Face::Rust, globals)).collect();
    let mut known: Vec<&str> = all.iter().map(|chosen| chosen.contender.name.as_str()).collect();
    known.sort_unstable();
    known.dedup();
    for name in &who.contenders {
        if known.contains(&name.as_str()) {
            continue;
        }
        let elsewhere = contenders::all().iter().any(|contender| contender.name == *name);
        return Err(match elsewhere {
            true if who.face == Faces::Preload => format!("contender '{name}' needs --face rust or --face both"),
            true => format!("contender '{name}' needs --face preload or --face both"),
            false => unknown("contender", name, &known),
        });
    }
    // Who is given was asked for, whoever else is.
    let wanted = |chosen: &Chosen| {
        let name = &chosen.contender.name;
        who.contenders.is_empty() || who.contenders.contains(name) || given.contains(name)
    };
    let chosen: Vec<Chosen> = all.into_iter().filter(|chosen| wanted(chosen)).collect();
    if chosen.is_empty() {
        return Err("no contender is left to measure".to_owned());
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description(name: &str, group: Group) -> Description {
        Description {
            name: name.into(),
            group,
            models: String::new(),
            source: String::new(),
            sensitive_to: String::new(),
            threads: 1,
            scales_with_threads: false,
            latency: false,
            memory: None,
            program: None,
        }
    }

    fn who(contenders: &[&str], with: &[&str], face: Faces) -> Who {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Who { contenders: owned(contenders), with: owned(with), tuned: Vec::new(), face }
    }

    #[test]
    fn workloads_come_by_name_and_by_group_in_list_order() {
        let all = [
            description("larson", Group::Classic),
            description("web-server", Group::Scene),
            description("redis", Group::Program),
            description("live-8g", Group::Growth),
            description("live-16g", Group::Growth),
        ];
        let names = |asked: &[&str]| {
            let asked: Vec<String> = asked.iter().map(|&word| word.to_owned()).collect();
            workloads(&asked, &all, false).map(|found| found.into_iter().map(|w| w.name).collect::<Vec<_>>())
        };
        assert_eq!(workloads(&[], &all, true).unwrap().len(), 5);
        assert_eq!(names(&["growth"]).unwrap(), ["live-8g", "live-16g"]);
        assert_eq!(names(&["live-1*", "la*"]).unwrap(), ["larson", "live-16g"]);
        assert_eq!(names(&["dead-*"]).unwrap_err().split(';').next(), Some("unknown workload 'dead-*'"));
        assert_eq!(names(&[]).unwrap(), ["larson", "web-server", "redis"]);
        assert_eq!(names(&["redis", "larson", "classic"]).unwrap(), ["larson", "redis"]);
        assert_eq!(names(&["scenes"]).unwrap(), ["web-server"]);
        assert_eq!(names(&["larsen"]).unwrap_err(), "unknown workload 'larsen'; did you mean larson?");
        assert!(names(&["zzzzzzzz"]).unwrap_err().ends_with(
            "there are: larson, web-server, redis, live-8g, live-16g, classic, scene, program, growth"
        ));
    }

    #[test]
    fn contenders_come_by_face_and_glibc_stands_in_both() {
        let both = contenders(&who(&["glibc", "stratalloc"], &[], Faces::Both)).unwrap();
        let names: Vec<(&str, Face)> = both.iter().map(|c| (c.contender.name.as_str(), c.face)).collect();
        assert_eq!(names, [("stratalloc", Face::Preload), ("glibc", Face::Preload), ("glibc", Face::Rust)]);
        let rust = contenders(&who(&[], &[], Faces::Rust)).unwrap();
        assert!(rust.iter().all(|chosen| chosen.face == Face::Rust) && rust.len() > 2);
    }

    #[test]
    fn unknown_contenders_are_answered_with_near_ones() {
        let error = contenders(&who(&["mimaloc3"], &[], Faces::Preload)).unwrap_err();
        assert!(error.starts_with("unknown contender 'mimaloc3'; did you mean mimalloc"), "{error}");
        let error = contenders(&who(&["global-stratalloc"], &[], Faces::Preload)).unwrap_err();
        assert_eq!(error, "contender 'global-stratalloc' needs --face rust or --face both");
    }

    #[test]
    fn a_given_library_takes_part_whoever_is_asked_for() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let argument = format!("mine={}", file.path().display());
        let chosen = contenders(&who(&["glibc"], &[&argument], Faces::Preload)).unwrap();
        let names: Vec<&str> = chosen.iter().map(|c| c.contender.name.as_str()).collect();
        assert_eq!(names, ["glibc", "mine"]);
        let twice = contenders(&who(&[], &[&argument, &argument], Faces::Preload)).unwrap_err();
        assert!(twice.contains("'mine' is given twice"), "{twice}");
        let missing = contenders(&who(&[], &["mine=/no/such/lib.so"], Faces::Preload)).unwrap_err();
        assert!(missing.contains("/no/such/lib.so"), "{missing}");
        let mut who = who(&["glibc"], &[&argument], Faces::Preload);
        who.tuned = vec!["mine=profile=memory".to_owned()];
        let twice = contenders(&who).unwrap_err();
        assert!(twice.contains("--tuned mine=profile=memory: the name 'mine' is given twice"), "{twice}");
    }
}
