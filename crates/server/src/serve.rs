//! From settings to a server that answers: listening, the order of layers, and its end.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apertis_protocol::BODY_BYTES_MAX;
use apertis_runs::{Home, machine, trash};
use apertis_storage::{Storage, StorageError};
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

use crate::awake;
use crate::docs;
use crate::failure::Failure;
use crate::guard::{self, Guard, Reach};
use crate::jobs::Jobs;
use crate::keys;
use crate::live::{self, Hub};
use crate::lock::ServerLock;
use crate::machine::Sampler;
use crate::mirror::Mirror;
use crate::page;
use crate::preferences::Preferences;
use crate::random;
use crate::records::Records;
use crate::routes;
use crate::settings::ServeSettings;
use crate::studio::Studio;

/// Ports that are tried after one that is taken.
const PORTS_TRIED: u16 = 50;
/// Requests that are being answered get this long at the end.
const FAREWELL: Duration = Duration::from_secs(2);
/// The log is begun anew past this size; the one before is kept.
const LOG_BYTES_MAX: u64 = 16 << 20;
/// Smaller answers are not worth compressing.
const COMPRESSED_FROM_BYTES: u64 = 2048;

/// Why a server did not start or go on.
#[derive(Debug, Error)]
pub enum ServeError {
    /// Another server has the home.
    #[error("serve: another server has the home {home}")]
    Taken {
        /// The home.
        home: String,
    },
    /// No port could be listened on.
    #[error("serve: listen on {address}: {source}")]
    Listen {
        /// The first address that was tried.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The address that people use is none.
    #[error("serve: --public-url is http(s)://host[:port] without a path, found {found}")]
    PublicUrl {
        /// What was given.
        found: String,
    },
    /// The database refused.
    #[error("serve: {0}")]
    Storage(#[from] StorageError),
    /// The file system or the system refused.
    #[error("serve: {0}")]
    System(#[from] io::Error),
}

/// Where a server is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// For a browser on this computer.
    pub url: String,
    /// The port that it listens on.
    pub port: u16,
    /// Whether that is another one than was asked for.
    pub is_other_port: bool,
    /// Whether other computers reach it, so that a key is needed.
    pub needs_key: bool,
    /// Whether there is a key yet.
    pub has_key: bool,
    /// Whether the page is built in.
    pub has_page: bool,
}

/// Asks a server to end.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<Notify>);

impl Stop {
    /// Asks; the server ends when it has answered what it was asked before.
    pub fn stop(&self) {
        self.0.notify_one();
    }
}

/// Serves a home until asked to stop. `on_ready` is called when the server answers.
///
/// # Errors
/// Another server has the home, no port is free, or the home cannot be written.
pub fn serve(settings: ServeSettings, stop: Stop, on_ready: impl FnOnce(&Address) + Send + 'static) -> Result<(), ServeError> {
    let home = settings.home.clone();
    let taken = || ServeError::Taken { home: home.root().display().to_string() };
    let mut lock = ServerLock::take(&home)?.ok_or_else(taken)?;
    start_log(&home)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).max_blocking_threads(16).enable_all().build()?;
    let served = runtime.block_on(async move {
        let (listener, is_other_port) = listen(settings.host, settings.port).await?;
        let studio = studio(settings, listener.local_addr()?.port()).await?;
        let has_key = !keys::list(&studio.storage).await?.is_empty();
        let address = studio.address(is_other_port, has_key);
        lock.write(&address.url)?;
        tracing::info!(url = address.url, version = studio.settings.workers.version, "serving");
        let following = studio.mirror.follow()?;
        studio.jobs.work()?;
        awake::watch(&studio)?;
        routes::resume_checks(&studio);
        let router = router(&studio);
        on_ready(&address);
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let stopped = Arc::new(Notify::new());
        let told = stopped.clone();
        let ending = async move {
            stop.0.notified().await;
            told.notify_one();
        };
        let listener = listener.tap_io(|stream| {
            // Small messages go at once; a connection that cannot still works.
            let _ = stream.set_nodelay(true);
        });
        let server = axum::serve(listener, service).with_graceful_shutdown(ending);
        tokio::select! {
            ended = async { server.await } => ended?,
            // Sockets stay open for as long as their pages do.
            () = async { stopped.notified().await; tokio::time::sleep(FAREWELL).await } => {}
        }
        studio.mirror.close();
        following.thread().unpark();
        // What is not written within this is read again from the logs.
        let closing = async {
            let _ = tokio::task::spawn_blocking(move || following.join()).await;
            studio.jobs.settle().await;
            studio.storage.close().await;
        };
        let _ = tokio::time::timeout(FAREWELL, closing).await;
        tracing::info!("ended");
        Ok(())
    });
    // What still computes is left behind: workers and logs do not depend on it.
    runtime.shutdown_timeout(Duration::from_millis(500));
    served
}

async fn listen(host: IpAddr, port: u16) -> Result<(TcpListener, bool), ServeError> {
    let first = SocketAddr::new(host, port);
    let mut error = None;
    for port in port..=port.saturating_add(PORTS_TRIED) {
        match TcpListener::bind(SocketAddr::new(host, port)).await {
            Ok(listener) => return Ok((listener, port != first.port())),
            Err(found) if found.kind() == io::ErrorKind::AddrInUse => error = Some(found),
            Err(source) => return Err(ServeError::Listen { address: first, source }),
        }
    }
    Err(ServeError::Listen { address: first, source: error.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()) })
}

async fn studio(settings: ServeSettings, port: u16) -> Result<Arc<Studio>, ServeError> {
    let home = settings.home.clone();
    let is_open = !settings.host.to_canonical().is_loopback();
    let public_origin = settings.public_url.as_deref().map(origin_of).transpose()?;
    let mut names: Vec<String> = settings.names.iter().map(|name| name.to_lowercase()).collect();
    if is_open {
        let host = machine::host_name().to_lowercase();
        names.extend([format!("{host}.local"), host]);
    }
    let needs_key = is_open || settings.require_key || public_origin.is_some();
    let storage = Arc::new(Storage::open(home.root(), settings.database_url.as_deref()).await?);
    let preferences = Preferences::open(&storage).await?;
    let runtime = tokio::runtime::Handle::current();
    let reach = Reach { port, names, is_open, public_origin };
    let hub = Arc::new(Hub::new(random::hex::<6>()));
    let mirror = Mirror::new(home.clone(), settings.workers.clone(), hub.clone(), storage.clone(), runtime.clone());
    mirror.pause_queue(preferences.is_queue_paused().await?);
    Ok(Arc::new(Studio {
        guard: Arc::new(Guard::new(reach, needs_key, settings.trusted_proxies.clone(), storage.clone())),
        mirror: Arc::new(mirror),
        records: Records::default(),
        jobs: Jobs::open(&home, settings.workers.clone(), hub.clone(), &storage).await?,
        sampler: Sampler::start(home.root(), hub.clone())?,
        storage,
        runtime,
        preferences,
        hub,
        home,
        settings,
    }))
}

/// Numbers under which other computers reach this one.
fn machine_addresses() -> Vec<String> {
    let Ok(networks) = sysinfo::Networks::new_with_refreshed_list() else { return Vec::new() };
    let found = networks.iter().flat_map(|(_, network)| network.ip_networks()).map(|network| network.addr);
    let mut numbers: Vec<String> = found.filter(|addr| addr.is_ipv4() && !addr.is_loopback()).map(|addr| addr.to_string()).collect();
    numbers.sort();
    numbers
}

fn origin_of(url: &str) -> Result<String, ServeError> {
    let plain = url.trim_end_matches('/').to_lowercase();
    let host = plain.strip_prefix("https://").or_else(|| plain.strip_prefix("http://")).unwrap_or_default();
    match host.is_empty() || host.contains(['/', '@', '?', '#', ' ']) {
        true => Err(ServeError::PublicUrl { found: url.to_owned() }),
        false => Ok(plain),
    }
}

/// Everything that is served. The guard is outside of all of it, sockets included.
fn router(studio: &Arc<Studio>) -> Router {
    let (api, document) = routes::api();
    let document = Arc::new(document);
    let described = document.clone();
    let small = SizeAbove::new(COMPRESSED_FROM_BYTES).and(NotForContentType::const_new("application/octet-stream"));
    Router::new()
        .merge(api)
        .route("/api/v1/openapi.json", get(async move || Json(document.as_ref()).into_response()))
        .merge(docs::router(described))
        .layer(CompressionLayer::new().gzip(true).compress_when(small))
        .fallback(page::serve)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(live::attach(studio))
        .layer(CatchPanicLayer::custom(|panic: Box<dyn std::any::Any + Send>| {
            let words = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Failure::internal(format!("panic: {}", words.unwrap_or_default())).into_response()
        }))
        .layer(from_fn_with_state(studio.guard.clone(), guard::layer))
        .with_state(studio.clone())
}

/// The OpenAPI document, as served.
pub fn openapi_document() -> String {
    routes::api().1.to_pretty_json().expect("the document is JSON")
}

/// The server's log: one JSON object a line, in the home.
fn start_log(home: &Home) -> io::Result<()> {
    let path = home.root().join("server.log");
    if std::fs::metadata(&path).is_ok_and(|data| data.len() > LOG_BYTES_MAX) {
        std::fs::rename(&path, home.root().join("server.log.before"))?;
    }
    let file: File = OpenOptions::new().append(true).create(true).open(&path)?;
    let subscriber = tracing_subscriber::fmt().json().with_max_level(tracing::Level::INFO).with_writer(Mutex::new(file)).finish();
    // A second server of one process, as in tests, shares the first one's log.
    let _ = tracing::subscriber::set_global_default(subscriber);
    if let Err(error) = trash::sweep(home, std::time::SystemTime::now()) {
        tracing::warn!(error = error.to_string(), "trash not emptied");
    }
    Ok(())
}

impl Studio {
    fn address(&self, is_other_port: bool, has_key: bool) -> Address {
        let (host, port) = (self.settings.host, self.guard.reach.port);
        let name = match host {
            host if host.is_unspecified() => "127.0.0.1".to_owned(),
            IpAddr::V4(host) => host.to_string(),
            IpAddr::V6(host) => format!("[{host}]"),
        };
        let url = self.guard.reach.public_origin.clone().unwrap_or_else(|| format!("http://{name}:{port}"));
        Address { url, port, is_other_port, needs_key: self.guard.needs_key, has_key, has_page: page::is_built() }
    }

    /// Addresses under which people find the server.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let own = self.address(false, true);
        let numbers = if self.guard.reach.is_open { machine_addresses() } else { Vec::new() };
        let names = numbers.iter().chain(&self.guard.reach.names).map(|name| format!("http://{name}:{}", own.port));
        // What every address stands for leads other computers to themselves.
        let is_local = self.guard.reach.is_open && self.guard.reach.public_origin.is_none();
        Some(own.url.clone()).filter(|_| !is_local).into_iter().chain(names).collect()
    }
}
