//! A server of its own for each test, and a client that sends exactly what a test says.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use apertis_runs::Home;
use apertis_server::{Address, ServeError, ServeSettings, Stop, Workers, serve};
use serde_json::Value;

/// A request that takes longer than this hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// A running server; it ends when dropped.
pub(crate) struct Served {
    pub(crate) home: Home,
    pub(crate) address: Address,
    stop: Stop,
    thread: Option<JoinHandle<Result<(), ServeError>>>,
    _folder: tempfile::TempDir,
}

/// What came back.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Served {
    /// Serves a new home on loopback.
    pub(crate) fn new() -> Served {
        Served::with(|_| {})
    }

    /// The same with other settings.
    pub(crate) fn with(change: impl FnOnce(&mut ServeSettings)) -> Served {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let home = Home::open(folder.path()).expect("a new home");
        let mut settings = ServeSettings {
            home: home.clone(),
            database_url: None,
            host: [127, 0, 0, 1].into(),
            port: 0,
            names: Vec::new(),
            public_url: None,
            trusted_proxies: Vec::new(),
            require_key: false,
            workers: Workers { program: PathBuf::from("/bin/false"), version: "0.0.1" },
        };
        change(&mut settings);
        let stop = Stop::default();
        let (sender, ready) = mpsc::channel();
        let (told, settings) = (stop.clone(), settings);
        let thread =
            std::thread::spawn(move || serve(settings, told, move |address| sender.send(address.clone()).expect("the test listens")));
        let address = ready.recv_timeout(LIMIT).expect("the server starts");
        Served { home, address, stop, thread: Some(thread), _folder: folder }
    }

    /// The `Host` that a browser on this computer sends.
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.address.port)
    }

    /// Sends a request with exactly these headers beside the length.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut stream = TcpStream::connect(("127.0.0.1", self.address.port)).expect("the server listens");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if !body.is_empty() || method == "POST" {
            let _ = write!(head, "content-length: {}\r\n", body.len());
        }
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("connection")) {
            head += "connection: close\r\n";
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).expect("the server reads");
        // A refused upload may be closed before it was all sent.
        let _ = stream.write_all(body);
        Reply::read(&mut stream)
    }

    /// Asks as a page of ours does.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        let (host, origin) = (self.host(), format!("http://{}", self.host()));
        let mut headers = vec![("host", host.as_str()), ("sec-fetch-site", "same-origin")];
        if method != "GET" {
            headers.extend([("origin", origin.as_str()), ("content-type", "application/json")]);
        }
        self.send(method, path, &headers, body.map(Value::to_string).unwrap_or_default().as_bytes())
    }

    /// Asks for something that has to be answered.
    pub(crate) fn get(&self, path: &str) -> Value {
        let reply = self.ask("GET", path, None);
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.json()
    }

    /// Changes something that has to be answered.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        let reply = self.ask("POST", path, Some(body));
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.json()
    }

    /// Waits until something holds.
    pub(crate) fn until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(began.elapsed() < LIMIT, "{what} did not come");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.stop();
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(matches!(ended, Some(Ok(Ok(())))), "the server ends in order");
        }
    }
}

impl Reply {
    fn read(stream: &mut TcpStream) -> Reply {
        let mut bytes = Vec::new();
        let mut piece = [0; 8192];
        // An upgraded connection stays open: its head is all there is.
        while let Ok(read) = stream.read(&mut piece) {
            bytes.extend_from_slice(&piece[..read]);
            if read == 0 || is_whole(&bytes) {
                break;
            }
        }
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or_else(|| panic!("no head: {bytes:?}"));
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status");
        let headers: Vec<(String, String)> =
            lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        let mut body = bytes[end + 4..].to_vec();
        if headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked") {
            body = unchunked(&body);
        }
        Reply { status, headers, body }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// Whether an answer ended although its connection stays open, as one that asked for an upgrade does.
fn is_whole(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
    head.starts_with("http/1.1 101") || length.is_some_and(|length| bytes.len() >= end + 4 + length)
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = bytes.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(&String::from_utf8_lossy(&bytes[..end]), 16).expect("a size");
        whole.extend_from_slice(&bytes[end + 2..end + 2 + size]);
        bytes = &bytes[(end + 4 + size).min(bytes.len())..];
    }
    whole
}
