//! Memory for weights and the key-value cache: one run of addresses for many buffers, so that the
//! system can back it with huge pages and one buffer's end prefetches the next one's start.

use memmap2::MmapMut;
use std::io;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of a cache line and of an AVX-512 register.
const LINE: usize = 64;
/// Bytes that are asked of the system at once. Addresses cost nothing until they are written.
const CHUNK: usize = 64 << 20;

/// A cache line of memory.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

/// Numbers for which any bytes are a value and which a cache line holds a whole number of.
pub(crate) trait Plain: Copy {}
impl Plain for i8 {}
impl Plain for f32 {}

/// Numbers in memory that starts on a cache line and is kept from one use to the next.
#[derive(Debug)]
pub(crate) struct AlignedVec<T> {
    lines: Vec<Line>,
    len: usize,
    of: PhantomData<T>,
}

impl<T> Default for AlignedVec<T> {
    fn default() -> Self {
        Self {
            lines: Vec::new(),
            len: 0,
            of: PhantomData,
        }
    }
}

impl<T: Plain> AlignedVec<T> {
    /// Makes it `len` long. What is new is zero, the rest may be what was there before.
    pub(crate) fn resize(&mut self, len: usize) {
        self.lines
            .resize((len * size_of::<T>()).div_ceil(LINE), Line([0; LINE]));
        self.len = len;
    }

    /// So many numbers of a buffer that never becomes shorter: what is new has to be cleared.
    pub(crate) fn at_least(&mut self, len: usize) -> &mut [T] {
        if self.len < len {
            self.resize(len);
        }
        &mut self[..len]
    }
}

impl<T: Plain> Deref for AlignedVec<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: the lines hold `len` numbers, initialised and aligned for any of them.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl<T: Plain> DerefMut for AlignedVec<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and the lines are borrowed for as long.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

/// Hands out zeroed buffers. Memory goes back to the system when the last buffer of a chunk is
/// dropped.
#[derive(Debug, Default)]
pub struct Arena {
    current: Mutex<Current>,
}

#[derive(Debug, Default)]
struct Current {
    chunk: Option<Arc<Chunk>>,
    used: usize,
}

/// An anonymous mapping, kept for its buffers.
#[derive(Debug)]
struct Chunk {
    start: NonNull<u8>,
    len: usize,
    _map: MmapMut,
}

// SAFETY: the pointer is to memory that the mapping owns and that goes wherever it goes; who may
// use which part is decided by `AlignedBytes`.
unsafe impl Send for Chunk {}
// SAFETY: as above; a `Chunk` itself gives no access.
unsafe impl Sync for Chunk {}

/// Bytes that start on a cache line and that nobody else has.
#[derive(Debug)]
pub struct AlignedBytes {
    start: NonNull<u8>,
    len: usize,
    _chunk: Option<Arc<Chunk>>,
}

// SAFETY: a buffer is the only way to its bytes, like a boxed slice.
unsafe impl Send for AlignedBytes {}
// SAFETY: as above.
unsafe impl Sync for AlignedBytes {}

impl Arena {
    /// An arena without memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// `len` zero bytes.
    ///
    /// # Errors
    /// What the system says when it has no more memory.
    pub fn zeroed(&self, len: usize) -> io::Result<AlignedBytes> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |chunk: &Arc<Chunk>| chunk.len - current.used >= len;
        let chunk = if let Some(chunk) = current.chunk.as_ref().filter(|chunk| fits(chunk)) {
            Arc::clone(chunk)
        } else {
            let chunk = Arc::new(Chunk::new(len.max(CHUNK))?);
            current.used = 0;
            current.chunk = Some(Arc::clone(&chunk));
            chunk
        };
        // SAFETY: the chunk has `len` bytes from `used` on.
        let start = unsafe { chunk.start.add(current.used) };
        current.used = (current.used + len)
            .checked_next_multiple_of(LINE)
            .map_or(chunk.len, |used| used.min(chunk.len));
        Ok(AlignedBytes {
            start,
            len,
            _chunk: Some(chunk),
        })
    }
}

impl Chunk {
    fn new(len: usize) -> io::Result<Self> {
        let mut map = MmapMut::map_anon(len)?;
        #[cfg(target_os = "linux")]
        // Only speed depends on it.
        let _ = map.advise(memmap2::Advice::HugePage);
        let start = NonNull::new(map.as_mut_ptr()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self {
            start,
            len,
            _map: map,
        })
    }
}

impl Default for AlignedBytes {
    fn default() -> Self {
        Self {
            start: NonNull::dangling(),
            len: 0,
            _chunk: None,
        }
    }
}

impl AlignedBytes {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: `len` bytes from `start` on are mapped as long as the chunk lives, zero at first,
        // and no other buffer overlaps them.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// The bytes, to write.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_slice`, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

/// Something that keeps bytes in place: a memory map of a file, for one.
///
/// # Safety
/// For as long as the value lives, [`Self::bytes`] gives the same readable slice, and nobody writes
/// to it through Rust.
pub unsafe trait StableBytes: Send + Sync + std::fmt::Debug {
    /// The bytes.
    fn bytes(&self) -> &[u8];
}

/// Bytes to read that start on a cache line: a buffer, or a part of what somebody else keeps.
#[derive(Debug)]
pub struct SharedBytes {
    start: NonNull<u8>,
    len: usize,
    _owner: Owner,
}

#[derive(Debug)]
enum Owner {
    Buffer { _kept: AlignedBytes },
    Other { _kept: Arc<dyn StableBytes> },
}

// SAFETY: the bytes are only read, and their owner, which goes with them, can go to any thread.
unsafe impl Send for SharedBytes {}
// SAFETY: as above; shared access only reads.
unsafe impl Sync for SharedBytes {}

impl From<AlignedBytes> for SharedBytes {
    fn from(buffer: AlignedBytes) -> Self {
        Self {
            start: buffer.start,
            len: buffer.len,
            _owner: Owner::Buffer { _kept: buffer },
        }
    }
}

impl SharedBytes {
    /// `range` of the owner's bytes; `None` where the range is not inside or not aligned.
    pub fn part(owner: Arc<dyn StableBytes>, range: Range<usize>) -> Option<Self> {
        let bytes = owner.bytes().get(range)?;
        let (start, len) = (NonNull::from(bytes).cast(), bytes.len());
        start.addr().get().is_multiple_of(LINE).then(|| Self {
            start,
            len,
            _owner: Owner::Other { _kept: owner },
        })
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: the owner keeps `len` readable bytes in place from `start` on: a buffer that
        // nobody else can reach any more, or what `StableBytes` promises.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Kept(AlignedBytes);

    // SAFETY: the buffer is never written again.
    unsafe impl StableBytes for Kept {
        fn bytes(&self) -> &[u8] {
            self.0.as_slice()
        }
    }

    #[test]
    fn a_part_outlives_its_other_owners_and_lies_inside() {
        let mut buffer = Arena::new().zeroed(256).unwrap();
        buffer.as_mut_slice()[64..].fill(7);
        let owner: Arc<dyn StableBytes> = Arc::new(Kept(buffer));
        assert!(SharedBytes::part(Arc::clone(&owner), 0..257).is_none());
        assert!(SharedBytes::part(Arc::clone(&owner), 32..64).is_none());
        let part = SharedBytes::part(owner, 64..200).unwrap();
        assert_eq!(part.as_slice(), [7; 136]);
    }

    #[test]
    fn buffers_are_aligned_zero_and_apart() {
        let arena = Arena::new();
        let lens = [1, 64, 65, 0, 4096, CHUNK - 100, 200, CHUNK + 1];
        let mut buffers: Vec<AlignedBytes> =
            lens.iter().map(|len| arena.zeroed(*len).unwrap()).collect();
        for (buffer, len) in buffers.iter_mut().zip(lens) {
            assert_eq!(buffer.as_slice().len(), len);
            assert_eq!(buffer.as_slice().as_ptr() as usize % LINE, 0);
            assert!(buffer.as_slice().iter().take(5000).all(|byte| *byte == 0));
            let shown = len.min(5000);
            buffer.as_mut_slice()[..shown].fill(0xff);
        }
        drop(arena);
        let ones = |b: &AlignedBytes| b.as_slice().iter().take(5000).all(|byte| *byte == 0xff);
        assert!(buffers.iter().all(ones));
    }

    #[test]
    fn too_much_is_an_error() {
        assert!(Arena::new().zeroed(usize::MAX / 2).is_err());
    }
}
