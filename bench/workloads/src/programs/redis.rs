//! `redis`: a server under load by a client in this process, over a socket file.
//!
//! The load is strings of changing length, lists, sorted sets, hashes and deletions on skewed keys, in batches of 32 commands with two batches under
//! way; then half of all keys are deleted, as in the fragmentation test of Powers et al. ("Mesh", PLDI 2019). Wall time is the
//! load's; user and system time, faults and peak memory are the server's own, its start included. Debian's server is linked to
//! libjemalloc: see [`loader`](super::loader).

use std::fmt::Write as _;
use std::fs;
use std::io::{BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use stratalloc_bench_protocol::Outcome;

use super::resp;
use super::session::{self, Session};
use crate::random::Random;
use crate::registry::Program;

pub const PROGRAM: Program = Program {
    name: "redis",
    models: "a store in memory under commands on strings, lists, sorted sets and hashes, then half of it deleted",
    source: "Debian's redis-server with a load of our own",
    sensitive_to: "small and medium blocks by realloc, and fragmentation as values change length",
    threads: 1,
    package: "redis-server",
    missing: || session::missing("redis-server"),
    run,
};

/// Commands and keys at scale 1.
const COMMANDS: u64 = 300_000;
const KEYS: u64 = 40_000;
/// Commands sent at once.
const BATCH: usize = 32;
/// How often the server's memory is read during the load.
const MARKS: u64 = 20;

fn run(preload: Option<&Path>, scale: f64) -> Result<Outcome, String> {
    let mut session = Session::new(PROGRAM.name, preload)?;
    let program = session::found("redis-server")?;
    session.bind(&program, &["--version"])?;
    let commands = ((COMMANDS as f64 * scale).round() as u64).max(100);
    let keys = ((KEYS as f64 * scale).round() as u64).max(50);

    let mut command = session.preloaded(&program);
    command.args([
        "--port",
        "0",
        "--unixsocket",
        "socket",
        "--save",
        "",
        "--appendonly",
        "no",
        "--daemonize",
        "no",
    ]);
    let log = session.folder().join("log");
    let file = fs::File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    let errors = file.try_clone().map_err(|error| format!("{}: {error}", log.display()))?;
    command.stdout(Stdio::from(file)).stderr(Stdio::from(errors));
    let mut server = Server(Some(session.start(&mut command)?));
    let load = server.load(&session.folder().join("socket"), commands, keys).and_then(|load| {
        let (status, used) = session::wait(&server.0.take().expect("the server runs"))?;
        if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0 {
            Ok((load, used))
        } else {
            Err(session::ending(status))
        }
    });
    let (load, mut used) = load.map_err(|error| {
        let log = fs::read_to_string(&log).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(3).collect();
        format!("redis-server: {error}; its log ends: {}", last.into_iter().rev().collect::<Vec<_>>().join(" / "))
    })?;

    used.wall = load.wall;
    used.peak = load.peak;
    session.add(used);
    session.check(&load.sum.to_le_bytes());
    let mut outcome = session.finish(1, load.commands);
    outcome.start_rss = load.start_rss;
    outcome.rss_by_work = load.marks;
    outcome.extra.push(("RSS after half of the keys are deleted, KiB".to_owned(), load.rss_after as f64));
    Ok(outcome)
}

/// What a load showed. Memory in KiB.
struct Load {
    commands: u64,
    wall: f64,
    sum: u64,
    start_rss: u64,
    peak: u64,
    rss_after: u64,
    marks: Vec<(u64, u64)>,
}

/// The running server; killed if the run ends early.
struct Server(Option<Child>);

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // Both fail only if it is gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Server {
    /// Puts the load on the server and tells it to end.
    fn load(&mut self, socket: &Path, commands: u64, keys: u64) -> Result<Load, String> {
        let stream = self.connect(socket)?;
        let copy = stream.try_clone().map_err(|error| format!("the socket: {error}"))?;
        let mut client = Client { stream, replies: BufReader::new(copy), line: Vec::new(), sum: 0, expected: 0 };
        let (start_rss, _) = self.memory()?;
        let mut random = Random::new(5);
        let mut marks = Vec::with_capacity(MARKS as usize);
        let mut batch = Batch::default();
        let start = Instant::now();
        for number in 1..=commands {
            batch.random_command(&mut random, keys);
            if batch.commands == BATCH || number == commands {
                client.send(&mut batch)?;
            }
            if number % (commands / MARKS) == 0 && marks.len() < MARKS as usize {
                marks.push((number, self.memory()?.0));
            }
        }
        let mut deleted: Vec<u64> = (0..keys).collect();
        random.shuffle(&mut deleted);
        deleted.truncate(keys as usize / 2);
        for key in &deleted {
            batch.delete(*key);
            if batch.commands == BATCH {
                client.send(&mut batch)?;
            }
        }
        client.send(&mut batch)?;
        client.receive(0)?;
        let wall = start.elapsed().as_secs_f64();
        let (rss_after, peak) = self.memory()?;
        client.stream.write_all(b"SHUTDOWN NOSAVE\r\n").map_err(|error| format!("the socket: {error}"))?;
        let commands = commands + deleted.len() as u64;
        Ok(Load { commands, wall, sum: client.sum, start_rss, peak, rss_after, marks })
    }

    /// Connects once the server listens.
    fn connect(&mut self, socket: &Path) -> Result<UnixStream, String> {
        const PATIENCE: Duration = Duration::from_secs(10);
        let start = Instant::now();
        loop {
            match UnixStream::connect(socket) {
                Ok(stream) => return Ok(stream),
                Err(error) if start.elapsed() > PATIENCE => return Err(format!("no answer in 10 s: {error}")),
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
            let child = self.0.as_mut().expect("the server runs");
            if let Ok(Some(status)) = child.try_wait() {
                self.0 = None;
                return Err(format!("ended before it listened: {status}"));
            }
        }
    }

    /// The server's resident memory now and at its highest.
    fn memory(&self) -> Result<(u64, u64), String> {
        let path = format!("/proc/{}/status", self.0.as_ref().expect("the server runs").id());
        let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().trim_end_matches(" kB").parse::<u64>().ok()
        };
        field("VmRSS:").zip(field("VmHWM:")).ok_or_else(|| format!("{path} has no VmRSS and VmHWM"))
    }
}

/// The connection.
struct Client {
    stream: UnixStream,
    replies: BufReader<UnixStream>,
    line: Vec<u8>,
    sum: u64,
    /// Replies that are due.
    expected: usize,
}

impl Client {
    /// Sends a batch and reads the replies to the one before.
    fn send(&mut self, batch: &mut Batch) -> Result<(), String> {
        self.stream.write_all(&batch.bytes).map_err(|error| format!("the socket: {error}"))?;
        self.expected += batch.commands;
        self.receive(batch.commands)?;
        batch.bytes.clear();
        batch.commands = 0;
        Ok(())
    }

    /// Reads replies until so many are still due.
    fn receive(&mut self, due: usize) -> Result<(), String> {
        while self.expected > due {
            self.sum = resp::reply(&mut self.replies, &mut self.line, self.sum)
                .map_err(|error| format!("a reply: {error}"))?;
            self.expected -= 1;
        }
        Ok(())
    }
}

/// Commands that are sent together.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    commands: usize,
    key: String,
    value: Vec<u8>,
}

/// Kinds of value, each with keys of its own: numbers from 0 up to the number of keys, by the remainder of 8.
const KINDS: [&str; 8] = ["string", "string", "string", "string", "string", "list", "set", "hash"];

impl Batch {
    fn push(&mut self, words: &[&[u8]]) {
        resp::command(&mut self.bytes, words);
        self.commands += 1;
    }

    fn name(&mut self, number: u64) -> &'static str {
        let kind = KINDS[(number % 8) as usize];
        self.key.clear();
        write!(self.key, "{kind}:{number}").expect("a string takes all");
        kind
    }

    fn delete(&mut self, number: u64) {
        self.name(number);
        let key = std::mem::take(&mut self.key);
        self.push(&[b"DEL", key.as_bytes()]);
        self.key = key;
    }

    fn random_command(&mut self, random: &mut Random, keys: u64) {
        let number =
            if random.one_in(2) { random.below(keys) } else { random.log_between(1, keys as usize) as u64 - 1 };
        let kind = self.name(number);
        let (key, mut value) = (std::mem::take(&mut self.key), std::mem::take(&mut self.value));
        let length = random.log_between(16, 2000);
        value.clear();
        value.resize(length, b'a' + (number % 26) as u8);
        let (name, score) = (key.as_bytes(), random.below(200).to_string());
        match (kind, random.below(20)) {
            (_, 0) => self.push(&[b"UNLINK", name]),
            ("string", 1..=9) => self.push(&[b"SET", name, &value]),
            ("string", 10) => self.push(&[b"APPEND", name, &value[..16]]),
            ("string", _) => self.push(&[b"GET", name]),
            ("list", 1..=12) => self.push(&[b"LPUSH", name, &value[..length.min(100)]]),
            ("list", 13..=15) => self.push(&[b"LTRIM", name, b"0", b"30"]),
            ("list", _) => self.push(&[b"LRANGE", name, b"0", b"9"]),
            ("set", 1..=14) => self.push(&[b"ZADD", name, score.as_bytes(), format!("member-{score}").as_bytes()]),
            ("set", _) => self.push(&[b"ZRANGE", name, b"0", b"9"]),
            ("hash", 1..=13) => {
                self.push(&[b"HSET", name, format!("field-{score}").as_bytes(), &value[..length.min(80)]])
            }
            _ => self.push(&[b"HGET", name, format!("field-{score}").as_bytes()]),
        }
        (self.key, self.value) = (key, value);
    }
}
