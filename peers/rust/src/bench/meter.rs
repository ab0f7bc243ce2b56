//! Clocks and memory of this process.

use std::time::Instant;

/// A moment: wall and CPU time of the whole process.
#[derive(Clone, Copy)]
pub struct Clock {
    wall: Instant,
    cpu: f64,
}

impl Clock {
    pub fn now() -> Self {
        Self {
            wall: Instant::now(),
            cpu: cpu_seconds(),
        }
    }

    /// Wall and CPU seconds from then to now.
    pub fn since(&self) -> (f64, f64) {
        (self.wall.elapsed().as_secs_f64(), cpu_seconds() - self.cpu)
    }
}

fn usage() -> libc::rusage {
    let mut usage = std::mem::MaybeUninit::uninit();
    // SAFETY: the call fills the whole structure, and fails only for an unknown first argument.
    unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    }
}

fn cpu_seconds() -> f64 {
    let usage = usage();
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// By how much the resident memory has grown at its peak, from when this was made.
#[derive(Clone, Copy)]
pub struct Memory {
    at_start: u64,
}

impl Memory {
    pub fn start() -> Self {
        let at_start = status("VmRSS:").unwrap_or_else(peak);
        // The peak starts anew; where that is not possible, it includes what came before.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        Self { at_start }
    }

    /// The growth in bytes.
    pub fn growth(&self) -> u64 {
        peak().saturating_sub(self.at_start)
    }
}

fn peak() -> u64 {
    status("VmHWM:").unwrap_or_else(|| usage().ru_maxrss as u64 * if cfg!(target_os = "macos") { 1 } else { 1024 })
}

fn status(field: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|line| line.starts_with(field))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}
