//! The few facts of an ELF file that decide whether a library can be preloaded into a program.

use object::Endianness;
use object::elf::{ET_DYN, FileHeader32, FileHeader64, PT_INTERP};
use object::read::elf::{FileHeader, ProgramHeader};
use object::read::{FileKind, ReadCache};
use std::fmt;
use std::fs::File;

/// What the processor must be able to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    machine: u16,
    is_64: bool,
    is_little: bool,
}

/// The facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elf {
    /// For which machine it is.
    pub machine: Machine,
    /// It names a dynamic loader: the one that reads `LD_PRELOAD`.
    pub has_interpreter: bool,
    /// It can be mapped anywhere: a shared library or a position-independent executable.
    pub is_shared: bool,
}

/// Reads the headers; `None` if `file` is not a sound ELF file.
pub fn read(file: File) -> Option<Elf> {
    let cache = ReadCache::new(file);
    match FileKind::parse(&cache).ok()? {
        FileKind::Elf32 => facts::<FileHeader32<Endianness>>(&cache),
        FileKind::Elf64 => facts::<FileHeader64<Endianness>>(&cache),
        _ => None,
    }
}

fn facts<H: FileHeader<Endian = Endianness>>(cache: &ReadCache<File>) -> Option<Elf> {
    let header = H::parse(cache).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, cache).ok()?;
    Some(Elf {
        machine: Machine {
            machine: header.e_machine(endian),
            is_64: header.is_class_64(),
            is_little: header.is_little_endian(),
        },
        has_interpreter: segments.iter().any(|segment| segment.p_type(endian) == PT_INTERP),
        is_shared: header.e_type(endian) == ET_DYN,
    })
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = if self.is_64 { 64 } else { 32 };
        match (self.machine, self.is_64) {
            (object::elf::EM_386, _) => write!(f, "32-bit x86"),
            (object::elf::EM_X86_64, true) => write!(f, "x86-64"),
            (object::elf::EM_X86_64, false) => write!(f, "x32 (x86-64 with 32-bit pointers)"),
            (object::elf::EM_ARM, _) => write!(f, "32-bit ARM"),
            (object::elf::EM_AARCH64, _) => write!(f, "64-bit ARM"),
            (object::elf::EM_RISCV, _) => write!(f, "{bits}-bit RISC-V"),
            (object::elf::EM_PPC64, _) => write!(f, "64-bit PowerPC"),
            (object::elf::EM_S390, _) => write!(f, "{bits}-bit s390"),
            (object::elf::EM_LOONGARCH, _) => write!(f, "{bits}-bit LoongArch"),
            (machine, _) => write!(f, "{bits}-bit machine {machine}"),
        }?;
        if self.is_little { Ok(()) } else { write!(f, ", big-endian") }
    }
}
