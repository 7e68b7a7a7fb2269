//! `check`: is a built libstratalloc.so what it must be?
//!
//! * it exports the C family, operator new and delete and its own `strat_` functions, and nothing else;
//! * `strat_malloc` and its kin are the same code as `malloc` and its;
//! * functions that a program may have in the library's place are those in force, in the library too;
//! * it depends on the C library alone;
//! * it cannot be unloaded, is resolved at load time, has no writable code and no executable stack;
//! * it takes at most [`TLS_MAX`] bytes of static TLS, which programs have little of;
//! * a constructor runs when it is loaded.

use crate::{Failure, Result, build, exports};
use object::elf::{self, FileHeader64};
use object::read::elf::{Dyn, ElfFile, FileHeader, ProgramHeader, Sym};
use object::{Endianness, Object, ObjectSymbol, ObjectSymbolTable, RelocationTarget};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Most bytes of static TLS.
const TLS_MAX: u64 = 16;
/// How many superfluous exports are named.
const NAMED: usize = 20;

/// `cargo xtask check`
pub fn task(path: Option<PathBuf>) -> Result<()> {
    let path = match path {
        Some(path) => path,
        None => build::profile_folder("release")?.join(build::NAME),
    };
    library(&path, true)?;
    println!("{}: in order", path.display());
    Ok(())
}

/// Checks a library; the failure lists all that is wrong with it. `optimised`: functions with equal bodies are one.
pub fn library(path: &Path, optimised: bool) -> Result<()> {
    let failure = |error: &dyn std::fmt::Display| Failure::new(format_args!("{}: {error}", path.display()));
    let data = fs::read(path).map_err(|error| failure(&error))?;
    let facts = Facts::read(&data).map_err(|error| failure(&error))?;
    let faults = facts.faults(optimised);
    if faults.is_empty() {
        return Ok(());
    }
    Err(failure(&format_args!("not as it must be:\n  {}", faults.join("\n  "))))
}

/// A symbol with its address.
pub struct Symbol {
    /// Its name as in the file, not demangled.
    pub name: String,
    /// Its address in the file.
    pub address: u64,
}

/// All symbols of a library that have a place in it, the dynamic table's and the full one's.
pub fn symbols(path: &Path) -> Result<Vec<Symbol>> {
    let failure = |error: &dyn std::fmt::Display| Failure::new(format_args!("{}: {error}", path.display()));
    let data = fs::read(path).map_err(|error| failure(&error))?;
    let file = parse(&data).map_err(|error| failure(&error))?;
    let endian = file.endian();
    let mut all = Vec::new();
    for table in [file.elf_symbol_table(), file.elf_dynamic_symbol_table()] {
        for symbol in table.iter() {
            if symbol.is_undefined(endian) || symbol.st_value(endian) == 0 {
                continue;
            }
            let name = symbol.name(endian, table.strings()).map_err(|error| failure(&error))?;
            let name = String::from_utf8_lossy(name).into_owned();
            all.push(Symbol { name, address: symbol.st_value(endian) });
        }
    }
    Ok(all)
}

fn parse(data: &[u8]) -> object::Result<ElfFile<'_, FileHeader64<Endianness>>> {
    ElfFile::parse(data)
}

/// What the checks look at.
#[derive(Default)]
struct Facts {
    is_shared: bool,
    exports: BTreeMap<String, u64>,
    /// What the loader looks up, whoever has it.
    looked_up: BTreeSet<String>,
    needed: Vec<String>,
    soname: Option<String>,
    flags: u64,
    flags_1: u64,
    has_text_relocations: bool,
    has_constructor: bool,
    has_relro: bool,
    stack_is_executable: bool,
    segment_is_writable_code: bool,
    tls: u64,
}

impl Facts {
    fn read(data: &[u8]) -> object::Result<Facts> {
        let file = parse(data)?;
        let endian = file.endian();
        let mut facts = Facts { is_shared: file.elf_header().e_type(endian) == elf::ET_DYN, ..Facts::default() };
        let table = file.elf_dynamic_symbol_table();
        for symbol in table.iter() {
            let local = symbol.st_bind() == elf::STB_LOCAL;
            if !local && !symbol.is_undefined(endian) {
                let name = symbol.name(endian, table.strings())?;
                facts.exports.insert(String::from_utf8_lossy(name).into_owned(), symbol.st_value(endian));
            }
        }
        let symbols = file.dynamic_symbol_table();
        for (_, relocation) in file.dynamic_relocations().into_iter().flatten() {
            if let (RelocationTarget::Symbol(index), Some(symbols)) = (relocation.target(), &symbols) {
                facts.looked_up.insert(symbols.symbol_by_index(index)?.name()?.to_owned());
            }
        }
        for segment in file.elf_program_headers() {
            let flags = segment.p_flags(endian);
            match segment.p_type(endian) {
                elf::PT_TLS => facts.tls = segment.p_memsz(endian),
                elf::PT_GNU_RELRO => facts.has_relro = true,
                elf::PT_GNU_STACK => facts.stack_is_executable = flags & elf::PF_X != 0,
                elf::PT_LOAD => {
                    facts.segment_is_writable_code |= flags & elf::PF_X != 0 && flags & elf::PF_W != 0;
                }
                elf::PT_DYNAMIC => {
                    for entry in segment.dynamic(endian, data)?.unwrap_or(&[]) {
                        facts.take(entry, endian, table.strings())?;
                    }
                }
                _ => {}
            }
        }
        Ok(facts)
    }

    /// Takes what an entry of the dynamic section says.
    fn take(
        &mut self,
        entry: &elf::Dyn64<Endianness>,
        endian: Endianness,
        strings: object::StringTable<'_>,
    ) -> object::Result<()> {
        let value = entry.d_val(endian);
        let string = || -> object::Result<String> {
            let name = entry.string(endian, strings)?;
            Ok(String::from_utf8_lossy(name).into_owned())
        };
        match entry.tag32(endian) {
            Some(elf::DT_NEEDED) => self.needed.push(string()?),
            Some(elf::DT_SONAME) => self.soname = Some(string()?),
            Some(elf::DT_FLAGS) => self.flags = value,
            Some(elf::DT_FLAGS_1) => self.flags_1 = value,
            Some(elf::DT_TEXTREL) => self.has_text_relocations = true,
            Some(elf::DT_INIT_ARRAY) => self.has_constructor = true,
            _ => {}
        }
        Ok(())
    }

    /// What is wrong, in words.
    fn faults(&self, optimised: bool) -> Vec<String> {
        let mut faults = Vec::new();
        let mut must = |holds: bool, fault: String| {
            if !holds {
                faults.push(fault);
            }
        };
        must(self.is_shared, "it is no shared library".into());
        let wanted: BTreeSet<&str> = exports::all().collect();
        let there: BTreeSet<&str> = self.exports.keys().map(String::as_str).collect();
        for name in wanted.difference(&there) {
            must(false, format!("{name} is not exported"));
        }
        let more: Vec<&str> = there.difference(&wanted).copied().collect();
        for name in more.iter().take(NAMED) {
            must(false, format!("{name} is exported, and must not be"));
        }
        let rest = more.len().saturating_sub(NAMED);
        must(rest == 0, format!("{rest} more names are exported, and must not be"));
        for (own, family) in exports::SAME {
            let same = self.exports.get(*own) == self.exports.get(*family);
            must(!optimised || same, format!("{own} is not the same code as {family}"));
        }
        for name in exports::REPLACEABLE {
            let looked_up = self.looked_up.contains(*name);
            must(looked_up, format!("it calls its own {name}, whatever the program has"));
        }
        for name in &self.needed {
            let is_libc = name.starts_with("libc.so") || name.starts_with("libc.musl-");
            must(is_libc, format!("it depends on {name}, beside the C library"));
        }
        let soname = self.soname.as_deref().unwrap_or("missing");
        let wanted = build::soname();
        must(soname == wanted, format!("its soname is {soname}, not {wanted}"));
        let now = self.flags & u64::from(elf::DF_BIND_NOW) != 0 || self.flags_1 & u64::from(elf::DF_1_NOW) != 0;
        must(now, "it is not resolved at load time (-z now)".into());
        let nodelete = self.flags_1 & u64::from(elf::DF_1_NODELETE) != 0;
        must(nodelete, "it can be unloaded (-z nodelete)".into());
        must(self.has_relro, "it has no read-only relocations (-z relro)".into());
        let textrel = self.has_text_relocations || self.flags & u64::from(elf::DF_TEXTREL) != 0;
        must(!textrel, "its code has relocations".into());
        must(!self.stack_is_executable, "it asks for an executable stack".into());
        must(!self.segment_is_writable_code, "it has writable code".into());
        must(self.has_constructor, "it has no constructor".into());
        must(self.tls <= TLS_MAX, format!("it takes {} bytes of static TLS, {TLS_MAX} is the limit", self.tls));
        faults
    }
}
