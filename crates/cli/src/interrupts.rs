//! Ctrl-C as a number that loops look at, so that each can end its own way.

use std::sync::atomic::{AtomicU32, Ordering};

/// How often Ctrl-C was pressed.
static INTERRUPTS: AtomicU32 = AtomicU32::new(0);

/// From here on Ctrl-C ends nothing by itself; counting begins at 0.
pub(crate) fn watch() {
    INTERRUPTS.store(0, Ordering::SeqCst);
    #[cfg(unix)]
    {
        static WATCHED: std::sync::Once = std::sync::Once::new();
        WATCHED.call_once(|| {
            extern "C" fn count(_: i32) {
                INTERRUPTS.fetch_add(1, Ordering::SeqCst);
            }
            // SAFETY: the handler only adds to an atomic number, which is async-signal-safe.
            unsafe {
                libc::signal(libc::SIGINT, count as extern "C" fn(i32) as libc::sighandler_t);
            }
        });
    }
}

/// How often Ctrl-C was pressed since [`watch`].
pub(crate) fn count() -> u32 {
    INTERRUPTS.load(Ordering::SeqCst)
}
