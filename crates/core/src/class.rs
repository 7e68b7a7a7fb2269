//! Size classes: one shared function `class(size, align)`, computed tables, const proofs.
//!
//! Blocks up to [`SMALL_MAX`] come in [`CLASSES`] sizes: steps of 16 B up to [`TINY`], eight steps a doubling up to
//! [`FINE`], five above. A block is less than an eighth larger than what was asked for from [`TINY`] on, less than a
//! fifth from [`FINE`] on. Programs hold few blocks of more than [`FINE`], of many sizes: fewer classes are fewer spans
//! of which a few blocks are in use. Of the steps above it the first is as short as below, since a power of two and a
//! header is what many programs ask for (docs/measurements.md, "How far apart are the classes?").
//!
//! Every block is aligned to 16 B (glibc's and the System V ABI's promise for any block of 16 B or more; asked of all
//! blocks by tests in the field). An alignment above 16 B takes the first class whose size is a multiple of
//! it: spans start at slice boundaries, so block `i` at `i * size` is then aligned.
//!
//! Allocation and free share this one function, which makes sized frees sound as long as `realloc`
//! moves a block whenever its class changes.

/// Smallest block and smallest alignment, bytes.
pub const MIN_BLOCK: usize = 16;
/// Largest block of a size class, bytes; above it, blocks are large.
pub const SMALL_MAX: usize = 32 * 1024;
/// Largest alignment of a size class, bytes: no more than where spans begin. A block at more is large.
const ALIGN_MAX: usize = if SLICE < SMALL_MAX { SLICE } else { SMALL_MAX };
/// Bytes up to which classes lie [`MIN_BLOCK`] apart.
pub const TINY: usize = 8 * MIN_BLOCK;
/// Bytes up to which a doubling has eight classes; above, it has five.
pub const FINE: usize = 1024;
/// Where the classes of a doubling lie between one power of two and the next, in eighths.
const FINE_STEPS: [usize; 8] = [1, 2, 3, 4, 5, 6, 7, 8];
const COARSE_STEPS: [usize; 5] = [1, 2, 4, 6, 8];
/// Classes of blocks to [`TINY`].
const TINY_CLASSES: usize = TINY / MIN_BLOCK;
/// Classes of blocks to [`FINE`].
pub const FINE_CLASSES: usize = TINY_CLASSES + FINE_STEPS.len() * (FINE / TINY).ilog2() as usize;
/// Number of size classes.
pub const CLASSES: usize = FINE_CLASSES + COARSE_STEPS.len() * (SMALL_MAX / FINE).ilog2() as usize;
/// Bytes of a slice, the unit of the page heap; spans start at multiples of it. A slice is no shorter than a
/// page of the system may be: 64 KiB where kernels are built with pages of that size.
pub const SLICE: usize = if cfg!(any(target_arch = "x86_64", target_arch = "x86", target_vendor = "apple")) {
    16 * 1024
} else {
    64 * 1024
};
/// `log2(SLICE)`.
pub const SLICE_SHIFT: u32 = SLICE.trailing_zeros();

/// Entries of [`TABLE`].
pub const TABLE_LEN: usize = SMALL_MAX / MIN_BLOCK + 1;
/// Class of each request up to [`SMALL_MAX`], by [`index`]. One table and one path for all small sizes
/// beat two with a branch between them; the entries in use are few cache lines.
pub static TABLE: [u8; TABLE_LEN] = table();
static SIZES: [u16; CLASSES] = sizes();
static SLICES: [u8; CLASSES] = slices();
/// Of each class the first one at or above it whose size is a power of two.
static POWERS: [u8; CLASSES] = powers();
/// Of each size the inverse modulo 2^64 of its odd factor, and the exponent of the other, a power of two. The inverse
/// times a multiple of the size, rotated by the exponent, is the quotient; of any other number the same is above all
/// quotients (Warren, "Hacker's Delight", exact division).
static INVERSES: [u64; CLASSES] = inverses();
static EXPONENTS: [u8; CLASSES] = exponents();
/// Above all indices of blocks, below what an offset between two blocks gives: that is above 2^64 / [`SMALL_MAX`].
const NO_INDEX: u64 = 1 << 32;
/// Longest span of a heap that has some of a class, bytes.
const GROWN: usize = 64 * 1024;
/// Spans of one class and length that a heap takes before they are twice as long, of blocks to [`FINE`] and above. A heap
/// has few blocks of most of the larger classes: longer spans of theirs would be used in part (docs/measurements.md,
/// "How soon do spans grow?").
const FINE_STEP: usize = 3;
const COARSE_STEP: usize = 6;
/// Largest block whose spans grow, bytes: a free one above it is pages that nothing else can use, and of a heap that
/// frees here and there nearly every span has one (docs/measurements.md, "What do free pages inside of spans cost?").
const GROWING: usize = 12 * 1024;
/// Spans of a class from which on each block of whole slices has one to itself. Fewer hold two: that halves the trips to
/// the page heap, and what they waste is bounded.
const ALONE: usize = 32;
/// Spans of a class of which a heap has so many that it will use the next to its end.
const MANY: usize = 4;
/// Spans of a class, 7 MiB, with which a heap has much of it; twice as many are very much. Their spans are two and four
/// times as long: what a free reads besides its block, an entry of the directory and a descriptor, is in fewer cache
/// lines. Not of blocks above [`FINE`], whose spans become empty now and then; longer ones would not.
const MUCH: usize = 112;

/// Index into [`TABLE`] of a request of at most [`SMALL_MAX`] bytes.
#[inline(always)]
pub const fn index(size: usize) -> usize {
    size.div_ceil(MIN_BLOCK)
}

/// Class of a request of `size` bytes at 16-byte alignment; `None` above [`SMALL_MAX`].
#[inline(always)]
pub fn class_of(size: usize) -> Option<usize> {
    if size <= SMALL_MAX { Some(TABLE[index(size)] as usize) } else { None }
}

/// Class of a request of `size` bytes at `align` (a power of two); `None` when it is large.
///
/// The one function that allocation, sized free and `realloc` share.
#[inline(always)]
pub fn class(size: usize, align: usize) -> Option<usize> {
    if align <= MIN_BLOCK { class_of(size) } else { class_aligned(size, align) }
}

#[inline]
fn class_aligned(size: usize, align: usize) -> Option<usize> {
    if align > ALIGN_MAX || size > SMALL_MAX {
        return None;
    }
    // Rounding up to the alignment leaves at most a few classes to try: the power of two that ends
    // the doubling fits every alignment up to itself.
    let mut class = class_of((size.max(1) + align - 1) & !(align - 1))?;
    while class < CLASSES {
        if size_of_class(class) & (align - 1) == 0 {
            return Some(class);
        }
        class += 1;
    }
    None
}

/// Bytes of a block of `class`.
#[inline(always)]
pub fn size_of_class(class: usize) -> usize {
    // Sizes are stored in units of 16 B so that 32 KiB fits.
    (SIZES[class] as usize) << 4
}

/// Which block of a span of `class` begins at byte `offset` of the span, or `None`: between two.
/// A multiplication instead of a division; exact for every block of a number below 2^32 and every offset between two.
#[inline(always)]
pub fn block_at(class: usize, offset: usize) -> Option<usize> {
    let quotient = quotient(class, offset);
    (quotient < NO_INDEX).then_some(quotient as usize)
}

/// True when one of the first `blocks` blocks of a span of `class` begins at byte `offset` of the span.
#[inline(always)]
pub fn is_block_below(class: usize, offset: usize, blocks: u32) -> bool {
    quotient(class, offset) < u64::from(blocks)
}

/// Which block begins at the offset; at least [`NO_INDEX`]: none does.
#[inline(always)]
fn quotient(class: usize, offset: usize) -> u64 {
    (offset as u64).wrapping_mul(INVERSES[class]).rotate_right(u32::from(EXPONENTS[class]))
}

/// The class that stands in for `class` while a heap has little of it: the next power of two, at least
/// 32 B. Every alignment that `class` serves, it serves too.
#[inline]
pub fn coarse_class(class: usize) -> usize {
    match class {
        0..2 => 1,
        _ => POWERS[class] as usize,
    }
}

/// Slices of a span of `class` for a heap that has `spans` of that class already: a heap with little of a
/// class touches little memory for it, one with much takes long spans: up to 64 KiB, and 256 KiB of small blocks. Of
/// blocks above 12 KiB they stay short.
#[inline]
pub fn slices_of_class(class: usize, spans: usize) -> usize {
    let first = SLICES[class] as usize;
    let size = size_of_class(class);
    if size > GROWING {
        return if spans >= ALONE && size.is_multiple_of(SLICE) { size / SLICE } else { first };
    }
    let fine = size <= FINE;
    let doublings = (spans / if fine { FINE_STEP } else { COARSE_STEP }).min(2);
    let mut slices = first << doublings;
    while slices > first && slices * SLICE > GROWN {
        slices /= 2;
    }
    if fine { slices << (spans / MUCH).min(2) } else { slices }
}

/// True for a heap that has so many spans of a class that the next will be used to its end.
#[inline]
pub fn has_many(spans: usize) -> bool {
    spans >= MANY
}

pub(crate) const fn size_const(class: usize) -> usize {
    if class < TINY_CLASSES {
        (class + 1) * MIN_BLOCK
    } else if class < FINE_CLASSES {
        size_between(TINY, &FINE_STEPS, class - TINY_CLASSES)
    } else {
        size_between(FINE, &COARSE_STEPS, class - FINE_CLASSES)
    }
}

/// The size of the `index`-th class above `base`, with the same `steps` in each doubling.
const fn size_between(base: usize, steps: &[usize], index: usize) -> usize {
    let base = base << (index / steps.len());
    base + base / 8 * steps[index % steps.len()]
}

const fn sizes() -> [u16; CLASSES] {
    let mut table = [0; CLASSES];
    let mut class = 0;
    while class < CLASSES {
        table[class] = (size_const(class) >> 4) as u16;
        class += 1;
    }
    table
}

const fn table() -> [u8; TABLE_LEN] {
    let mut table = [0; TABLE_LEN];
    let (mut i, mut class) = (0, 0);
    while i < TABLE_LEN {
        while size_const(class) < i * MIN_BLOCK {
            class += 1;
        }
        table[i] = class as u8;
        i += 1;
    }
    table
}

/// The fewest slices that hold at least two blocks and waste at most 1/16 at the end.
const fn slices() -> [u8; CLASSES] {
    let mut table = [0; CLASSES];
    let mut class = 0;
    while class < CLASSES {
        let size = size_const(class);
        let mut slices = 1;
        while slices * SLICE / size < 2 || (slices * SLICE % size) * 16 > slices * SLICE {
            slices += 1;
        }
        table[class] = slices as u8;
        class += 1;
    }
    table
}

const fn powers() -> [u8; CLASSES] {
    let mut table = [0; CLASSES];
    let mut class = CLASSES;
    let mut power = CLASSES - 1;
    while class > 0 {
        class -= 1;
        if size_const(class).is_power_of_two() {
            power = class;
        }
        table[class] = power as u8;
    }
    table
}

const fn inverses() -> [u64; CLASSES] {
    let mut table = [0; CLASSES];
    let mut class = 0;
    while class < CLASSES {
        let size = size_const(class) as u64;
        let odd = size >> size.trailing_zeros();
        // Newton's iteration: right in 3 bits, then in twice as many each time.
        let mut inverse = odd;
        let mut step = 0;
        while step < 5 {
            inverse = inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)));
            step += 1;
        }
        table[class] = inverse;
        class += 1;
    }
    table
}

const fn exponents() -> [u8; CLASSES] {
    let mut table = [0; CLASSES];
    let mut class = 0;
    while class < CLASSES {
        table[class] = size_const(class).trailing_zeros() as u8;
        class += 1;
    }
    table
}

// Proofs, at compile time.
const _: () = {
    assert!(size_const(0) == MIN_BLOCK);
    assert!(size_const(CLASSES - 1) == SMALL_MAX);
    assert!(u64::MAX / SMALL_MAX as u64 >= NO_INDEX);
    let table = table();
    let slices = slices();
    let mut class = 0;
    while class < CLASSES {
        let size = size_const(class);
        assert!(size.is_multiple_of(16));
        if class > 0 {
            let below = size_const(class - 1);
            assert!(below < size);
            // Internal waste: a request one byte above the class below.
            let (part, least) = if size <= FINE { (8, TINY) } else { (5, 0) };
            assert!(size <= least || (size - (below + 1)) * part <= below);
        }
        assert!(slices[class] >= 1 && slices[class] <= 16);
        assert!(slices[class] as usize * SLICE / size < 1 << 15);
        // The longest span: its blocks are counted in 16 bits.
        let longest = if size <= FINE { 4 * GROWN } else { GROWN };
        assert!(longest / size < 1 << 15);
        class += 1;
    }
    assert!(size_const(1) == 32 && size_const(FINE_CLASSES - 1) == FINE && FINE.is_power_of_two());
    // What `class_aligned` and `coarse_class` count on: above every class there is one that is a power of two.
    assert!(SMALL_MAX.is_power_of_two());
    // The table gives the smallest class that fits; class sizes are multiples of its step, so the
    // entries stand for every request.
    let mut i = 0;
    while i < TABLE_LEN {
        let class = table[i] as usize;
        assert!(size_const(class) >= i * MIN_BLOCK);
        assert!(class == 0 || size_const(class - 1) < i * MIN_BLOCK);
        i += 1;
    }
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_small_request_gets_the_smallest_class_that_fits_its_size_and_alignment() {
        for align_shift in 0..=15 {
            let align = 1usize << align_shift;
            for size in 0..=SMALL_MAX {
                let expected = (0..CLASSES).find(|&class| {
                    align <= SLICE && size_of_class(class) >= size && size_of_class(class).is_multiple_of(align)
                });
                assert_eq!(class(size, align), expected, "size {size} align {align}");
            }
        }
    }

    #[test]
    fn blocks_begin_at_multiples_of_their_size_only() {
        for class in 0..CLASSES {
            let size = size_of_class(class);
            for offset in (0..slices_of_class(class, usize::MAX) * SLICE).step_by(8) {
                let expected = offset.is_multiple_of(size).then_some(offset / size);
                assert_eq!(block_at(class, offset), expected, "class {class} offset {offset}");
            }
            // What a link that was written over may lead to.
            for far in [1usize << 35, 1 << 47, usize::MAX / size * size, usize::MAX] {
                for offset in (0..2 * size).map(|near| far - near) {
                    let expected =
                        (offset.is_multiple_of(size) && offset / size < 1 << 32).then_some(offset / size);
                    assert_eq!(block_at(class, offset), expected, "class {class} offset {offset}");
                    assert!(!is_block_below(class, offset, 1 << 15), "class {class} offset {offset}");
                }
            }
        }
    }

    #[test]
    fn layouts_beyond_the_classes_are_large() {
        assert_eq!(class(SMALL_MAX + 1, 1), None);
        assert_eq!(class(1, 1 << 62), None);
        assert_eq!(class(0, 1 << 63), None);
        assert_eq!(class(usize::MAX, 16), None);
    }
}
