//! The standard collections under churn, each against a simpler one that holds the same.

mod common;

use common::Random;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::rc::{Rc, Weak};
use std::thread;
use stratalloc::Stratalloc;

#[global_allocator]
static GLOBAL: Stratalloc = Stratalloc;

#[test]
fn maps_agree_with_a_sorted_vector() {
    let mut random = Random::new("maps", 21);
    let mut hash: HashMap<u64, String> = HashMap::new();
    let mut tree: BTreeMap<u64, String> = BTreeMap::new();
    let mut model: Vec<(u64, String)> = Vec::new();
    for step in 0..60_000 {
        let key = random.next() % 800;
        let place = model.binary_search_by_key(&key, |(key, _)| *key);
        if random.below(3) > 0 {
            let value = "v".repeat(random.size(9));
            let (old_hash, old_tree) = (hash.insert(key, value.clone()), tree.insert(key, value.clone()));
            let old = match place {
                Ok(at) => Some(std::mem::replace(&mut model[at].1, value)),
                Err(at) => {
                    model.insert(at, (key, value));
                    None
                }
            };
            assert_eq!((&old_hash, &old_tree), (&old, &old));
        } else {
            let old = place.ok().map(|at| model.remove(at).1);
            assert_eq!((&hash.remove(&key), &tree.remove(&key)), (&old, &old));
        }
        if step % 10_000 == 9999 {
            assert!(tree.iter().eq(model.iter().map(|(key, value)| (key, value))));
            assert_eq!(hash.len(), model.len());
            hash.shrink_to_fit();
            model.shrink_to_fit();
        }
    }
}

#[test]
fn queues_agree_with_a_vector() {
    let mut random = Random::new("queues", 22);
    let mut ring: VecDeque<Box<u64>> = VecDeque::new();
    let mut list: LinkedList<Box<u64>> = LinkedList::new();
    let mut model: Vec<u64> = Vec::new();
    for _ in 0..60_000 {
        let value = random.next();
        match random.below(if model.len() > 300 { 6 } else { 4 }) {
            0 | 1 => {
                ring.push_back(Box::new(value));
                list.push_back(Box::new(value));
                model.push(value);
            }
            2 => {
                ring.push_front(Box::new(value));
                list.push_front(Box::new(value));
                model.insert(0, value);
            }
            3 | 4 => {
                let expected = (!model.is_empty()).then(|| model.remove(0));
                assert_eq!(ring.pop_front().map(|value| *value), expected);
                assert_eq!(list.pop_front().map(|value| *value), expected);
            }
            _ => {
                let expected = model.pop();
                assert_eq!(ring.pop_back().map(|value| *value), expected);
                assert_eq!(list.pop_back().map(|value| *value), expected);
            }
        }
    }
    assert!(ring.iter().map(|value| **value).eq(model.iter().copied()));
    assert!(list.iter().map(|value| **value).eq(model.iter().copied()));
}

#[test]
fn a_binary_heap_sorts() {
    let mut random = Random::new("binary heap", 23);
    let mut heap = BinaryHeap::new();
    let mut model = Vec::new();
    for _ in 0..20_000 {
        let text = format!("{:016x}", random.next());
        heap.push(text.clone());
        model.push(text);
    }
    model.sort();
    assert_eq!(heap.into_sorted_vec(), model);
}

#[test]
fn sets_of_strings_agree() {
    let mut random = Random::new("sets", 24);
    let mut hash: HashSet<Vec<u8>> = HashSet::new();
    let mut tree: BTreeSet<Vec<u8>> = BTreeSet::new();
    for _ in 0..40_000 {
        let key: Vec<u8> = (random.below(2000) as u32).to_le_bytes().repeat(1 + random.below(40));
        if random.below(2) == 0 {
            assert_eq!(hash.insert(key.clone()), tree.insert(key));
        } else {
            assert_eq!(hash.remove(&key), tree.remove(&key));
        }
    }
    assert!(tree.iter().all(|key| hash.contains(key)) && tree.len() == hash.len());
}

#[test]
fn a_string_grows_shrinks_and_is_edited_like_a_vector_of_characters() {
    let mut random = Random::new("string", 25);
    let (mut text, mut model) = (String::new(), Vec::new());
    for step in 0..20_000 {
        let at = random.below(model.len() + 1);
        match random.below(5) {
            0..=2 => {
                let letter = (b'a' + random.below(26) as u8) as char;
                text.insert(at, letter);
                model.insert(at, letter);
            }
            3 if at < model.len() => assert_eq!(text.remove(at), model.remove(at)),
            _ if step % 100 == 0 => {
                text.truncate(at);
                model.truncate(at);
                text.shrink_to_fit();
            }
            _ => {}
        }
    }
    assert!(text.chars().eq(model));
}

/// A tree whose nodes know their parents.
struct Node {
    name: String,
    parent: Weak<Node>,
    children: std::cell::RefCell<Vec<Rc<Node>>>,
}

#[test]
fn a_tree_of_counted_references_is_freed_with_its_root() {
    let root = Rc::new(Node { name: "root".into(), parent: Weak::new(), children: Default::default() });
    let mut level = vec![root.clone()];
    let mut watched = Vec::new();
    for depth in 0..8 {
        let mut next = Vec::new();
        for node in &level {
            for n in 0..3 {
                let child = Rc::new(Node {
                    name: format!("{}.{n}", node.name),
                    parent: Rc::downgrade(node),
                    children: Default::default(),
                });
                node.children.borrow_mut().push(child.clone());
                next.push(child);
            }
        }
        watched.push(Rc::downgrade(&next[depth]));
        level = next;
    }
    for leaf in &level {
        let parent = leaf.parent.upgrade().expect("a live parent");
        assert!(leaf.name.starts_with(&parent.name));
        assert!(parent.children.borrow().iter().any(|child| Rc::ptr_eq(child, leaf)));
    }
    drop(level);
    assert!(watched.iter().all(|node| node.upgrade().is_some()));
    drop(root);
    assert!(watched.iter().all(|node| node.upgrade().is_none()));
}

#[test]
fn closures_and_trait_objects_of_many_sizes_run_and_are_freed() {
    let mut tasks: Vec<Box<dyn Fn() -> usize + Send>> = Vec::new();
    for n in 0..3000 {
        let text = "x".repeat(n % 500);
        tasks.push(Box::new(move || text.len()));
        let block = [n; 40];
        tasks.push(Box::new(move || block.iter().sum()));
    }
    let total: usize = tasks.iter().map(|task| task()).sum();
    let expected: usize = (0..3000).map(|n| n % 500 + n * 40).sum();
    assert_eq!(total, expected);
    thread::spawn(move || drop(tasks)).join().expect("no panic");
}

#[test]
fn vectors_of_many_lengths_grow_together() {
    let mut random = Random::new("vectors", 26);
    let mut vectors: Vec<Vec<usize>> = vec![Vec::new(); 200];
    let mut lengths = vec![0; 200];
    for _ in 0..200_000 {
        let which = random.below(200);
        // Small numbers are chosen more often: lengths from a few to thousands.
        let which = which * which / 200;
        if lengths[which] > 5000 {
            vectors[which] = Vec::new();
            lengths[which] = 0;
        }
        vectors[which].push(which ^ lengths[which]);
        lengths[which] += 1;
    }
    for (which, vector) in vectors.iter().enumerate() {
        assert_eq!(vector.len(), lengths[which]);
        assert!(vector.iter().enumerate().all(|(at, &value)| value == which ^ at));
    }
}
