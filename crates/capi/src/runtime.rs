//! The C++ runtime of the process, found when it is needed: libstdc++ or libc++, or none.
//!
//! The library must not depend on a C++ runtime, since it serves C programs too, yet on failure
//! operator new has to call into whichever one the program uses. A function is looked for in this
//! order:
//!
//! 1. A weak reference. The loader (or the linker of a static executable) fills it if a runtime is
//!    there from the start: the ordinary case, and the only one that needs no call.
//! 2. dlsym in the global scope: a runtime that came later, with `RTLD_GLOBAL`.
//! 3. The known runtimes by name, if loaded: one that came later as the dependency of a plugin
//!    (`RTLD_LOCAL`). Nothing is loaded that is not there already.
//!
//! dlopen is found by dlsym, since the mere mention of it in a static executable makes the linker warn.
//! When they fail they may call malloc, which may fail in turn: both sides cope.

use crate::weak::{self, Weak};
use core::ffi::{CStr, c_int, c_void};
use core::{mem, ptr};

/// A function of the C++ runtime.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// `std::get_new_handler()`; one name in libstdc++ and in libc++.
    GetNewHandler,
    /// `std::__throw_bad_alloc()`; libc++ keeps it outside its version namespace, too.
    ThrowBadAlloc,
    /// `__gxx_personality_v0`: reads C++'s unwind tables.
    Personality,
    /// `__cxa_begin_catch`.
    BeginCatch,
    /// `__cxa_end_catch`.
    EndCatch,
}

/// Who made an exception, as its first eight bytes say: C++ by LLVM's runtime.
const MADE_BY_LLVM: u64 = u64::from_be_bytes(*b"CLNGC++\0");

impl Function {
    /// Its weak reference.
    fn weak(self) -> Weak {
        match self {
            Function::GetNewHandler => Weak::GetNewHandler,
            Function::ThrowBadAlloc => Weak::ThrowBadAlloc,
            Function::Personality => Weak::Personality,
            Function::BeginCatch => Weak::BeginCatch,
            Function::EndCatch => Weak::EndCatch,
        }
    }

    /// Its names in the known runtimes.
    fn names(self) -> &'static [&'static CStr] {
        match self {
            Function::GetNewHandler => &[c"_ZSt15get_new_handlerv"],
            Function::ThrowBadAlloc => &[c"_ZSt17__throw_bad_allocv", c"_ZNSt3__117__throw_bad_allocEv"],
            Function::Personality => &[c"__gxx_personality_v0"],
            Function::BeginCatch => &[c"__cxa_begin_catch"],
            Function::EndCatch => &[c"__cxa_end_catch"],
        }
    }

    /// Its address; null if the process has no C++ runtime.
    pub fn find(self) -> *const c_void {
        self.find_among(&[c"libstdc++.so.6", c"libc++.so.1", c"libc++abi.so.1"])
    }

    /// The same from the runtime that made an exception of class `class`, where that is a question:
    /// plugins may have brought two of them.
    pub fn find_for(self, class: u64) -> *const c_void {
        if class == MADE_BY_LLVM { self.find_among(&[c"libc++abi.so.1", c"libstdc++.so.6"]) } else { self.find() }
    }

    #[cold]
    #[inline(never)]
    fn find_among(self, libraries: &[&CStr]) -> *const c_void {
        let here = self.weak().address();
        if !here.is_null() {
            return here;
        }
        let Some(dlsym) = weak::dlsym() else { return ptr::null() };
        let in_scope = |scope: *mut c_void| {
            let mut found = self.names().iter().map(|name| {
                // SAFETY: the scope is the global one or a library that is loaded.
                unsafe { dlsym(scope, name.as_ptr()) }.cast_const()
            });
            found.find(|address| !address.is_null())
        };
        if let Some(found) = in_scope(libc::RTLD_DEFAULT) {
            return found;
        }
        let Some(dlopen) = weak::next_dlopen() else { return ptr::null() };
        for name in libraries {
            // The handle is kept: what is found must stay.
            // SAFETY: with RTLD_NOLOAD nothing is loaded and no foreign code runs.
            let library = unsafe { dlopen(name.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
            if library.is_null() {
                continue;
            }
            if let Some(found) = in_scope(library) {
                return found;
            }
        }
        ptr::null()
    }
}

/// A new handler of the program.
pub type Handler = unsafe extern "C" fn();

/// The program's current new handler; `None` if it has none, or no C++ runtime.
pub fn new_handler() -> Option<Handler> {
    let get = Function::GetNewHandler.find();
    if get.is_null() {
        return None;
    }
    // SAFETY: std::get_new_handler takes nothing and returns a function pointer or null.
    let get = unsafe { mem::transmute::<*const c_void, unsafe extern "C" fn() -> Option<Handler>>(get) };
    // SAFETY: it has no preconditions.
    unsafe { get() }
}

/// A personality function: what the unwinder calls to ask about a frame.
pub type Personality = unsafe extern "C" fn(c_int, c_int, u64, *mut c_void, *mut c_void) -> c_int;

/// C++'s personality function for exceptions of class `class`; `None` without a C++ runtime.
pub fn personality(class: u64) -> Option<Personality> {
    let found = Function::Personality.find_for(class);
    // SAFETY: the address is null, which is None, or the function of this type.
    unsafe { mem::transmute::<*const c_void, Option<Personality>>(found) }
}

/// Catches `exception` and drops it, as `catch (...) {}` does. False without a C++ runtime.
///
/// # Safety
/// The unwinder handed the exception over to a landing place; nobody else uses it.
pub unsafe fn swallow(exception: *mut c_void) -> bool {
    // SAFETY: every exception starts with its class.
    let class = unsafe { *exception.cast::<u64>() };
    let begin = Function::BeginCatch.find_for(class);
    let end = Function::EndCatch.find_for(class);
    if begin.is_null() || end.is_null() {
        return false;
    }
    // SAFETY: not null, and of this type by the Itanium C++ ABI.
    let begin =
        unsafe { mem::transmute::<*const c_void, unsafe extern "C" fn(*mut c_void) -> *mut c_void>(begin) };
    // SAFETY: not null, and of this type by the Itanium C++ ABI.
    let end = unsafe { mem::transmute::<*const c_void, unsafe extern "C" fn()>(end) };
    // SAFETY: the caller's promise.
    unsafe { begin(exception) };
    // SAFETY: it ends the catch that just began.
    unsafe { end() };
    true
}
