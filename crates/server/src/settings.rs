//! What the server is told when it starts.

use std::net::IpAddr;
use std::path::PathBuf;

use apertis_runs::Home;

/// How to serve a home.
#[derive(Debug, Clone)]
pub struct ServeSettings {
    /// The home.
    pub home: Home,
    /// A PostgreSQL in place of the file in the home: `postgres://…`.
    pub database_url: Option<String>,
    /// The address to listen on.
    pub host: IpAddr,
    /// The port to listen on; the next free one where it is taken.
    pub port: u16,
    /// Names beside localhost under which it is reached.
    pub names: Vec<String>,
    /// The address that people use, where something with TLS stands before it: `https://host[:port]`.
    pub public_url: Option<String>,
    /// Addresses whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// Whether a key is needed on this computer too.
    pub require_key: bool,
    /// How workers and jobs are started.
    pub workers: Workers,
}

/// The program that works, fixed when the server starts.
#[derive(Debug, Clone)]
pub struct Workers {
    /// This program.
    pub program: PathBuf,
    /// Its version.
    pub version: &'static str,
}
