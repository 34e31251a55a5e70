//! The page as a text.

use crate::{Place, known_bug};
use serde_json::Value;

/// The data that a page has for its script.
#[track_caller]
fn data(page: &str) -> Value {
    let (_, rest) = page.split_once(r#"id="data">"#).expect("data");
    serde_json::from_str(rest.split_once("</script>").expect("its end").0).expect("JSON")
}

/// A text as it stands in HTML.
fn in_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[test]
fn a_page_needs_nothing_else() {
    let place = Place::new();
    let page = place.report("trim-delayed");
    for foreign in ["http:", "https:", "src=", "url(", "@import", "<link", "fetch(", "onclick="] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn a_page_says_what_is_wrong_before_any_script_runs() {
    let place = Place::new();
    let page = place.report("trim-delayed");
    let before = page.split_once("<script").unwrap().0;
    for part in [
        "durability lost: sector 0 holds 0xab, what a trim leaves; legal: write #2",
        "Contract, clause 4.",
        "flush #3 returned Ok: promises that everything completed before it is durable; \
         durable here: 0xab, what a trim leaves.",
        "pwrite of #3: visible write #2 → 0xab, what a trim leaves; durable still zeros.",
        "blocktwin replay --trace --device trim-delayed trim-delayed.ron",
        "(op: Trim(offset: 0, length: 512)),",
    ] {
        assert!(before.contains(&in_html(part)), "{part}");
    }
}

#[test]
fn the_map_has_what_the_device_wrote_and_not_what_it_should_have_written() {
    let place = Place::new();
    let data = data(&place.report("trim-delayed"));
    let labels: Vec<_> = data["contents"].as_array().unwrap().iter().collect();
    let label = |cell: &Value, which: usize| {
        let number = usize::try_from(cell[which].as_u64().unwrap()).unwrap();
        labels[number]["label"].as_str().unwrap().to_owned()
    };
    let cells = data["rows"][0]["cells"].as_array().unwrap();
    let seen: Vec<_> = cells.iter().map(|it| (label(it, 1), label(it, 2))).collect();
    let told = [("0", "0"), ("#2", "0"), ("0xab", "0"), ("0xab", "0xab")];
    assert_eq!(seen, told.map(|(visible, durable)| (visible.to_owned(), durable.to_owned())));
    let diverged = usize::try_from(data["diverged"].as_u64().unwrap()).unwrap();
    assert_eq!(data["events"][diverged]["class"], "diverged");
}

#[test]
fn the_same_scenario_gives_the_same_page() {
    let place = Place::new();
    assert_eq!(place.report("barrier-no-op"), place.report("barrier-no-op"));
    for name in ["one.html", "two.html"] {
        place.run(&["report", "--seed", "7", "--profile", "heavy", "-o", name], 0);
    }
    let page = place.read("one.html");
    assert_eq!(page, place.read("two.html"));
    assert!(page.contains("blocktwin show --seed 7 --profile heavy &gt; seed-7.ron"));
    assert!(data(&page)["diverged"].is_null());
}

#[test]
fn nothing_in_a_scenario_becomes_a_part_of_the_page() {
    let place = Place::new();
    let hostile = "</script><script>alert(1)</script><img src=x onerror=alert(2)>{{data}}<!--";
    let scenario = known_bug("flush-no-op").replacen("(", &format!("(note: {hostile:?},"), 1);
    let name = "'><script>.ron";
    std::fs::write(place.path(name), scenario).unwrap();
    place.run(&["report", name, "--device", "flush-no-op"], 1);
    let page = place.read("report.html");
    assert_eq!(page.matches("<script").count(), 2);
    assert!(!page.contains("<img") && !page.contains("<!--"));
    assert!(page.contains(&in_html(hostile)));
    data(&page);
}

/// Every planted bug, so that no kind of divergence is without a page.
#[test]
fn every_known_bug_has_a_page() {
    let place = Place::new();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus/known_bugs");
    let mut pages = 0;
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let bug = path.file_stem().unwrap().to_str().unwrap();
        let page = place.report(bug);
        let data = data(&page);
        assert!(page.contains("class=\"verdict diverged\""), "{bug}");
        assert!(data["diverged"].as_u64().is_some(), "{bug}");
        pages += 1;
    }
    assert!(pages > 90, "{pages}");
}

#[test]
fn long_runs_are_cut_to_what_a_browser_can_show() {
    let place = Place::new();
    let step = "(op: Write(offset: 0, length: 512)),(op: Flush),";
    let scenario = known_bug("flush-no-op");
    let (head, tail) = scenario.split_once("steps: [").unwrap();
    let tail = tail.split_once("    expect").unwrap().0;
    let long = format!("{head}steps: [{}{tail})", step.repeat(3000));
    std::fs::write(place.path("long.ron"), long).unwrap();
    place.run(&["report", "long.ron", "--device", "file"], 0);
    let data = data(&place.read("report.html"));
    assert_eq!(data["events"].as_array().unwrap().len(), 4000);
    assert!(data["events_left_out"].as_u64().unwrap() > 10_000);
}

#[test]
fn what_cannot_be_reported_is_told_in_one_line() {
    let place = Place::new();
    for (arguments, reason) in [
        (vec!["report", "missing.ron"], "missing.ron: cannot be opened"),
        (
            vec!["report", "--seed", "1", "-o", "no/such/place.html"],
            "place.html: cannot be written",
        ),
    ] {
        let output = place.run(&arguments, 2);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((said.lines().count(), said.contains(reason)), (1, true), "{said}");
    }
}

#[test]
fn a_campaign_that_finds_something_has_a_page_of_it_too() {
    let place = Place::new();
    place.campaign();
    let page = place.read("campaign.html");
    for part in ["ordering violated", "href=\"campaign-seed-", "Faults by consequence", "eintr"] {
        assert!(page.contains(part), "{part}");
    }
    let (_, link) = page.split_once("href=\"").unwrap();
    let own = place.read(link.split_once('"').unwrap().0);
    assert!(own.contains("Contract, clause 5."));
    assert!(own.contains("blocktwin replay --trace --device barrier-no-op failures/seed-"));
    assert!(!page.contains("http:") && !page.contains("https:"));
}

#[test]
fn a_page_that_cannot_be_written_is_told_before_a_campaign_begins() {
    let place = Place::new();
    let output = place.run(&["run", "--for", "1h", "--report", "no/where.html"], 2);
    assert!(String::from_utf8(output.stderr).unwrap().contains("where.html: cannot be written"));
}
