//! What is written in blocks, so that a byte in the wrong place shows: a different byte for each block
//! and each 256 bytes of it.

const CHUNK: usize = 256;

fn byte(id: u64, chunk: usize) -> u8 {
    (id.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (chunk as u64).wrapping_mul(0xD6E8_FEB8_6659_FD93)).rotate_left(29)
        as u8
}

/// Fills `len` bytes at `start` with the pattern of `id`.
///
/// # Safety
/// The bytes are the caller's.
pub unsafe fn fill(start: *mut u8, len: usize, id: u64) {
    for (chunk, at) in (0..len).step_by(CHUNK).enumerate() {
        // SAFETY: inside the caller's bytes.
        unsafe { start.add(at).write_bytes(byte(id, chunk), CHUNK.min(len - at)) };
    }
}

/// Panics unless `len` bytes at `start` hold the pattern of `id`.
///
/// # Safety
/// The bytes are the caller's.
#[track_caller]
pub unsafe fn check(start: *const u8, len: usize, id: u64) {
    for (chunk, at) in (0..len).step_by(CHUNK).enumerate() {
        let want = [byte(id, chunk); CHUNK];
        // SAFETY: inside the caller's bytes.
        let found = unsafe { core::slice::from_raw_parts(start.add(at), CHUNK.min(len - at)) };
        assert!(
            found == &want[..found.len()],
            "block {start:p} of {len} bytes, pattern {id}: byte {at:#x}.. is {found:02x?}, not {:02x}",
            want[0]
        );
    }
}

/// Panics unless `len` bytes at `start` are zero.
///
/// # Safety
/// The bytes are the caller's.
#[track_caller]
pub unsafe fn check_zero(start: *const u8, len: usize) {
    const ZERO: [u8; 4096] = [0; 4096];
    for at in (0..len).step_by(ZERO.len()) {
        // SAFETY: inside the caller's bytes.
        let found = unsafe { core::slice::from_raw_parts(start.add(at), ZERO.len().min(len - at)) };
        assert!(found == &ZERO[..found.len()], "block {start:p}: not zero in {at:#x}..{:#x}", at + found.len());
    }
}
