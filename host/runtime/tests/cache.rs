//! The cache of compiled code: filled, used, and not trusted where it is damaged or open to others.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use softfuse::{CacheDir, Engine, Exchange, Scorer, ScorerSettings};

fn score(dir: &Path) -> f64 {
    let engine = Engine::new(CacheDir::Dir(dir.to_owned())).unwrap();
    let bytes = common::scorer("(call $scored (f64.const 0.5))");
    let scorer = Scorer::from_bytes(&engine, "it", &bytes, ScorerSettings::default()).unwrap();
    scorer.score(&Exchange::default()).score().unwrap().get()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn compiled_code_is_kept_and_used() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("made");
    assert_eq!(score(&dir), 0.5);
    let [file] = &files(&dir)[..] else { panic!("{:?}", files(&dir)) };
    let modified = fs::metadata(file).unwrap().modified().unwrap();
    assert_eq!(score(&dir), 0.5);
    assert_eq!(files(&dir), std::slice::from_ref(file));
    assert_eq!(fs::metadata(file).unwrap().modified().unwrap(), modified);
}

#[test]
fn a_damaged_file_is_compiled_anew() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(score(dir.path()), 0.5);
    let [file] = &files(dir.path())[..] else { panic!("{:?}", files(dir.path())) };
    let whole = fs::read(file).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in [&flipped[..], &whole[..whole.len() / 2], b""] {
        fs::write(file, damaged).unwrap();
        assert_eq!(score(dir.path()), 0.5);
        assert_eq!(fs::read(file).unwrap(), whole);
    }
}

/// A file that is whole, and yet nothing that the engine made.
#[test]
fn a_foreign_file_is_compiled_anew() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(score(dir.path()), 0.5);
    let [file] = &files(dir.path())[..] else { panic!("{:?}", files(dir.path())) };
    let key = file.file_name().unwrap().to_str().unwrap().split_once('-').unwrap().0.to_owned();
    fs::remove_file(file).unwrap();
    let hash = xxhash_rust::xxh3::xxh3_128(b"foreign");
    let foreign = dir.path().join(format!("{key}-{hash:032x}.cwasm"));
    fs::write(&foreign, b"foreign").unwrap();
    assert_eq!(score(dir.path()), 0.5);
    assert!(!foreign.exists());
}

#[cfg(unix)]
#[test]
fn a_folder_that_others_may_write_to_is_not_used() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(Engine::new(CacheDir::Dir(dir.path().to_owned())).unwrap().cache_dir(), None);
    assert_eq!(score(dir.path()), 0.5);
    assert_eq!(files(dir.path()), Vec::<PathBuf>::new());
    let made = dir.path().join("made");
    let engine = Engine::new(CacheDir::Dir(made.clone())).unwrap();
    assert_eq!(engine.cache_dir(), Some(&*made));
    assert_eq!(fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn the_folder_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..100 {
        fs::write(dir.path().join(format!("{i}-x.cwasm")), b"").unwrap();
    }
    fs::write(dir.path().join("somebody-elses"), b"").unwrap();
    assert_eq!(score(dir.path()), 0.5);
    assert_eq!(files(dir.path()).len(), 65);
    assert!(dir.path().join("somebody-elses").exists());
}

#[test]
fn nothing_is_kept_where_that_is_asked_for() {
    assert_eq!(Engine::new(CacheDir::None).unwrap().cache_dir(), None);
    // A folder that can't be made is no error.
    let engine = Engine::new(CacheDir::Dir(PathBuf::from("/proc/softfuse"))).unwrap();
    assert_eq!(engine.cache_dir(), None);
}
