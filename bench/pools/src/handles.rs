//! Tables that are looked into by handle. All check generations, except slab, whose keys are indices.

use std::hint::black_box;
use std::time::Duration;

use slab::Slab;
use slotmap::{DefaultKey, DenseSlotMap, SlotMap};
use stratalloc_pool::{Handle, HandlePool};

use crate::measure::{Outcome, repeat};
use crate::objects::{Object, Small};

/// Objects in the table.
const LIVE: usize = 10_000;

pub trait Table {
    type Key: Copy;

    fn new() -> Self;

    fn insert(&mut self, object: Small) -> Self::Key;

    fn get(&self, key: Self::Key) -> u64;

    /// The removed object's value.
    fn remove(&mut self, key: Self::Key) -> u64;
}

/// Tables that can be walked over.
pub trait Walk: Table {
    /// The sum of all values.
    fn walk(&self) -> u64;
}

impl Table for HandlePool<Small> {
    type Key = Handle<Small>;

    fn new() -> Self {
        HandlePool::new()
    }

    #[inline(always)]
    fn insert(&mut self, object: Small) -> Self::Key {
        match HandlePool::insert(self, object) {
            Ok(handle) => handle,
            Err(refused) => panic!("{refused}"),
        }
    }

    #[inline(always)]
    fn get(&self, key: Self::Key) -> u64 {
        HandlePool::get(self, key).expect("live").read()
    }

    #[inline(always)]
    fn remove(&mut self, key: Self::Key) -> u64 {
        HandlePool::remove(self, key).expect("live").read()
    }
}

impl Walk for HandlePool<Small> {
    #[inline(always)]
    fn walk(&self) -> u64 {
        self.iter().fold(0u64, |total, (_, object)| total.wrapping_add(object.read()))
    }
}

impl Table for Slab<Small> {
    type Key = usize;

    fn new() -> Self {
        Slab::new()
    }

    #[inline(always)]
    fn insert(&mut self, object: Small) -> usize {
        Slab::insert(self, object)
    }

    #[inline(always)]
    fn get(&self, key: usize) -> u64 {
        Slab::get(self, key).expect("live").read()
    }

    #[inline(always)]
    fn remove(&mut self, key: usize) -> u64 {
        Slab::try_remove(self, key).expect("live").read()
    }
}

impl Walk for Slab<Small> {
    #[inline(always)]
    fn walk(&self) -> u64 {
        self.iter().fold(0u64, |total, (_, object)| total.wrapping_add(object.read()))
    }
}

macro_rules! slotmap {
    ($map:ident) => {
        impl Table for $map<DefaultKey, Small> {
            type Key = DefaultKey;

            fn new() -> Self {
                $map::new()
            }

            #[inline(always)]
            fn insert(&mut self, object: Small) -> DefaultKey {
                $map::insert(self, object)
            }

            #[inline(always)]
            fn get(&self, key: DefaultKey) -> u64 {
                $map::get(self, key).expect("live").read()
            }

            #[inline(always)]
            fn remove(&mut self, key: DefaultKey) -> u64 {
                $map::remove(self, key).expect("live").read()
            }
        }

        impl Walk for $map<DefaultKey, Small> {
            #[inline(always)]
            fn walk(&self) -> u64 {
                self.iter().fold(0u64, |total, (_, object)| total.wrapping_add(object.read()))
            }
        }
    };
}

slotmap!(SlotMap);
slotmap!(DenseSlotMap);

impl Table for sharded_slab::Slab<Small> {
    type Key = usize;

    fn new() -> Self {
        sharded_slab::Slab::new()
    }

    #[inline(always)]
    fn insert(&mut self, object: Small) -> usize {
        sharded_slab::Slab::insert(self, object).expect("a place")
    }

    #[inline(always)]
    fn get(&self, key: usize) -> u64 {
        sharded_slab::Slab::get(self, key).expect("live").read()
    }

    #[inline(always)]
    fn remove(&mut self, key: usize) -> u64 {
        self.take(key).expect("live").read()
    }
}

/// xorshift64.
struct Random(u64);

impl Random {
    #[inline(always)]
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((u128::from(self.0) * most as u128) >> 64) as usize
    }
}

#[inline(always)]
fn small(value: u64) -> Small {
    let mut object = Small::make();
    object.touch(value);
    object
}

/// A table with the values 0 to [`LIVE`], and its keys with their values in random order.
fn filled<T: Table>(random: &mut Random) -> (T, Vec<(T::Key, u64)>) {
    let mut table = T::new();
    let mut keys: Vec<_> = (0..LIVE as u64).map(|value| (table.insert(small(value)), value)).collect();
    for index in (1..LIVE).rev() {
        keys.swap(index, random.below(index + 1));
    }
    (table, keys)
}

pub fn get<T: Table>(time: Duration) -> Outcome {
    let (table, keys) = filled::<T>(&mut Random(1));
    repeat(time, LIVE as u64, |first| {
        let table = black_box(&table);
        // The table holds the values from 0 on, the caller wants those from `first` on.
        let found = keys.iter().fold(0u64, |total, &(key, _)| total.wrapping_add(table.get(key)));
        found.wrapping_add(first.wrapping_mul(LIVE as u64))
    })
}

pub fn churn<T: Table>(time: Duration) -> Outcome {
    let mut random = Random(1);
    let (mut table, mut keys) = filled::<T>(&mut random);
    let outcome = repeat(time, 1, |value| {
        let (key, was) = &mut keys[random.below(LIVE)];
        let right = table.remove(*key) == *was;
        (*key, *was) = (table.insert(small(value)), value);
        if right { value } else { !0 }
    });
    assert!(keys.iter().all(|&(key, value)| table.get(key) == value), "an object is lost");
    outcome
}

pub fn walk<T: Walk>(time: Duration) -> Outcome {
    let (table, _) = filled::<T>(&mut Random(1));
    repeat(time, LIVE as u64, |first| black_box(&table).walk().wrapping_add(first.wrapping_mul(LIVE as u64)))
}
