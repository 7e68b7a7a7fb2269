//! Text without allocation and without `core::fmt`: a fixed buffer, and numbers both ways.

/// Up to [`Text::CAPACITY`] bytes of printable ASCII and line ends; what does not fit is cut off.
///
/// ```
/// use stratalloc_core::options::Options;
///
/// let problem = Options::default().set(b"sohw", b"1").unwrap_err();
/// let line = problem.line();
/// assert_eq!(line.as_bytes(), line.as_str().as_bytes());
/// assert!(line.as_str().contains("did you mean 'show'?"));
/// ```
#[derive(Clone, Copy)]
pub struct Text {
    bytes: [u8; Text::CAPACITY],
    len: usize,
}

/// The longest piece of foreign text that is quoted in full.
const QUOTE_MAX: usize = 64;

impl Text {
    /// Bytes of room: enough for every line about a [`Problem`](super::Problem).
    pub const CAPACITY: usize = 512;

    pub(super) const fn new() -> Text {
        Text { bytes: [0; Text::CAPACITY], len: 0 }
    }

    /// The text, to be written to a file descriptor.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        // Only ASCII is ever pushed.
        core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    pub(super) fn push(&mut self, piece: &[u8]) {
        let room = &mut self.bytes[self.len..];
        let len = piece.len().min(room.len());
        room[..len].copy_from_slice(&piece[..len]);
        self.len += len;
    }

    /// Pushes text from outside: what is not printable ASCII as `\xNN`, no more than 64 bytes.
    pub(super) fn push_quoted(&mut self, piece: &[u8]) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        for &byte in &piece[..piece.len().min(QUOTE_MAX)] {
            match byte {
                b' '..=b'~' => self.push(&[byte]),
                _ => self.push(&[b'\\', b'x', HEX[(byte >> 4) as usize], HEX[(byte & 15) as usize]]),
            }
        }
        if piece.len() > QUOTE_MAX {
            self.push(b"...");
        }
    }

    pub(super) fn push_number(&mut self, mut number: u64) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.push(&digits[at..]);
    }

    /// Pushes bytes with the largest suffix that loses nothing.
    pub(super) fn push_size(&mut self, bytes: u64) {
        let step = if bytes == 0 { 0 } else { (bytes.trailing_zeros() / 10).min(4) };
        self.push_number(bytes >> (10 * step));
        self.push(&b"KMGT"[..step as usize][step.saturating_sub(1) as usize..]);
    }
}

/// A whole number in decimal digits; `u64::MAX` for one that is larger.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let mut number = 0u64;
    for &byte in text {
        if !byte.is_ascii_digit() {
            return None;
        }
        number = number.saturating_mul(10).saturating_add(u64::from(byte - b'0'));
    }
    Some(number)
}

/// Bytes: digits, then nothing, `B`, or one of `K`, `M`, `G`, `T` alone or followed by `iB`.
/// `u64::MAX` for more than that.
pub(super) fn size(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number_text, suffix) = text.split_at(digits);
    let shift = match suffix {
        [] | [b'B' | b'b'] => 0,
        [letter, rest @ ..] if rest.is_empty() || rest.eq_ignore_ascii_case(b"ib") => match letter {
            b'K' | b'k' => 10,
            b'M' | b'm' => 20,
            b'G' | b'g' => 30,
            b'T' | b't' => 40,
            _ => return None,
        },
        _ => return None,
    };
    Some(number(number_text)?.saturating_mul(1 << shift))
}
