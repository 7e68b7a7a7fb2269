//! Just enough of Redis' protocol (RESP 2) for the load of the workload `redis`.

use std::io::{self, BufRead};

use crate::random::fold;

/// Appends a command to a batch.
pub fn command(batch: &mut Vec<u8>, words: &[&[u8]]) {
    batch.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        batch.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        batch.extend_from_slice(word);
        batch.extend_from_slice(b"\r\n");
    }
}

/// Reads one reply, whose hash follows `sum`; `line` is scratch. A reply that says "error" is one here.
pub fn reply(server: &mut impl BufRead, line: &mut Vec<u8>, sum: u64) -> io::Result<u64> {
    line.clear();
    server.read_until(b'\n', line)?;
    let text = line.strip_suffix(b"\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let (&kind, text) = text.split_first().ok_or_else(|| bad("an empty reply"))?;
    let number = || std::str::from_utf8(text).ok()?.parse::<i64>().ok();
    let sum = text.iter().fold(fold(sum, u64::from(kind)), |sum, &byte| sum.wrapping_mul(31) + u64::from(byte));
    match kind {
        b'+' | b':' => Ok(sum),
        b'-' => Err(io::Error::other(format!("the server says: {}", String::from_utf8_lossy(text)))),
        b'$' => match number().ok_or_else(|| bad("a length that is no number"))? {
            ..0 => Ok(sum),
            length => {
                line.resize(length as usize + 2, 0);
                server.read_exact(line)?;
                let content =
                    line.chunks(8).map(|part| part.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)));
                Ok(content.fold(sum, fold))
            }
        },
        b'*' => {
            let items = number().ok_or_else(|| bad("a number of items that is none"))?;
            (0..items).try_fold(sum, |sum, _| reply(server, line, sum))
        }
        other => Err(bad(&format!("a reply of kind {:?}", char::from(other)))),
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_counted_words() {
        let mut batch = Vec::new();
        command(&mut batch, &[b"GET", b"key"]);
        assert_eq!(batch, b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n");
    }

    #[test]
    fn replies_are_read_to_their_end() {
        let mut input = &b"+OK\r\n:12\r\n$-1\r\n$3\r\na\r\n\r\n*2\r\n$1\r\nx\r\n*1\r\n:1\r\n-ERR no\r\n"[..];
        let mut line = Vec::new();
        let sums: Vec<u64> = (0..5).map(|_| reply(&mut input, &mut line, 7).unwrap()).collect();
        assert!(sums.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(reply(&mut input, &mut line, 0).unwrap_err().to_string().contains("ERR no"));
        assert!(reply(&mut input, &mut line, 0).is_err(), "nothing is left");
    }
}
