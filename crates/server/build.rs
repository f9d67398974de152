//! Lays the built page out for embedding: each file gzipped where that makes it smaller. Builds no
//! page: that needs Node, and a tree without a page is a whole program too.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Files of these endings are compressed already.
const COMPRESSED: [&str; 6] = ["woff2", "png", "jpg", "webp", "gz", "br"];

fn main() {
    let manifest = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it")).join("page");
    let web = manifest.join("../../web");
    let page = web.join("dist");
    // What is watched has to exist: a path that does not makes every build begin anew.
    if web.is_dir() && fs::create_dir_all(&page).is_ok() {
        println!("cargo::rerun-if-changed={}", page.display());
    }
    println!("cargo::rerun-if-changed={}", manifest.join("build.rs").display());
    let _ = fs::remove_dir_all(&out);
    fs::create_dir_all(&out).expect("the build folder can be written");
    if page.join("index.html").is_file() {
        lay_out(&page, &out);
    }
}

fn lay_out(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the build folder can be written");
    for entry in fs::read_dir(from).expect("the built page can be read").flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() {
            lay_out(&path, &to.join(name));
            continue;
        }
        let bytes = fs::read(&path).expect("the built page can be read");
        let is_compressed = path.extension().is_some_and(|ending| COMPRESSED.iter().any(|known| ending == *known));
        let smaller = if is_compressed { None } else { compress(&bytes).filter(|small| small.len() < bytes.len()) };
        let (name, bytes) = match smaller {
            Some(small) => (format!("{name}.gz"), small),
            None => (name, bytes),
        };
        fs::write(to.join(name), bytes).expect("the build folder can be written");
    }
}

fn compress(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}
