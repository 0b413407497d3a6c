//! Takes a core module apart: sections as they lie in the file, and what of them has to be looked into.

use std::collections::BTreeMap;
use std::ops::Range;

use wasm_encoder::SectionId;
use wasmparser::{Encoding, ExternalKind, FuncType, Parser, Payload, TypeRef, Validator};

/// The module in which a language calls WASI preview 1.
const WASI_ONE: &str = "wasi_snapshot_preview1";
/// What the modules begin with in which it calls WASI 0.2, as Rust does.
const WASI_TWO: &str = "wasi:";
/// What compilers export for whoever loads a library: to be called once, before anything else.
pub(super) const INITIALIZE: &str = "_initialize";

/// A core module's parts.
pub(super) struct Parts<'a> {
    pub(super) bytes: &'a [u8],
    /// Where each section's content lies, by the section's id; custom sections aside.
    pub(super) sections: BTreeMap<u8, Range<usize>>,
    /// The custom sections' names, and where each one's content lies.
    pub(super) customs: Vec<(&'a str, Range<usize>)>,
    /// The functions of WASI that it imports, in order, with their types.
    pub(super) imports: Vec<Import<'a>>,
    pub(super) exports: Vec<&'a str>,
    /// The function to be called once, before anything else.
    pub(super) initialize: Option<u32>,
    /// How many globals it has.
    pub(super) globals: u32,
}

/// A function of WASI.
pub(super) struct Import<'a> {
    pub(super) wasi: Wasi,
    pub(super) module: &'a str,
    pub(super) name: &'a str,
    pub(super) type_index: u32,
    pub(super) signature: FuncType,
}

/// WASI's two generations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wasi {
    /// Preview 1.
    One,
    /// 0.2, in the component model's terms.
    Two,
}

/// Takes a module apart.
///
/// # Errors
/// In words, where it is no core module, is damaged, or imports anything but WASI's functions.
pub(super) fn read(bytes: &[u8]) -> Result<Parts<'_>, String> {
    if Parser::is_component(bytes) {
        return Err("a component already; `softfuse scorer inspect` shows what it imports".to_owned());
    }
    if !Parser::is_core_wasm(bytes) {
        return Err("no WebAssembly: it doesn't begin as that does".to_owned());
    }
    Validator::new().validate_all(bytes).map_err(|error| format!("no valid WebAssembly: {error}"))?;
    taken_apart(bytes).map_err(|error| error.to_string())?
}

fn taken_apart(bytes: &[u8]) -> wasmparser::Result<Result<Parts<'_>, String>> {
    let mut parts = Parts {
        bytes,
        sections: BTreeMap::new(),
        customs: Vec::new(),
        imports: Vec::new(),
        exports: Vec::new(),
        initialize: None,
        globals: 0,
    };
    let mut types: Vec<FuncType> = Vec::new();
    let mut strange: Vec<String> = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload?;
        if let Some((id, range)) = payload.as_section()
            && id != SectionId::Custom as u8
        {
            parts.sections.insert(id, range);
        }
        match payload {
            Payload::Version { encoding: Encoding::Component, .. } => return Ok(Err("a component already".to_owned())),
            Payload::TypeSection(section) => {
                types = section.into_iter_err_on_gc_types().collect::<wasmparser::Result<_>>()?;
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    let wasi = match import.module {
                        WASI_ONE => Some(Wasi::One),
                        module => module.starts_with(WASI_TWO).then_some(Wasi::Two),
                    };
                    match (wasi, import.ty, import.module) {
                        (Some(wasi), TypeRef::Func(type_index), module) => {
                            // The validator has seen that it is there.
                            let signature = types[type_index as usize].clone();
                            parts.imports.push(Import { wasi, module, name: import.name, type_index, signature });
                        }
                        (_, _, module) => strange.push(format!("`{}` of `{module}`", import.name)),
                    }
                }
            }
            Payload::GlobalSection(section) => parts.globals = section.count(),
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    parts.exports.push(export.name);
                    if (export.name, export.kind) == (INITIALIZE, ExternalKind::Func) {
                        parts.initialize = Some(export.index);
                    }
                }
            }
            Payload::CustomSection(section) => {
                parts.customs.push((section.name(), section.range()));
            }
            _ => {}
        }
    }
    if !strange.is_empty() {
        return Ok(Err(format!("it imports {}: a scorer gets nothing from outside", strange.join(", "))));
    }
    Ok(Ok(parts))
}

impl Parts<'_> {
    /// A section's content as it lies in the file.
    pub(super) fn section(&self, id: SectionId) -> Option<&[u8]> {
        self.sections.get(&(id as u8)).map(|range| &self.bytes[range.clone()])
    }
}
