//! Pools of constructed objects: [`LocalPool`] for one thread, [`ObjectPool`] for many.
//!
//! ```text
//! LocalPool    ObjectPool ── wait      guards: Pooled
//!       │        │  (lock)
//!       └► store ◄┘      free objects (a stack of pointers) on blocks (fixed::blocks)
//! ```
//!
//! A pooled object stays where it was constructed; guards hold its address.

mod batch;
mod guard;
mod local;
mod manage;
mod shared;
pub(crate) mod stack;
pub(crate) mod store;
mod wait;

#[doc(hidden)]
pub use guard::Home;
pub use guard::Pooled;
pub use local::LocalPool;
pub use manage::{Boxed, Manage};
pub use shared::{ObjectPool, OwnedPooled};
pub use wait::Acquire;
