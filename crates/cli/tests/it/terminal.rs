//! A terminal with the program in it: a pseudo-terminal, and somebody who types when asked.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

const PROMPT: &str = "»";
const PATIENCE: Duration = Duration::from_mins(1);

/// A running conversation.
pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<Vec<u8>>>,
    /// Bytes of the screen that were read already.
    seen: usize,
}

impl Terminal {
    /// Starts `command` and waits for its first prompt; gives what stood before it.
    pub(crate) fn start(command: &mut Command) -> (Self, String) {
        let mut terminal = Self::show(command);
        let before = terminal.until_prompt();
        (terminal, before)
    }

    /// Starts `command`.
    pub(crate) fn show(command: &mut Command) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
        let theirs = File::options().read(true).write(true).open(name).unwrap();
        let size = Winsize {
            ws_row: 40,
            ws_col: 200,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&theirs, size).unwrap();
        let end = || Stdio::from(theirs.try_clone().unwrap());
        command.env("TERM", "xterm").env("NO_COLOR", "1");
        command.stdin(end()).stdout(end()).stderr(end());
        let child = command.spawn().unwrap();
        // The command holds the other end too; the screen would never go dark.
        command.stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let keyboard = File::from(ours);
        let mut output = keyboard.try_clone().unwrap();
        let screen = Arc::new(Mutex::new(Vec::new()));
        let shown = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                shown.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
        Self {
            child,
            keyboard,
            screen,
            seen: 0,
        }
    }

    /// Types a line and gives what came until the next prompt.
    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.type_line(line);
        self.until_prompt()
    }

    /// Types a line and waits for `count` characters of what comes then.
    pub(crate) fn ask_and_wait_for(&mut self, line: &str, count: usize) {
        self.type_line(line);
        self.wait("an answer's beginning", |text| {
            text.trim_start().len() > line.len() + count
        });
    }

    fn type_line(&mut self, line: &str) {
        self.press(&format!("{line}\r"));
    }

    /// Presses keys.
    pub(crate) fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// What comes until the next prompt.
    pub(crate) fn until_prompt(&mut self) -> String {
        let text = self.wait("a prompt", |text| text.trim_end().ends_with(PROMPT));
        self.seen = self.screen.lock().unwrap().len();
        text.trim_end().trim_end_matches(PROMPT).to_owned()
    }

    /// Ctrl-C while an answer comes: the terminal would send the signal.
    pub(crate) fn interrupt(&self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
    }

    /// Types `keys` and gives the exit code.
    pub(crate) fn leave(&mut self, keys: &str) -> Option<i32> {
        self.press(keys);
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < end, "still there: {}", self.text());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for `what`; gives what is new on the screen.
    pub(crate) fn wait(&mut self, what: &str, there: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let text = self.text();
            if there(&text) {
                return text;
            }
            let status = self.child.try_wait().unwrap();
            assert!(status.is_none(), "ended with {status:?}: {text}");
            assert!(Instant::now() < end, "no {what}: {text}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What is new on the screen, without the sequences that move the cursor.
    fn text(&self) -> String {
        let screen = self.screen.lock().unwrap();
        let text = String::from_utf8_lossy(&screen[self.seen..]).into_owned();
        let mut out = String::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                // ESC [ … letter; nothing else is sent here.
                '\u{1b}' => drop(chars.by_ref().skip(1).find(|c| matches!(c, '@'..='~'))),
                '\r' => {}
                c => out.push(c),
            }
        }
        out
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
