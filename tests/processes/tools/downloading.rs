//! Downloading releases from a page of the test's own, whose archives are for Linux.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempo_perf::error_chain::chain;
use tempo_perf::settings::{ToolSettings, ToolSource};
use tempo_perf::tools::{Origin, Tool, Toolbox};

use super::machine::{Machine, PRODUCT, get, text};
use super::releases::{Behaviour, Page, arch, at, k6_archive, nowhere, sha256, tar_gz};
use crate::waiting::eventually;

/// A piece of an archive that takes this long lets a test come in between.
const SLOW: Duration = Duration::from_millis(40);

fn downloads_from(page: &Page) -> impl FnOnce(&mut ToolSettings) {
    let addresses = page.addresses();
    |settings| {
        settings.source = ToolSource::Download;
        settings.releases = addresses;
    }
}

impl Machine {
    fn downloads(&self, page: &Page) -> Toolbox {
        self.toolbox_with(downloads_from(page))
    }

    /// `tempo-perf tools` that has to download k6 alone.
    fn k6_download(&self, page: &Page) -> std::process::Command {
        let mut command = self.command();
        for (variable, name) in [
            ("TEMPO_PERF_OTELCOL_BIN", "otelcol"),
            ("TEMPO_PERF_PROMETHEUS_BIN", "prometheus"),
        ] {
            command.env(variable, self.write_program(name, PRODUCT));
        }
        command
            .env("TEMPO_PERF_TOOLS", "download")
            .env("TEMPO_PERF_K6_RELEASES", page.address());
        command
    }

    /// How much of the archive of k6 is there.
    fn part(&self) -> u64 {
        let part = self.path(&format!("cache/{}.part", k6_archive()));
        fs::metadata(part).map_or(0, |part| part.len())
    }
}

/// A text without what a slow machine adds to it.
fn steady(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.contains("MB of "));
    lines.map(|line| format!("{line}\n")).collect()
}

#[tokio::test]
async fn a_release_is_downloaded_once_and_then_cached() {
    let (machine, page) = (Machine::new(), Page::new());
    let first = get(&machine.downloads(&page), Tool::K6).await.unwrap();
    assert_eq!(
        (first.origin, first.version.as_str()),
        (Origin::Release, "1.8.1")
    );
    assert_eq!(fs::read_to_string(&first.path).unwrap(), PRODUCT);
    assert_eq!(machine.cached(), ["k6", "k6.sha256"]);
    let shown = steady(&page.plain(&machine.shown()));
    insta::assert_snapshot!(shown, @"
    downloading k6 1.8.1, 0.1 MB: [page]/v1.8.1/k6-v1.8.1-linux-[arch].tar.gz
    downloaded k6 1.8.1 in 0s
    ");
    assert_eq!(
        page.requests(),
        ["k6-v1.8.1-checksums.txt".to_owned(), k6_archive()]
    );
    let second = get(&machine.downloads(&page), Tool::K6).await.unwrap();
    assert_eq!((second.origin, second.path), (Origin::Release, first.path));
    assert_eq!(page.requests().len(), 2, "nothing more is asked for");
}

#[tokio::test]
async fn a_file_in_a_directory_of_its_own_is_found() {
    let (machine, page) = (Machine::new(), Page::new());
    let toolbox = machine.downloads(&page);
    let found = get(&toolbox, Tool::Prometheus).await.unwrap();
    assert_eq!(found.version, "3.13.5");
    assert!(found.path.ends_with("prometheus"), "{:?}", found.path);
}

#[tokio::test]
async fn another_checksum_is_refused() {
    let (machine, page) = (Machine::new(), Page::new());
    let sums = format!("{}  {}\n", "e".repeat(64), k6_archive());
    page.put("/v1.8.1/k6-v1.8.1-checksums.txt", sums);
    let error = get(&machine.downloads(&page), Tool::K6).await;
    let message = page.plain(&chain(&error.unwrap_err()));
    let found = sha256(&page.get(&format!("/v1.8.1/{}", k6_archive())));
    insta::assert_snapshot!(message.replace(&found, "[found]"), @"k6 1.8.1 cannot be downloaded: [page]/v1.8.1/k6-v1.8.1-linux-[arch].tar.gz has the SHA-256 [found]; [page]/v1.8.1/k6-v1.8.1-checksums.txt says eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee; name another address in TEMPO_PERF_K6_RELEASES, let it be built with --tools auto, or take a binary of 1.8.0 or later from https://github.com/grafana/k6/releases and set TEMPO_PERF_K6_BIN");
    assert_eq!(machine.cached(), Vec::<String>::new());
}

/// Whoever can replace an archive can replace the checksums beside it.
#[cfg(target_arch = "x86_64")]
#[tokio::test]
async fn a_digest_that_we_know_beats_the_one_of_the_page() {
    let (machine, page) = (Machine::new(), Page::new());
    let archive = "otelcol_0.160.0_linux_amd64.tar.gz";
    let bytes = tar_gz("otelcol", PRODUCT);
    // The form of the collector's checksums: a digest and nothing else.
    page.put(&format!("/v0.160.0/{archive}.sha256"), sha256(&bytes));
    page.put(&format!("/v0.160.0/{archive}"), bytes.clone());
    let error = get(&machine.downloads(&page), Tool::Otelcol).await;
    let message = page.plain(&chain(&error.unwrap_err()));
    insta::assert_snapshot!(message.replace(&sha256(&bytes), "[found]"), @"OpenTelemetry Collector 0.160.0 cannot be downloaded: [page]/v0.160.0/otelcol_0.160.0_linux_[arch].tar.gz has the SHA-256 [found]; the list in tempo-perf says 5415b8daf782f17cc463c3e46816abf181a68a04b7bcf98c273c3c204096c743; name another address in TEMPO_PERF_OTELCOL_RELEASES, let it be built with --tools auto, or take a binary of 0.120.0 or later from https://github.com/open-telemetry/opentelemetry-collector-releases/releases and set TEMPO_PERF_OTELCOL_BIN");
    assert_eq!(page.requests(), [format!("{archive}.sha256")]);
}

#[tokio::test]
async fn what_is_not_on_the_page_is_told_by_its_address() {
    let (machine, page) = (Machine::new(), Page::new());
    page.remove(&format!("/v1.8.1/{}", k6_archive()));
    let mut messages = Vec::new();
    for gone in ["the archive", "the checksums"] {
        let error = get(&machine.downloads(&page), Tool::K6).await;
        messages.push(format!(
            "{gone}: {}",
            page.plain(&chain(&error.unwrap_err()))
        ));
        if gone == "the archive" {
            page.remove("/v1.8.1/k6-v1.8.1-checksums.txt");
        }
    }
    insta::assert_snapshot!(messages.join("\n"), @"
    the archive: k6 1.8.1 cannot be downloaded: [page]/v1.8.1/k6-v1.8.1-linux-[arch].tar.gz answers 404 Not Found; name another address in TEMPO_PERF_K6_RELEASES, let it be built with --tools auto, or take a binary of 1.8.0 or later from https://github.com/grafana/k6/releases and set TEMPO_PERF_K6_BIN
    the checksums: k6 1.8.1 cannot be downloaded: [page]/v1.8.1/k6-v1.8.1-checksums.txt answers 404 Not Found; name another address in TEMPO_PERF_K6_RELEASES, let it be built with --tools auto, or take a binary of 1.8.0 or later from https://github.com/grafana/k6/releases and set TEMPO_PERF_K6_BIN
    ");
    assert_eq!(machine.cached(), Vec::<String>::new());
}

#[tokio::test]
async fn an_archive_without_the_tool_is_refused() {
    let (machine, page) = (Machine::new(), Page::new());
    for (file, content) in [("README", "k6"), ("k6", "#!/bin/sh\necho 'hello'\n")] {
        let bytes = tar_gz(file, content);
        let sums = format!("{}  {}\n", sha256(&bytes), k6_archive());
        page.put("/v1.8.1/k6-v1.8.1-checksums.txt", sums);
        page.put(&format!("/v1.8.1/{}", k6_archive()), bytes);
        let error = get(&machine.downloads(&page), Tool::K6).await.unwrap_err();
        let message = chain(&error);
        let expected = match file {
            "README" => format!("{} has no file k6", k6_archive()),
            _ => "does not work: ".to_owned(),
        };
        assert!(message.contains(&expected), "{message}");
        assert_eq!(machine.cached(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_taken_up_again() {
    let (machine, page) = (Machine::new(), Page::new());
    page.behave(Behaviour {
        cut_after: Some(60_000),
        ..Behaviour::default()
    });
    let found = get(&machine.downloads(&page), Tool::K6).await.unwrap();
    assert_eq!(found.origin, Origin::Release);
    assert_eq!(
        page.requests()[1..],
        [k6_archive(), format!("{} 60000-", k6_archive())]
    );
    assert!(machine.shown().contains("going on after: cannot get http"));
}

#[tokio::test]
async fn an_archive_that_stays_truncated_is_an_error_and_its_part_is_kept() {
    let (machine, page) = (Machine::new(), Page::new());
    page.behave(Behaviour {
        cut_after: Some(10_000),
        ..Behaviour::default()
    });
    let error = get(&machine.downloads(&page), Tool::K6).await.unwrap_err();
    let message = page.plain(&chain(&error));
    assert!(
        message.starts_with("k6 1.8.1 cannot be downloaded: cannot get [page]/v1.8.1/k6-"),
        "{message}"
    );
    assert_eq!(machine.part(), 50_000, "five connections of 10,000 bytes");
}

#[tokio::test]
async fn a_slow_download_shows_how_far_it_is() {
    let (machine, page) = (Machine::new(), Page::new());
    page.behave(Behaviour {
        pause: SLOW,
        ..Behaviour::default()
    });
    get(&machine.downloads(&page), Tool::K6).await.unwrap();
    let shown = machine.shown();
    let steps: Vec<&str> = shown
        .lines()
        .filter(|line| {
            line.starts_with("downloading k6 1.8.1: ") && line.contains(" MB of 0.1 MB, ")
        })
        .collect();
    assert!(!steps.is_empty(), "{shown}");
}

#[tokio::test]
async fn redirects_are_followed() {
    let (machine, page) = (Machine::new(), Page::new());
    page.behave(Behaviour {
        redirects: true,
        cut_after: Some(60_000),
        ..Behaviour::default()
    });
    get(&machine.downloads(&page), Tool::K6).await.unwrap();
    let asked = page.requests();
    let with_range = format!("{} 60000-", k6_archive());
    assert_eq!(
        asked.iter().filter(|asked| **asked == with_range).count(),
        2,
        "the second address must be told as well where to go on: {asked:?}"
    );
}

#[test]
fn a_killed_download_is_taken_up_by_the_next_run() {
    let (machine, page) = (Machine::new(), Page::new());
    page.behave(Behaviour {
        pause: SLOW,
        ..Behaviour::default()
    });
    let mut run = machine.k6_download(&page).spawn().unwrap();
    eventually("the download must begin", || machine.part() > 0);
    run.kill().unwrap();
    run.wait().unwrap();
    let part = machine.part();
    assert!(part > 0);
    page.behave(Behaviour::default());
    let output = machine.k6_download(&page).output().unwrap();
    let (stdout, stderr) = text(&output);
    assert!(output.status.success(), "{stderr}");
    assert!(
        stdout.contains("k6          1.8.1    release   "),
        "{stdout}"
    );
    assert_eq!(
        page.requests().last().unwrap(),
        &format!("{} {part}-", k6_archive())
    );
    assert!(
        stderr.contains("downloading k6 1.8.1 from 0.0 MB on: "),
        "{stderr}"
    );
    assert_eq!(machine.cached(), ["k6", "k6.sha256"]);
}

#[rstest::rstest]
#[case::of_another_file(vec![1; 50_000], false, 2)]
#[case::longer_than_the_archive(vec![1; 1_000_000], false, 2)]
#[case::page_without_ranges(vec![1; 50_000], true, 1)]
#[tokio::test]
async fn a_part_that_is_of_no_use_is_fetched_anew(
    #[case] part: Vec<u8>,
    #[case] no_ranges: bool,
    #[case] requests: usize,
) {
    let (machine, page) = (Machine::new(), Page::new());
    page.behave(Behaviour {
        no_ranges,
        ..Behaviour::default()
    });
    fs::write(machine.path(&format!("cache/{}.part", k6_archive())), part).unwrap();
    get(&machine.downloads(&page), Tool::K6).await.unwrap();
    assert_eq!(machine.cached(), ["k6", "k6.sha256"]);
    assert_eq!(page.requests().len(), 1 + requests, "{:?}", page.requests());
}

#[test]
fn sigint_ends_a_download_and_keeps_what_there_is() {
    let (machine, page) = (Machine::new(), Page::new());
    page.behave(Behaviour {
        pause: SLOW,
        ..Behaviour::default()
    });
    let run = machine.k6_download(&page).spawn().unwrap();
    eventually("the download must begin", || machine.part() > 0);
    kill(Pid::from_raw(run.id() as i32), Signal::SIGINT).unwrap();
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{:?}", text(&output));
    let stderr = text(&output).1;
    assert!(
        stderr.ends_with("error: SIGINT while downloading k6 1.8.1\n"),
        "{stderr}"
    );
    assert_eq!(machine.cached(), [format!("{}.part", k6_archive())]);
}

#[test]
fn two_runs_at_once_download_once() {
    let (machine, page) = (Machine::new(), Page::new());
    page.behave(Behaviour {
        pause: SLOW,
        ..Behaviour::default()
    });
    let first = machine.k6_download(&page).spawn().unwrap();
    eventually("the download must begin", || machine.part() > 0);
    let pid = first.id();
    let second = machine.k6_download(&page).output().unwrap();
    let first = first.wait_with_output().unwrap();
    assert!(first.status.success(), "{:?}", text(&first));
    assert!(second.status.success(), "{:?}", text(&second));
    let line = format!("waiting for process {pid}, which is downloading k6 1.8.1");
    assert!(text(&second).1.contains(&line), "{:?}", text(&second));
    let archives = page
        .requests()
        .into_iter()
        .filter(|file| *file == k6_archive());
    assert_eq!(archives.count(), 1);
}

#[tokio::test]
async fn a_release_that_was_damaged_in_the_cache_is_downloaded_again() {
    let (machine, page) = (Machine::new(), Page::new());
    let first = get(&machine.downloads(&page), Tool::K6).await.unwrap();
    fs::write(&first.path, "").unwrap();
    let second = get(&machine.downloads(&page), Tool::K6).await.unwrap();
    assert_eq!(second.path, first.path);
    assert_eq!(fs::read_to_string(&second.path).unwrap(), PRODUCT);
    let shown = machine
        .plain(&machine.shown())
        .replace(std::env::consts::ARCH, "[arch]");
    assert!(
        shown.contains(
            "not used: [dir]/cache/k6-1.8.1-release-linux-[arch]/k6 is not what was kept there: \
             its SHA-256 is another\n"
        ),
        "{shown}"
    );
}

#[tokio::test]
async fn auto_builds_what_cannot_be_downloaded_and_says_why() {
    let (machine, page) = (Machine::with_go("/bin/cp $product $out"), Page::new());
    page.remove("/v3.13.5/sha256sums.txt");
    let toolbox = machine.toolbox_with(|settings| {
        settings.source = ToolSource::Auto;
        settings.releases = page.addresses();
    });
    let tools = toolbox
        .resolve_all(&[Tool::Prometheus, Tool::K6])
        .await
        .unwrap();
    let origins: Vec<_> = tools.iter().map(|tool| (tool.tool, tool.origin)).collect();
    assert_eq!(
        origins,
        [
            (Tool::Prometheus, Origin::Built),
            (Tool::K6, Origin::Release)
        ]
    );
    let shown = steady(&page.plain(&machine.shown()));
    insta::assert_snapshot!(shown, @"
    downloading k6 1.8.1, 0.1 MB: [page]/v1.8.1/k6-v1.8.1-linux-[arch].tar.gz
    downloaded k6 1.8.1 in 0s
    Prometheus 3.13.5 is not downloaded: [page]/v3.13.5/sha256sums.txt answers 404 Not Found
    building Prometheus 3.13.5 (once; about 2 minutes)
    built Prometheus 3.13.5 in 0s
    ");
}

#[tokio::test]
async fn auto_builds_when_a_download_breaks_off() {
    let (machine, page) = (Machine::with_go("/bin/cp $product $out"), Page::new());
    page.behave(Behaviour {
        cut_after: Some(0),
        ..Behaviour::default()
    });
    let toolbox = machine.toolbox_with(|settings| {
        settings.source = ToolSource::Auto;
        settings.releases = page.addresses();
    });
    let k6 = get(&toolbox, Tool::K6).await.unwrap();
    assert_eq!(k6.origin, Origin::Built);
    assert!(
        machine
            .shown()
            .contains("k6 1.8.1 is not downloaded: cannot get http")
    );
}

/// T6: nobody should install one thing after the other.
#[tokio::test]
async fn without_network_and_go_all_refusals_of_all_tools_are_told_at_once() {
    let machine = Machine::new();
    let address = nowhere();
    let toolbox = machine.toolbox_with(|settings| {
        settings.source = ToolSource::Auto;
        settings.releases = at(&address);
        settings.tempo_version = Some("3.0.3".to_owned());
    });
    let start = Instant::now();
    let error = toolbox.resolve_local().await.unwrap_err();
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    let message = chain(&error)
        .replace(&address, "[nowhere]")
        .replace(arch(), "[arch]");
    insta::assert_snapshot!(message, @"
    k6 is not there, and without Go it cannot be built; install Go 1.26.0 or later, or take a binary of 1.8.0 or later from https://github.com/grafana/k6/releases and set TEMPO_PERF_K6_BIN
      not downloaded: cannot get [nowhere]/v1.8.1/k6-v1.8.1-checksums.txt: error sending request: client error (Connect): tcp connect error: Connection refused (os error 111) (TEMPO_PERF_K6_RELEASES names another address)
    OpenTelemetry Collector is not there, and without Go it cannot be built; install Go 1.26.0 or later, or take a binary of 0.120.0 or later from https://github.com/open-telemetry/opentelemetry-collector-releases/releases and set TEMPO_PERF_OTELCOL_BIN
      not downloaded: cannot get [nowhere]/v0.160.0/otelcol_0.160.0_linux_[arch].tar.gz.sha256: error sending request: client error (Connect): tcp connect error: Connection refused (os error 111) (TEMPO_PERF_OTELCOL_RELEASES names another address)
    Prometheus is not there, and without Go it cannot be built; install Go 1.26.0 or later, or take a binary of 3.9.0 or later from https://github.com/prometheus/prometheus/releases and set TEMPO_PERF_PROMETHEUS_BIN
      not downloaded: cannot get [nowhere]/v3.13.5/sha256sums.txt: error sending request: client error (Connect): tcp connect error: Connection refused (os error 111) (TEMPO_PERF_PROMETHEUS_RELEASES names another address)
    Tempo 3.0.3 cannot be downloaded: cannot get [nowhere]/v3.0.3/SHA256SUMS: error sending request: client error (Connect): tcp connect error: Connection refused (os error 111); name another address in TEMPO_PERF_TEMPO_RELEASES, or set TEMPO_PERF_TEMPO_BIN to a binary of your own, or leave the version out and have `tempo` on PATH
    ");
    assert_eq!(machine.cached(), Vec::<String>::new());
}

#[tokio::test]
async fn a_password_in_an_address_is_not_shown() {
    let machine = Machine::new();
    let address = nowhere().replace("http://", "http://me:secret@");
    let toolbox = machine.toolbox_with(|settings| {
        settings.source = ToolSource::Download;
        settings.releases = at(&address);
    });
    let message = chain(&get(&toolbox, Tool::K6).await.unwrap_err());
    assert!(message.contains("http://...@127.0.0.1"), "{message}");
    assert!(!message.contains("secret"), "{message}");
}

#[tokio::test]
async fn the_tempo_that_was_asked_for_is_downloaded_once() {
    let (machine, page) = (Machine::new(), Page::new());
    // A Tempo on PATH is another version: it must not stand in.
    machine.write_program("bin/tempo", "#!/bin/sh\necho 'tempo, version 2.10.8 (x)'\n");
    let toolbox = machine.toolbox_with(|settings| {
        settings.releases = page.addresses();
        settings.tempo_version = Some("3.0.3".to_owned());
    });
    for requests in [2, 2] {
        let tempo = toolbox.find_tempo().await.unwrap().unwrap();
        assert_eq!((tempo.origin, tempo.major()), (Origin::Release, Some(3)));
        assert_eq!(fs::read_to_string(&tempo.path).unwrap(), PRODUCT);
        assert_eq!(page.requests().len(), requests);
    }
}

/// A mirror's checksum fits whatever it holds.
#[tokio::test]
async fn a_release_that_states_another_version_is_refused() {
    let (machine, page) = (Machine::new(), Page::new());
    let archive = format!("tempo_3.0.2_linux_{}.tar.gz", arch());
    page.publish("v3.0.2", &archive, "SHA256SUMS", "tempo");
    let toolbox = machine.toolbox_with(|settings| {
        settings.releases = page.addresses();
        settings.tempo_version = Some("3.0.2".to_owned());
    });
    let message = page.plain(&chain(&toolbox.find_tempo().await.unwrap_err()));
    let expected =
        "[page]/v3.0.2/tempo_3.0.2_linux_[arch].tar.gz holds version 3.0.3; expected 3.0.2";
    assert!(message.contains(expected), "{message}");
    assert_eq!(machine.cached(), Vec::<String>::new());
}

#[test]
fn check_shows_what_would_be_downloaded_and_asks_nobody() {
    let (machine, page) = (Machine::new(), Page::new());
    let output = machine
        .k6_download(&page)
        .arg("--check")
        .env("TEMPO_PERF_TEMPO_VERSION", "3.0.3")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{:?}", text(&output));
    insta::assert_snapshot!(machine.plain(&text(&output).0), @"
    TOOL        VERSION  ORIGIN       PATH
    k6          1.8.1    to download  -
    otelcol     0.160.0  variable     [dir]/otelcol
    prometheus  3.13.5   variable     [dir]/prometheus
    tempo       3.0.3    to download  -
    ");
    assert_eq!(page.requests(), Vec::<String>::new());
}
