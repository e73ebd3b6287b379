//! What the binary does for its verb `read-document`: the child of `isolated::Reader`. The tests of
//! hostile documents run it.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (Some(terang_documents::isolated::VERB), Some(format)) => {
            terang_documents::isolated::child(&format)
        }
        _ => ExitCode::from(2),
    }
}
