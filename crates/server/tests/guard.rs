//! The layer outside of everything: hostile headers against every route and socket entry, keys,
//! and what every answer carries.

mod support;

use serde_json::{Value, json};
use support::{Reply, Served};

/// Method, path, and further headers that the entry itself needs.
type Entry = (String, String, Vec<(&'static str, &'static str)>);

/// Every route of the document, the page, the documentation, and the three ways to a socket.
fn entries() -> Vec<Entry> {
    let document: Value = serde_json::from_str(&apertis_server::openapi_document()).expect("JSON");
    let mut entries = Vec::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        let path = path.replace("{id}", "none").replace("{name}", "none").replace("{path}", "none").replace("{*path}", "none");
        for method in operations.as_object().expect("operations").keys() {
            let kind = if path == "/api/v1/data" { "application/octet-stream" } else { "application/json" };
            let headers = if method == "get" { vec![] } else { vec![("content-type", kind)] };
            entries.push((method.to_uppercase(), path.clone(), headers));
        }
    }
    assert!(entries.len() > 40, "{}", entries.len());
    for path in ["/", "/runs/none", "/assets/none.js", "/docs", "/docs/style.css", "/api/v1/openapi.json"] {
        entries.push(("GET".to_owned(), path.to_owned(), vec![]));
    }
    let polling = "/socket.io/?EIO=4&transport=polling".to_owned();
    entries.push(("GET".to_owned(), polling.clone(), vec![]));
    entries.push(("POST".to_owned(), format!("{polling}&sid=AAAAAAAAAAAAAAAA"), vec![("content-type", "text/plain;charset=UTF-8")]));
    let upgrade = vec![
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    entries.push(("GET".to_owned(), "/socket.io/?EIO=4&transport=websocket".to_owned(), upgrade));
    entries
}

fn check_armour(reply: &Reply, what: &str) {
    let policy = reply.header("content-security-policy").unwrap_or_default();
    assert!(policy.contains("default-src 'none'"), "{what}: {policy}");
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{what}");
    assert_eq!(reply.header("referrer-policy"), Some("no-referrer"), "{what}");
    assert!(reply.header("x-frame-options").is_some() && reply.header("x-request-id").is_some(), "{what}");
    assert!(!reply.headers.iter().any(|(name, _)| name.starts_with("access-control-")), "{what}");
}

#[test]
fn hostile_headers_are_refused_everywhere() {
    let served = Served::new();
    let (host, port) = (served.host(), served.address.port);
    let own = format!("http://{host}");
    let hostile: Vec<Vec<(&str, String)>> = vec![
        vec![("host", format!("evil.example:{port}"))],
        vec![("host", "127.0.0.1:1".to_owned())],
        vec![("host", "127.0.0.1".to_owned())],
        vec![("host", format!("127.0.0.1.evil.example:{port}"))],
        vec![("host", host.clone()), ("host", host.clone())],
        vec![],
        vec![("host", host.clone()), ("origin", "http://evil.example".to_owned())],
        vec![("host", host.clone()), ("origin", "null".to_owned())],
        vec![("host", host.clone()), ("origin", format!("http://127.0.0.1:{}", port ^ 1))],
        vec![("host", host.clone()), ("origin", format!("https://{host}"))],
        vec![("host", host.clone()), ("origin", own.clone()), ("origin", "http://evil.example".to_owned())],
        vec![("host", host.clone()), ("sec-fetch-site", "cross-site".to_owned())],
        vec![("host", host.clone()), ("sec-fetch-site", "same-site".to_owned())],
        vec![("host", host.clone()), ("origin", own.clone()), ("sec-fetch-site", "cross-site".to_owned())],
    ];
    for (method, path, needed) in entries() {
        for headers in &hostile {
            let all: Vec<(&str, &str)> =
                headers.iter().map(|(name, value)| (*name, value.as_str())).chain(needed.iter().copied()).collect();
            let reply = served.send(&method, &path, &all, b"");
            let what = format!("{method} {path} {headers:?}");
            // Without a Host a request is none; the HTTP library says so before anybody is asked.
            let expected = if reply.status == 400 && headers.is_empty() { 400 } else { 403 };
            assert_eq!(reply.status, expected, "{what}: {}", reply.text());
            if expected == 403 {
                assert_eq!(reply.json()["code"], "refused", "{what}");
                check_armour(&reply, &what);
            }
        }
    }
    // Nothing of that changed anything.
    assert_eq!(served.get("/api/v1/runs")["of"], 0);
    assert_eq!(served.get("/api/v1/keys"), json!([]));
}

#[test]
fn our_own_pages_and_plain_programs_are_let_through() {
    let served = Served::new();
    let (host, own) = (served.host(), format!("http://{}", served.host()));
    let friendly: Vec<Vec<(&str, &str)>> = vec![
        vec![("host", &host)],
        vec![("host", &host), ("origin", &own), ("sec-fetch-site", "same-origin")],
        vec![("host", &host), ("sec-fetch-site", "none")],
    ];
    for (method, path, needed) in entries() {
        for headers in &friendly {
            let all: Vec<(&str, &str)> = headers.iter().copied().chain(needed.iter().copied()).collect();
            let reply = served.send(&method, &path, &all, b"");
            let what = format!("{method} {path} {headers:?}");
            assert!(![401, 403, 405, 415, 500].contains(&reply.status), "{what}: {} {}", reply.status, reply.text());
            check_armour(&reply, &what);
            if reply.status >= 400 && !path.starts_with("/socket.io") {
                let error = reply.json();
                assert!(error["code"].is_string() && error["hint"].is_string(), "{what}: {error}");
                assert_eq!(error["request_id"].as_str(), reply.header("x-request-id"), "{what}");
            }
        }
    }
}

#[test]
fn a_change_needs_its_own_type() {
    let served = Served::new();
    let host = served.host();
    for (method, path, _) in entries().into_iter().filter(|(method, path, _)| method != "GET" && !path.starts_with("/socket.io")) {
        for kind in [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("multipart/form-data; boundary=x")] {
            let mut headers = vec![("host", host.as_str())];
            headers.extend(kind.map(|kind| ("content-type", kind)));
            let reply = served.send(&method, &path, &headers, b"{}");
            assert_eq!(reply.status, 415, "{method} {path} {kind:?}: {}", reply.text());
            assert_eq!(reply.json()["code"], "type_not_taken");
        }
    }
}

#[test]
fn beyond_loopback_a_key_is_needed_and_opens_a_session() {
    let served = Served::with(|settings| settings.host = [0, 0, 0, 0].into());
    let host = served.host();
    let plain = [("host", host.as_str())];
    for (method, path, needed) in entries() {
        let all: Vec<(&str, &str)> = plain.iter().copied().chain(needed.iter().copied()).collect();
        let is_free = !path.starts_with("/api/") && !path.starts_with("/docs") && !path.starts_with("/socket.io");
        let status = served.send(&method, &path, &all, b"").status;
        assert!(status != 401 || !is_free && path != "/api/v1/session", "{method} {path}");
        assert!(status == 401 || is_free || path == "/api/v1/session", "{method} {path}: {status}");
    }
    let session = served.send("GET", "/api/v1/session", &plain, b"").json();
    assert_eq!((&session["needs_key"], &session["is_open"], &session["home"]), (&json!(true), &json!(false), &json!("")));

    let made = apertis_server::Database::open(&served.home, None).expect("a database").make_key("test").expect("it can be written");
    let bearer = format!("Bearer {}", made.secret);
    let with_key = [("host", host.as_str()), ("authorization", bearer.as_str())];
    assert_eq!(served.send("GET", "/api/v1/runs", &with_key, b"").status, 200);

    let login = json!({ "key": made.secret }).to_string();
    let typed = [("host", host.as_str()), ("content-type", "application/json")];
    let opened = served.send("POST", "/api/v1/session", &typed, login.as_bytes());
    assert_eq!(opened.status, 200, "{}", opened.text());
    let cookie = opened.header("set-cookie").expect("a session").to_owned();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=2592000"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
    let with_session = [("host", host.as_str()), ("cookie", cookie.as_str())];
    assert_eq!(served.send("GET", "/api/v1/runs", &with_session, b"").status, 200);
    assert_eq!(served.send("GET", "/socket.io/?EIO=4&transport=polling", &with_session, b"").status, 200);

    // Another device logs in with a code, once.
    let code = served.send("POST", "/api/v1/session/phone", &[&with_key[..], &typed[1..]].concat(), b"").json();
    assert!(code["urls"].as_array().is_some_and(|urls| !urls.is_empty()), "{code}");
    let with_code = json!({ "key": code["code"] }).to_string();
    let by_code = served.send("POST", "/api/v1/session", &typed, with_code.as_bytes());
    assert!(by_code.status == 200 && by_code.header("set-cookie").is_some(), "{}", by_code.text());
    assert_eq!(served.send("POST", "/api/v1/session", &typed, with_code.as_bytes()).status, 401);

    // A key that is revoked takes its sessions along.
    let revoked = served.send("DELETE", &format!("/api/v1/keys/{}", made.key.id), &[&with_key[..], &typed[1..]].concat(), b"");
    assert_eq!(revoked.status, 204, "{}", revoked.text());
    assert_eq!(served.send("GET", "/api/v1/runs", &with_session, b"").status, 401);
    assert_eq!(served.send("GET", "/api/v1/runs", &with_key, b"").status, 401);

    // Secrets are in no log.
    let log = std::fs::read_to_string(served.home.root().join("server.log")).unwrap_or_default();
    assert!(!log.contains(&made.secret) && !log.contains(cookie.split('=').nth(1).unwrap_or("?")));
}

#[test]
fn ten_wrong_keys_a_minute_and_no_more() {
    let served = Served::with(|settings| settings.require_key = true);
    let host = served.host();
    let wrong = [("host", host.as_str()), ("authorization", "Bearer apertis_wrong")];
    for _ in 0..10 {
        assert_eq!(served.send("GET", "/api/v1/runs", &wrong, b"").status, 401);
    }
    assert_eq!(served.send("GET", "/api/v1/runs", &wrong, b"").status, 429);
    // The right key has to wait too: otherwise guessing goes on.
    let made = apertis_server::Database::open(&served.home, None).expect("a database").make_key("test").expect("it can be written");
    let bearer = format!("Bearer {}", made.secret);
    assert_eq!(served.send("GET", "/api/v1/runs", &[("host", host.as_str()), ("authorization", bearer.as_str())], b"").status, 429);
    let login = json!({ "key": made.secret }).to_string();
    let typed = [("host", host.as_str()), ("content-type", "application/json")];
    assert_eq!(served.send("POST", "/api/v1/session", &typed, login.as_bytes()).status, 429);
}
