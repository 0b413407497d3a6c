//! Compiled code on its way from a file to the engine: a copy that nobody else can change, so that what is run is what was
//! looked at.

use std::io::{self, Write};

use wasmtime::component::Component;

/// A copy of compiled code.
///
/// On Linux it lies in a file that has no name and no place on a disk, which the engine maps. Copied into fresh memory of
/// this process instead, each of its pages would be faulted in by itself, which takes three times as long.
pub(super) enum Code {
    #[cfg(target_os = "linux")]
    Mapped(std::fs::File),
    Bytes(Vec<u8>),
}

impl Code {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        // Where the system allows no such file, bytes do as well.
        #[cfg(target_os = "linux")]
        if let Ok(file) = memfd::MemfdOptions::default().close_on_exec(true).create("softfuse-code") {
            return Self::Mapped(file.into_file());
        }
        Self::Bytes(Vec::new())
    }

    /// Adds what comes next.
    pub(super) fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Mapped(file) => file.write_all(chunk),
            Self::Bytes(bytes) => bytes.write_all(chunk),
        }
    }

    /// Makes a component of it. The caller has made sure that it is what this library wrote.
    pub(super) fn deserialize(self, engine: &wasmtime::Engine) -> wasmtime::Result<Component> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Mapped(file) => map(engine, file),
            // SAFETY: these bytes were compared with the hash in their file's name, so they are what this library wrote; and
            // nobody but the folder's owner, who runs this process, may write there.
            Self::Bytes(bytes) => unsafe { Component::deserialize(engine, &bytes) },
        }
    }
}

/// Maps the copy, or where the system doesn't allow that, reads it.
#[cfg(target_os = "linux")]
fn map(engine: &wasmtime::Engine, mut file: std::fs::File) -> wasmtime::Result<Component> {
    use std::io::{Read, Seek};
    use std::os::fd::AsRawFd;

    // SAFETY: as below; and nobody else has this file, which is gone with its last mapping.
    let mapped = unsafe { Component::deserialize_file(engine, format!("/proc/self/fd/{}", file.as_raw_fd())) };
    mapped.or_else(|_| {
        let mut bytes = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut bytes)?;
        Code::Bytes(bytes).deserialize(engine)
    })
}
