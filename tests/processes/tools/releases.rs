//! A release page of a test's own, with the faults that a test asks for.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tempo_perf::settings::ReleaseAddresses;
use url::Url;

use super::machine::PRODUCT;

/// How the page behaves from now on.
#[derive(Default, Clone)]
pub struct Behaviour {
    /// Archives end after so many bytes of a connection.
    pub cut_after: Option<usize>,
    /// How long a piece of an archive takes.
    pub pause: Duration,
    /// Archives lie at another address.
    pub redirects: bool,
    /// `Range` is understood.
    pub no_ranges: bool,
}

pub struct Page {
    address: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    behaviour: Mutex<Behaviour>,
    /// File and `Range` of each request.
    requests: Mutex<Vec<String>>,
}

/// As the releases name this machine.
pub fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => panic!("there is no release for {other}"),
    }
}

pub fn k6_archive() -> String {
    format!("k6-v1.8.1-linux-{}.tar.gz", arch())
}

impl Page {
    /// A page with releases of k6 1.8.1, Prometheus 3.13.5 and Tempo 3.0.3.
    pub fn new() -> Page {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::<State>::default();
        let page = Page {
            address,
            state: Arc::clone(&state),
        };
        let prometheus = format!("prometheus-3.13.5.linux-{}", arch());
        let tempo = format!("tempo_3.0.3_linux_{}.tar.gz", arch());
        page.publish(
            "v1.8.1",
            &k6_archive(),
            "k6-v1.8.1-checksums.txt",
            "k6-v1.8.1/k6",
        );
        page.publish(
            "v3.13.5",
            &format!("{prometheus}.tar.gz"),
            "sha256sums.txt",
            &format!("{prometheus}/prometheus"),
        );
        page.publish("v3.0.3", &tempo, "SHA256SUMS", "tempo");
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let state = Arc::clone(&state);
                // A client that is killed or hangs up ends it with an error.
                std::thread::spawn(move || state.serve(connection).ok());
            }
        });
        page
    }

    /// Puts an archive with one file there, and its checksum.
    pub fn publish(&self, tag: &str, archive: &str, checksums: &str, file: &str) {
        let bytes = tar_gz(file, PRODUCT);
        let sums = format!(
            "{}  other.tar.gz\n{}  {archive}\n",
            "0".repeat(64),
            sha256(&bytes)
        );
        self.put(&format!("/{tag}/{archive}"), bytes);
        self.put(&format!("/{tag}/{checksums}"), sums);
    }

    pub fn put(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        let mut files = self.state.files.lock().unwrap();
        files.insert(path.to_owned(), bytes.into());
    }

    pub fn get(&self, path: &str) -> Vec<u8> {
        self.state.files.lock().unwrap()[path].clone()
    }

    pub fn remove(&self, path: &str) {
        self.state.files.lock().unwrap().remove(path).unwrap();
    }

    pub fn behave(&self, behaviour: Behaviour) {
        *self.state.behaviour.lock().unwrap() = behaviour;
    }

    /// Files that were asked for, and from which byte on.
    pub fn requests(&self) -> Vec<String> {
        self.state.requests.lock().unwrap().clone()
    }

    pub fn addresses(&self) -> ReleaseAddresses {
        at(&self.address)
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// A text without the address, which differs from run to run.
    pub fn plain(&self, text: &str) -> String {
        text.replace(&self.address, "[page]")
            .replace(arch(), "[arch]")
    }
}

/// All releases below one address.
pub fn at(address: &str) -> ReleaseAddresses {
    let url = Url::parse(address).unwrap();
    ReleaseAddresses {
        k6: url.clone(),
        otelcol: url.clone(),
        prometheus: url.clone(),
        tempo: url,
    }
}

/// An address where nothing listens.
pub fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

impl State {
    fn serve(&self, mut connection: TcpStream) -> std::io::Result<()> {
        let mut path = String::new();
        let mut range = None;
        for line in BufReader::new(connection.try_clone()?).lines() {
            let line = line?;
            if line.is_empty() {
                break;
            }
            if let Some(rest) = line.strip_prefix("GET ") {
                path = rest.split(' ').next().unwrap_or_default().to_owned();
            }
            if let Some((name, value)) = line.split_once(": ")
                && name.eq_ignore_ascii_case("range")
            {
                range = value.strip_prefix("bytes=").map(str::to_owned);
            }
        }
        let behaviour = self.behaviour.lock().unwrap().clone();
        let file = path.rsplit('/').next().unwrap_or_default();
        let request = match &range {
            Some(range) => format!("{file} {range}"),
            None => file.to_owned(),
        };
        let is_archive = file.ends_with(".tar.gz");
        self.requests.lock().unwrap().push(request);
        if is_archive && behaviour.redirects && !path.starts_with("/elsewhere") {
            let head = format!("HTTP/1.1 302 Found\r\nlocation: /elsewhere{path}\r\n");
            return connection.write_all(
                format!("{head}content-length: 0\r\nconnection: close\r\n\r\n").as_bytes(),
            );
        }
        let path = path.trim_start_matches("/elsewhere").to_owned();
        let bytes = self.files.lock().unwrap().get(&path).cloned();
        let from = range
            .filter(|_| !behaviour.no_ranges)
            .and_then(|range| range.trim_end_matches('-').parse::<usize>().ok());
        let (status, extra, body) = match (bytes, from) {
            (None, _) => ("404 Not Found", String::new(), b"not here".to_vec()),
            (Some(bytes), None) => ("200 OK", String::new(), bytes),
            (Some(bytes), Some(from)) if from >= bytes.len() => {
                ("416 Range Not Satisfiable", String::new(), Vec::new())
            }
            (Some(bytes), Some(from)) => (
                "206 Partial Content",
                format!(
                    "content-range: bytes {from}-{}/{}\r\n",
                    bytes.len() - 1,
                    bytes.len()
                ),
                bytes[from..].to_vec(),
            ),
        };
        let mut head = format!("HTTP/1.1 {status}\r\n{extra}");
        let _ = write!(
            head,
            "content-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        connection.write_all(head.as_bytes())?;
        let end = match behaviour.cut_after {
            Some(end) if is_archive => end.min(body.len()),
            _ => body.len(),
        };
        for piece in body[..end].chunks(4096) {
            connection.write_all(piece)?;
            if is_archive {
                std::thread::sleep(behaviour.pause);
            }
        }
        Ok(())
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// About 100 kB, so that some of it can be missing.
pub fn tar_gz(file: &str, text: &str) -> Vec<u8> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    let mut noise = vec![0; 100_000];
    let mut state = 1_u32;
    for byte in &mut noise {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = (state >> 24) as u8;
    }
    for (name, bytes) in [("LICENSE", noise.as_slice()), (file, text.as_bytes())] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o755);
        tar.append_data(&mut header, name, bytes).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}
