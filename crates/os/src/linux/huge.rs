//! Huge pages: what the kernel says of them, and mappings in reserved ones.

use super::{PLACEMENT, loader_base, sys};
use crate::placement::Pages;
use core::ffi::CStr;
use core::ptr::NonNull;
use stratalloc_core::os::{HugeSystem, Reserve, Transparent};

/// Bytes of a reserved page of 1 GiB.
const GIANT: usize = 1 << 30;

/// The calls that a placement of reserved pages of `0` bytes makes.
struct Reserved(usize);

impl Pages for Reserved {
    fn map_at(&self, hint: usize, len: usize) -> Option<usize> {
        let flags = libc::MAP_HUGETLB | (self.0.trailing_zeros() as libc::c_int) << sys::MAP_HUGE_SHIFT;
        // Without MAP_NORESERVE the kernel promises the pages to this mapping, or refuses.
        // SAFETY: not MAP_FIXED: only free addresses are taken.
        unsafe { sys::mmap(hint, len, flags) }.ok()
    }

    unsafe fn unmap(&self, start: usize, len: usize) -> bool {
        // SAFETY: the caller's promise.
        unsafe { sys::munmap(start, len) }.is_ok()
    }
}

/// Maps reserved huge pages of `page` bytes and takes them at once: a control group's limit or a policy about nodes
/// stands in the way of the fault only, which would end the process.
pub(super) fn map_reserved(len: usize, align: usize, page: usize) -> Option<NonNull<u8>> {
    let memory = PLACEMENT.map(&Reserved(page), len, align, page, loader_base)?;
    let start = memory.as_ptr().expose_provenance();
    // SAFETY: our fresh mapping; populating it changes no contents.
    match unsafe { sys::madvise(start, len, sys::MADV_POPULATE_WRITE) } {
        // EINVAL: a kernel before 5.14, where the promise must do.
        Ok(_) | Err(libc::EINVAL) => Some(memory),
        Err(_) => {
            // SAFETY: mapped above and known to nobody else.
            unsafe { Reserved(page).unmap(start, len) };
            None
        }
    }
}

/// Reads what the kernel says, from seven small files.
pub(super) fn system() -> HugeSystem {
    let mut buffer = [0u8; 128];
    let mut transparent = Transparent::Absent;
    if let Some(text) = read(c"/sys/kernel/mm/transparent_hugepage/enabled", &mut buffer) {
        transparent = match chosen(text) {
            b"always" => Transparent::Always,
            b"madvise" => Transparent::Madvise,
            b"never" => Transparent::Never,
            _ => Transparent::Absent,
        };
    }
    let mut defrag = "";
    if let Some(text) = read(c"/sys/kernel/mm/transparent_hugepage/defrag", &mut buffer) {
        let words = ["always", "defer", "defer+madvise", "madvise", "never"];
        defrag = words.into_iter().find(|word| word.as_bytes() == chosen(text)).unwrap_or("");
    }
    let bytes = number(c"/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", &mut buffer);
    let [two_mib, one_gib] = [
        [
            c"/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages",
            c"/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages",
        ],
        [
            c"/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages",
            c"/sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages",
        ],
    ]
    .map(|[total, free]| Reserve { total: number(total, &mut buffer), free: number(free, &mut buffer) });
    // SAFETY: touches no memory.
    let forbidden = unsafe { sys::call6(libc::SYS_prctl, [sys::PR_GET_THP_DISABLE as usize, 0, 0, 0, 0, 0]) };
    HugeSystem { transparent, defrag, bytes, forbidden: forbidden == Ok(1), two_mib, one_gib }
}

fn read<'b>(path: &CStr, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    let file = sys::open(path, libc::O_RDONLY).ok()?;
    let len = sys::read(file, buffer);
    sys::close(file);
    Some(&buffer[..len.ok()?])
}

/// The word in brackets: the choice in force.
fn chosen(text: &[u8]) -> &[u8] {
    let Some(start) = text.iter().position(|&byte| byte == b'[') else { return b"" };
    let rest = &text[start + 1..];
    &rest[..rest.iter().position(|&byte| byte == b']').unwrap_or(0)]
}

/// The number in a file; 0 if it cannot be read.
fn number(path: &CStr, buffer: &mut [u8]) -> usize {
    let text = read(path, buffer).unwrap_or_default().trim_ascii();
    core::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// True for sizes that the kernel may have reserved pages of.
pub(super) fn is_reservable(page: usize) -> bool {
    page == 2 << 20 || page == GIANT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_is_the_word_in_brackets() {
        assert_eq!(chosen(b"always [madvise] never\n"), b"madvise");
        assert_eq!(chosen(b"always defer [defer+madvise] madvise never\n"), b"defer+madvise");
        assert_eq!(chosen(b"always never\n"), b"");
        assert_eq!(chosen(b"[alw"), b"");
    }

    #[test]
    fn the_system_s_answers_agree_with_its_files() {
        let system = system();
        let text = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
        let words = [
            ("[always]", Transparent::Always),
            ("[madvise]", Transparent::Madvise),
            ("[never]", Transparent::Never),
        ];
        let expected = words.iter().find(|(word, _)| text.contains(word)).map_or(Transparent::Absent, |row| row.1);
        assert_eq!(system.transparent, expected);
        assert!(system.bytes == 0 || system.bytes.is_power_of_two());
        assert!(system.two_mib.free <= system.two_mib.total && system.one_gib.free <= system.one_gib.total);
    }

    #[test]
    fn more_reserved_pages_than_there_are_cannot_be_mapped() {
        let pages = system().two_mib.total
            + number(c"/sys/kernel/mm/hugepages/hugepages-2048kB/nr_overcommit_hugepages", &mut [0; 64])
            + 1;
        assert!(map_reserved(pages << 21, 2 << 20, 2 << 20).is_none());
    }
}
