//! The `Allocator` trait of `allocator-api2`, versions 0.2 and 0.4, for `Stratalloc` and `Heap`; and
//! what others build on it.

use stratalloc::{Heap, Stratalloc, snapshot};

#[global_allocator]
static GLOBAL: Stratalloc = Stratalloc;

/// The same tests for each version of the trait.
macro_rules! versions {
    ($($module:ident: $api:ident),*) => {$(
        mod $module {
            use super::{GLOBAL, Heap};
            use $api::alloc::{Allocator, Layout};
            use $api::boxed::Box;
            use $api::vec::Vec;
            use std::ptr::NonNull;
            use stratalloc::Stratalloc;

            fn vectors_grow_and_shrink<A: Allocator + Copy>(allocator: A) {
                let mut vectors: std::vec::Vec<Vec<usize, A>> = (0..20).map(|_| Vec::new_in(allocator)).collect();
                for n in 0..20_000 {
                    vectors[n % 20].push(n);
                }
                for (which, vector) in vectors.iter_mut().enumerate() {
                    vector.truncate(100);
                    vector.shrink_to_fit();
                    assert!(vector.iter().enumerate().all(|(at, &n)| n == at * 20 + which));
                }
                let mut long: Vec<u8, A> = Vec::with_capacity_in(3 << 20, allocator);
                long.resize(3 << 20, 7);
                long.reserve_exact(3 << 20);
                assert!(long.iter().step_by(4096).all(|&byte| byte == 7));
            }

            fn boxes_hold<A: Allocator + Copy>(allocator: A) {
                let boxes: std::vec::Vec<Box<[u64; 20], A>> =
                    (0..1000).map(|n| Box::new_in([n; 20], allocator)).collect();
                assert!(boxes.iter().enumerate().all(|(n, held)| held.iter().all(|&m| m == n as u64)));
                let empty: Box<(), A> = Box::new_in((), allocator);
                drop(empty);
            }

            /// Every method of the trait, the alignment changed in between.
            fn blocks_are_resized<A: Allocator + Copy>(allocator: A) {
                let at = |size, align| Layout::from_size_align(size, align).expect("a valid layout");
                let bytes = |block: NonNull<[u8]>| {
                    // SAFETY: a block in use, whose bytes were written or zeroed.
                    unsafe { std::slice::from_raw_parts(block.cast::<u8>().as_ptr(), block.len()) }
                };
                // SAFETY: each block is used and freed with its layout, once.
                unsafe {
                    let block = allocator.allocate_zeroed(at(100, 8)).expect("memory");
                    assert!(block.len() >= 100 && bytes(block).iter().all(|&byte| byte == 0));
                    block.cast::<u8>().write_bytes(0x11, 100);
                    let block = allocator.grow(block.cast(), at(100, 8), at(5000, 8)).expect("memory");
                    assert!(bytes(block)[..100].iter().all(|&byte| byte == 0x11));
                    let block = allocator.grow(block.cast(), at(5000, 8), at(6000, 4096)).expect("memory");
                    assert_eq!(block.cast::<u8>().as_ptr().addr() % 4096, 0);
                    assert!(bytes(block)[..100].iter().all(|&byte| byte == 0x11));
                    let block = allocator.grow_zeroed(block.cast(), at(6000, 4096), at(100_000, 4096)).expect("memory");
                    assert!(bytes(block)[6000..100_000].iter().all(|&byte| byte == 0));
                    let block = allocator.shrink(block.cast(), at(100_000, 4096), at(50, 1 << 16)).expect("memory");
                    assert_eq!(block.cast::<u8>().as_ptr().addr() % (1 << 16), 0);
                    assert!(bytes(block)[..50].iter().all(|&byte| byte == 0x11));
                    let empty = allocator.shrink(block.cast(), at(50, 1 << 16), at(0, 1)).expect("memory");
                    let block = allocator.grow(empty.cast(), at(0, 1), at(10, 1)).expect("memory");
                    allocator.deallocate(block.cast(), at(10, 1));
                }
                assert!(allocator.allocate(at(isize::MAX as usize, 1)).is_err());
                assert!(allocator.allocate(at(1, 1 << 62)).is_err());
                // An empty layout needs no memory, whatever its alignment.
                let empty = allocator.allocate(at(0, 1 << 62)).expect("no memory needed");
                assert_eq!(empty.cast::<u8>().as_ptr().addr() % (1 << 62), 0);
            }

            #[test]
            fn of_the_global_allocator() {
                vectors_grow_and_shrink(GLOBAL);
                boxes_hold(Stratalloc);
                blocks_are_resized(GLOBAL);
            }

            #[test]
            fn of_a_heap() {
                let heap = Heap::new().expect("memory");
                vectors_grow_and_shrink(&heap);
                boxes_hold(&heap);
                blocks_are_resized(&heap);
            }

            #[test]
            fn what_is_forgotten_in_a_heap_goes_with_it() {
                for _ in 0..100 {
                    let heap = Heap::new().expect("memory");
                    let mut vector: Vec<u64, &Heap> = Vec::new_in(&heap);
                    vector.extend(0..50_000);
                    std::mem::forget(vector);
                }
                // 100 times 400 kB were forgotten; other tests hold a few MB at most.
                let active = super::snapshot().active;
                assert!(active < 30 << 20, "{active} bytes active");
            }

            #[test]
            fn vectors_in_a_heap_move_to_other_threads() {
                let heap = Heap::new().expect("memory");
                std::thread::scope(|scope| {
                    for n in 0..4u32 {
                        let mut vector: Vec<u32, &Heap> = Vec::new_in(&heap);
                        vector.push(n);
                        scope.spawn(move || {
                            vector.extend(1..10_000);
                            assert_eq!((vector[0], vector[9_999]), (n, 9_999));
                        });
                    }
                });
            }
        }
    )*};
}

versions!(version_02: allocator_api2_02, version_04: allocator_api2_04);

#[test]
fn hashbrown_maps_live_in_a_heap_and_in_the_global_allocator() {
    let heap = Heap::new().expect("memory");
    let mut in_heap = hashbrown::HashMap::<u32, String, _, &Heap>::new_in(&heap);
    let mut in_global = hashbrown::HashMap::<u32, String, _, Stratalloc>::new_in(Stratalloc);
    for n in 0..30_000 {
        in_heap.insert(n, n.to_string());
        in_global.insert(n, n.to_string());
    }
    for n in (0..30_000).step_by(3) {
        assert_eq!(in_heap.remove(&n), in_global.remove(&n));
    }
    in_heap.shrink_to_fit();
    assert_eq!((in_heap.len(), in_global.len()), (20_000, 20_000));
    assert!(in_heap.iter().all(|(n, text)| *text == n.to_string() && in_global.get(n) == Some(text)));
}

#[test]
fn bumpalo_takes_its_chunks_from_the_global_allocator_and_gives_them_back() {
    let before = snapshot().large_allocs;
    for _ in 0..3 {
        let mut bump = bumpalo::Bump::new();
        for round in 0..3u32 {
            let mut vector: allocator_api2_02::vec::Vec<u32, &bumpalo::Bump> =
                allocator_api2_02::vec::Vec::new_in(&bump);
            vector.extend(0..200_000);
            let text = bump.alloc_str("a text in a chunk");
            assert_eq!((vector[199_999], &*text), (199_999, "a text in a chunk"), "round {round}");
            drop(vector);
            bump.reset();
        }
    }
    assert!(snapshot().large_allocs > before);
}
