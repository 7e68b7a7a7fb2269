//! The report's path: bytes stored in place, so that the configuration needs no allocation.

use super::text::Text;
use core::ffi::CStr;
use core::fmt;

/// Most bytes of a report's path, before `%p` is replaced.
pub const PATH_MAX: usize = 255;

/// A path of at most [`PATH_MAX`] bytes, NUL-terminated in place; empty for none.
///
/// ```
/// use stratalloc_core::options::ReportPath;
///
/// let path = ReportPath::new(b"/run/report.%p").unwrap();
/// let mut buffer = [0; 64];
/// assert_eq!(path.expand(1234, &mut buffer), Some(c"/run/report.1234"));
/// assert_eq!(path.as_bytes(), b"/run/report.%p");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ReportPath {
    // Zero from the end of the path on, so that equal paths are equal arrays.
    bytes: [u8; PATH_MAX + 1],
}

impl ReportPath {
    /// No path.
    pub const NONE: ReportPath = ReportPath { bytes: [0; PATH_MAX + 1] };

    /// A path; `None` if it is longer than [`PATH_MAX`] bytes or holds what a list of options
    /// cannot express: a comma, a NUL, spaces at its ends.
    pub const fn new(path: &[u8]) -> Option<ReportPath> {
        if path.len() > PATH_MAX || path.trim_ascii().len() != path.len() {
            return None;
        }
        let mut bytes = [0; PATH_MAX + 1];
        let mut i = 0;
        while i < path.len() {
            if path[i] == 0 || path[i] == b',' {
                return None;
            }
            bytes[i] = path[i];
            i += 1;
        }
        Some(ReportPath { bytes })
    }

    /// The path as it was given, without the NUL.
    pub fn as_bytes(&self) -> &[u8] {
        let len = self.bytes.iter().position(|&byte| byte == 0).unwrap_or(PATH_MAX);
        &self.bytes[..len]
    }

    /// True when there is no path.
    pub const fn is_empty(&self) -> bool {
        self.bytes[0] == 0
    }

    /// The path with each `%p` replaced by the process id, as a C string in `buffer`; `None` if
    /// `buffer` is too small.
    pub fn expand<'b>(&self, pid: u32, buffer: &'b mut [u8]) -> Option<&'b CStr> {
        let mut number = Text::new();
        number.push_number(u64::from(pid));
        let (mut rest, mut len) = (self.as_bytes(), 0);
        while let Some((&first, tail)) = rest.split_first() {
            let piece = match rest.strip_prefix(b"%p") {
                Some(after) => {
                    rest = after;
                    number.as_bytes()
                }
                None => {
                    rest = tail;
                    &[first]
                }
            };
            buffer.get_mut(len..len + piece.len())?.copy_from_slice(piece);
            len += piece.len();
        }
        *buffer.get_mut(len)? = 0;
        CStr::from_bytes_with_nul(&buffer[..=len]).ok()
    }

    pub(super) fn write_to(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        for chunk in self.as_bytes().utf8_chunks() {
            out.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                out.write_str("\u{fffd}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for ReportPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        self.write_to(f)?;
        f.write_str("\"")
    }
}
