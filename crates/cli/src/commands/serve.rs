//! `apertis` and `apertis serve`: the studio, until Ctrl-C. Runs go on without it.

use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use apertis_runs::Home;
use apertis_server::{Address, ServeError, ServeSettings, Stop, Workers, address_of_living, serve};
use serde_json::json;

use super::worker::VERSION;
use crate::arguments::ServeArguments;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::{browser, interrupts, settings};

const PORT: u16 = 8420;
/// The end is looked for this often.
const POLL: Duration = Duration::from_millis(100);

pub(crate) fn run(arguments: &ServeArguments, home: &Home, printer: &Printer) -> Result<ExitCode, Failure> {
    if let Some(url) = address_of_living(home) {
        printer.line(format!("The studio is open at {url}"));
        printer.json(&json!({ "url": url, "was_running": true }));
        show(&url, arguments.no_open);
        return Ok(ExitCode::SUCCESS);
    }
    let program = std::env::current_exe().map_err(|error| Failure::new(format!("serve: cannot find this program: {error}")))?;
    let settings = ServeSettings {
        home: home.clone(),
        database_url: settings::database_url(&arguments.database),
        host: arguments.host.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        port: arguments.port.unwrap_or(PORT),
        names: arguments.known_as.clone(),
        public_url: arguments.public_url.clone(),
        trusted_proxies: arguments.trusted_proxy.clone(),
        require_key: arguments.require_key,
        workers: Workers { program, version: VERSION },
    };
    let stop = Stop::default();
    stop_on_signals(stop.clone())?;
    // The server says where it is when it answers; what is printed is this thread's.
    let (sender, ready) = mpsc::channel();
    let serving = thread::spawn(move || {
        serve(settings, stop, move |address| {
            // Nobody listens any more where the program ends meanwhile.
            let _ = sender.send(address.clone());
        })
    });
    if let Ok(address) = ready.recv() {
        announce(&address, arguments, printer);
    }
    match serving.join() {
        Ok(Ok(())) => Ok(ExitCode::SUCCESS),
        Ok(Err(error)) => Err(failure(error)),
        Err(_) => Err(Failure::new("serve: the server ended by a mistake of the program").hint("server.log in the home has the details.")),
    }
}

fn announce(address: &Address, arguments: &ServeArguments, printer: &Printer) {
    if address.is_other_port {
        printer.line(format!("Port {} is taken; the studio is on {}.", arguments.port.unwrap_or(PORT), address.port));
    }
    printer.line(format!("The studio is at {}", address.url));
    if !address.has_page {
        printer.line("Its page is not built into this program; README.md says how to build it.");
    }
    if address.needs_key && !address.has_key {
        printer.line("It needs a key, and there is none yet. Make one: apertis keys create NAME");
    }
    printer.line("Ctrl-C ends it. Runs go on without it.");
    printer.json(&json!({ "url": address.url, "port": address.port, "was_running": false }));
    show(&address.url, arguments.no_open);
}

fn show(url: &str, no_open: bool) {
    if !no_open {
        // Without a screen the printed address has to do.
        let _ = browser::open(url, |name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    }
}

fn stop_on_signals(stop: Stop) -> Result<(), Failure> {
    let is_terminated = Arc::new(AtomicBool::new(false));
    #[cfg(unix)]
    signal_hook::flag::register(signal_hook::consts::SIGTERM, is_terminated.clone())
        .map_err(|error| Failure::new(format!("serve: watch signals: {error}")))?;
    interrupts::watch();
    thread::spawn(move || {
        while interrupts::count() == 0 && !is_terminated.load(Ordering::Acquire) {
            thread::sleep(POLL);
        }
        stop.stop();
    });
    Ok(())
}

fn failure(error: ServeError) -> Failure {
    if let ServeError::Storage(error) = error {
        return error.into();
    }
    let hint = match &error {
        ServeError::Taken { .. } => "Open its page, or give this one another folder with --home.",
        ServeError::Listen { .. } => "Choose another with --port or --host.",
        ServeError::PublicUrl { .. } => "Write it as a browser shows it: --public-url https://studio.example",
        ServeError::Storage(_) | ServeError::System(_) => "Check the home's owner and permissions, or choose another with --home.",
    };
    Failure::new(&error).hint(hint)
}
