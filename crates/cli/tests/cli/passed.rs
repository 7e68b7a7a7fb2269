//! What `run` passes through, unchanged: arguments, streams, exit status, signals, stops.
#![cfg(target_os = "linux")]

use crate::common::{executable, run, scratch, stand_in, stderr};
use std::io::{Read, Write};
use std::os::fd::FromRawFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn arguments_streams_and_names() {
    let mut child = run(&["-q", "--", "sh", "-c", "cat; echo \"$0 $*\"; echo err >&2", "-x", "--help", "a b"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"input\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "input\n-x --help a b\n");
    assert_eq!(stderr(&output), "err\n");
    // Without `--`, what follows PROGRAM is its own too.
    let output = run(&["-q", "echo", "-n", "--quiet"]).output().unwrap();
    assert_eq!(output.stdout, b"--quiet");
}

#[test]
fn exit_statuses() {
    for code in [0, 1, 2, 77, 125, 127, 255] {
        let status = run(&["-q", "--", "sh", "-c", &format!("exit {code}")]).status().unwrap();
        assert_eq!(status.code(), Some(code));
    }
}

#[test]
fn the_signal_that_ended_the_program() {
    for signal in [libc::SIGTERM, libc::SIGKILL, libc::SIGSEGV, libc::SIGINT, libc::SIGUSR1] {
        let output = run(&["--", "sh", "-c", &format!("kill -{signal} $$")]).output().unwrap();
        assert_eq!(output.status.signal(), Some(signal), "{}", stderr(&output));
        assert!(stderr(&output).contains(&format!("was ended by signal {signal} (")), "{}", stderr(&output));
        assert!(stderr(&output).contains("before it could write them"), "{}", stderr(&output));
    }
}

/// Starts a script and waits until it says `ready`.
fn start(mut command: Command) -> Child {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
    assert_eq!(&line, b"ready\n");
    child
}

fn send(child: &Child, signal: i32) {
    // SAFETY: no memory is involved, and the child was not waited for yet.
    assert_eq!(unsafe { libc::kill(child.id() as libc::pid_t, signal) }, 0);
}

/// A script that says `got` at each signal of this name and ends with status 42 at SIGUSR2.
fn counting(name: &str) -> String {
    format!("trap 'echo got' {name}; trap 'exit 42' USR2; echo ready; while :; do sleep 0.05; done")
}

/// Reads one `got`, and leaves time for another that should not come.
fn got_once(child: &mut Child) {
    let mut got = [0; 4];
    child.stdout.as_mut().unwrap().read_exact(&mut got).unwrap();
    assert_eq!(&got, b"got\n");
    std::thread::sleep(Duration::from_millis(200));
}

/// Ends the script; it must not have said anything more.
fn end(mut child: Child) {
    send(&child, libc::SIGUSR2);
    let mut rest = String::new();
    child.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(42));
    assert_eq!(rest, "");
}

#[test]
fn signals_sent_to_this_process_reach_the_program_once() {
    for (name, signal) in [("TERM", libc::SIGTERM), ("HUP", libc::SIGHUP), ("INT", libc::SIGINT)] {
        let mut child = start(run(&["--", "sh", "-c", &counting(name)]));
        for _ in 0..2 {
            send(&child, signal);
            got_once(&mut child);
        }
        end(child);
    }
}

#[test]
fn signals_of_the_terminal_reach_the_program_once() {
    let (mut master, mut slave) = (-1, -1);
    let none = std::ptr::null_mut();
    // SAFETY: both results have room; name, settings and size may be null.
    assert_eq!(unsafe { libc::openpty(&mut master, &mut slave, none, none.cast(), none.cast()) }, 0);
    // SAFETY: open, and owned by nobody else.
    let mut terminal = unsafe { std::fs::File::from_raw_fd(master) };
    let mut command = run(&["--", "sh", "-c", &counting("INT")]);
    // SAFETY: two async-signal-safe calls; the descriptor is open in the child.
    unsafe {
        command.pre_exec(move || {
            libc::setsid();
            match libc::ioctl(slave, libc::TIOCSCTTY, 0) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        })
    };
    let mut child = start(command);
    for _ in 0..2 {
        terminal.write_all(b"\x03").unwrap();
        got_once(&mut child);
    }
    end(child);
    // SAFETY: open, and not used any more.
    unsafe { libc::close(slave) };
}

#[test]
fn a_signal_the_program_does_not_handle_ends_both() {
    let mut child = start(run(&["--", "sh", "-c", "echo ready; exec sleep 60"]));
    send(&child, libc::SIGTERM);
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGTERM));
}

/// The state letter of a process: `S` sleeping, `T` stopped.
fn state(pid: u32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(") ").next().and_then(|rest| rest.chars().next()).unwrap()
}

#[test]
fn stops_and_continues_with_the_program() {
    let mut child = start(run(&["--", "sh", "-c", "echo ready; kill -STOP $$; exit 9"]));
    let deadline = Instant::now() + Duration::from_secs(20);
    while state(child.id()) != 'T' {
        assert!(Instant::now() < deadline, "did not stop with the program");
        std::thread::sleep(Duration::from_millis(5));
    }
    send(&child, libc::SIGCONT);
    assert_eq!(child.wait().unwrap().code(), Some(9));
}

#[test]
fn an_ignored_signal_stays_ignored_and_the_mask_is_the_callers() {
    // nohup's way: SIGHUP is ignored when the program starts.
    let mut command = Command::new("sh");
    let line =
        "trap '' HUP; exec \"$0\" run -q --library \"$1\" -- sh -c 'kill -HUP $$; grep SigBlk /proc/self/status'";
    command.arg("-c").arg(line).arg(env!("CARGO_BIN_EXE_stratalloc")).arg(stand_in());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout).split_whitespace().last(), Some("0000000000000000"));
}

#[test]
fn children_can_be_waited_for_although_the_caller_ignores_theirs() {
    let mut command = run(&["-q", "--", "sh", "-c", "exit 5"]);
    // SAFETY: async-signal-safe, with a valid signal and disposition.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGCHLD, libc::SIG_IGN);
            Ok(())
        })
    };
    assert_eq!(command.status().unwrap().code(), Some(5));
}

#[test]
fn scripts_run_and_find_their_interpreter_on_the_library() {
    let folder = scratch("scripts");
    let script = folder.join("script");
    executable(&script, b"#!/bin/sh -u\ngrep -c libstandin /proc/self/maps >&2\nexit 6\n");
    let output = run(&["-q", "--"]).arg(&script).output().unwrap();
    assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
    assert!(stderr(&output).trim().parse::<u32>().is_ok_and(|lines| lines > 0), "{}", stderr(&output));
}
