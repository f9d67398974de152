//! The machine, its disk, the settings and the keys.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The machine as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SystemPage {
    /// Name of the machine.
    pub host: String,
    /// Linux 6.8, …
    pub os: String,
    /// Processors and accelerators.
    pub devices: Vec<Device>,
    /// Newest sample.
    pub now: SystemSample,
    /// Disk use of the home.
    pub disk: DiskUse,
    /// What `apertis doctor` finds.
    pub findings: Vec<Finding>,
    /// Version of the program.
    pub version: String,
    /// sqlite or postgres, with its place.
    pub database: String,
    /// Addresses of this server.
    pub addresses: Vec<String>,
}

/// Something that computes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Device {
    /// cpu or gpu.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What it can: cores, instructions, memory.
    pub details: Vec<String>,
    /// Whether runs can use it.
    pub is_usable: bool,
    /// Why not; empty where they can.
    pub reason: String,
}

/// The machine at one moment. What is unknown is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SystemSample {
    /// When.
    pub at: String,
    /// Share of all cores in use.
    pub cpu_percent: f32,
    /// Each core.
    pub cores_percent: Vec<f32>,
    /// Memory in use.
    pub memory_used_bytes: u64,
    /// Memory of the machine or its limit.
    pub memory_total_bytes: u64,
    /// Memory of this process, or of the run's worker.
    pub process_bytes: u64,
    /// Free space where the home lies.
    pub disk_free_bytes: u64,
    /// Read from disks in a second.
    pub disk_read_bytes: u64,
    /// Written to disks in a second.
    pub disk_written_bytes: u64,
    /// Received in a second.
    pub network_received_bytes: u64,
    /// Sent in a second.
    pub network_sent_bytes: u64,
    /// Accelerators.
    pub gpus: Vec<GpuSample>,
    /// Power where a counter tells it.
    pub watts: Option<f32>,
}

/// An accelerator at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct GpuSample {
    /// Its name.
    pub name: String,
    /// Share of time in use.
    pub used_percent: f32,
    /// Memory in use.
    pub memory_used_bytes: u64,
    /// Its memory.
    pub memory_total_bytes: u64,
    /// Degrees Celsius.
    pub temperature_c: f32,
    /// Power.
    pub watts: f32,
}

/// What the home takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiskUse {
    /// models, checkpoints, cache, data, trash, other.
    pub parts: Vec<crate::run::MemoryPart>,
    /// Free space.
    pub free_bytes: u64,
    /// What can go, each with its size.
    pub removable: Vec<Removable>,
}

/// Something that can be removed without losing a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Removable {
    /// cache, trash, training_state.
    pub kind: String,
    /// What a person reads.
    pub text: String,
    /// How much.
    pub bytes: u64,
}

/// What to remove.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cleanup {
    /// Kinds of [`Removable`]: cache, trash.
    pub kinds: Vec<String>,
}

/// A finding of the doctor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// good, info, warn or bad.
    pub tone: String,
    /// What was found.
    pub text: String,
    /// What it means.
    pub meaning: String,
}

/// What a person decides about the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Settings {
    /// Folders outside the home that may be read.
    pub folders: Vec<String>,
    /// light, dark or system.
    pub theme: String,
    /// Keep the machine awake while something trains.
    pub keep_awake: bool,
    /// Most bytes of one upload.
    pub upload_max_bytes: u64,
    /// Power of the machine under load, given by a person; 0 where unknown.
    pub watts: f64,
    /// Whether the first-use tour was closed.
    pub tour_closed: bool,
    /// For `If-Match`.
    #[serde(default)]
    pub etag: String,
}

/// Changes of the settings. Absent fields stay.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SettingsChange {
    /// See [`Settings`].
    pub folders: Option<Vec<String>>,
    /// See [`Settings`].
    pub theme: Option<String>,
    /// See [`Settings`].
    pub keep_awake: Option<bool>,
    /// See [`Settings`].
    pub upload_max_bytes: Option<u64>,
    /// See [`Settings`].
    pub watts: Option<f64>,
    /// See [`Settings`].
    pub tour_closed: Option<bool>,
}

/// A key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Key {
    /// Its id.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// Its first characters.
    pub prefix: String,
    /// When it was made.
    pub created_at: String,
    /// When it was last used.
    pub used_at: Option<String>,
}

/// A key to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewKey {
    /// What it is for.
    pub name: String,
}

/// A new key; its secret is shown this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MadeKey {
    /// The key.
    pub key: Key,
    /// Its secret.
    pub secret: String,
}
