use super::*;
use rstest::rstest;

const LIMITS: Limits = Limits {
    limit: Duration::from_secs(60),
    grace: Duration::from_secs(10),
};

fn waiting() -> Progress {
    Progress::Waiting("0 of 1 replicas ready".to_owned())
}

fn stuck() -> Progress {
    Progress::Stuck("pods \"minio-0\" is forbidden: exceeded quota".to_owned())
}

fn failed() -> Progress {
    Progress::Failed("pod minio-0: cannot pull image \"x\"".to_owned())
}

/// What is seen at which second, and how it ends.
#[rstest]
#[case::done_at_once(&[(0, Progress::Done)], "0: done")]
#[case::done_later(&[(0, waiting()), (7, Progress::Done)], "7: done")]
#[case::failed(
    &[(0, waiting()), (3, failed())],
    "3: MinIO will not become ready (given up after 3.0 s): pod minio-0: cannot pull image \"x\""
)]
#[case::stuck_for_the_grace(
    &[(0, waiting()), (2, stuck()), (8, stuck()), (12, stuck())],
    "12: MinIO not ready after 12.0 s, and nothing has moved for 10.0 s: \
     pods \"minio-0\" is forbidden: exceeded quota"
)]
#[case::stuck_for_less(&[(0, stuck()), (9, stuck())], "goes on")]
#[case::stuck_twice_with_a_way_on_between(
    &[(0, stuck()), (9, waiting()), (10, stuck()), (19, stuck())],
    "goes on"
)]
#[case::stuck_and_over_it(&[(0, stuck()), (9, stuck()), (30, Progress::Done)], "30: done")]
#[case::stuck_for_two_reasons_one_after_the_other(
    &[(0, stuck()), (9, Progress::Stuck("another".to_owned())), (11, Progress::Stuck("another".to_owned()))],
    "11: MinIO not ready after 11.0 s, and nothing has moved for 11.0 s: another"
)]
#[case::timeout(
    &[(0, waiting()), (60, waiting())],
    "60: MinIO not ready after 60.0 s; last seen: 0 of 1 replicas ready"
)]
#[case::timeout_while_stuck(
    &[(0, waiting()), (55, stuck()), (60, stuck())],
    "60: MinIO not ready after 60.0 s; last seen: pods \"minio-0\" is forbidden: exceeded quota"
)]
#[case::done_at_the_last_look(&[(0, waiting()), (60, Progress::Done)], "60: done")]
fn when_waiting_ends(#[case] seen: &[(u64, Progress)], #[case] expected: &str) {
    let mut patience = Patience::new("MinIO", LIMITS);
    let end = seen.iter().find_map(|(second, progress)| {
        let now = Duration::from_secs(*second);
        let end = patience.judge(now, progress.clone(), "")?;
        let words = end.map_or_else(|err| err.to_string(), |()| "done".to_owned());
        Some(format!("{second}: {words}"))
    });
    assert_eq!(end.as_deref().unwrap_or("goes on"), expected);
}

#[rstest]
#[case::waiting(&[(5, waiting())], 60)]
#[case::stuck(&[(5, stuck())], 15)]
#[case::stuck_since_before(&[(5, stuck()), (9, stuck())], 15)]
#[case::stuck_near_the_end(&[(55, stuck())], 60)]
fn the_next_look_without_a_change_is_when_something_ends(
    #[case] seen: &[(u64, Progress)],
    #[case] next: u64,
) {
    let mut patience = Patience::new("MinIO", LIMITS);
    let mut now = Duration::ZERO;
    for (second, progress) in seen {
        now = Duration::from_secs(*second);
        assert!(patience.judge(now, progress.clone(), "").is_none());
    }
    assert_eq!(patience.next_look(now), Duration::from_secs(next));
}

#[rstest]
#[case::before_it_was_ever_listed(true, &[0], true)]
#[case::once_later(false, &[0], false)]
#[case::again_for_less_than_the_grace(false, &[0, 5, 9], false)]
#[case::for_the_grace(false, &[0, 5, 10], true)]
#[case::twice_with_a_long_time_between(false, &[0, 60], false)]
fn a_refusal_counts(#[case] pending: bool, #[case] seconds: &[u64], #[case] counts: bool) {
    let start = Instant::now();
    let mut seen = Seen::default();
    if pending {
        seen.pending.insert(Kind::Pods);
    }
    for second in seconds {
        let now = start + Duration::from_secs(*second);
        seen.failed(Kind::Pods, "pods is forbidden".to_owned(), Some(403), now);
    }
    let refusal = counts.then_some("cannot watch pods: pods is forbidden");
    assert_eq!(seen.refusal(LIMITS.grace).as_deref(), refusal);
}

#[test]
fn a_refusal_is_over_when_the_watch_fails_otherwise() {
    let now = Instant::now();
    let mut seen = Seen::default();
    let (forbidden, gone) = (|| "forbidden".to_owned(), || "refused".to_owned());
    seen.failed(Kind::Pods, forbidden(), Some(403), now);
    seen.failed(Kind::Pods, gone(), None, now);
    seen.failed(Kind::Pods, forbidden(), Some(403), now + LIMITS.grace);
    assert_eq!(seen.refusal(LIMITS.grace), None);
}

#[test]
fn failures_are_told_once_for_all_kinds_and_until_they_are_over() {
    let start = Instant::now();
    let second = |second| start + Duration::from_secs(second);
    let mut seen = Seen::default();
    for kind in [Kind::Jobs, Kind::Pods] {
        seen.failed(kind, "connection refused".to_owned(), None, second(0));
    }
    let not_found = "the server could not find the requested resource";
    seen.failed(
        Kind::TempoStacks,
        not_found.to_owned(),
        Some(404),
        second(1),
    );
    assert_eq!(
        seen.recent_failures(second(3)),
        "; 3.0 s ago: cannot watch pods, jobs: connection refused\
         ; 2.0 s ago: cannot watch tempostacks: the server could not find the requested resource"
    );
    // The server is back, but the resource is not there for that.
    seen.heard(Kind::Pods, second(4));
    assert_eq!(
        seen.recent_failures(second(5)),
        "; 4.0 s ago: cannot watch tempostacks: the server could not find the requested resource"
    );
    assert_eq!(seen.recent_failures(second(60)), "");
}

/// A source without a cluster.
fn source() -> (watch::Sender<Seen>, watch::Receiver<Seen>) {
    watch::channel(Seen::default())
}

fn short(limit_ms: u64, grace_ms: u64) -> Limits {
    Limits {
        limit: Duration::from_millis(limit_ms),
        grace: Duration::from_millis(grace_ms),
    }
}

/// Far more than a test needs.
const LONG_MS: u64 = 60_000;

/// Stands for any condition: done when there is a pod.
fn has_pod(view: &View) -> Progress {
    match view.pods.is_empty() {
        true => Progress::Waiting("no pod".to_owned()),
        false => Progress::Done,
    }
}

fn add_pod(seen: &mut Seen) {
    let pods = std::sync::Arc::make_mut(&mut seen.view.pods);
    pods.insert("minio-0".to_owned(), Default::default());
}

#[tokio::test]
async fn a_change_is_seen_when_it_comes() {
    let (sender, source) = source();
    let start = Instant::now();
    let interrupt = Interrupt::manual();
    let waiting = until(
        &source,
        "MinIO",
        short(LONG_MS, LONG_MS),
        &interrupt,
        has_pod,
    );
    let change = async {
        tokio::task::yield_now().await;
        sender.send_modify(add_pod);
    };
    let (waited, ()) = tokio::join!(waiting, change);
    waited.unwrap();
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn a_stuck_state_ends_the_wait_without_a_change() {
    let (_sender, source) = source();
    let limits = short(LONG_MS, 50);
    let error = until(&source, "MinIO", limits, &Interrupt::manual(), |_| stuck())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, WaitError::Stuck { stuck, .. } if *stuck >= limits.grace),
        "{error}"
    );
}

#[tokio::test]
async fn a_timeout_tells_what_was_last_seen_and_which_watch_fails() {
    let (sender, source) = source();
    sender.send_modify(|seen| {
        let words = "connection refused".to_owned();
        seen.failed(Kind::Pods, words, None, Instant::now());
    });
    let limits = short(50, LONG_MS);
    let error = until(&source, "MinIO", limits, &Interrupt::manual(), has_pod)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("MinIO not ready after 0."), "{error}");
    assert!(error.contains("; last seen: no pod; 0."), "{error}");
    assert!(
        error.ends_with(" s ago: cannot watch pods: connection refused"),
        "{error}"
    );
}

#[tokio::test]
async fn nothing_is_judged_before_all_kinds_were_listed() {
    let (sender, source) = source();
    sender.send_modify(|seen| seen.pending.extend([Kind::Pods, Kind::Jobs]));
    let limits = short(50, LONG_MS);
    let error = until(&source, "MinIO", limits, &Interrupt::manual(), |_| failed())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, WaitError::Timeout { last_seen, .. } if last_seen == "not listed yet: pods, jobs"),
        "{error}"
    );
}

#[tokio::test]
async fn a_refusal_ends_the_wait_at_once() {
    let (sender, source) = source();
    sender.send_modify(|seen| {
        seen.pending.insert(Kind::Pods);
        let words = "pods is forbidden: User \"me\" cannot list resource".to_owned();
        seen.failed(Kind::Pods, words, Some(403), Instant::now());
    });
    let limits = short(LONG_MS, LONG_MS);
    let error = until(&source, "MinIO", limits, &Interrupt::manual(), has_pod)
        .await
        .unwrap_err();
    insta::assert_snapshot!(error, @r#"MinIO cannot be waited for: cannot watch pods: pods is forbidden: User "me" cannot list resource"#);
}

#[tokio::test]
async fn a_signal_ends_the_wait() {
    let (_sender, source) = source();
    let interrupt = Interrupt::manual();
    let from_outside = interrupt.clone();
    let waiting = until(
        &source,
        "MinIO",
        short(LONG_MS, LONG_MS),
        &interrupt,
        has_pod,
    );
    let signal = async {
        tokio::task::yield_now().await;
        from_outside.trigger(Signal::Terminate);
    };
    let (waited, ()) = tokio::join!(waiting, signal);
    assert!(matches!(
        waited,
        Err(WaitError::Interrupted(Signal::Terminate))
    ));
}

#[tokio::test]
async fn a_source_that_has_ended_does_not_keep_the_processor_busy() {
    let (sender, source) = source();
    drop(sender);
    let looks = std::cell::Cell::new(0);
    let error = until(
        &source,
        "MinIO",
        short(50, LONG_MS),
        &Interrupt::manual(),
        |_| {
            looks.set(looks.get() + 1);
            waiting()
        },
    )
    .await
    .unwrap_err();
    assert!(matches!(error, WaitError::Timeout { .. }), "{error}");
    assert!(looks.get() <= 3, "{} looks", looks.get());
}
