//! The Job of one k6 run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use url::Url;

use super::files::{FILES_DIR, K6Files};
use crate::environment::kubernetes::cluster::names::K6;
use crate::environment::kubernetes::manifests;
use crate::environment::kubernetes::manifests::blueprint::{Blueprint, Flavor};
use crate::k6::{Run, command::k6_command};

/// What runs in the pod; k6 is its child.
const POD_SCRIPT: &str = include_str!("pod.sh");

/// The user of the official image.
pub const K6_USER: u32 = 12345;

/// An emptyDir, the only place that a pod may write to.
const TMP: &str = "/tmp";
/// Where a pod's load, corpus and summary are.
/// No path of a pod may hold `tempo-perf/`, which marks lines of the scripts.
pub const RUN_DIR: &str = "/tmp/run";

/// k6 ends its iterations and writes its summary within this.
const GRACE_SECONDS: i64 = 15;

/// Where OpenShift puts the CA of its services.
const SERVICE_CA: &str = "/var/run/secrets/kubernetes.io/serviceaccount/service-ca.crt";
/// The pod's own token, which the gateway asks for.
pub const TOKEN_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// k6 without virtual users, and what each adds; measured: 123 MB with 50,
/// 333 MB with 200 users of xlarge traces.
const MEMORY_MIB: u64 = 192;
const MEMORY_MIB_PER_VU: f64 = 1.5;
/// What a limit leaves above the request.
const MEMORY_LIMIT_FACTOR: u64 = 4;

/// A k6 run to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct K6Pod {
    /// Of the Job; the run's name with a number behind a second one.
    pub job: String,
    pub run: Run,
    /// How long the pod waits for its load.
    pub patience: Duration,
}

pub fn load_file() -> PathBuf {
    Path::new(RUN_DIR).join("load.json")
}

pub fn summary_file() -> PathBuf {
    Path::new(RUN_DIR).join("summary.json")
}

pub fn corpus_dir() -> PathBuf {
    Path::new(RUN_DIR).join("corpus")
}

/// The Job; its one container is called `k6`.
pub fn job(blueprint: &Blueprint, files: &K6Files, pod: &K6Pod) -> Value {
    let remote_write = blueprint
        .remote_write()
        .filter(|_| pod.run.is_the_load())
        .map(|url| Url::parse(&url).expect("a service's name makes a URL"));
    let script = Path::new(FILES_DIR).join(pod.run.script());
    let command = k6_command(&script, &load_file(), pod.run, remote_write.as_ref());
    let text = |word: &std::ffi::OsString| word.to_string_lossy().into_owned();
    let mut arguments = vec![
        "k6-pod".to_string(),
        FILES_DIR.to_string(),
        RUN_DIR.to_string(),
        pod.patience.as_secs().to_string(),
        "k6".to_string(),
    ];
    arguments.extend(command.args.iter().map(text));
    let mut env: Vec<Value> = command
        .env
        .iter()
        .map(|(name, value)| json!({"name": name, "value": text(value)}))
        .collect();
    // The image's home directory is read-only here.
    env.push(json!({"name": "HOME", "value": TMP}));
    if blueprint.has_gateway() {
        // k6 talks to nothing else over TLS.
        env.push(json!({"name": "SSL_CERT_FILE", "value": SERVICE_CA}));
    }
    let deadline = blueprint.job_timeout + pod.patience;
    let memory = MEMORY_MIB + (MEMORY_MIB_PER_VU * f64::from(blueprint.max_vus)) as u64;
    let labels = blueprint.component_labels(K6);
    let security = manifests::pod_security(blueprint, K6_USER);
    let mut spec = json!({
        "restartPolicy": "Never",
        "serviceAccountName": manifests::K6_ACCOUNT,
        "automountServiceAccountToken": blueprint.flavor == Flavor::OpenShift,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": security.pod,
        "containers": [{
            "name": "k6",
            "image": blueprint.images.k6,
            "imagePullPolicy": "IfNotPresent",
            "command": ["/bin/sh", "-c", POD_SCRIPT],
            "args": arguments,
            "env": env,
            "securityContext": security.container,
            "resources": {
                // No limit of CPU: throttled, it would be k6 that is slow.
                "requests": {"cpu": cpu_request(pod.run), "memory": format!("{memory}Mi")},
                "limits": {"memory": format!("{}Mi", memory * MEMORY_LIMIT_FACTOR)},
            },
            "volumeMounts": [
                {"name": "files", "mountPath": FILES_DIR, "readOnly": true},
                {"name": "tmp", "mountPath": TMP},
            ],
        }],
        "volumes": [files.volume("files"), {"name": "tmp", "emptyDir": {}}],
    });
    if let Some(affinity) = manifests::node_anti_affinity(blueprint) {
        spec["affinity"] = affinity;
    }
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": pod.job,
            "namespace": blueprint.namespace,
            "labels": labels,
        },
        "spec": {
            // A second try would be another load.
            "backoffLimit": 0,
            "activeDeadlineSeconds": deadline.as_secs(),
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    })
}

/// Only those that put on the load need much; the others wait through it, and must
/// not keep its pods from finding a node.
fn cpu_request(run: Run) -> &'static str {
    if run.is_the_load() { "250m" } else { "50m" }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Output};

    use super::super::frame::FrameReader;
    use super::*;

    /// Runs the pod's script with a program in k6's place.
    fn pod(dir: &Path, wait_seconds: u32, k6: &str) -> Output {
        Command::new("sh")
            .args(["-c", POD_SCRIPT, "k6-pod"])
            .arg(dir.join("files"))
            .arg(dir.join("run"))
            .arg(wait_seconds.to_string())
            .args(["sh", "-c", k6])
            .output()
            .expect("there is a shell")
    }

    fn dirs() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir_all(dir.path().join("files/corpus")).expect("writable");
        std::fs::create_dir_all(dir.path().join("run")).expect("writable");
        dir
    }

    #[test]
    fn the_pods_script_joins_the_corpus_and_frames_what_k6_leaves() {
        let dir = dirs();
        for (name, text) in [
            ("s.bin.part000", "ab"),
            ("s.bin.part001", "c"),
            ("s.json", "{}"),
        ] {
            std::fs::write(dir.path().join("files/corpus").join(name), text).expect("writable");
        }
        std::fs::write(dir.path().join("run/load.json"), "{}").expect("writable");
        let run = dir.path().join("run").display().to_string();
        let k6 = format!(
            "cat {run}/corpus/s.bin {run}/corpus/s.json; printf '{{\"a\": 1}}' > {run}/summary.json; exit 99"
        );
        let output = pod(dir.path(), 1, &k6);
        assert_eq!(output.status.code(), Some(99), "{output:?}");
        let log = String::from_utf8(output.stdout).expect("UTF-8");
        let mut reader = FrameReader::default();
        let rest: Vec<&str> = log.lines().filter_map(|line| reader.take(line)).collect();
        assert_eq!(rest, ["k6-pod: ready", "abc{}"]);
        let block = reader.finish().expect("a whole frame");
        assert_eq!(block.exit_code, 99);
        assert_eq!(block.summary.as_deref(), Some("{\"a\": 1}\n"));
    }

    #[test]
    fn a_pod_whose_load_never_comes_ends_and_says_so() {
        let output = pod(dirs().path(), 0, "true");
        assert_eq!(output.status.code(), Some(75));
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(words.contains("no load came within 0 s"), "{words}");
    }

    #[test]
    fn a_signal_reaches_k6_and_its_summary_is_still_framed() {
        let dir = dirs();
        std::fs::write(dir.path().join("run/load.json"), "{}").expect("writable");
        let run = dir.path().join("run").display().to_string();
        // Sends the signal to the shell that waits for it, as a kubelet does.
        let k6 = format!(
            "trap 'echo {{}} > {run}/summary.json; exit 105' TERM; kill -TERM $PPID; while :; do sleep 0.1; done"
        );
        let output = pod(dir.path(), 1, &k6);
        let log = String::from_utf8(output.stdout).expect("UTF-8");
        let mut reader = FrameReader::default();
        log.lines().for_each(|line| {
            let _ = reader.take(line);
        });
        let block = reader.finish().expect("a whole frame");
        assert_eq!(
            (block.exit_code, block.summary.as_deref()),
            (105, Some("{}\n\n"))
        );
    }
}
