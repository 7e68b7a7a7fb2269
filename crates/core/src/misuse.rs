//! What a bad `free` or `realloc` is told before the process ends.
//!
//! Everything here is reached from slow paths only: a pointer that finds its way there did so
//! because no heap of the caller's owns it. Text is put together on the stack and written with one
//! call; nothing allocates.

use crate::allocator::Allocator;
use crate::class::SLICE;
use crate::directory::Bit;
use crate::directory::WINDOW_SLICES;
use crate::options::Misuse;
use crate::os::Os;
use crate::span::{Kind, Span};

/// A line under construction.
struct Line {
    bytes: [u8; 256],
    len: usize,
}

impl Line {
    fn new() -> Self {
        Self { bytes: [0; 256], len: 0 }
    }

    fn text(mut self, text: &[u8]) -> Self {
        let room = &mut self.bytes[self.len..];
        let len = text.len().min(room.len());
        room[..len].copy_from_slice(&text[..len]);
        self.len += len;
        self
    }

    fn hex(self, value: usize) -> Self {
        let mut digits = *b"0x0000000000000000";
        let shown = (value.max(1).ilog2() / 4 + 1) as usize;
        for (index, digit) in digits[2..2 + shown].iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[value >> (4 * (shown - 1 - index)) & 15];
        }
        self.text(&digits[..2 + shown])
    }

    fn number(self, mut value: usize) -> Self {
        let mut digits = [0; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (value % 10) as u8;
            value /= 10;
            if value == 0 {
                break;
            }
        }
        self.text(&digits[at..])
    }
}

impl<O: Os> Allocator<O> {
    /// Reports a pointer that is no block in use: what `call` was given and what it is. Returns when
    /// the option `misuse` says so; the caller then ignores the call.
    #[cold]
    pub fn bad_pointer(&self, call: &[u8], address: usize) {
        let line = Line::new().text(b"stratalloc: ").text(call).text(b"(").hex(address).text(b"): ");
        // SAFETY: descriptors are readable for ever; what is read is for the message only.
        let line = unsafe { self.describe(line, address) };
        self.report(line.text(b"\n"));
    }

    unsafe fn describe(&self, line: Line, address: usize) -> Line {
        let span = self.directory.find(address);
        // SAFETY: as above.
        let Some(span) = (unsafe { span.as_ref() }) else { return line };
        match span.kind {
            Kind::Small if !address.is_multiple_of(16) || !span.is_block(address) => {
                let size = span.block_size();
                let offset = (address - span.start) % size;
                if (address - span.start) / size >= span.carved() as usize {
                    return line.text(b"never allocated");
                }
                line.text(b"interior pointer, ")
                    .number(offset)
                    .text(b" bytes into the block of ")
                    .number(size)
                    .text(b" bytes at ")
                    .hex(address - offset)
            }
            Kind::Small => line.text(b"already freed"),
            Kind::Large if address == span.start => line.text(b"already freed"),
            Kind::Large => self.interior_large(line, address, span),
            Kind::Free | Kind::Purging | Kind::Unused | Kind::Retired => {
                line.text(b"already freed (its memory went back to the page heap)")
            }
            Kind::Foreign => self.foreign(line, address),
        }
    }

    /// No span is entered for the address: a slice in the middle of a large block or of a free run,
    /// or memory of somebody else.
    fn foreign(&self, line: Line, address: usize) -> Line {
        let ours = address < crate::directory::ADDRESS_END
            && !self.directory.window(address).is_null()
            // SAFETY: the window is installed; the bit is read for the message only.
            && unsafe { self.directory.count(Bit::Ours, address & !(SLICE - 1), 1) } == 1;
        if !ours {
            return line.text(b"not a pointer of this allocator (stack, static or another allocator's memory)");
        }
        let mut slice = address & !(SLICE - 1);
        for _ in 0..WINDOW_SLICES {
            let span = self.directory.find(slice);
            // SAFETY: as in `describe`.
            if let Some(span) = unsafe { span.as_ref() }
                && span.kind != Kind::Foreign
            {
                if span.kind == Kind::Large && address < span.end() {
                    return self.interior_large(line, address, span);
                }
                break;
            }
            let Some(below) = slice.checked_sub(SLICE) else { break };
            slice = below;
        }
        line.text(b"already freed or never allocated")
    }

    fn interior_large(&self, line: Line, address: usize, span: &Span) -> Line {
        line.text(b"interior pointer, ")
            .number(address - span.start)
            .text(b" bytes into the block of ")
            .number(span.size)
            .text(b" bytes at ")
            .hex(span.start)
    }

    /// Reports a block freed twice.
    #[cold]
    pub(crate) fn double_free(&self, address: usize) {
        self.report(Line::new().text(b"stratalloc: free(").hex(address).text(b"): already freed\n"));
    }

    /// Reports that the allocator's own records disagree: the program wrote where it should not.
    #[cold]
    pub(crate) fn broken(&self, what: &[u8], address: usize) {
        self.report(
            Line::new().text(b"stratalloc: corrupted heap: ").text(what).text(b" at ").hex(address).text(b"\n"),
        );
    }

    fn report(&self, line: Line) {
        let misuse = self.config.misuse();
        if misuse != Misuse::Ignore {
            self.os.write_err(&line.bytes[..line.len]);
        }
        if misuse == Misuse::Abort {
            self.os.abort();
        }
    }
}
