//! Handlers around `fork`, which Windows does not have.

/// False: there is nothing to register with, and no fork to survive.
pub fn register(
    _prepare: unsafe extern "C" fn(),
    _parent: unsafe extern "C" fn(),
    _child: unsafe extern "C" fn(),
) -> bool {
    false
}
