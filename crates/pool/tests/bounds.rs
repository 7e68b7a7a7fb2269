//! Who may go to, and be used from, other threads: `Sync` if and only if `T: Send`. What must not compile stands in the
//! documentation of each pool, as `compile_fail` examples.
#![cfg(not(any(loom, shuttle)))]

use std::cell::Cell;
use std::rc::Rc;
use stratalloc_pool::{
    Acquire, Boxed, FixedPool, Global, LocalPool, LockFreePool, ObjectPool, Pooled, TieredPool, Tiers,
};

fn send<S: Send>() {}
fn sync<S: Sync>() {}

/// `Send`, not `Sync`: what a mutex may guard, a pool may hold.
type Object = Cell<u32>;

#[test]
fn shared_pools_of_objects_that_are_send_are_sync() {
    send::<ObjectPool<Object>>();
    sync::<ObjectPool<Object>>();
    send::<TieredPool<Object>>();
    sync::<TieredPool<Object>>();
    send::<LockFreePool<Object>>();
    sync::<LockFreePool<Object>>();
}

#[test]
fn pools_for_one_thread_may_move_to_another() {
    send::<LocalPool<Object>>();
    send::<FixedPool>();
}

#[test]
fn guards_go_where_their_objects_may() {
    send::<Pooled<&ObjectPool<Object>>>();
    send::<Pooled<&LockFreePool<Object>>>();
    send::<Pooled<&Tiers<Object>>>();
    sync::<Pooled<&ObjectPool<u32>>>();
    sync::<Pooled<&LockFreePool<u32>>>();
    sync::<Pooled<&Tiers<u32>>>();
    send::<Acquire<'_, Object, Boxed<Object>, Global>>();
}

/// Whether a type is `Sync`, as a value: an inherent constant is found before a trait's.
macro_rules! is {
    ($trait:ident, $type:ty) => {{
        #[allow(dead_code, reason = "of the two constants one is found")]
        trait Otherwise {
            const HOLDS: bool = false;
        }
        impl<T: ?Sized> Otherwise for T {}
        struct Ask<T: ?Sized>(std::marker::PhantomData<T>);
        #[allow(dead_code, reason = "of the two constants one is found")]
        impl<T: ?Sized + $trait> Ask<T> {
            const HOLDS: bool = true;
        }
        <Ask<$type>>::HOLDS
    }};
}

#[test]
fn everything_else_is_refused() {
    type Bound = Rc<u32>;
    assert!(is!(Sync, ObjectPool<Object>), "the question itself works");
    assert!(!is!(Sync, ObjectPool<Bound>) && !is!(Send, ObjectPool<Bound>));
    assert!(!is!(Sync, TieredPool<Bound>) && !is!(Send, TieredPool<Bound>));
    assert!(!is!(Sync, LockFreePool<Bound>) && !is!(Send, LockFreePool<Bound>));
    assert!(!is!(Send, LocalPool<Bound>) && !is!(Sync, LocalPool<u32>));
    assert!(!is!(Sync, FixedPool));
    // A guard gives out `&T`: shared guards need `T: Sync`.
    assert!(!is!(Sync, Pooled<&'static ObjectPool<Object>>) && !is!(Sync, Pooled<&'static Tiers<Object>>));
    assert!(!is!(Sync, Pooled<&'static LockFreePool<Object>>) && !is!(Send, Pooled<&'static LocalPool<u32>>));
}
