//! Objects behind handles: [`HandlePool`].
//!
//! ```text
//! pool  moves  iter  collect   what the program calls
//!  ├ places     how slots and positions come together
//!  ├ chunks     objects at positions, and who they belong to
//!  ├ slots      where the objects of own handles are
//!  ├ adopted    where those of handles from other pools are
//!  ├ trace      what reaches what
//!  └ id         handles
//! ```

mod adopted;
mod chunks;
mod collect;
pub(crate) mod id;
mod iter;
mod moves;
mod places;
mod pool;
pub(crate) mod slots;
#[cfg(test)]
mod tests;
pub(crate) mod trace;

pub use id::{Handle, HandleError, MoveError};
pub use iter::{HandleIter, HandleIterMut};
pub use moves::Compacted;
pub use pool::{HandlePool, Refused};
pub use trace::{Trace, Tracer};
