//! Reports in a real browser: they load, they move, and what went wrong is in sight.
//!
//! Where there is no Chromium the tests say so and check nothing, except in CI, where one has to
//! be. With `REPORT_SHOTS=DIR` they leave pictures there for people to look at.

use crate::Place;
use crate::chromium::{self, Chromium};
use std::io::Write;
use std::path::Path;
use std::process::Command;

/// Width, height and whether dark: a desktop, and a phone at night.
const WINDOWS: [(u32, u32, bool); 2] = [(1280, 800, false), (390, 844, true)];

/// The browser, or word on standard error that there is none.
fn browser() -> Option<Chromium> {
    let found = chromium::find();
    if found.is_none() {
        let reason = "SKIPPED: no Chromium on this machine, so no report was looked at";
        // Past the harness, which would keep it to itself.
        writeln!(std::io::stderr(), "{reason}").expect("standard error");
    }
    found.map(Chromium::start)
}

/// Asserts that an expression is true in the page.
#[track_caller]
fn assert_page(browser: &mut Chromium, expression: &str) {
    assert_eq!(browser.evaluate(expression), true, "{expression}");
}

/// Leaves a picture where somebody wants one.
fn shoot(browser: &mut Chromium, name: &str) {
    let Some(directory) = std::env::var_os("REPORT_SHOTS") else { return };
    let picture = browser.screenshot();
    let path = Path::new(&directory).join(name);
    std::fs::write(path.with_extension("b64"), picture).expect("a picture");
    let mut decode = Command::new("sh");
    decode.args(["-c", "base64 -d \"$1.b64\" > \"$1.png\" && rm \"$1.b64\"", "sh"]).arg(path);
    assert!(decode.status().expect("a shell").success());
}

/// An element that can be seen: it has a size, and no part of it is left of the window.
const SEEN: &str = "const seen = (selector) => {
    const box = document.querySelector(selector)?.getBoundingClientRect();
    return Boolean(box && box.width > 0 && box.height > 0 && box.left >= 0 &&
        box.right <= innerWidth + 1);
};";

#[test]
fn a_divergence_is_in_sight_and_the_steps_can_be_walked() {
    let Some(mut browser) = browser() else { return };
    let place = Place::new();
    for bug in ["trim-delayed", "barrier-no-op"] {
        place.report(bug);
        for (width, height, dark) in WINDOWS {
            browser.resize(width, height, dark);
            browser.open(&place.path("report.html"));
            browser.evaluate(SEEN);
            assert_page(&mut browser, "document.documentElement.scrollWidth <= innerWidth");
            assert_page(
                &mut browser,
                &format!("matchMedia('(prefers-color-scheme: dark)').matches === {dark}"),
            );
            assert_page(&mut browser, "seen('#sentence') && seen('.verdict.diverged')");
            assert_page(
                &mut browser,
                "seen('#map .line.diverged') && seen('.sector.guilty .label')",
            );
            assert_page(&mut browser, "slider.value == data.diverged");
            shoot(&mut browser, &format!("{bug}-{width}"));
            walk(&mut browser);
            browser.evaluate("map.scrollIntoView({block: 'center'})");
            shoot(&mut browser, &format!("{bug}-{width}-map"));
        }
    }
    assert_eq!(browser.complaints, [""; 0]);
}

#[test]
fn a_campaign_leads_to_what_it_found() {
    let Some(mut browser) = browser() else { return };
    let place = Place::new();
    place.campaign();
    for (width, height, dark) in WINDOWS {
        browser.resize(width, height, dark);
        browser.open(&place.path("campaign.html"));
        browser.evaluate(SEEN);
        assert_page(&mut browser, "document.documentElement.scrollWidth <= innerWidth");
        assert_page(&mut browser, "seen('.verdict.diverged') && seen('.chart')");
        shoot(&mut browser, &format!("campaign-{width}"));
        browser.follow("article a");
        assert_page(&mut browser, "slider.value == data.diverged");
    }
    assert_eq!(browser.complaints, [""; 0]);
}

/// Walks the steps by slider, keys and clicks.
#[track_caller]
fn walk(browser: &mut Chromium) {
    let shown = "here.textContent + document.querySelector('#state').textContent + now.style.left";
    let at_divergence = browser.evaluate(shown);
    browser.evaluate("slider.value = 1; slider.dispatchEvent(new Event('input'))");
    let at_one = browser.evaluate(shown);
    assert_ne!(at_one, at_divergence);
    for (key, step) in [
        ("j", "2"),
        ("ArrowRight", "3"),
        ("k", "2"),
        ("ArrowLeft", "1"),
        ("End", "last"),
        ("Home", "0"),
        ("ArrowLeft", "0"),
        ("d", "data.diverged"),
    ] {
        browser.press(key);
        assert_page(browser, &format!("Number(slider.value) === {step}"));
    }
    assert_eq!(browser.evaluate(shown), at_divergence);
    browser.press("?");
    assert_page(browser, "document.getElementById('help').open");
    browser.press("?");
    assert_page(browser, "!document.getElementById('help').open");
    // With the focus on the slider, its own keys move it, once.
    browser.evaluate("slider.focus(); show(4)");
    browser.press("ArrowLeft");
    assert_page(browser, "Number(slider.value) === 3 && here.textContent.startsWith('Step 3 ')");
    click_on_the_map(browser);
}

/// A click on the map goes to the step that is there.
#[track_caller]
fn click_on_the_map(browser: &mut Chromium) {
    let middle = |side: &str, size: &str| {
        format!("{{ const box = now.getBoundingClientRect(); box.{side} + box.{size} / 2 }}")
    };
    browser.evaluate("show(last - 1); map.scrollIntoView({block: 'center'})");
    let x = browser.evaluate(&middle("left", "width")).as_f64().expect("a place");
    let y = browser.evaluate(&middle("top", "height")).as_f64().expect("a place");
    // Not by `show`, which might scroll.
    browser.evaluate("slider.value = last");
    browser.click(x, y);
    assert_page(browser, "Number(slider.value) === last - 1");
}
