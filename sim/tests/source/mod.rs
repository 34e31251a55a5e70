//! Rust source, as far as checks of its shape need to know it: code without comments, without what
//! is between quotes, and without tests.

/// The code of `text`. What is left out becomes blanks, so that everything else stays where it is.
pub(crate) fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let opaque = comment(rest).or_else(|| literal(rest));
        let length = opaque.unwrap_or_else(|| word(rest).len().max(first.len_utf8()));
        let (token, after) = rest.split_at(length);
        match opaque {
            None => code.push_str(token),
            Some(_) => blank(token, &mut code),
        }
        rest = after;
    }
    code
}

/// `code` without what only tests have.
pub(crate) fn without_tests(code: &str) -> String {
    const GATE: &str = "#[cfg(test)]";
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find(GATE) {
        let end = item_end(rest, at + GATE.len());
        kept.push_str(&rest[..at]);
        blank(&rest[at..end], &mut kept);
        rest = &rest[end..];
    }
    kept + rest
}

/// Where the item that begins at `start` ends: after its body, or after its semicolon.
pub(crate) fn item_end(code: &str, start: usize) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code[start..].char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && matches!(c, '}' | ';') {
            return start + at + 1;
        }
    }
    code.len()
}

/// The word that `text` begins with, or nothing.
pub(crate) fn word(text: &str) -> &str {
    let end = text.find(|c: char| !is_of_word(c)).unwrap_or(text.len());
    &text[..end]
}

/// Where `code` has `sought`, not as a part of a longer word.
pub(crate) fn words<'a>(code: &'a str, sought: &'a str) -> impl Iterator<Item = usize> + 'a {
    let apart = |at: usize| {
        let before = code[..at].chars().next_back();
        let after = code[at + sought.len()..].chars().next();
        let goes_on = |c: Option<char>| sought.ends_with(is_of_word) && c.is_some_and(is_of_word);
        !before.is_some_and(is_of_word) && !goes_on(after)
    };
    code.match_indices(sought).map(|(at, _)| at).filter(move |&at| apart(at))
}

/// The number of the line that `at` is in, from 1.
pub(crate) fn line(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn blank(token: &str, code: &mut String) {
    // As many bytes as before.
    code.extend(token.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
}

/// The length of the comment that `text` begins with.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    let mut depth = 0_usize;
    let mut at = 0;
    loop {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if depth == 0 {
            return None;
        } else if rest.is_empty() || (rest.starts_with(b"*/") && depth == 1) {
            return Some((at + 2).min(text.len()));
        } else if rest.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            at += 1;
        }
    }
}

/// The length of the text or character that `text` begins with.
fn literal(text: &str) -> Option<usize> {
    if let Some(raw) = ["r", "br", "cr"].into_iter().find_map(|it| text.strip_prefix(it)) {
        let body = raw.trim_start_matches('#');
        if let Some(inside) = body.strip_prefix('"') {
            let end = format!("\"{}", "#".repeat(raw.len() - body.len()));
            let closed = inside.find(&end).map(|at| text.len() - inside.len() + at + end.len());
            return Some(closed.unwrap_or(text.len()));
        }
    }
    let quote = text.chars().next().filter(|c| ['"', '\''].contains(c))?;
    let mut inside = text.char_indices().skip(1);
    let is_lifetime = !text[1..].starts_with('\\') && text.chars().nth(2) != Some('\'');
    if quote == '\'' && is_lifetime {
        return None;
    }
    while let Some((at, c)) = inside.next() {
        match c {
            '\\' => _ = inside.next(),
            c if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    Some(text.len())
}
