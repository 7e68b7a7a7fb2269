//! The allocator of this face: without a `global-NAME` feature the system's, which preloading replaces; with one, that
//! peer's crate as its authors offer it to Rust programs, or Stratalloc.
//!
//! `main` makes [`INNER`] the `#[global_allocator]`, alone or under the latency probe.

/// Refuses each pair of features out of the list.
macro_rules! at_most_one {
    () => {};
    ($first:literal $($other:literal)*) => {
        #[cfg(all(feature = $first, any($(feature = $other),*)))]
        compile_error!(concat!("one global allocator at a time: ", $first, " is on, and another feature global-NAME"));
        at_most_one!($($other)*);
    };
}

/// The three items of the first feature that is on, or those of the system's allocator.
macro_rules! faces {
    ($($feature:literal, $name:literal, $value:path;)*) => {
        at_most_one!($($feature)*);
        $(
            #[cfg(feature = $feature)]
            use $value as Chosen;
            #[cfg(feature = $feature)]
            const CHOSEN: Option<&str> = Some($name);
        )*
        #[cfg(not(any($(feature = $feature),*)))]
        use std::alloc::System as Chosen;
        #[cfg(not(any($(feature = $feature),*)))]
        const CHOSEN: Option<&str> = None;
    };
}

faces! {
    "global-jemalloc", "jemalloc", tikv_jemallocator::Jemalloc;
    "global-mimalloc2", "mimalloc2", mimalloc::MiMalloc;
    "global-mimalloc3", "mimalloc3", mimalloc::MiMalloc;
    "global-rpmalloc", "rpmalloc", rpmalloc::RpMalloc;
    "global-rusty_alloc", "rusty_alloc", rusty_alloc_api::RustyAlloc;
    "global-snmalloc", "snmalloc", snmalloc_rs::SnMalloc;
    "global-stratalloc", "stratalloc", stratalloc::Stratalloc;
    "global-tcmalloc", "tcmalloc", tcmalloc_better::TCMalloc;
}

/// The crate's static library leaves out the object whose constructor switches to per-CPU caches, unless something
/// refers to it: tcmalloc would run on its older per-thread caches.
#[cfg(feature = "global-tcmalloc")]
#[used]
static PER_CPU_CACHES: unsafe extern "C" fn() = {
    unsafe extern "C" {
        fn TCMalloc_Internal_ForceCpuCacheActivation();
    }
    TCMalloc_Internal_ForceCpuCacheActivation
};

/// What Rust code allocates with.
pub type Inner = Chosen;

/// The one of this process.
pub const INNER: Inner = Chosen;

/// What the face is called where it has an allocator of its own.
pub const NAME: Option<&str> = CHOSEN;
