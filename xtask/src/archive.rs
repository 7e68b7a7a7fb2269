//! The archive's symbols: those that a program may define itself are made weak.
//!
//! Rust has no stable way to say so of a function. A static linker that finds a program's own `operator new` and the archive's
//! in one link would call it a clash, where libstdc++'s would step back.

use crate::{Failure, Result};
use object::read::archive::ArchiveFile;
use object::read::elf::{ElfFile, FileHeader, SectionHeader, Sym};
use object::{Endianness, elf, elf::FileHeader64};
use std::fs;
use std::mem::offset_of;
use std::path::Path;

/// Makes the global symbols of those names that the members of an archive define weak.
pub fn weaken(archive: &Path, is_weak: impl Fn(&str) -> bool) -> Result<()> {
    let failure = |error: &dyn std::fmt::Display| Failure::new(format_args!("{}: {error}", archive.display()));
    let mut data = fs::read(archive).map_err(|error| failure(&error))?;
    let places = bindings(&data, is_weak).map_err(|error| failure(&error))?;
    if places.is_empty() {
        return Ok(());
    }
    for place in places {
        data[place] = elf::STB_WEAK << 4 | data[place] & 0xf;
    }
    fs::write(archive, data).map_err(|error| failure(&error))
}

/// Where in the archive's bytes the binding and type of each such symbol stand.
fn bindings(data: &[u8], is_weak: impl Fn(&str) -> bool) -> object::Result<Vec<usize>> {
    let mut places = Vec::new();
    for member in ArchiveFile::parse(data)?.members() {
        let member = member?;
        let start = member.file_range().0 as usize;
        let object = member.data(data)?;
        if !object.starts_with(&elf::ELFMAG) {
            continue;
        }
        let file = ElfFile::<FileHeader64<Endianness>>::parse(object)?;
        let endian = file.endian();
        let table = file.elf_symbol_table();
        let header = file.elf_header().section_headers(endian, file.data())?;
        let Some(section) = header.iter().find(|section| section.sh_type(endian) == elf::SHT_SYMTAB) else {
            continue;
        };
        let first = start + section.sh_offset(endian) as usize;
        for (index, symbol) in table.iter().enumerate() {
            let name = symbol.name(endian, table.strings())?;
            let defined = !symbol.is_undefined(endian) && symbol.st_bind() == elf::STB_GLOBAL;
            if defined && std::str::from_utf8(name).is_ok_and(&is_weak) {
                let symbol = first + index * size_of::<elf::Sym64<Endianness>>();
                places.push(symbol + offset_of!(elf::Sym64<Endianness>, st_info));
            }
        }
    }
    Ok(places)
}
