//! What a run needs to know of the machine: its name, its boot, memory kills, memory used.

use std::fs;
use std::path::{Path, PathBuf};

/// The name of this machine.
pub fn host_name() -> String {
    sysinfo::System::host_name().unwrap_or_else(|_| "unknown".to_owned())
}

/// Which boot of which machine this is.
pub fn boot_id() -> String {
    match fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        Ok(id) => id.trim().to_owned(),
        // Elsewhere the host and the time of its boot, to the minute: clocks are adjusted.
        Err(_) => {
            let minute = sysinfo::System::boot_time().unwrap_or(0) / 60;
            format!("{}-{minute}", host_name())
        }
    }
}

/// How many processes of this control group have been killed because memory ran out; 0 where
/// the system does not say.
pub fn oom_kills() -> u64 {
    let counter = |path: PathBuf| {
        let text = fs::read_to_string(path).ok()?;
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
    };
    let Ok(groups) = fs::read_to_string("/proc/self/cgroup") else {
        return 0;
    };
    groups
        .lines()
        .find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?.trim_start_matches('/'));
            let (root, file) = match controllers {
                "" => ("/sys/fs/cgroup", "memory.events"),
                "memory" => ("/sys/fs/cgroup/memory", "memory.oom_control"),
                _ => return None,
            };
            // In a container the path may name a group outside of what is mounted.
            counter(PathBuf::from(root).join(path).join(file)).or_else(|| counter(PathBuf::from(root).join(file)))
        })
        .unwrap_or(0)
}

/// Largest resident size of this process so far, mapped pages included; 0 where the system does
/// not say.
///
/// # Units
/// Bytes.
pub fn peak_rss_bytes() -> u64 {
    status_bytes("VmHWM:")
}

/// Resident size of this process, mapped pages included; 0 where the system does not say.
///
/// # Units
/// Bytes.
pub fn rss_bytes() -> u64 {
    status_bytes("VmRSS:")
}

/// Free space for this user where a folder lies; 0 where the system does not say.
///
/// # Units
/// Bytes.
#[cfg(unix)]
pub fn disk_free_bytes(folder: &Path) -> u64 {
    rustix::fs::statvfs(folder).map_or(0, |status| status.f_bavail * status.f_frsize)
}

/// Free space where a folder lies: of the disk whose mount point is the longest start of it.
///
/// # Units
/// Bytes.
#[cfg(not(unix))]
pub fn disk_free_bytes(folder: &Path) -> u64 {
    let disks = sysinfo::Disks::new_with_refreshed_list();
    disks
        .iter()
        .flat_map(|disks| disks.iter())
        .filter(|disk| folder.starts_with(disk.mount_point()))
        .max_by_key(|disk| disk.mount_point().as_os_str().len())
        .map_or(0, sysinfo::Disk::available_space)
}

fn status_bytes(name: &str) -> u64 {
    let Ok(status) = fs::read_to_string("/proc/self/status") else {
        return 0;
    };
    status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.trim().strip_suffix("kB")?.trim().parse().ok())
        .map_or(0, |kilobytes: u64| kilobytes * 1024)
}
