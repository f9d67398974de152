//! The machine as the System page shows it, and a sample of it each second while somebody looks.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use apertis_protocol::error::ErrorCode;
use apertis_protocol::live::SystemMessage;
use apertis_protocol::run::MemoryPart;
use apertis_protocol::system::{Device, DiskUse, Finding, Removable, SystemPage, SystemSample};
use apertis_runs::clock::now_text;
use apertis_runs::machine;
use apertis_storage::DatabaseKind;
use sysinfo::{CpuRefreshKind, Disks, Networks, System};

use crate::failure::{Answer, Failure};
use crate::live::{Hub, Room};
use crate::studio::Studio;

const INTERVAL: Duration = Duration::from_secs(1);
/// Less free space than this is worth a word.
const LITTLE_SPACE_BYTES: u64 = 5 << 30;

/// The newest sample; sampled while the room is heard.
pub(crate) struct Sampler {
    newest: Arc<Mutex<(Option<Instant>, SystemSample)>>,
}

impl Sampler {
    /// Samples on a thread of its own.
    pub(crate) fn start(home: &Path, hub: Arc<Hub>) -> std::io::Result<Sampler> {
        let newest = Arc::new(Mutex::new((None, SystemSample::default())));
        let (shared, home) = (newest.clone(), home.to_owned());
        thread::Builder::new().name("system-samples".to_owned()).spawn(move || {
            let mut source: Option<Source> = None;
            loop {
                thread::sleep(INTERVAL);
                if !hub.is_heard(Room::System.name()) {
                    // Nothing is asked of the system for nobody.
                    source = None;
                    continue;
                }
                let Some(known) = source.as_mut() else {
                    source = Source::new();
                    continue;
                };
                let sample = known.sample(&home);
                *shared.lock().unwrap_or_else(PoisonError::into_inner) = (Some(Instant::now()), sample.clone());
                hub.say(Room::System, |seq, epoch| {
                    serde_json::to_value(SystemMessage { seq, epoch: epoch.to_owned(), sample }).unwrap_or_default()
                });
            }
        })?;
        Ok(Sampler { newest })
    }

    /// The newest sample, or one made now: its shares are over a short while.
    fn now(&self, home: &Path) -> SystemSample {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if newest.0.is_some_and(|at| at.elapsed() < 2 * INTERVAL) {
            return newest.1;
        }
        let Some(mut source) = Source::new() else { return SystemSample::default() };
        thread::sleep(Duration::from_millis(200));
        source.sample(home)
    }
}

/// What samples are read from; rates are since the sample before.
struct Source {
    system: System,
    disks: Option<Disks>,
    networks: Option<Networks>,
    at: Instant,
}

impl Source {
    fn new() -> Option<Source> {
        let mut system = System::new().ok()?;
        system.refresh_cpu_usage();
        let (disks, networks) = (Disks::new_with_refreshed_list().ok(), Networks::new_with_refreshed_list().ok());
        Some(Source { system, disks, networks, at: Instant::now() })
    }

    fn sample(&mut self, home: &Path) -> SystemSample {
        self.system.refresh_cpu_usage();
        self.system.refresh_memory();
        let seconds = self.at.elapsed().as_secs_f64().max(0.05);
        self.at = Instant::now();
        let a_second = |bytes: u64| (bytes as f64 / seconds) as u64;
        let (mut read, mut written, mut received, mut sent) = (0, 0, 0, 0);
        if let Some(disks) = &mut self.disks {
            disks.refresh(false);
            for disk in disks.iter() {
                let usage = disk.usage();
                (read, written) = (read + usage.read_bytes, written + usage.written_bytes);
            }
        }
        if let Some(networks) = &mut self.networks {
            networks.refresh(false);
            for (_, network) in networks.iter() {
                (received, sent) = (received + network.received(), sent + network.transmitted());
            }
        }
        SystemSample {
            at: now_text(),
            cpu_percent: self.system.global_cpu_usage(),
            cores_percent: self.system.cpus().iter().map(sysinfo::Cpu::usage).collect(),
            memory_used_bytes: self.system.used_memory(),
            memory_total_bytes: self.system.total_memory(),
            process_bytes: machine::rss_bytes(),
            disk_free_bytes: machine::disk_free_bytes(home),
            disk_read_bytes: a_second(read),
            disk_written_bytes: a_second(written),
            network_received_bytes: a_second(received),
            network_sent_bytes: a_second(sent),
            gpus: Vec::new(),
            watts: None,
        }
    }
}

/// The System page.
pub(crate) fn page(studio: &Studio) -> SystemPage {
    let now = studio.sampler.now(studio.home.root());
    let disk = disk_use(studio);
    SystemPage {
        host: machine::host_name(),
        os: format!("{} {}", text(System::name()), text(System::os_version())).trim().to_owned(),
        devices: vec![processor(&now)],
        findings: findings(&now, &disk),
        now,
        disk,
        version: studio.settings.workers.version.to_owned(),
        database: database(studio),
        addresses: studio.addresses(),
    }
}

fn database(studio: &Studio) -> String {
    let kind = match studio.storage.kind() {
        DatabaseKind::Sqlite => "SQLite",
        DatabaseKind::Postgres => "PostgreSQL",
    };
    format!("{kind}, {}", studio.storage.place())
}

fn text<E>(found: Result<String, E>) -> String {
    found.unwrap_or_default()
}

fn processor(now: &SystemSample) -> Device {
    let mut details = vec![format!("{} cores", std::thread::available_parallelism().map_or(1, usize::from))];
    if now.memory_total_bytes > 0 {
        details.push(format!("{:.1} GB of memory", now.memory_total_bytes as f64 / 1e9));
    }
    let brand = System::new().ok().and_then(|mut system| {
        system.refresh_cpu_list(CpuRefreshKind::nothing());
        system.cpus().first().map(|cpu| cpu.brand().trim().to_owned())
    });
    let name = brand.filter(|name| !name.is_empty()).unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    Device { kind: "cpu".to_owned(), name, details, is_usable: true, reason: String::new() }
}

fn findings(now: &SystemSample, disk: &DiskUse) -> Vec<Finding> {
    let finding = |tone: &str, text: String, meaning: &str| Finding { tone: tone.to_owned(), text, meaning: meaning.to_owned() };
    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    let space = match disk.free_bytes < LITTLE_SPACE_BYTES {
        true => finding(
            "warn",
            format!("{:.1} GB of disk are free.", gigabytes(disk.free_bytes)),
            "A run pauses when the disk is full; remove what is not needed.",
        ),
        false => finding("good", format!("{:.1} GB of disk are free.", gigabytes(disk.free_bytes)), "There is room for checkpoints."),
    };
    let free = now.memory_total_bytes.saturating_sub(now.memory_used_bytes);
    let memory = finding(
        if free < 1 << 30 { "warn" } else { "good" },
        format!("{:.1} of {:.1} GB of memory are free.", gigabytes(free), gigabytes(now.memory_total_bytes)),
        "A run is planned to fit into what is free when it starts.",
    );
    vec![space, memory]
}

fn disk_use(studio: &Studio) -> DiskUse {
    let root = studio.home.root();
    let named = ["models", "runs", "cache", "data", "trash"];
    let parts = named.iter().map(|name| MemoryPart { component: (*name).to_owned(), bytes: folder_bytes(&root.join(name)) });
    let parts: Vec<MemoryPart> = parts.collect();
    let removable = parts.iter().filter(|part| part.bytes > 0).filter_map(|part| {
        let text = match part.component.as_str() {
            "cache" => "Tokenised data; made again when it is needed.",
            "trash" => "Deleted runs; they go by themselves after 30 days.",
            _ => return None,
        };
        Some(Removable { kind: part.component.clone(), text: text.to_owned(), bytes: part.bytes })
    });
    DiskUse { removable: removable.collect(), parts, free_bytes: machine::disk_free_bytes(root) }
}

/// Removes what can go without losing a result, and says what is left.
pub(crate) fn clean(studio: &Studio, kinds: &[String]) -> Answer<DiskUse> {
    if let Some(kind) = kinds.iter().find(|kind| !["cache", "trash"].contains(&kind.as_str())) {
        return Err(Failure::bad(format!("{kind} is not among what can be removed: cache, trash.")));
    }
    if kinds.iter().any(|kind| kind == "cache") && studio.mirror.is_busy() {
        return Err(Failure::new(ErrorCode::NotPossibleNow, "A run uses the tokenised data now.").hint("Remove it when nothing trains."));
    }
    for kind in kinds {
        let folder = studio.home.root().join(kind);
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.file_type()?.is_dir() {
                true => fs::remove_dir_all(entry.path())?,
                false => fs::remove_file(entry.path())?,
            }
        }
    }
    studio.mirror.look(&[]);
    Ok(disk_use(studio))
}

fn folder_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => folder_bytes(&entry.path()),
            Ok(kind) if kind.is_file() => entry.metadata().map_or(0, |data| data.len()),
            _ => 0,
        })
        .sum()
}
