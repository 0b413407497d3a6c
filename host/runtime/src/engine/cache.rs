//! Keeps compiled code between runs: compiling takes 14 ms to 6 s, loading what was compiled 0.04 to 2 ms.
//!
//! Compiled code is machine code that this process will run, so the folder must be the user's own and closed to others,
//! and a file is only taken if its content still has the hash that its name says. Where a system has no owners and modes to
//! look at, as Windows, the folder's access list is its user's affair; the default folder lies in the user's profile.

use std::fs;
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use wasmtime::component::Component;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::code::Code;
use crate::components::Binary;

/// Files that the folder holds at most; the oldest make room.
const FILES_MAX: usize = 64;
/// How much of a file is copied at once.
const COPIED_BYTES: usize = 64 << 10;
/// What names the folder, where the program doesn't. Empty or `none`: nothing is kept.
const VARIABLE: &str = "SOFTFUSE_CACHE_DIR";

/// Where compiled code is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CacheDir {
    /// In the folder that the environment's `SOFTFUSE_CACHE_DIR` names (nowhere, if that is empty or `none`), otherwise in
    /// `softfuse` below the user's cache folder.
    #[default]
    Default,
    /// In this folder, which is made if it isn't there, for its owner only.
    Dir(PathBuf),
    /// Nowhere.
    None,
}

/// The folder, checked.
pub(crate) struct Cache(Option<PathBuf>);

impl Cache {
    /// Opens the folder. Where it can't be used, that is logged, and nothing is kept.
    pub(crate) fn open(dir: CacheDir) -> Self {
        let dir = match dir {
            CacheDir::Dir(dir) => Some(dir),
            CacheDir::None => None,
            CacheDir::Default => match std::env::var_os(VARIABLE) {
                Some(value) if value.is_empty() || value == "none" => None,
                Some(value) => Some(PathBuf::from(value)),
                None => dirs::cache_dir().map(|dir| dir.join("softfuse")),
            },
        };
        Self(dir.and_then(|dir| match prepare(&dir) {
            Ok(()) => Some(dir),
            Err(error) => {
                tracing::warn!(dir = %dir.display(), %error, "compiled code isn't kept: its folder can't be used");
                None
            }
        }))
    }

    pub(crate) fn dir(&self) -> Option<&Path> {
        self.0.as_deref()
    }

    /// The compiled component, from the folder where it is there and whole.
    pub(crate) fn get_or_compile(&self, engine: &wasmtime::Engine, binary: Binary<'_>) -> wasmtime::Result<Component> {
        let Some(dir) = &self.0 else { return Component::from_binary(engine, binary.bytes) };
        let key = key(engine, binary);
        if let Some(component) = load(engine, dir, &key) {
            return Ok(component);
        }
        let component = Component::from_binary(engine, binary.bytes)?;
        if let Err(error) = component.serialize().map_err(io::Error::other).and_then(|code| store(dir, &key, &code)) {
            tracing::warn!(dir = %dir.display(), %error, "compiled code couldn't be kept");
        }
        Ok(component)
    }
}

/// Makes the folder, or checks that it is ours and closed to others.
fn prepare(dir: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};

        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let metadata = fs::metadata(dir)?;
        // A file that we make is ours, whoever "we" are: the user's number, without a call that Rust's library lacks.
        let own = tempfile::tempfile_in(dir)?.metadata()?.uid();
        if metadata.uid() != own {
            return Err(io::Error::other(format!("it belongs to user {}, and this is user {own}", metadata.uid())));
        }
        if metadata.permissions().mode() & 0o022 != 0 {
            return Err(io::Error::other("others may write to it: `chmod 700` closes it"));
        }
        Ok(())
    }
    #[cfg(not(unix))]
    fs::create_dir_all(dir)
}

/// What compiled code depends on: the component, the engine's settings and version, and ours.
fn key(engine: &wasmtime::Engine, binary: Binary<'_>) -> String {
    let mut settings = Sha(Sha256::new());
    env!("CARGO_PKG_VERSION").hash(&mut settings);
    engine.precompile_compatibility_hash().hash(&mut settings);
    match binary.sha256 {
        Some(digest) => settings.0.update(digest),
        None => settings.0.update(hex(&Sha256::digest(binary.bytes))),
    }
    hex(&settings.0.finalize()[..16])
}

/// Feeds what is hashable to SHA-256, since the standard library's hasher may change between versions.
struct Sha(Sha256);

impl Hasher for Sha {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        digest.iter().take(8).fold(0, |number, &byte| number << 8 | u64::from(byte))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The name says the key and the content's hash, so that one rename puts both in place.
///
/// The hash finds damage, and need do no more: whoever may write here may give a file any name.
fn name_of(key: &str, hash: u128) -> String {
    format!("{key}-{hash:032x}.cwasm")
}

/// The compiled component of this key, if there is one that is whole. One that isn't is removed.
fn load(engine: &wasmtime::Engine, dir: &Path, key: &str) -> Option<Component> {
    let prefix = format!("{key}-");
    for entry in fs::read_dir(dir).ok()?.flatten().take(4 * FILES_MAX) {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| name.starts_with(&prefix) && name.ends_with(".cwasm")) else {
            continue;
        };
        let path = entry.path();
        match copy(&path) {
            Ok((code, hash)) if name_of(key, hash) == name => match code.deserialize(engine) {
                Ok(component) => return Some(component),
                Err(error) => tracing::warn!(file = %path.display(), error = format!("{error:#}"), "compiled anew"),
            },
            _ => tracing::warn!(file = %path.display(), "compiled code is damaged, and compiled anew"),
        }
        // Left where it is, it would only be tried again.
        let _ = fs::remove_file(&path);
    }
    None
}

/// Copies a file's content to where nobody can change it, and takes its hash.
fn copy(path: &Path) -> io::Result<(Code, u128)> {
    let mut file = fs::File::open(path)?;
    let (mut code, mut hash) = (Code::new(), Xxh3::new());
    let mut chunk = vec![0; COPIED_BYTES];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok((code, hash.digest128())),
            length => {
                hash.update(&chunk[..length]);
                code.write(&chunk[..length])?;
            }
        }
    }
}

fn store(dir: &Path, key: &str, code: &[u8]) -> io::Result<()> {
    make_room(dir);
    let mut file = tempfile::Builder::new().prefix("new-").tempfile_in(dir)?;
    file.write_all(code)?;
    file.persist(dir.join(name_of(key, xxh3_128(code)))).map_err(|error| error.error)?;
    Ok(())
}

/// Removes the oldest files beyond the bound, and what interrupted writers left.
fn make_room(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    let mut files: Vec<(SystemTime, PathBuf)> = entries
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            name.to_str().is_some_and(|name| name.ends_with(".cwasm") || name.starts_with("new-"))
        })
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    files.sort();
    let surplus = (files.len() + 1).saturating_sub(FILES_MAX);
    for (_, path) in files.into_iter().take(surplus) {
        let _ = fs::remove_file(path);
    }
}
