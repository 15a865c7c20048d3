//! A headless Chromium, for one page at a time.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

/// Opens a page with a script at its end, and returns what that script left for us.
pub(super) fn told(page: &str, script: &str) -> Json {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    std::fs::write(&file, with_script(page, script)).unwrap();
    let profile = folder.path().join("profile");
    let dom = dom_of(&format!("file://{}", file.display()), &profile);
    let left = dom
        .split_once("<pre id=\"told\">")
        .and_then(|(_, rest)| rest.split_once("</pre>"));
    let (left, _) = left.unwrap_or_else(|| panic!("the script left nothing in\n{dom:.4000}"));
    serde_json::from_slice(&decoded(left)).unwrap()
}

/// The page with a hook for errors at its start, before its own script, and a script at its end.
fn with_script(page: &str, script: &str) -> String {
    let hook = "<script>window.pageErrors = [];\
        window.addEventListener('error', (e) => window.pageErrors.push(String(e.message)));\
        window.addEventListener('unhandledrejection', (e) => window.pageErrors.push(String(e.reason)));\
        document.addEventListener('securitypolicyviolation', (e) => window.pageErrors.push(e.blockedURI));\
        </script>";
    let (start, rest) = page.split_once("<head>").expect("a page has a head");
    let (body, end) = rest.rsplit_once("</body>").expect("a page has a body");
    format!("{start}<head>{hook}{body}<script>{script}</script></body>{end}")
}

fn dom_of(url: &str, profile: &std::path::Path) -> String {
    let mut child = Command::new(browser())
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
        ])
        .args([
            "--disable-extensions",
            "--disable-background-networking",
            "--window-size=1400,900",
        ])
        .args(["--hide-scrollbars", "--timeout=90000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut output = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut dom = Vec::new();
        output.read_to_end(&mut dom).map(|_| dom)
    });
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > BOUND {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("the browser did not end within {} s", BOUND.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    String::from_utf8_lossy(&reader.join().unwrap().unwrap()).into_owned()
}

/// The program to run: the one that is named to us, or the first on the path.
fn browser() -> PathBuf {
    if let Some(named) = std::env::var_os("LOCK_TESTKIT_CHROMIUM") {
        return named.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let programs = names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    programs.into_iter().find(|program| program.is_file()).unwrap_or_else(|| {
        panic!(
            "there is no Chromium to open the page of a report in: run `cargo xtask test`, which \
             installs it, or `sudo apt-get install chromium`, or name one in LOCK_TESTKIT_CHROMIUM"
        )
    })
}

/// Base64, in which nothing of the page's own can be mistaken for the end of what is told.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0_u32);
    for c in text.bytes() {
        let digit = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count).to_be_bytes()[3]);
        }
    }
    bytes
}

const BOUND: Duration = Duration::from_secs(120);
