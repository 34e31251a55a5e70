//! A real Chromium without a window, driven by the DevTools protocol.

use serde_json::{Value, json};
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tungstenite::{Message, WebSocket, client};

/// Its names, the one that a CI runner has among them.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// So often, and so many milliseconds apart, is looked whether it has started.
const LOOKS: u32 = 600;
const APART: Duration = Duration::from_millis(50);

/// So long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one page.
pub(crate) struct Chromium {
    child: Child,
    socket: WebSocket<TcpStream>,
    /// Of the page, once there is one.
    session: Option<String>,
    sent: u64,
    /// The page that is on its way has come.
    loaded: bool,
    /// What the page complained of.
    pub(crate) complaints: Vec<String>,
    _profile: TempDir,
}

/// The browser of this machine; its absence is an error only in CI.
pub(crate) fn find() -> Option<&'static str> {
    let runs = |name: &&&str| {
        let version = Command::new(name).arg("--version").stderr(Stdio::null()).output();
        version.is_ok_and(|it| it.status.success())
    };
    let found = NAMES.iter().find(runs).copied();
    assert!(found.is_some() || std::env::var_os("CI").is_none(), "no Chromium, which CI has");
    found
}

impl Chromium {
    #[track_caller]
    pub(crate) fn start(name: &str) -> Self {
        let profile = tempfile::tempdir().expect("a directory");
        let mut command = Command::new(name);
        // The sandbox needs privileges that a container lacks; the page is our own.
        command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]);
        command.args(["--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-port=0"]);
        command.arg(format!("--user-data-dir={}", profile.path().display())).arg("about:blank");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = child.spawn().expect("Chromium");
        let port = profile.path().join("DevToolsActivePort");
        let said = (0..LOOKS).find_map(|_| {
            let text = fs::read_to_string(&port).unwrap_or_default();
            let said = text.split_once('\n').map(|(one, two)| (one.to_owned(), two.to_owned()));
            said.is_none().then(pause);
            said
        });
        let (port, path) = said.expect("Chromium should say where it listens");
        let stream = TcpStream::connect(format!("127.0.0.1:{port}")).expect("Chromium listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let address = format!("ws://127.0.0.1:{port}{}", path.trim());
        let (socket, _) = client(address, stream).expect("Chromium speaks");
        let mut started = Self {
            child,
            socket,
            session: None,
            sent: 0,
            loaded: false,
            complaints: Vec::new(),
            _profile: profile,
        };
        started.attach();
        started
    }

    /// Speaks to its page from now on.
    fn attach(&mut self) {
        let targets = self.call("Target.getTargets", &json!({}));
        let targets = targets["targetInfos"].as_array().expect("targets");
        let page = targets.iter().find(|it| it["type"] == "page").expect("a page");
        let attach = json!({"targetId": page["targetId"], "flatten": true});
        let attached = self.call("Target.attachToTarget", &attach);
        self.session = Some(attached["sessionId"].as_str().expect("a session").to_owned());
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            self.call(domain, &json!({}));
        }
    }

    /// Calls a method, and waits for its answer.
    #[track_caller]
    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.sent += 1;
        let mut message = json!({"id": self.sent, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        self.socket.send(Message::text(message.to_string())).expect("Chromium listens");
        loop {
            let heard = self.hear();
            if heard["id"] == self.sent {
                assert!(heard["error"].is_null(), "{method}: {heard}");
                return heard["result"].clone();
            }
        }
    }

    /// The next message; complaints are kept.
    #[track_caller]
    fn hear(&mut self) -> Value {
        let message = self.socket.read().expect("Chromium answers");
        let heard: Value = serde_json::from_str(message.to_text().expect("text")).expect("JSON");
        self.loaded |= heard["method"] == "Page.loadEventFired";
        let parameters = &heard["params"];
        let complains = match heard["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => {
                parameters["type"] == "error" || parameters["type"] == "warning"
            }
            Some("Log.entryAdded") => parameters["entry"]["level"] == "error",
            _ => false,
        };
        if complains {
            self.complaints.push(parameters.to_string());
        }
        heard
    }

    /// A window of so many pixels, in light or dark colours, in which nothing moves by itself.
    pub(crate) fn resize(&mut self, width: u32, height: u32, dark: bool) {
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({"features": [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]});
        self.call("Emulation.setEmulatedMedia", &media);
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600,
        });
        self.call("Emulation.setDeviceMetricsOverride", &size);
    }

    /// Opens a file, and waits until it is loaded.
    #[track_caller]
    pub(crate) fn open(&mut self, path: &Path) {
        self.loaded = false;
        self.call("Page.navigate", &json!({"url": format!("file://{}", path.display())}));
        self.wait_for_load();
    }

    /// Clicks on a link, and waits until what it leads to is loaded.
    #[track_caller]
    pub(crate) fn follow(&mut self, selector: &str) {
        self.loaded = false;
        self.evaluate(&format!("document.querySelector('{selector}').click()"));
        self.wait_for_load();
    }

    #[track_caller]
    fn wait_for_load(&mut self) {
        while !self.loaded {
            self.hear();
        }
    }

    /// What an expression of JavaScript is in the page.
    #[track_caller]
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let parameters =
            json!({"expression": expression, "returnByValue": true, "userGesture": true});
        let given = self.call("Runtime.evaluate", &parameters);
        assert!(given["exceptionDetails"].is_null(), "{expression}: {given}");
        given["result"]["value"].clone()
    }

    /// Presses a key, as `KeyboardEvent.key` has it.
    pub(crate) fn press(&mut self, key: &str) {
        let code = match key {
            "End" => 35,
            "Home" => 36,
            "ArrowLeft" => 37,
            "ArrowRight" => 39,
            _ => 0,
        };
        let mut press = json!({"type": "keyDown", "key": key, "windowsVirtualKeyCode": code});
        if key.len() == 1 {
            press["text"] = key.into();
        }
        self.call("Input.dispatchKeyEvent", &press);
        press["type"] = "keyUp".into();
        self.call("Input.dispatchKeyEvent", &press);
    }

    /// Clicks on a point of the window, in pixels.
    pub(crate) fn click(&mut self, x: f64, y: f64) {
        for kind in ["mousePressed", "mouseReleased"] {
            let click = json!({"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", &click);
        }
    }

    /// A picture of the window, as PNG in base 64.
    pub(crate) fn screenshot(&mut self) -> String {
        let shot = self.call("Page.captureScreenshot", &json!({"format": "png"}));
        shot["data"].as_str().expect("a picture").to_owned()
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "waits for another process, beside every run")]
fn pause() {
    std::thread::sleep(APART);
}
