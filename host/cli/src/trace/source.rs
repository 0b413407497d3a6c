//! Where a trace's lines come from: a file or standard input, plain, gzip or Zstandard, one bounded line at a time.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

/// The longest line that is read: 16 MiB, as much as the built-in scorers take of one answer.
pub(crate) const LINE_BYTES_MAX: usize = 16 << 20;
/// How much is read at once.
const BUFFER_BYTES: usize = 256 << 10;
/// What a gzip file begins with (RFC 1952).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// What a Zstandard frame begins with (RFC 8878).
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The lines of a trace.
pub(crate) struct Source {
    reader: Box<dyn BufRead>,
    name: String,
    bytes_read: Arc<AtomicU64>,
    bytes_total: Option<u64>,
    line: u64,
}

/// What came of reading a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
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
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let bytes_read = Arc::new(AtomicU64::new(0));
        if path == Path::new("-") {
            return Self::new("<stdin>".to_owned(), io::stdin(), None, bytes_read);
        }
        let name = path.display().to_string();
        let file = File::open(path).with_context(|| format!("can't read the trace {name}"))?;
        let metadata = file.metadata().with_context(|| format!("can't read the trace {name}"))?;
        anyhow::ensure!(!metadata.is_dir(), "can't read the trace {name}: it is a folder");
        let bytes_total = metadata.is_file().then_some(metadata.len());
        Self::new(name, file, bytes_total, bytes_read)
    }

    fn new(
        name: String,
        input: impl Read + 'static,
        bytes_total: Option<u64>,
        bytes_read: Arc<AtomicU64>,
    ) -> anyhow::Result<Self> {
        let counted = Counted { input, bytes_read: Arc::clone(&bytes_read) };
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, counted);
        // A pipe may hand over its first byte alone; a compressed file that comes so is taken for text and refused.
        let head = reader.fill_buf().with_context(|| format!("can't read the trace {name}"))?;
        let reader: Box<dyn BufRead> = if head.starts_with(&GZIP_MAGIC) {
            Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(reader)))
        } else if head.starts_with(&ZSTD_MAGIC) {
            Box::new(BufReader::with_capacity(BUFFER_BYTES, Frames { state: FramesState::Between(reader) }))
        } else {
            Box::new(reader)
        };
        Ok(Self { reader, name, bytes_read, bytes_total, line: 0 })
    }

    /// The file's name, for messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The number of the line that was read last, from 1.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// How many bytes the trace has, compressed as it is, where that is known.
    pub(crate) fn bytes_total(&self) -> Option<u64> {
        self.bytes_total
    }

    /// How many of them were read.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// Reads the next line into `buffer`, without its line feed.
    ///
    /// # Errors
    /// Where the file can't be read on, or isn't compressed as its first bytes say.
    pub(crate) fn next(&mut self, buffer: &mut Vec<u8>) -> anyhow::Result<Line> {
        buffer.clear();
        let read = self.read_until_feed(buffer);
        let read = read.with_context(|| format!("can't read {} on after line {}", self.name, self.line))?;
        if read == 0 {
            return Ok(Line::End);
        }
        self.line += 1;
        if buffer.last() == Some(&b'\n') {
            buffer.pop();
        } else if buffer.len() > LINE_BYTES_MAX {
            let skipped = self.skip_until_feed();
            skipped.with_context(|| format!("can't read {} on in line {}", self.name, self.line))?;
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

    fn read_until_feed(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        // One byte more than a line may have, so that a longest line still finds its line feed.
        self.reader.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', buffer)
    }

    fn skip_until_feed(&mut self) -> io::Result<()> {
        self.reader.skip_until(b'\n').map(drop)
    }
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

/// The frames of a Zstandard file, one after another: the decoder reads one.
struct Frames<R: BufRead> {
    state: FramesState<R>,
}

enum FramesState<R: BufRead> {
    Between(R),
    Within(Box<StreamingDecoder<R, ruzstd::decoding::FrameDecoder>>),
    Ended,
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match std::mem::replace(&mut self.state, FramesState::Ended) {
                FramesState::Between(mut input) => {
                    if input.fill_buf()?.is_empty() {
                        return Ok(0);
                    }
                    let decoder = StreamingDecoder::new(input).map_err(io::Error::other)?;
                    self.state = FramesState::Within(Box::new(decoder));
                }
                FramesState::Within(mut decoder) => {
                    let read = decoder.read(buffer)?;
                    if read > 0 || buffer.is_empty() {
                        self.state = FramesState::Within(decoder);
                        return Ok(read);
                    }
                    self.state = FramesState::Between(decoder.into_inner());
                }
                FramesState::Ended => return Ok(0),
            }
        }
    }
}
