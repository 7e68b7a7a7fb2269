//! redis-server under load with fork saves: the data set must be the one that the commands make.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;
use stratalloc_tests::run::Running;
use stratalloc_tests::tools::{Folder, preloadable, program};
use stratalloc_tests::{Run, on_libc, on_library};

/// A server on a socket of its own, with its data in a folder of its own.
struct Server {
    _running: Running,
    socket: PathBuf,
}

impl Server {
    fn start(run: Run, dir: &Path) -> Server {
        // Relative, since a socket's path may not be long.
        let running = run
            .dir(dir)
            .args(["--port", "0", "--unixsocket", "socket", "--save", "", "--dbfilename", "dump.rdb"])
            .args(["--enable-debug-command", "yes", "--daemonize", "no"])
            .start();
        let server = Server { _running: running, socket: dir.to_path_buf() };
        for _ in 0..600 {
            if server.socket.join("socket").exists() && server.cli(&["ping"]).contains("PONG") {
                return server;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("redis-server does not answer");
    }

    fn client(&self, name: &str) -> Run {
        on_libc(program(name, "redis-tools")).dir(&self.socket).args(["-s", "socket"])
    }

    fn cli(&self, args: &[&str]) -> String {
        self.client("redis-cli").args(args).outcome().out().trim().to_owned()
    }

    /// Waits for a background save that must have succeeded.
    fn saved(&self) {
        for _ in 0..1200 {
            let info = self.cli(&["info", "persistence"]);
            if info.contains("rdb_bgsave_in_progress:0") {
                assert!(info.contains("rdb_last_bgsave_status:ok"), "the save failed:\n{info}");
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("the background save does not end");
    }

    /// The process that serves must be on the library when one is expected.
    fn runs_on(&self, library: &Path) {
        let info = self.cli(&["info", "server"]);
        let id = info
            .lines()
            .find_map(|line| line.strip_prefix("process_id:"))
            .expect("a process id")
            .trim()
            .to_owned();
        let maps = std::fs::read_to_string(format!("/proc/{id}/maps")).expect("the server's mappings");
        assert!(maps.contains(&library.display().to_string()), "the server does not run on the library");
    }
}

/// 60,000 commands of a fixed sequence: strings that grow, lists, hashes, sets, sorted sets, deletions.
fn commands() -> String {
    let mut text = String::new();
    let mut state = 42u64;
    for number in 0..60_000u32 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let random = (state >> 33) as u32;
        let (key, value) = (random % 3000, "v".repeat(random as usize % 400));
        match random % 11 {
            0 => writeln!(text, "SET s{key} {number}{value}"),
            1 => writeln!(text, "APPEND s{key} {value}x"),
            2 => writeln!(text, "SETRANGE s{key} {} {number}", random % 5000),
            3 => writeln!(text, "RPUSH l{} {number}{value} {number}", key % 100),
            4 => writeln!(text, "LPOP l{}", key % 100),
            5 => writeln!(text, "HSET h{} field{key} {value}{number}", key % 50),
            6 => writeln!(text, "HDEL h{} field{}", key % 50, random % 500),
            7 => writeln!(text, "SADD t{} member{number}", key % 200),
            8 => writeln!(text, "ZADD z{} {random} member{key}", key % 70),
            9 => writeln!(text, "DEL s{}", random % 2900),
            _ => writeln!(text, "PFADD p{} {number}", key % 20),
        }
        .expect("writing to a string");
    }
    text
}

/// The data set after the commands, loads and saves: number of keys and digest.
fn life_of_a_server(run: impl Fn() -> Run, dir: &Path, library: Option<&Path>) -> [String; 2] {
    let server = Server::start(run(), dir);
    if let Some(library) = library {
        server.runs_on(library);
    }
    thread::scope(|scope| {
        // Load on another database while the commands run and the server forks.
        let load = scope.spawn(|| {
            let tests = "set,get,incr,lpush,rpop,sadd,hset,spop,zadd,lrange_100,mset";
            server
                .client("redis-benchmark")
                .args(["--dbnum", "1", "-n", "20000", "-r", "20000", "-d", "300", "-c", "30", "-P", "4", "-q"])
                .args(["-t", tests])
                .passes()
        });
        for part in commands().lines().collect::<Vec<_>>().chunks(12_000) {
            server.saved();
            assert!(server.cli(&["bgsave"]).contains("Background saving started"), "bgsave");
            server.client("redis-cli").input(part.join("\n") + "\n").passes();
        }
        load.join().expect("the benchmark");
    });
    server.saved();
    assert_eq!(server.cli(&["-n", "1", "flushdb"]), "OK");
    assert_eq!(server.cli(&["memory", "purge"]), "OK");
    let before = ["dbsize", "debug digest"].map(|what| server.cli(&what.split(' ').collect::<Vec<_>>()));
    assert_eq!(server.cli(&["bgsave"]), "Background saving started");
    server.saved();
    drop(server);
    std::fs::remove_file(dir.join("socket")).expect("the socket of a killed server");
    // A second life from the file that the forked child wrote.
    let server = Server::start(run(), dir);
    let after = ["dbsize", "debug digest"].map(|what| server.cli(&what.split(' ').collect::<Vec<_>>()));
    assert_eq!(before, after, "the saved data set differs from the one in memory");
    after
}

#[test]
fn redis_keeps_its_data_set_under_load_and_fork_saves() {
    use stratalloc_tests::library::{Library, library};
    let server = preloadable("redis-server", "redis-server");
    program("redis-benchmark", "redis-tools");
    let path = match library() {
        Library::At(path) => Some(path.as_path()),
        Library::None => None,
    };
    let folders = [Folder::new("redis-libc"), Folder::new("redis-library")];
    let libc = life_of_a_server(|| on_libc(&server), folders[0].path(), None);
    let ours = life_of_a_server(|| on_library(&server), folders[1].path(), path);
    assert_eq!(libc, ours, "number of keys and digest on the C library's malloc, on the library");
    assert!(ours[1].len() == 40 && ours[1].bytes().any(|digit| digit != b'0'), "digest {}", ours[1]);
}
