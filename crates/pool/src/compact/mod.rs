//! Objects of many sizes behind handles: [`CompactHeap`].
//!
//! ```text
//! heap  resize  collect   what the program calls
//!  ├ steps    closing gaps, in steps under a budget
//!  └ space    segments, and how objects lie in them
//! ```

mod collect;
mod heap;
mod options;
mod resize;
mod space;
mod steps;

pub use heap::{CompactFigures, CompactHeap, Object, ObjectMut};
pub use options::CompactOptions;
pub use steps::{Budget, CompactStep};
