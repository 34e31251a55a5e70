//! Annotations of GitHub Actions, which it shows with the change that caused them.

use std::io::Write;
use std::path::Path;

/// Says that something is wrong with `file`, where GitHub runs this. On standard error, which it
/// reads too, so that what is on standard output stays one document.
pub(crate) fn error(file: Option<&Path>, title: &str, message: &str) {
    if std::env::var_os("GITHUB_ACTIONS").is_some_and(|it| it == "true") {
        // Without it the exit status has to do.
        let _ = writeln!(std::io::stderr(), "{}", command(file, title, message));
    }
}

fn command(file: Option<&Path>, title: &str, message: &str) -> String {
    let file = file.map(|path| format!("file={},", property(&path.display().to_string())));
    format!("::error {}title={}::{}", file.unwrap_or_default(), property(title), data(message))
}

/// What may stand behind the last colons.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// What may stand between the commas.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_would_end_a_part_is_escaped() {
        let file = Path::new("a,b:c.ron");
        assert_eq!(
            command(Some(file), "100%, or: so", "one\r\ntwo: 5%, \u{e9}"),
            "::error file=a%2Cb%3Ac.ron,title=100%25%2C or%3A so::one%0D%0Atwo: 5%25, \u{e9}"
        );
        assert_eq!(command(None, "title", "::x::"), "::error title=title::::x::");
    }
}
