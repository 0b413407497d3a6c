//! The program prints what it does in every language.

use std::process::Command;

#[test]
fn it_prints_what_it_does_in_every_language() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let run = Command::new(env!("CARGO_BIN_EXE_quickstart"))
        .arg(format!("{folder}/policies/quickstart.toml"))
        .output()
        .expect("the program starts");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let expected = std::fs::read_to_string(format!("{folder}/quickstart/expected.txt")).expect("the file is there");
    assert_eq!(String::from_utf8_lossy(&run.stdout), expected);
}
