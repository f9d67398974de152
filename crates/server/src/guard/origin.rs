//! Under which names the server may be asked, and from which pages.

use std::net::IpAddr;

use apertis_protocol::error::ErrorCode;
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, Uri};

use crate::failure::{Answer, Failure};

/// Names and port of this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reach {
    /// The port that it listens on.
    pub(crate) port: u16,
    /// Names beside localhost, in lower case.
    pub(crate) names: Vec<String>,
    /// Whether other computers reach it: then any number address is one of its names.
    pub(crate) is_open: bool,
    /// The address that people use, where something stands before the server: `https://host[:port]`.
    pub(crate) public_origin: Option<String>,
}

impl Reach {
    /// A name that leads here and is not ours was made to lead here by somebody else.
    pub(super) fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Answer<()> {
        let mut hosts = headers.get_all(HOST).iter();
        let (host, further) = (hosts.next().and_then(|host| host.to_str().ok()), hosts.next());
        let written = uri.authority().map(|authority| authority.as_str());
        let is_ours = further.is_none() && host.is_some_and(|host| self.is_ours(host)) && written.is_none_or(|host| self.is_ours(host));
        match is_ours {
            true => Ok(()),
            false => Err(Failure::new(ErrorCode::Refused, "The server is not known under this name.")),
        }
    }

    /// A page of another origin must not ask, not even to look.
    pub(super) fn check_origin(&self, headers: &HeaderMap) -> Answer<()> {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let own = format!("http://{host}");
        let is_ours = |origin: &str| origin.eq_ignore_ascii_case(&own) || self.is_public(origin, host);
        match headers.get_all(ORIGIN).iter().all(|origin| origin.to_str().is_ok_and(is_ours)) {
            true => Ok(()),
            false => Err(Failure::new(ErrorCode::Refused, "This was asked by a page of another origin.")),
        }
    }

    /// Whether both the origin and the host are those that people use from outside.
    fn is_public(&self, origin: &str, host: &str) -> bool {
        let is_origin = self.public_origin.as_deref().is_some_and(|public| public.eq_ignore_ascii_case(origin));
        is_origin && self.public_host().is_some_and(|public| public.eq_ignore_ascii_case(host))
    }

    fn public_host(&self) -> Option<&str> {
        Some(self.public_origin.as_deref()?.split_once("://")?.1)
    }

    fn is_ours(&self, authority: &str) -> bool {
        if self.public_host().is_some_and(|public| public.eq_ignore_ascii_case(authority)) {
            return true;
        }
        let Some((name, port)) = split(authority) else { return false };
        // A browser leaves port 80 out.
        if port.unwrap_or(80) != self.port {
            return false;
        }
        let name = name.to_ascii_lowercase();
        let number = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        matches!(name.as_str(), "localhost" | "127.0.0.1" | "[::1]")
            || self.names.contains(&name)
            || self.is_open && number.is_some_and(|number| name.starts_with('[') == number.is_ipv6())
    }
}

/// Name and port of `name[:port]`; a v6 address stands in brackets.
fn split(authority: &str) -> Option<(&str, Option<u16>)> {
    let name_end = match authority.starts_with('[') {
        true => authority.find(']')? + 1,
        false => authority.find(':').unwrap_or(authority.len()),
    };
    let (name, rest) = authority.split_at(name_end);
    match rest.strip_prefix(':') {
        // `+80` and the like are no ports.
        Some(port) if port.bytes().all(|digit| digit.is_ascii_digit()) => Some((name, Some(port.parse().ok()?))),
        None if rest.is_empty() => Some((name, None)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(is_open: bool) -> Reach {
        Reach { port: 8420, names: vec!["studio.lan".to_owned()], is_open, public_origin: Some("https://train.example".to_owned()) }
    }

    #[test]
    fn only_our_names_with_our_port() {
        let check = |authority: &str, is_open, expected| {
            assert_eq!(reach(is_open).is_ours(authority), expected, "{authority} open={is_open}");
        };
        for name in ["localhost:8420", "LOCALHOST:8420", "127.0.0.1:8420", "[::1]:8420", "studio.lan:8420", "train.example"] {
            check(name, false, true);
        }
        for name in [
            "localhost",
            "localhost:80",
            "localhost:+8420",
            "localhost:8420.evil.example",
            "evil.example:8420",
            "localhost.evil.example:8420",
            "127.0.0.1.nip.io:8420",
            "10.0.0.5:8420",
            "[::1",
            "",
            ":8420",
        ] {
            check(name, false, false);
        }
        check("10.0.0.5:8420", true, true);
        check("[fe80::1]:8420", true, true);
        check("fe80::1:8420", true, false);
        check("evil.example:8420", true, false);
    }

    #[test]
    fn an_origin_is_ours_or_absent() {
        let check = |host: &str, origin: Option<&str>, expected| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, host.parse().expect("a header"));
            if let Some(origin) = origin {
                headers.insert(ORIGIN, origin.parse().expect("a header"));
            }
            assert_eq!(reach(false).check_origin(&headers).is_ok(), expected, "{origin:?}");
        };
        check("localhost:8420", None, true);
        check("localhost:8420", Some("http://localhost:8420"), true);
        check("localhost:8420", Some("null"), false);
        check("localhost:8420", Some("http://localhost:8421"), false);
        check("localhost:8420", Some("https://localhost:8420"), false);
        check("localhost:8420", Some("http://127.0.0.1:8420"), false);
        check("localhost:8420", Some("https://train.example"), false);
        check("train.example", Some("https://train.example"), true);
    }
}
