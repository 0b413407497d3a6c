//! The header is what the sources say: compared with a fresh generation. `BLESS=1 cargo test -p softfuse-c --test header` writes it.

use std::fs;
use std::path::Path;

#[test]
fn the_header_is_what_the_sources_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml");
    let made = cbindgen::Builder::new().with_config(config).with_src(root.join("src/lib.rs")).generate();
    let mut text = Vec::new();
    made.expect("the sources").write(&mut text);
    let text = String::from_utf8(text).expect("UTF-8");
    let path = root.join("include/softfuse.h");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &text).expect("the header is written");
    }
    let kept = fs::read_to_string(&path).expect("include/softfuse.h");
    assert!(kept == text, "include/softfuse.h is not what src/ says: BLESS=1 cargo test -p softfuse-c --test header");
}

/// Every function of the ABI is in the header, and says what it is for.
#[test]
fn every_function_is_declared_and_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let header = fs::read_to_string(root.join("include/softfuse.h")).expect("include/softfuse.h");
    let lines: Vec<&str> = header.lines().collect();
    let mut found = 0;
    for entry in fs::read_dir(root.join("src")).expect("src") {
        let source = fs::read_to_string(entry.expect("a file").path()).expect("a source");
        for part in source.split("extern \"C\" fn sf_").skip(1) {
            let name = format!("sf_{}(", part.split(['(', '<']).next().unwrap_or_default());
            let declared =
                lines.iter().position(|line| !line.starts_with("//") && line.contains(&name) && !line.starts_with(' '));
            let at = declared.unwrap_or_else(|| panic!("{name}) is not in the header"));
            assert!(at > 0 && lines[at - 1].starts_with("//"), "{name}) is not documented");
            found += 1;
        }
    }
    assert!(found > 40, "only {found} functions were found in src/");
}
