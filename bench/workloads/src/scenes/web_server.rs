//! `web-server`: requests pass through threads, sessions outlive them.
//!
//! **Models** a server of HTTP with keep-alive. An acceptor reads requests and parses them (method, path, query, a map of
//! headers, sometimes a body: some 40 blocks); a worker, the same for all requests of a connection, looks up the
//! connection's session, builds a document as a tree of elements, renders it into a string that grows, and frees
//! the request that the acceptor built; a writer frees the raw request and the response, a few of them much later,
//! as slow clients take them. Sessions live for a random number of requests.
//!
//! **Source**: the traffic between threads is Larson and Krishnan's ("Memory allocation for long-running server
//! applications", ISMM 1998: objects left behind by one thread and freed by another) with the objects of a request as
//! Berger et al. describe them ("Reconsidering custom memory allocation", OOPSLA 2002: many small ones that die together).
//!
//! **Sensitive to** frees from other threads, in batches and single; to small strings of all lengths; to growth by
//! realloc; and, by the sessions between the requests' short-lived blocks, to fragmentation.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Write;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use stratalloc_bench_protocol::Group;

use super::shapes::{self, Map, SMALL};
use crate::measure::Run;
use crate::random::{Random, fold, mix};
use crate::registry::{Parameters, Threads, Workload};

pub const WORKLOAD: Workload = Workload {
    name: "web-server",
    group: Group::Scene,
    models: "HTTP requests parsed in one thread, answered in others and written out by a third, with keep-alive sessions",
    source: "after Larson and Krishnan (ISMM 1998) and Berger et al. (OOPSLA 2002)",
    sensitive_to: "frees from other threads, strings of all lengths, and sessions that keep partly used spans alive",
    threads: Threads::Cpus,
    latency: true,
    run,
};

/// Requests that are handed over at once, as one look at the sockets finds several.
const BATCH: usize = 8;
/// Batches that may wait in one queue: enough to keep a worker busy, few enough that memory does not depend on who
/// was faster.
const QUEUE: usize = 16;
/// Connections that are open.
const CONNECTIONS: usize = 20_000;
/// Different requests that clients send.
const TEMPLATES: usize = 64;
/// Responses that slow clients have not taken yet.
const SLOW: usize = 512;

struct Request {
    connection: u32,
    raw: Vec<u8>,
    method: String,
    path: String,
    query: Vec<(String, String)>,
    headers: Map<String, String>,
    body: Option<Box<[u8]>>,
}

struct Response {
    raw: Vec<u8>,
    head: String,
    body: String,
}

struct Session {
    user: String,
    cookies: Vec<(String, String)>,
    items: Vec<Box<[u8]>>,
    until: u64,
}

enum Node {
    Element { name: &'static str, attributes: Vec<(&'static str, String)>, children: Vec<Node> },
    Text(String),
    Boxed(Box<Node>),
}

fn run(parameters: &Parameters, run: &mut Run) {
    let requests = parameters.scaled(24_000);
    let templates = templates(&mut Random::stream(parameters.seed, 0));
    run.start();
    let sum = serve(parameters, requests, &templates);
    run.stop();
    run.operations(requests);
    run.checksum(sum);
}

/// Runs all threads; the result is the sum over what all responses held.
fn serve(parameters: &Parameters, requests: u64, templates: &[String]) -> u64 {
    let seed = parameters.seed;
    thread::scope(|scope| {
        let (done, responses) = sync_channel(QUEUE);
        let queues: Vec<SyncSender<Vec<Request>>> = (0..parameters.threads)
            .map(|worker| {
                let (sender, receiver) = sync_channel(QUEUE);
                let done = done.clone();
                scope.spawn(move || work(Random::stream(seed, 10 + u64::from(worker)), &receiver, &done));
                sender
            })
            .collect();
        drop(done);
        scope.spawn(move || accept(Random::stream(seed, 1), requests, templates, &queues));
        let writer = scope.spawn(move || write_out(Random::stream(seed, 2), &responses));
        writer.join().expect("the writer does not panic")
    })
}

/// What clients send, without the body.
fn templates(random: &mut Random) -> Vec<String> {
    const NAMES: [&str; 12] = [
        "Host",
        "User-Agent",
        "Accept",
        "Accept-Language",
        "Accept-Encoding",
        "Cookie",
        "Referer",
        "Connection",
        "Cache-Control",
        "X-Request-Id",
        "X-Forwarded-For",
        "If-None-Match",
    ];
    (0..TEMPLATES)
        .map(|number| {
            let method = if number % 5 == 0 { "POST" } else { "GET" };
            let mut text = format!("{method} /site/{number}/item?page={}", random.below(100));
            for parameter in 0..random.below(5) {
                write!(text, "&p{parameter}={:x}", random.next()).expect("a string takes all");
            }
            text.push_str(" HTTP/1.1\r\n");
            for name in &NAMES[..random.between(5, NAMES.len())] {
                let value = "v".repeat(random.log_between(4, 160));
                write!(text, "{name}: {value}\r\n").expect("a string takes all");
            }
            text
        })
        .collect()
}

/// The acceptor: reads, parses, and hands each request to its connection's worker.
fn accept(mut random: Random, requests: u64, templates: &[String], queues: &[SyncSender<Vec<Request>>]) {
    let mut batches: Vec<Vec<Request>> = queues.iter().map(|_| Vec::new()).collect();
    for _ in 0..requests {
        let connection = random.log_between(1, CONNECTIONS) as u32;
        let raw = templates[random.index(templates.len())].as_bytes().to_vec();
        let request = parse(connection, raw, &mut random);
        let worker = connection as usize % queues.len();
        batches[worker].push(request);
        if batches[worker].len() == BATCH {
            let batch = std::mem::take(&mut batches[worker]);
            queues[worker].send(batch).expect("the workers wait for requests");
        }
    }
    for (queue, batch) in queues.iter().zip(batches) {
        queue.send(batch).expect("the workers wait for requests");
    }
}

fn parse(connection: u32, raw: Vec<u8>, random: &mut Random) -> Request {
    let text = std::str::from_utf8(&raw).expect("templates are text");
    let mut lines = text.split_terminator("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let method = first.next().unwrap_or_default().to_owned();
    let (path, query) = first.next().and_then(|target| target.split_once('?')).unwrap_or_default();
    let query = query.split('&').filter_map(|pair| pair.split_once('='));
    let query = query.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let path = path.to_owned();
    let mut headers = Map::default();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let body = (method == "POST").then(|| shapes::block(random.log_between(100, 32 << 10), random.next()));
    Request { connection, raw, method, path, query, headers, body }
}

/// A worker: sessions of its connections, and one response for each request.
fn work(mut random: Random, requests: &Receiver<Vec<Request>>, done: &SyncSender<Vec<Response>>) {
    let mut sessions: Map<u32, Session> = Map::default();
    let mut ends: BinaryHeap<Reverse<(u64, u32)>> = BinaryHeap::new();
    let mut written = Vec::new();
    for (now, request) in requests.iter().flatten().enumerate() {
        let now = now as u64;
        while let Some(&Reverse((until, connection))) = ends.peek()
            && until <= now
        {
            ends.pop();
            if sessions.get(&connection).is_some_and(|session| session.until <= now) {
                sessions.remove(&connection);
            }
        }
        let session = sessions.entry(request.connection).or_insert_with(|| {
            let until = now + random.log_between(1, 20_000) as u64;
            ends.push(Reverse((until, request.connection)));
            log_in(request.connection, until, &mut random)
        });
        let page = page(&request, session, &mut random);
        if session.items.len() < 64 {
            session.items.push(shapes::block(SMALL.pick(&mut random), u64::from(request.connection)));
        } else {
            let item = random.index(session.items.len());
            session.items[item] = shapes::block(SMALL.pick(&mut random), u64::from(request.connection));
        }
        let mut body = String::new();
        render(&page, &mut body);
        drop(page);
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nSet-Cookie: {}={}\r\n\r\n",
            body.len(),
            session.cookies[0].0,
            session.cookies[0].1
        );
        let Request { raw, .. } = request;
        written.push(Response { raw, head, body });
        if written.len() == BATCH {
            done.send(std::mem::take(&mut written)).expect("the writer waits for responses");
        }
    }
    done.send(written).expect("the writer waits for responses");
}

fn log_in(connection: u32, until: u64, random: &mut Random) -> Session {
    let cookies =
        (0..random.between(1, 6)).map(|n| (format!("c{n}"), format!("{:016x}", random.next()))).collect();
    let items =
        (0..random.between(2, 12)).map(|_| shapes::block(SMALL.pick(random), u64::from(connection))).collect();
    Session { user: format!("user-{connection}"), cookies, items, until }
}

/// The document of a response.
fn page(request: &Request, session: &Session, random: &mut Random) -> Node {
    let mut rows = vec![
        text("title", format!("{} {}", request.method, request.path)),
        text("user", session.user.clone()),
        text("body", format!("{:016x}", request.body.as_deref().map_or(0, shapes::read))),
    ];
    for (name, value) in &request.query {
        rows.push(text("parameter", format!("{name}={value}")));
    }
    if let Some(agent) = request.headers.get("user-agent") {
        rows.push(text("agent", agent.clone()));
    }
    rows.extend(session.items.iter().map(|item| text("item", format!("{:x}", shapes::read(item)))));
    for row in 0..random.log_between(4, 40) {
        let cells = (0..4).map(|cell| text("td", format!("{row}.{cell} {:x}", random.next() >> 40))).collect();
        let row = Node::Element { name: "tr", attributes: vec![("id", row.to_string())], children: cells };
        rows.push(Node::Boxed(Box::new(row)));
    }
    Node::Element { name: "html", attributes: Vec::new(), children: rows }
}

fn text(name: &'static str, text: String) -> Node {
    Node::Element { name, attributes: vec![("class", name.to_uppercase())], children: vec![Node::Text(text)] }
}

fn render(node: &Node, out: &mut String) {
    match node {
        Node::Text(text) => out.push_str(text),
        Node::Boxed(node) => render(node, out),
        Node::Element { name, attributes, children } => {
            out.push('<');
            out.push_str(name);
            for (name, value) in attributes {
                write!(out, " {name}=\"{value}\"").expect("a string takes all");
            }
            out.push('>');
            for child in children {
                render(child, out);
            }
            write!(out, "</{name}>").expect("a string takes all");
        }
    }
}

/// The writer: takes what is done; some clients are slow.
fn write_out(mut random: Random, responses: &Receiver<Vec<Response>>) -> u64 {
    let mut slow: Vec<Response> = Vec::new();
    let mut sum = 0_u64;
    for response in responses.iter().flatten() {
        let content = fold(shapes::read(response.body.as_bytes()), shapes::read(response.head.as_bytes()));
        sum = sum.wrapping_add(mix(content ^ shapes::read(&response.raw)));
        if slow.len() < SLOW {
            slow.push(response);
        } else if random.one_in(8) {
            let taken = random.index(SLOW);
            slow[taken] = response;
        }
    }
    sum
}
