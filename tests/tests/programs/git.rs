//! git: a repository built by the same commands must have the same commits, and be sound.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use stratalloc_tests::tools::{Folder, preloadable};
use stratalloc_tests::{Run, on_libc, on_library};

/// Builds, packs, clones and checks a repository; returns what git said.
fn life_of_a_repository(git: impl Fn() -> Run, folder: &Path) -> String {
    let repository = folder.join("repository");
    fs::create_dir(&repository).expect("a folder");
    let mut said = String::new();
    let mut run = |dir: &Path, args: &[&str], number: u32| {
        let date = format!("{} +0000", 1_700_000_000 + number);
        let mut run = git().dir(dir).args(args);
        for role in ["AUTHOR", "COMMITTER"] {
            run = run
                .env(&format!("GIT_{role}_NAME"), "A Tester")
                .env(&format!("GIT_{role}_EMAIL"), "tester@example.org")
                .env(&format!("GIT_{role}_DATE"), &date);
        }
        // No configuration of this machine's.
        let outcome = run.env("GIT_CONFIG_NOSYSTEM", "1").env("HOME", folder).passes();
        writeln!(said, "$ git {}\n{}", args.join(" "), outcome.out()).expect("writing to a string");
    };
    run(&repository, &["init", "--quiet", "--initial-branch=main"], 0);
    for number in 0..25u32 {
        for file in 0..40u32 {
            let lines = (0..50 + file * 5)
                .map(|line| format!("{}\n", line * (file + 1) * (number / (file % 5 + 1) + 1) % 1009));
            fs::write(repository.join(format!("file{file}")), lines.collect::<String>()).expect("a file");
        }
        run(&repository, &["add", "."], number);
        run(&repository, &["commit", "--quiet", "-m", &format!("Commit {number}")], number);
        if number % 10 == 5 {
            run(&repository, &["branch", &format!("branch{number}"), "HEAD~2"], number);
        }
    }
    run(&repository, &["gc", "--quiet", "--aggressive"], 100);
    run(&repository, &["fsck", "--full", "--strict"], 100);
    run(&repository, &["log", "--stat", "--all", "-p", "--format=%H %T %an %ad %s"], 100);
    run(&repository, &["blame", "file7"], 100);
    run(&repository, &["grep", "-c", "^10"], 100);
    run(folder, &["clone", "--quiet", "--no-local", "repository", "clone"], 100);
    run(&folder.join("clone"), &["rev-list", "--objects", "--all"], 100);
    said
}

#[test]
fn git_builds_packs_clones_and_checks_the_same_repository() {
    let git = preloadable("git", "git");
    let folders = [Folder::new("git-libc"), Folder::new("git-library")];
    let libc = life_of_a_repository(|| on_libc(&git), folders[0].path());
    let ours = life_of_a_repository(|| on_library(&git), folders[1].path());
    assert!(libc.contains("Commit 24"), "git said\n{libc}");
    let difference = libc.lines().zip(ours.lines()).find(|(one, other)| one != other);
    assert!(libc == ours, "first difference: {difference:?}");
}
