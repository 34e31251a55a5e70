//! The page itself: what is in it before any script runs.

use super::data::{self, Data};
use super::sectors::Histories;
use super::{Shown, life, words};
use blocktwin::lockstep::{Divergence, Report, Verdict};
use blocktwin::model::{Content, Finding};
use blocktwin::scenario::print;
use serde::Serialize;
use std::fmt::Write;

const PAGE: &str = include_str!("page.html");
const RUN: &str = include_str!("run.html");
const STYLE: &str = include_str!("style.css");
const VIEW: &str = include_str!("view.js");
const STEPS: &str = include_str!("steps.js");
pub(super) const COPY: &str = include_str!("copy.js");

/// A longer scenario is not in the page.
const MOST_TEXT: usize = 256 << 10;

/// The page of a run.
pub(super) fn of_run(shown: &Shown<'_>, report: &Report) -> String {
    let histories = Histories::new(&report.trace);
    let data = Data::new(shown, report, &histories);
    let device = escaped(shown.device_name());
    let (title, head) = match &report.verdict {
        Verdict::Pass => ("passed".to_owned(), passed().to_owned()),
        Verdict::Diverged(it) => {
            (it.violation.kind.to_string(), diverged(shown, report, it, &histories))
        }
    };
    let text = print(shown.scenario);
    let text = if text.len() > MOST_TEXT { TOO_LONG.to_owned() } else { text };
    let note = match shown.scenario.note.trim() {
        "" => String::new(),
        note => format!("<p class=\"note\">{}</p>", escaped(note)),
    };
    let body = filled(
        RUN,
        &[
            ("head", &head),
            ("note", &note),
            ("map_note", if shown.promises().in_place { "" } else { NOT_IN_PLACE }),
            ("facts", &facts(shown, report)),
            ("replay", &escaped(shown.replay)),
            ("scenario", &escaped(text.trim_end())),
        ],
    );
    of_parts(&format!("{} · {device}", escaped(&title)), &body, &json(&data), &[VIEW, STEPS, COPY])
}

const TOO_LONG: &str = "Too long to be shown here; see `blocktwin show`.";

const NOT_IN_PLACE: &str = "<p class=\"note\">The map shows the sectors of the first file, and not \
                            those of the device, which keeps its blocks in places of its own.</p>";

/// A page of any kind.
pub(super) fn of_parts(title: &str, body: &str, data: &str, scripts: &[&str]) -> String {
    let scripts = scripts.join("\n");
    let parts =
        [("title", title), ("style", STYLE), ("body", body), ("data", data), ("script", &scripts)];
    filled(PAGE, &parts)
}

/// Replaces each `{{name}}` of a template, in one pass: what is put in is not looked at again.
pub(super) fn filled(template: &str, values: &[(&str, &str)]) -> String {
    let mut page = String::new();
    let mut pieces = template.split("{{");
    page.push_str(pieces.next().unwrap_or(""));
    for piece in pieces {
        let (name, rest) = piece.split_once("}}").unwrap_or((piece, ""));
        let value = values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value);
        page.push_str(value);
        page.push_str(rest);
    }
    page
}

/// Text as HTML, in an element or an attribute.
pub(super) fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            _ => html.push(c),
        }
    }
    html
}

/// Data as JSON in which nothing ends a script or begins a comment.
pub(super) fn json(data: &impl Serialize) -> String {
    let Ok(text) = serde_json::to_string(data) else { unreachable!("keys are strings") };
    text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

fn passed() -> &'static str {
    "<p class=\"verdict passed\">passed</p>\n\
     <h1>The device kept its promises in this scenario.</h1>"
}

/// The divergence: the sentence, the promise that it breaks, and the sectors that show it.
fn diverged(
    shown: &Shown<'_>,
    report: &Report,
    divergence: &Divergence,
    histories: &Histories,
) -> String {
    let violation = &divergence.violation;
    let mut html = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(html, "<p class=\"verdict diverged\">{}</p>", violation.kind);
    let _ = writeln!(html, "<h1 id=\"sentence\">{}</h1>", escaped(&violation.sentence));
    let (clause, promise) = words::promise(violation.kind);
    let clause = if clause.is_empty() { "Contract" } else { &format!("Contract, clause {clause}") };
    let _ = writeln!(
        html,
        "<div class=\"columns\"><div>\n<p class=\"promise\"><b>{clause}.</b> {}</p>",
        escaped(promise)
    );
    if !violation.findings.is_empty() {
        html += "<div class=\"wide\"><table class=\"findings\">\n<caption>Where it shows</caption>\
                 <thead><tr><th scope=\"col\">Sector</th><th scope=\"col\">Holds</th>\
                 <th scope=\"col\">May hold</th></tr></thead>\n<tbody>\n";
        for finding in &violation.findings {
            html += &finding_row(finding);
        }
        html += "</tbody></table></div>\n";
    }
    html += "</div><div>\n";
    html += &lives(shown, report, divergence, histories);
    html += "</div></div>\n";
    html
}

/// A row of the table; `view.js` puts the colours of `data-holds` to it.
fn finding_row(finding: &Finding) -> String {
    let sector = finding.sector;
    let own = !matches!(finding.found, Content::Written { sector: meant, .. } if meant != sector);
    let label = words::label(finding.found, own);
    let found = escaped(&words::title(finding.found, own));
    let (labels, legal) = match &finding.expected[..] {
        [] => (String::new(), "something newer".to_owned()),
        expected => {
            let labels: Vec<_> = expected.iter().map(words::expected_label).collect();
            let titles: Vec<_> = expected.iter().map(ToString::to_string).collect();
            (labels.join(" "), escaped(&titles.join(" or ")))
        }
    };
    format!(
        "<tr><th scope=\"row\">{sector}</th><td class=\"bad\" data-holds=\"{label}\">{found}</td>\
         <td data-holds=\"{labels}\">{legal}</td></tr>\n"
    )
}

/// What became of the first sectors that show the divergence.
fn lives(
    shown: &Shown<'_>,
    report: &Report,
    divergence: &Divergence,
    histories: &Histories,
) -> String {
    let size = shown.scenario.device.sector_size.into();
    let count = data::events(report).len();
    let cut = count.saturating_sub(data::MOST_EVENTS);
    let mut html = String::new();
    // The sectors of the device and those of its file are the same only in place.
    let told = if shown.promises().in_place { life::MOST_SECTORS } else { 0 };
    for finding in divergence.violation.findings.iter().take(told) {
        let sector = finding.sector;
        let open = if html.is_empty() { " open" } else { "" };
        let _ = writeln!(
            html,
            "<details class=\"life\"{open}><summary>What became of sector {sector}</summary><ol>"
        );
        for sentence in life::of_sector(report, histories, sector, size) {
            let (class, text) = (sentence.class, escaped(&sentence.text));
            let step = sentence.event.saturating_sub(cut);
            let _ = writeln!(
                html,
                "<li class=\"{class}\"><button type=\"button\" data-step=\"{step}\">\
                 <span class=\"at\">{step}</span> {text}</button></li>"
            );
        }
        html += "</ol></details>\n";
    }
    html
}

/// What was run, in a list of terms.
fn facts(shown: &Shown<'_>, report: &Report) -> String {
    let (spec, stats) = (&shown.scenario.device, &report.stats);
    let size = spec.geometry().map_or(0, |geometry| geometry.size());
    let read_only = if spec.read_only { ", read-only" } else { "" };
    let operations = match shown.scenario.clients() {
        0 | 1 => shown.scenario.steps.len().to_string(),
        clients => format!("{} of {clients} clients", shown.scenario.steps.len()),
    };
    let seed = shown.scenario.seed.map(|seed| ("Seed", seed.to_string()));
    let waives = shown.promises().waives;
    let waives = (!waives.is_empty()).then(|| ("Waives", waives.to_string()));
    let facts = [
        ("Device", shown.device_name().to_owned()),
        ("Size", format!("{size} bytes in blocks of {}{read_only}", spec.block_size)),
        ("Sectors of", format!("{} bytes", spec.sector_size)),
        ("Operations", operations),
        ("Crashes", stats.crashes.to_string()),
        ("Digest", report.digest.to_string()),
    ];
    terms(&facts.into_iter().chain(seed).chain(waives).collect::<Vec<_>>())
}

/// A list of terms and what is to be said of them.
pub(super) fn terms(facts: &[(&str, String)]) -> String {
    let fact = |(term, text): &(&str, String)| {
        format!("<div><dt>{term}</dt><dd>{}</dd></div>\n", escaped(text))
    };
    facts.iter().map(fact).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_filled_in_one_pass() {
        let values = [("a", "{{b}}"), ("b", "no")];
        assert_eq!(filled("<{{a}}>{{c}}-{{b}}", &values), "<{{b}}>-no");
    }

    #[test]
    fn no_text_leaves_its_place() {
        assert_eq!(escaped("</pre><a b=\"'&"), "&lt;/pre&gt;&lt;a b=&quot;&#39;&amp;");
        let text = "</script><script>alert(1)</script><!--";
        let json = json(&text);
        assert!(!json.contains('<') && !json.contains('>'), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }
}
