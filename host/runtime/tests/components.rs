//! The components that come with the library: the breaker imports nothing, and all are small.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use softfuse::Builtin;
use softfuse::components::{BREAKER, BREAKER_WIT, SCORER_WIT};
use wasmparser::{Parser, Payload};

/// What a component imports, and what its core modules do. (A component that is nested in it to name its exports imports
/// what it names; that is no import of the whole.)
fn imports(bytes: &[u8]) -> (Vec<String>, Vec<String>) {
    let (mut component, mut core) = (Vec::new(), Vec::new());
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.unwrap() {
            Payload::ComponentSection { .. } | Payload::ModuleSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 0 => {
                component.extend(section.into_iter().map(|import| import.unwrap().name.name.to_owned()));
            }
            Payload::ImportSection(section) => {
                core.extend(section.into_imports().map(|import| import.unwrap().module.to_owned()));
            }
            _ => {}
        }
    }
    (component, core)
}

#[test]
fn the_components_import_nothing() {
    // The breaker's core module doesn't either, so a runtime for core modules alone can run it.
    assert_eq!(imports(BREAKER), (vec![], vec![]));
    for builtin in Builtin::ALL {
        // Those that take streams get the means to make their resources, from the component itself.
        let (component, core) = imports(builtin.bytes());
        let own = |module: &String| module.is_empty() || module.starts_with("[export]");
        assert!(component.is_empty() && core.iter().all(own), "{}: {component:?} {core:?}", builtin.name());
    }
}

/// Printed, so that a developer sees it: `cargo test --test components -- --nocapture`. The bounds of each are in `tests/tidy`; this
/// one is for a component that has grown beyond all measure.
#[test]
fn sizes() {
    let scorers = Builtin::ALL.map(|builtin| (builtin.name(), builtin.bytes()));
    for (name, bytes) in [("breaker", BREAKER)].into_iter().chain(scorers) {
        println!("{name:>10} {:>8} bytes", bytes.len());
        assert!(bytes.len() < 512 << 10, "{name} has {} bytes", bytes.len());
    }
}

#[test]
fn the_contracts_come_along() {
    assert!(BREAKER_WIT.contains("package softfuse:breaker@0.1.0"));
    assert!(SCORER_WIT.contains("package softfuse:scorer@0.1.0"));
    assert_eq!(Builtin::named("text"), Some(Builtin::Text));
    assert_eq!(Builtin::named("nothing"), None);
}
