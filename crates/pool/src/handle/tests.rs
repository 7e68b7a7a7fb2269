//! The inside of the pool: invariants, and what a program cannot wait for.

use super::HandlePool;
use crate::{Growth, Options};
use std::vec::Vec;

#[test]
fn a_slot_that_had_its_last_generation_is_never_used_again() {
    let mut pool = HandlePool::new();
    let old = pool.insert(1).unwrap();
    pool.remove(old).unwrap();
    pool.slots.age(old.index, u32::MAX - 1);
    let last = pool.insert(2).unwrap();
    assert_eq!((last.index, last.generation.get()), (old.index, u32::MAX));
    assert_eq!(pool.remove(last), Ok(2));
    let next = pool.insert(3).unwrap();
    assert_ne!(next.index, old.index);
    assert!(!pool.contains(old) && !pool.contains(last) && pool[next] == 3);
    pool.check();
}

#[test]
fn an_object_that_comes_home_is_found_and_its_old_slot_is_not() {
    let (mut home, mut abroad) = (HandlePool::new(), HandlePool::new());
    let traveller = home.insert(1).unwrap();
    home.migrate(traveller, &mut abroad).unwrap();
    // Its old slot has another object meanwhile.
    let local = home.insert(2).unwrap();
    assert_eq!(local.index, traveller.index);
    abroad.migrate(traveller, &mut home).unwrap();
    assert_eq!((home[traveller], home[local]), (1, 2));
    home.check();
    home.compact();
    home.check();
    assert_eq!((home.remove(traveller), home.remove(local)), (Ok(1), Ok(2)));
    assert!(abroad.is_empty() && home.is_empty());
}

#[test]
fn adopted_handles_are_found_among_many() {
    let mut pools: Vec<_> = (0..5).map(|_| HandlePool::new()).collect();
    let mut target = HandlePool::new();
    let mut handles = Vec::new();
    for (round, pool) in pools.iter_mut().enumerate() {
        for number in 0..300 {
            handles.push((pool.insert(round * 1000 + number).unwrap(), round * 1000 + number));
        }
        pool.migrate_to(&mut target).unwrap();
    }
    for (at, &(handle, number)) in handles.iter().enumerate() {
        assert_eq!(target[handle], number);
        if at % 3 == 0 {
            target.remove(handle).unwrap();
        }
    }
    target.compact();
    target.check();
    for (at, &(handle, number)) in handles.iter().enumerate() {
        assert_eq!(target.get(handle).ok().copied(), (at % 3 != 0).then_some(number));
    }
}

#[test]
fn places_go_from_own_to_adopted_objects_and_back() {
    let (mut here, mut there) = (HandlePool::new(), HandlePool::new());
    let own: Vec<_> = (0..10).map(|number| here.insert(number).unwrap()).collect();
    let foreign: Vec<_> = (10..20).map(|number| there.insert(number).unwrap()).collect();
    let bytes = here.stats().bytes;
    // Places of own objects, then without their slots.
    own.iter().for_each(|&handle| _ = here.remove(handle).unwrap());
    here.check();
    foreign.iter().for_each(|&handle| there.migrate(handle, &mut here).unwrap());
    here.check();
    there.check();
    // Places of adopted objects, to which slots come again.
    foreign[..5].iter().for_each(|&handle| _ = here.remove(handle).unwrap());
    here.check();
    let more: Vec<_> = (20..25).map(|number| here.insert(number).unwrap()).collect();
    here.check();
    assert_eq!((here.len(), here.stats().peak), (10, 10));
    assert_eq!(here.stats().bytes, bytes + here.adopted.bytes());
    let mut all: Vec<_> = here.iter().map(|(handle, number)| (handle, *number)).collect();
    all.sort_by_key(|&(_, number)| number);
    assert_eq!(all, foreign[5..].iter().chain(&more).copied().zip(15..25).collect::<Vec<_>>());
    assert!(own.iter().chain(&foreign[..5]).all(|&handle| !here.contains(handle)));
    here.clear();
    here.check();
    assert_eq!((here.insert(1).map(|handle| here[handle]), here.stats().peak), (Ok(1), 10));
    here.check();
}

#[test]
fn slots_and_positions_go_by_one_number_until_an_object_moves() {
    let mut pool = HandlePool::new();
    let handles: Vec<_> = (0..1000u64).map(|number| pool.insert(number).unwrap()).collect();
    for &handle in handles.iter().step_by(3) {
        pool.remove(handle).unwrap();
    }
    let more: Vec<_> = (1000..1100u64).map(|number| pool.insert(number).unwrap()).collect();
    assert_eq!(pool.straight, pool.number);
    pool.check();
    let right = |pool: &HandlePool<u64>| {
        for (number, &handle) in handles.iter().enumerate() {
            assert_eq!(pool.get(handle).ok().copied(), (number % 3 != 0).then_some(number as u64));
        }
        more.iter().zip(1000..).for_each(|(&handle, number)| assert_eq!(pool[handle], number));
    };
    right(&pool);
    assert!(pool.compact().moved > 0);
    assert_eq!(pool.straight, 0);
    pool.check();
    right(&pool);
    let last: Vec<_> = (0..500u64).map(|number| pool.insert(number).unwrap()).collect();
    pool.check();
    right(&pool);
    assert!(last.iter().zip(0..).all(|(&handle, number)| pool.remove(handle) == Ok(number)));
    pool.clear();
    pool.check();
    assert!(handles.iter().chain(&more).chain(&last).all(|&handle| !pool.contains(handle)));
}

#[test]
fn clearing_keeps_slots_with_their_positions() {
    let mut pool = HandlePool::new();
    let mut old = Vec::new();
    for _ in 0..3 {
        old.extend((0..100).map(|number| pool.insert(number).unwrap()));
        pool.remove(old[old.len() - 50]).unwrap();
        pool.clear();
        assert!(pool.is_empty() && old.iter().all(|&handle| !pool.contains(handle)));
        assert_eq!((pool.straight, pool.stats().peak, pool.chunks.end()), (pool.number, 100, 100));
        pool.check();
    }
}

#[test]
fn where_positions_are_not_of_the_usual_size_slots_say_where_objects_are() {
    let padded = Options::new().padded();
    let (steps, few) = (Options::new().growth(Growth::Fixed(4)), Options::new().limit(8));
    for (options, straight) in [(padded, false), (steps, false), (few, true), (Options::new(), true)] {
        let mut pool = HandlePool::with_options(options).unwrap();
        assert_eq!(pool.straight != 0, straight, "{options:?}");
        let handles: Vec<_> = (0..8u64).map(|number| pool.insert(number).unwrap()).collect();
        pool.check();
        assert!(handles.iter().zip(0..).all(|(&handle, number)| pool[handle] == number));
        assert_eq!((pool.remove(handles[3]), pool.contains(handles[3])), (Ok(3), false));
        pool.check();
    }
}
