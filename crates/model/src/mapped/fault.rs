//! What happens when a page of a mapped file cannot be supplied: the system sends SIGBUS to the
//! thread that reads. The handler here gives that thread zeros instead, for faults inside maps of
//! this module, and passes every other fault on to whoever handled SIGBUS before.
//!
//! The handler may run at any instruction of the program, so it only loads and stores atomics and
//! makes one system call; the registry of maps is a fixed array of atomics.

use std::cell::UnsafeCell;
use std::io;
use std::mem::MaybeUninit;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Maps at the same time; a model of a thousand shards still fits.
const MAPS_MAX: usize = 2048;

/// One registered map. `generation` is odd while the slot is in use and grows with every change,
/// so that the handler can tell a slot that changed while it read.
struct Slot {
    generation: AtomicUsize,
    start: AtomicUsize,
    end: AtomicUsize,
    lost: AtomicBool,
}

static SLOTS: [Slot; MAPS_MAX] = [const {
    Slot {
        generation: AtomicUsize::new(0),
        start: AtomicUsize::new(0),
        end: AtomicUsize::new(0),
        lost: AtomicBool::new(false),
    }
}; MAPS_MAX];

/// A map's place in the registry.
#[derive(Debug)]
pub(super) struct Registration {
    slot: usize,
}

impl Registration {
    /// Registers `len` bytes from `start`.
    pub(super) fn new(start: usize, len: usize) -> io::Result<Self> {
        for (index, slot) in SLOTS.iter().enumerate() {
            let generation = slot.generation.load(Ordering::Relaxed);
            // An empty range while the slot is being filled matches no address.
            let claimed = generation.is_multiple_of(2)
                && slot
                    .generation
                    .compare_exchange(
                        generation,
                        generation + 1,
                        Ordering::AcqRel,
                        Ordering::Relaxed,
                    )
                    .is_ok();
            if claimed {
                slot.lost.store(false, Ordering::SeqCst);
                slot.start.store(start, Ordering::SeqCst);
                slot.end.store(start + len, Ordering::SeqCst);
                return Ok(Self { slot: index });
            }
        }
        let message = format!("more than {MAPS_MAX} model files are open");
        Err(io::Error::other(message))
    }

    /// A fault happened in the map.
    pub(super) fn lost(&self) -> bool {
        SLOTS[self.slot].lost.load(Ordering::SeqCst)
    }

    /// Takes the map out of the registry. To be called once, before the range is unmapped.
    pub(super) fn release(&self) {
        let slot = &SLOTS[self.slot];
        slot.end.store(0, Ordering::SeqCst);
        slot.start.store(0, Ordering::SeqCst);
        slot.generation.fetch_add(1, Ordering::SeqCst);
    }
}

static PAGE_SIZE: AtomicUsize = AtomicUsize::new(0);

/// Bytes of a page.
pub(super) fn page_size() -> usize {
    match PAGE_SIZE.load(Ordering::Relaxed) {
        0 => {
            // SAFETY: asks the system for a constant.
            let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
            let size = usize::try_from(size).unwrap_or(4096);
            PAGE_SIZE.store(size, Ordering::Relaxed);
            size
        }
        size => size,
    }
}

/// The handler before ours. Written once, before ours is in place, and only read after.
struct Previous(UnsafeCell<MaybeUninit<libc::sigaction>>);
// SAFETY: see the type: the only write happens before any read.
unsafe impl Sync for Previous {}
static PREVIOUS: Previous = Previous(UnsafeCell::new(MaybeUninit::zeroed()));

/// Puts the handler in place, once in the life of the process.
pub(super) fn install_handler() -> io::Result<()> {
    static INSTALLED: OnceLock<Result<(), i32>> = OnceLock::new();
    INSTALLED
        .get_or_init(|| install().map_err(|error| error.raw_os_error().unwrap_or(libc::EINVAL)))
        .map_err(io::Error::from_raw_os_error)
}

fn install() -> io::Result<()> {
    page_size();
    let previous = PREVIOUS.0.get().cast::<libc::sigaction>();
    // SAFETY: without a new action `sigaction` only writes the present one, to a place that nobody
    // else touches before the handler is in place.
    if unsafe { libc::sigaction(libc::SIGBUS, std::ptr::null(), previous) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: all-zero bytes are a valid `sigaction`: no handler, no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction =
        on_sigbus as extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) as usize;
    // On the alternate stack where the thread has one, as the handler of Rust's own runtime.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: `action` is initialised and its handler is async-signal-safe.
    if unsafe { libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

extern "C" fn on_sigbus(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: with SA_SIGINFO the system passes a valid `siginfo_t`.
    let info_ref = unsafe { &*info };
    // The codes of faults; others are signals that a process sent, which carry no address.
    let is_fault = (1..=5).contains(&info_ref.si_code);
    // SAFETY: a fault's `siginfo_t` has an address.
    if is_fault && supply_zeros(unsafe { info_ref.si_addr() } as usize) {
        return;
    }
    pass_on(signal, info, context, is_fault);
}

/// Replaces the rest of the map around `address`, from its page on, by zeros; `false` when the
/// address is in no map of ours. From the page on, not the page alone: after a cut all that follows
/// is gone as well, and one range keeps the number of the process's maps bounded.
fn supply_zeros(address: usize) -> bool {
    let page = PAGE_SIZE.load(Ordering::Relaxed);
    for slot in &SLOTS {
        let generation = slot.generation.load(Ordering::SeqCst);
        let start = slot.start.load(Ordering::SeqCst);
        let end = slot.end.load(Ordering::SeqCst);
        let unchanged = slot.generation.load(Ordering::SeqCst) == generation;
        let inside = (start..end).contains(&address);
        if generation.is_multiple_of(2) || !unchanged || !inside {
            continue;
        }
        slot.lost.store(true, Ordering::SeqCst);
        let first = address & !(page - 1);
        // SAFETY: the thread that faulted reads this map, so it is alive, and the range lies inside
        // it. `mmap` is a plain system call on the platforms that this builds for. `errno` belongs
        // to the interrupted code and is put back.
        return unsafe {
            let errno = errno_location();
            let saved = *errno;
            let zeros = libc::mmap(
                first as *mut libc::c_void,
                end - first,
                libc::PROT_READ,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE,
                -1,
                0,
            );
            *errno = saved;
            zeros != libc::MAP_FAILED
        };
    }
    false
}

#[cfg(any(target_os = "linux", target_os = "emscripten"))]
unsafe fn errno_location() -> *mut libc::c_int {
    // SAFETY: always valid in a running thread.
    unsafe { libc::__errno_location() }
}

#[cfg(not(any(target_os = "linux", target_os = "emscripten")))]
unsafe fn errno_location() -> *mut libc::c_int {
    // SAFETY: always valid in a running thread.
    unsafe { libc::__error() }
}

/// Does what would have been done without this module: calls the handler before ours, or takes the
/// default action, which ends the process. After a fault the instruction runs again and faults under
/// the default action; a signal that was sent is sent once more.
fn pass_on(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
    is_fault: bool,
) {
    let previous = PREVIOUS.0.get().cast::<libc::sigaction>();
    // SAFETY: written before this handler was put in place and never since.
    let previous = unsafe { &*previous };
    match previous.sa_sigaction {
        libc::SIG_IGN if !is_fault => {}
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: all-zero is SIG_DFL with no flags; both calls are async-signal-safe.
            unsafe {
                let default: libc::sigaction = std::mem::zeroed();
                libc::sigaction(signal, &raw const default, std::ptr::null_mut());
                if !is_fault {
                    libc::raise(signal);
                }
            }
        }
        handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: with SA_SIGINFO the previous handler has this signature.
            let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                unsafe { std::mem::transmute(handler) };
            handler(signal, info, context);
        }
        handler => {
            // SAFETY: without SA_SIGINFO the previous handler has this signature.
            let handler: extern "C" fn(libc::c_int) = unsafe { std::mem::transmute(handler) };
            handler(signal);
        }
    }
}
