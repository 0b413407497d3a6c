//! Where a trace's lines come from: a file or standard input, plain, gzip or Zstandard, one bounded line at a time.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

use crate::error::Error;
use crate::zstandard::{self, Frames};

/// The longest line that is read: 16 MiB, as much as the built-in scorers take of one answer.
pub const LINE_BYTES_MAX: usize = 16 << 20;
/// How much is read at once.
const BUFFER_BYTES: usize = 256 << 10;
/// What a gzip file begins with (RFC 1952).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// The first bytes by which compression is told.
const HEAD_BYTES: usize = 4;

/// The lines of a trace.
pub struct Source {
    reader: Box<dyn BufRead + Send>,
    name: String,
    bytes_read: Arc<AtomicU64>,
    bytes_total: Option<u64>,
    line: u64,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("name", &self.name).field("line", &self.line).finish_non_exhaustive()
    }
}

/// What came of reading a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// It is in the buffer.
    Read,
    /// It is longer than [`LINE_BYTES_MAX`], and was passed over.
    TooLong,
    /// There is none any more.
    End,
}

impl Source {
    /// Opens a file, or standard input where the path is `-`. How it is compressed is told by its first bytes.
    ///
    /// # Errors
    /// Where it can't be read.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if path == Path::new("-") {
            return Self::new("<stdin>", io::stdin());
        }
        let name = path.display().to_string();
        let opened = File::open(path).and_then(|file| {
            let metadata = file.metadata()?;
            if metadata.is_dir() {
                Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"))
            } else {
                Ok((file, metadata))
            }
        });
        match opened {
            Ok((file, metadata)) => {
                let source = Self::new(&name, file)?;
                Ok(Self { bytes_total: metadata.is_file().then_some(metadata.len()), ..source })
            }
            Err(source) => Err(Error::Open { name, source }),
        }
    }

    /// Reads from anything; `name` is for messages.
    ///
    /// # Errors
    /// Where its first bytes can't be read.
    pub fn new(name: &str, input: impl Read + Send + 'static) -> Result<Self, Error> {
        let bytes_read = Arc::new(AtomicU64::new(0));
        let mut input = Counted { input, bytes_read: Arc::clone(&bytes_read) };
        let head = head(&mut input).map_err(|source| Error::Open { name: name.to_owned(), source })?;
        let (gzip, zstd) = (head.starts_with(&GZIP_MAGIC), zstandard::is_frame(&head));
        let reader = BufReader::with_capacity(BUFFER_BYTES, Cursor::new(head).chain(input));
        let reader: Box<dyn BufRead + Send> = if gzip {
            Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(reader)))
        } else if zstd {
            Box::new(BufReader::with_capacity(BUFFER_BYTES, Frames::new(reader)))
        } else {
            Box::new(reader)
        };
        Ok(Self { reader, name: name.to_owned(), bytes_read, bytes_total: None, line: 0 })
    }

    /// The trace's name, for messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of the line that was read last, from 1.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.line
    }

    /// How many bytes the trace has, compressed as it is, where that is known.
    #[must_use]
    pub fn bytes_total(&self) -> Option<u64> {
        self.bytes_total
    }

    /// How many of them were read.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// Reads the next line into `buffer`, without its line feed.
    ///
    /// # Errors
    /// Where the file can't be read on, or isn't compressed as its first bytes say.
    pub fn next(&mut self, buffer: &mut Vec<u8>) -> Result<Line, Error> {
        self.read(buffer).map_err(|source| Error::Read { name: self.name.clone(), line: self.line, source })
    }

    fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<Line> {
        buffer.clear();
        // One byte more than a line may have, so that a longest line still finds its line feed.
        let read = self.reader.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', buffer)?;
        if read == 0 {
            return Ok(Line::End);
        }
        self.line += 1;
        if buffer.last() == Some(&b'\n') {
            buffer.pop();
        } else if buffer.len() > LINE_BYTES_MAX {
            self.reader.skip_until(b'\n')?;
            return Ok(Line::TooLong);
        }
        if buffer.last() == Some(&b'\r') {
            buffer.pop();
        }
        if self.line == 1 && buffer.starts_with(b"\xef\xbb\xbf") {
            buffer.drain(..3);
        }
        Ok(Line::Read)
    }
}

/// The first bytes, as many as tell how the rest is compressed: a pipe may hand them over one by one.
fn head(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    input.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// Counts what passes.
struct Counted<R> {
    input: R,
    bytes_read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.bytes_read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
