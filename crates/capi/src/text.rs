//! Text output for places where nothing may allocate: a small buffer on the stack and a sink.

use core::ffi::c_void;

const ROOM: usize = 512;

/// Where the text goes when the buffer is full or flushed.
#[derive(Clone, Copy)]
enum Sink {
    /// File descriptor 2, by write(2).
    Stderr,
    /// A stream of the C library.
    Stream(*mut libc::FILE),
}

/// A text under construction. What is not flushed is lost.
pub struct Text {
    sink: Sink,
    len: usize,
    ok: bool,
    room: [u8; ROOM],
}

impl Text {
    /// Text for stderr, unbuffered by the C library.
    pub fn to_stderr() -> Text {
        Text::to(Sink::Stderr)
    }

    /// Text for a stream.
    ///
    /// # Safety
    /// `stream` is open until the text's last use.
    pub unsafe fn to_stream(stream: *mut libc::FILE) -> Text {
        Text::to(Sink::Stream(stream))
    }

    fn to(sink: Sink) -> Text {
        Text { sink, len: 0, ok: true, room: [0; ROOM] }
    }

    /// Adds a string.
    pub fn str(&mut self, text: &str) -> &mut Text {
        for &byte in text.as_bytes() {
            self.byte(byte);
        }
        self
    }

    /// Adds a number in decimal.
    pub fn num(&mut self, number: u64) -> &mut Text {
        self.padded(number, 0)
    }

    /// Adds a number in decimal, right-aligned in at least `width` columns.
    pub fn padded(&mut self, number: u64, width: usize) -> &mut Text {
        // 20 digits hold any u64.
        let mut digits = [b'0'; 20];
        let mut left = number;
        let mut used = 0;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (left % 10) as u8;
            left /= 10;
            used += 1;
            if left == 0 {
                break;
            }
        }
        for _ in used..width {
            self.byte(b' ');
        }
        for &digit in digits.iter().skip(digits.len() - used) {
            self.byte(digit);
        }
        self
    }

    fn byte(&mut self, byte: u8) {
        if self.len == ROOM {
            self.flush();
        }
        if let Some(place) = self.room.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    /// Hands what was collected to the sink. False: some of the text so far was not written.
    pub fn flush(&mut self) -> bool {
        let mut rest = self.room.get(..self.len).unwrap_or(&[]);
        while !rest.is_empty() {
            let taken = self.sink.write(rest);
            if taken == 0 {
                self.ok = false;
                break;
            }
            rest = rest.get(taken..).unwrap_or(&[]);
        }
        self.len = 0;
        self.ok
    }
}

impl Sink {
    /// Writes a first part of `bytes` and returns its length; 0 on failure.
    fn write(self, bytes: &[u8]) -> usize {
        let start = bytes.as_ptr().cast::<c_void>();
        match self {
            Sink::Stderr => loop {
                // SAFETY: `start` is valid for reads of the given length.
                let taken = unsafe { libc::write(2, start, bytes.len()) };
                if taken >= 0 {
                    return taken as usize;
                }
                if crate::errno::get() != libc::EINTR {
                    return 0;
                }
            },
            // SAFETY: the stream is open (`to_stream`) and `start` valid for the given length.
            Sink::Stream(stream) => unsafe { libc::fwrite(start, 1, bytes.len(), stream) },
        }
    }
}
