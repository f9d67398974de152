//! How this process's memory is given back, so that a run's peak is what was planned.

/// Freed memory of this size goes back to the system at once.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const GIVEN_BACK_BYTES: libc::c_int = 4 << 20;

/// Has large pieces of memory given back when they are freed. Left alone, glibc learns from the
/// first that are freed to keep up to 32 MB in its heap, where they become fragments: a sixth of
/// the peak of a small run. A steady step frees nothing of that size, so that no time is lost.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn give_large_back() {
    // SAFETY: it changes a number of the allocator, before any thread of the engine is started.
    // Where it is refused, memory is kept as before.
    let _ = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, GIVEN_BACK_BYTES) };
}

/// Other allocators are left alone.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_large_back() {}
