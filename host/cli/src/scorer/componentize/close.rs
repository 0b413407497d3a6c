//! Puts a module together anew, with answers of its own in place of its imports.
//!
//! A module's functions are numbered, its imports first. All of them are replaced, each by a function of the same type at the same
//! place, so every number in the module stays what it was, and its sections are copied as they are.

use wasm_encoder::{
    ConstExpr, Encode, ExportKind, ExportSection, GlobalSection, GlobalType, Module, RawSection, SectionId,
    StartSection, ValType,
};
use wasmparser::{BinaryReader, ExportSectionReader};

use super::parts::{INITIALIZE, Parts};
use super::stub;

/// The sections of a module, in the order that its format wants.
const ORDER: [SectionId; 13] = [
    SectionId::Type,
    SectionId::Import,
    SectionId::Function,
    SectionId::Table,
    SectionId::Memory,
    SectionId::Tag,
    SectionId::Global,
    SectionId::Export,
    SectionId::Start,
    SectionId::Element,
    SectionId::DataCount,
    SectionId::Code,
    SectionId::Data,
];

/// Custom sections that only debuggers read: most of some files.
const DEBUG: &str = ".debug";

/// The module without imports. What it wants to be called first is called when it is started.
///
/// # Errors
/// In words, where a section can't be read, or the module begins in two ways.
pub(super) fn closed(parts: &Parts<'_>) -> Result<Vec<u8>, String> {
    if parts.initialize.is_some() && parts.section(SectionId::Start).is_some() {
        return Err(format!("it has a start function and exports `{INITIALIZE}` as well: one of them is wanted"));
    }
    rebuilt(parts).map_err(|error| format!("it can't be put together anew: {error}"))
}

fn rebuilt(parts: &Parts<'_>) -> wasmparser::Result<Vec<u8>> {
    let clock = parts.globals;
    let mut types = Vec::new();
    let mut bodies = Vec::new();
    for import in &parts.imports {
        import.type_index.encode(&mut types);
        stub::body(import, clock).encode(&mut bodies);
    }
    let added = parts.imports.len() as u32;
    let mut module = Module::new();
    for id in ORDER {
        let found = parts.section(id);
        let changed = match id {
            SectionId::Import => continue,
            SectionId::Function => Some(with_more(found, added, &types, &[])?),
            SectionId::Code => Some(with_more(found, added, &bodies, &[])?),
            SectionId::Global => Some(with_more(found, 1, &[], &clock_global())?),
            SectionId::Export => {
                module.section(&exports(parts)?);
                continue;
            }
            SectionId::Start => {
                if let Some(function_index) = parts.initialize {
                    module.section(&StartSection { function_index });
                    continue;
                }
                None
            }
            _ => None,
        };
        if let Some(data) = changed.as_deref().or(found) {
            module.section(&RawSection { id: id as u8, data });
        }
    }
    for (name, range) in &parts.customs {
        if !name.starts_with(DEBUG) {
            module.section(&RawSection { id: SectionId::Custom as u8, data: &parts.bytes[range.clone()] });
        }
    }
    Ok(module.finish())
}

/// A section that is a vector, with more entries before and behind its own.
fn with_more(section: Option<&[u8]>, added: u32, before: &[u8], behind: &[u8]) -> wasmparser::Result<Vec<u8>> {
    let (count, own) = match section {
        Some(section) => {
            let mut reader = BinaryReader::new(section, 0);
            let count = reader.read_var_u32()?;
            (count, &section[reader.current_position()..])
        }
        None => (0, &[][..]),
    };
    let mut made = Vec::with_capacity(section.map_or(0, <[u8]>::len) + before.len() + behind.len() + 5);
    count.saturating_add(added).encode(&mut made);
    made.extend_from_slice(before);
    made.extend_from_slice(own);
    made.extend_from_slice(behind);
    Ok(made)
}

/// What the clock says, in nanoseconds: a number that grows at each reading.
fn clock_global() -> Vec<u8> {
    let mut section = GlobalSection::new();
    let ty = GlobalType { val_type: ValType::I64, mutable: true, shared: false };
    section.global(ty, &ConstExpr::i64_const(stub::CLOCK_BEGINS_NANOS));
    let mut bytes = Vec::new();
    section.encode(&mut bytes);
    // The section's length and the number of its globals take a byte each.
    bytes.split_off(2)
}

/// Its exports, less what it wants to be called first.
fn exports(parts: &Parts<'_>) -> wasmparser::Result<ExportSection> {
    let mut section = ExportSection::new();
    if let Some(bytes) = parts.section(SectionId::Export) {
        for export in ExportSectionReader::new(BinaryReader::new(bytes, 0))? {
            let export = export?;
            if export.name != INITIALIZE {
                section.export(export.name, ExportKind::from(export.kind), export.index);
            }
        }
    }
    Ok(section)
}
