//! Reads callgrind's output: who called whom how often, and what it cost.
//!
//! The format is line-oriented text, one block of lines for each function: `fn=` names it, `ob=` the
//! file it is in, `cfn=` and `cob=` name a function that it calls, `calls=` says how often, and the
//! line after that is the cost of these calls with everything beneath them. Other lines are costs of
//! the function itself. Name compression is switched off when the file is made.

use std::collections::{BTreeSet, HashMap};

/// Calls from one function to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    /// How many.
    pub calls: u64,
    /// Instructions in them, with everything beneath.
    pub cost: u64,
}

/// The calls of a run, by caller and callee.
pub struct Profile {
    edges: HashMap<(String, String), Edge>,
    /// Functions that were run, with the files they are in.
    run: BTreeSet<(String, String)>,
}

impl Profile {
    /// Reads the text of a callgrind file with uncompressed names and positions.
    pub fn read(text: &str) -> Result<Profile, String> {
        let mut edges: HashMap<(String, String), Edge> = HashMap::new();
        let mut run = BTreeSet::new();
        let mut object = String::new();
        let (mut caller, mut callee) = (String::new(), String::new());
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(name) = line.strip_prefix("ob=") {
                name.clone_into(&mut object);
            } else if let Some(name) = line.strip_prefix("fn=") {
                caller = plain(name);
                run.insert((object.clone(), caller.clone()));
            } else if let Some(name) = line.strip_prefix("cfn=") {
                callee = plain(name);
            } else if let Some(rest) = line.strip_prefix("calls=") {
                let unread = || format!("callgrind's line `{line}` is not understood");
                let calls: u64 = first(rest).ok_or_else(unread)?;
                let cost = lines.next().and_then(|cost| cost.split_whitespace().nth(1));
                let cost: u64 = cost.and_then(first).ok_or_else(unread)?;
                let edge = edges.entry((caller.clone(), callee.clone())).or_default();
                edge.calls += calls;
                edge.cost += cost;
            }
        }
        if edges.is_empty() {
            return Err("callgrind's output holds no calls".into());
        }
        Ok(Profile { edges, run })
    }

    /// The functions of a file, which `object` is the path of, that were run.
    pub fn run_in<'a>(&'a self, object: &'a str) -> impl Iterator<Item = &'a str> {
        self.run.iter().filter(move |(file, _)| file == object).map(|(_, name)| name.as_str())
    }

    /// The calls that `caller` made to a function of one of these names.
    pub fn edge(&self, caller: &str, callees: &[&str]) -> Edge {
        let mut sum = Edge::default();
        for ((from, to), edge) in &self.edges {
            if from == caller && callees.contains(&to.as_str()) {
                sum.calls += edge.calls;
                sum.cost += edge.cost;
            }
        }
        sum
    }
}

/// A name without the mark of a recursion level.
fn plain(name: &str) -> String {
    name.split('\'').next().unwrap_or(name).to_owned()
}

fn first(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
version: 1
ob=program
fl=a.c
fn=main
10 3
cob=lib.so
cfi=x.rs
cfn=malloc
calls=2 5
11 30
cfn=free
calls=1 5
12 20
13 4
fn=other
cfn=__libc_malloc
calls=1 0
1 17
ob=lib.so
fn=malloc
5 47
ob=program
fn=main
cfn=malloc'2
calls=1 5
14 10
";

    #[test]
    fn sums_the_calls_of_a_pair() {
        let profile = Profile::read(TEXT).unwrap();
        assert_eq!(profile.edge("main", &["malloc"]), Edge { calls: 3, cost: 40 });
        assert_eq!(profile.edge("main", &["free"]), Edge { calls: 1, cost: 20 });
        assert_eq!(profile.edge("other", &["malloc", "__libc_malloc"]), Edge { calls: 1, cost: 17 });
        assert_eq!(profile.edge("other", &["free"]), Edge::default());
        assert_eq!(profile.run_in("program").collect::<Vec<_>>(), ["main", "other"]);
        assert_eq!(profile.run_in("lib.so").collect::<Vec<_>>(), ["malloc"]);
    }

    #[test]
    fn refuses_what_is_no_profile() {
        assert!(Profile::read("").is_err());
        assert!(Profile::read("fn=a\ncfn=b\ncalls=x 1\n1 1\n").is_err());
        assert!(Profile::read("fn=a\ncfn=b\ncalls=1 1\n").is_err());
    }
}
