//! What a template may use up: steps (time) and bytes (memory). Both only ever count up, so that a
//! template's cost is the same on every machine and every run.

/// Bytes that count as one step when they are searched, compared or copied.
const BYTES_PER_STEP: usize = 32;

/// Why a template stopped.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) reason: String,
    /// Line of the template, from 1, once it is known.
    pub(super) line: Option<u16>,
}

/// Result of evaluating.
pub(super) type Outcome<T> = std::result::Result<T, Failure>;

impl Failure {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            line: None,
        }
    }

    pub(super) fn at(mut self, line: u16) -> Self {
        self.line.get_or_insert(line);
        self
    }
}

#[derive(Debug)]
pub(super) struct Budget {
    steps_left: u64,
    bytes_left: usize,
}

impl Budget {
    pub(super) fn new(steps: u64, bytes: usize) -> Self {
        Self {
            steps_left: steps,
            bytes_left: bytes,
        }
    }

    pub(super) fn step(&mut self, steps: u64) -> Outcome<()> {
        match self.steps_left.checked_sub(steps) {
            Some(left) => {
                self.steps_left = left;
                Ok(())
            }
            None => Err(Failure::new("it takes too many steps")),
        }
    }

    /// The steps of an operation that looks at that many bytes.
    pub(super) fn step_bytes(&mut self, bytes: usize) -> Outcome<()> {
        self.step((bytes / BYTES_PER_STEP + 1) as u64)
    }

    /// To be called before memory is taken.
    pub(super) fn allocate(&mut self, bytes: usize) -> Outcome<()> {
        match self.bytes_left.checked_sub(bytes) {
            Some(left) => {
                self.bytes_left = left;
                self.step_bytes(bytes)
            }
            None => Err(Failure::new("it takes too much memory")),
        }
    }
}
