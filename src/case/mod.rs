//! A case from its plan to its verdict. The environment is taken down whatever
//! happens, and the evidence is on disk before anything is judged.

pub(crate) mod evidence;
mod load;
mod read_back;
mod stages;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::time::{Duration, Instant};

use futures::FutureExt;
use jiff::Timestamp;

use crate::checks::Capabilities;
use crate::environment::{
    self, Environment, EnvironmentError, Part, Programs, StageLog, Surroundings,
};
use crate::error_chain::chain;
use crate::k6::Run;
use crate::k6::summary::Summary;
use crate::machine::{self, Machine};
use crate::plan::{self, Plan};
use crate::process::{Interrupt, Supervisor};
use crate::profile::{Profile, ProfileErrors};
use crate::report::{self, OutputDir, Report, SCHEMA_VERSION, State, Style};
use crate::settings::{Settings, Target};
use crate::units::Pretty;
use evidence::Evidence;
use stages::Stages;

/// What one trial needs to know.
pub struct Case<'a> {
    pub profile: &'a Profile,
    pub settings: &'a Settings,
    pub target: Target,
    /// The profiles that SIZE may name.
    pub sizes: &'a [Profile],
    /// The `tempo-perf` program.
    pub tempo_perf: &'a Path,
    /// Tells which cases belong together.
    pub invocation: &'a str,
    pub interrupt: Interrupt,
}

/// Runs a case to its end. The error is the part of the table of checks that
/// failed, or why there is no table.
pub fn run_blocking(case: &Case<'_>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|err| format!("cannot start the async runtime: {err}"))?;
    runtime.block_on(run(case))
}

/// As [`run_blocking`], on the caller's runtime.
pub async fn run(case: &Case<'_>) -> Result<(), String> {
    crate::process::raise_open_files_limit().map_err(|err| chain(&err))?;
    let mut running = Running::begin(case)?;
    let outcome = running.set_up_and_run(case).await;
    match running.finish(case, outcome) {
        (verdict, Ok(())) => verdict,
        (Ok(()), Err(err)) => Err(chain(&err)),
        (Err(why), Err(err)) => Err(format!("{why}\nand {}", chain(&err))),
    }
}

/// A run that came to its verdict, whatever that is.
pub(crate) struct Judged {
    pub report: Report,
    /// k6's numbers of each run; or why there are none.
    pub summaries: BTreeMap<Run, Result<Summary, String>>,
}

/// As [`run`], in an environment that is up and stays up: the steps in between,
/// for [`crate::framework`]. The error says why there is no verdict.
pub(crate) async fn run_in(
    case: &Case<'_>,
    environment: &mut dyn Environment,
) -> Result<Judged, String> {
    let mut running = Running::begin(case)?;
    let mut outcome = async {
        running.look(environment).await?;
        running.measure(case, environment).await
    }
    .await;
    if case.settings.collect_logs || outcome.is_err() {
        let logs = environment.collect_logs(&running.output).await;
        outcome = outcome.and(logs.map(|_| ()).map_err(Stopped::from));
    }
    let judged = outcome.is_ok();
    let (verdict, written) = running.finish(case, outcome);
    // A verdict on what was judged is in the report, check by check.
    if !judged {
        verdict?;
    }
    written.map_err(|err| chain(&err))?;
    Ok(Judged {
        report: running.report,
        summaries: running.summaries,
    })
}

/// A case that is under way.
struct Running {
    plan: Plan,
    output: OutputDir,
    report: Report,
    stages: Stages,
    load_ended: Option<Instant>,
    summaries: BTreeMap<Run, Result<Summary, String>>,
}

/// Where a load runs: what the place can do, what is known of it, and what ends
/// the load early.
#[derive(Clone, Copy)]
struct Place<'a> {
    environment: &'a dyn Environment,
    surroundings: &'a Surroundings,
    interrupt: &'a Interrupt,
}

/// Why a case has no verdict.
#[derive(Debug)]
enum Stopped {
    Failed(String),
    Interrupted(String),
}

impl From<EnvironmentError> for Stopped {
    fn from(err: EnvironmentError) -> Self {
        match err {
            EnvironmentError::Interrupted(signal) => Stopped::Interrupted(signal.to_string()),
            other => Stopped::Failed(chain(&other)),
        }
    }
}

impl Running {
    /// Plans the case and opens its output.
    fn begin(case: &Case<'_>) -> Result<Self, String> {
        let name = &case.profile.name;
        let run = run_number();
        let plan = plan::plan(
            case.profile,
            case.settings,
            case.target,
            machine::cores(),
            case.sizes,
            run,
        )
        .map_err(|err| {
            let nothing_ran = blank_report(name, case.settings, case.target, case.invocation, run);
            refuse(nothing_ran, case.settings, chain(&err))
        })?;
        let output = OutputDir::open(&case.settings.output, name).map_err(|err| chain(&err))?;
        eprintln!("\n{name}\n{}", plan::render::head(&plan));
        let mut running = Self {
            report: first_report(case, &plan),
            stages: Stages::start(),
            load_ended: None,
            plan,
            output,
            summaries: BTreeMap::new(),
        };
        running.save().map_err(|err| chain(&err))?;
        Ok(running)
    }

    async fn set_up_and_run(&mut self, case: &Case<'_>) -> Result<(), Stopped> {
        let supervisor = Supervisor::new(case.tempo_perf, case.settings.skip_cleanup);
        let making = async {
            let programs = Programs {
                tempo_perf: case.tempo_perf,
                supervisor: &supervisor,
                interrupt: &case.interrupt,
            };
            environment::make(&self.plan, programs).await
        };
        let mut environment = self.stages.timed("tools", making).await?;
        let environment = environment.as_mut();
        let running = AssertUnwindSafe(self.run_in(case, environment)).catch_unwind();
        let outcome = running.await.unwrap_or_else(|panic| {
            let words = panic.downcast_ref::<String>().map(String::as_str);
            let words = words.or(panic.downcast_ref::<&str>().copied());
            Err(Stopped::Failed(format!(
                "a panic, which is a defect of tempo-perf: {}",
                words.unwrap_or("without words")
            )))
        });
        // From here on nothing may return before the environment is down.
        let logs = if case.settings.collect_logs || outcome.is_err() {
            environment.collect_logs(&self.output).await.map(|_| ())
        } else {
            Ok(())
        };
        let saved = self.save();
        let down = if case.settings.skip_cleanup {
            eprint!("{}", environment.leave_running());
            Ok(())
        } else {
            let parts = StageLog::default();
            let down = environment.tear_down(&parts);
            let down = self.stages.timed("teardown", down).await;
            self.stages.note_parts(parts);
            if let Some(ended) = self.load_ended {
                self.stages.note("clean", ended, ended.elapsed());
            }
            down
        };
        outcome?;
        logs?;
        saved.map_err(|err| Stopped::Failed(chain(&err)))?;
        down.map_err(Stopped::from)
    }

    async fn run_in(
        &mut self,
        case: &Case<'_>,
        environment: &mut dyn Environment,
    ) -> Result<(), Stopped> {
        self.look(environment).await?;
        let parts = StageLog::default();
        let setting_up = environment.set_up(&self.plan, &Part::ALL, &parts);
        let up = self.stages.timed("set-up", setting_up).await;
        self.stages.note_parts(parts);
        up?;
        self.measure(case, environment).await
    }

    /// What the place lacks ends the case here, and so does a load that is too
    /// short for the Prometheus that is there.
    async fn look(&mut self, environment: &mut dyn Environment) -> Result<(), Stopped> {
        let scrape_interval = environment.look(&self.plan).await?;
        self.plan
            .settle_scrape_interval(scrape_interval)
            .map_err(|err| Stopped::Failed(chain(&err)))
    }

    /// Everything between set-up and teardown.
    async fn measure(
        &mut self,
        case: &Case<'_>,
        environment: &mut dyn Environment,
    ) -> Result<(), Stopped> {
        let runs = self.plan.k6_runs();
        let surroundings = environment.prepare(&self.plan, runs).await?;
        let environment = &*environment;
        self.report.components = surroundings.components.clone();
        self.report.notes.extend(surroundings.notes.iter().cloned());
        let capabilities = &surroundings.capabilities;
        self.plan.settle(capabilities);
        if let Some(stand_in) = &capabilities.stand_in {
            self.report.built_in_trace_store = true;
            self.report.notes.push(format!("the backend is {stand_in}"));
            eprintln!("  backend     {stand_in}");
        }
        if let (Target::Kubernetes, Err(why)) = (case.target, &capabilities.container_metrics) {
            let note = format!("CPU and memory of Tempo's containers are not measured: {why}");
            eprintln!("  containers  {note}");
            self.report.notes.push(note);
        }
        if let Some(part) = self.readable_part(capabilities) {
            eprintln!("  readable    {part}");
            self.report.notes.push(part);
        }
        self.report.plan = as_json(&self.plan);
        let mut evidence = Evidence::default();
        let place = Place {
            environment,
            surroundings: &surroundings,
            interrupt: &case.interrupt,
        };
        let loaded = load::put_on(self, place, &mut evidence).await;
        // An interrupt ends the load; what was measured is still written down.
        self.report.window = evidence.window;
        if loaded.is_ok() && !case.interrupt.is_set() && self.plan.reads_back() {
            let reading = read_back::read_back(&self.plan, &self.output, place, &mut evidence);
            self.stages.timed("read-back", reading).await;
        }
        let collecting = evidence::collect_metrics(
            &self.plan,
            &self.output,
            &surroundings,
            &mut evidence,
            case.settings.check_metrics,
        );
        let collected = self.stages.timed("metrics", collecting).await;
        evidence.ended_components = environment.ended_components();
        self.summaries = evidence.summaries();
        self.report.notes.extend(evidence.notes());
        self.report.load = evidence.load_as_json();
        if let Some(signal) = case.interrupt.signal() {
            return Err(Stopped::Interrupted(signal.to_string()));
        }
        loaded?;
        self.report.checks = evidence.judge(&self.plan);
        collected.map_err(|err| Stopped::Failed(chain(&err)))
    }

    /// Which part of the run a backend of bounded memory keeps, if not all.
    fn readable_part(&self, capabilities: &Capabilities) -> Option<String> {
        let readable = capabilities.readable_bytes?;
        let load = &self.plan.ingestion;
        let time = self.plan.warmup + self.plan.duration;
        let pushed = load.target_bytes_per_second.over(time);
        (self.plan.ingests() && pushed > readable as f64).then(|| {
            let kept = readable as f64 / load.target_bytes_per_second.bytes_per_second();
            format!(
                "only about the last {} of the load stay in memory; read-back samples those",
                Pretty(Duration::from_secs(kept as u64))
            )
        })
    }

    fn save(&mut self) -> Result<(), report::ReportError> {
        self.report.stages = self.stages.done().to_vec();
        self.report.files = self.output.existing_files()?;
        self.output.write_report(&self.report)
    }

    /// The last word: the report becomes final, then the table is shown. Gives
    /// the verdict, and whether all of it could be written.
    fn finish(
        &mut self,
        case: &Case<'_>,
        outcome: Result<(), Stopped>,
    ) -> (Result<(), String>, Result<(), report::ReportError>) {
        self.report.finished = Some(Timestamp::now());
        // Not carried out to its end, whatever its checks say.
        let stopped = outcome.is_err();
        let failed = |checks: &[crate::checks::Check]| checks.iter().any(|check| check.failed());
        let verdict = match outcome {
            Ok(()) if failed(&self.report.checks) => {
                Err(report::failure_message(&self.report.checks))
            }
            Ok(()) => Ok(()),
            Err(Stopped::Failed(why)) if failed(&self.report.checks) => Err(format!(
                "{why}\n\n{}",
                report::failure_message(&self.report.checks)
            )),
            Err(Stopped::Failed(why)) => Err(why),
            Err(Stopped::Interrupted(signal)) => Err(format!("interrupted by {signal}")),
        };
        self.report.state = if case.interrupt.is_set() {
            State::Interrupted
        } else {
            State::Final
        };
        if stopped || case.interrupt.is_set() {
            self.report.error = verdict.as_ref().err().cloned();
        }
        let written = self.write_last(case);
        if !self.report.checks.is_empty() {
            eprintln!(
                "\n{}",
                report::table(&self.report.checks, Style::for_stderr())
            );
        }
        eprintln!("  results in {}", self.output.path().display());
        (verdict, written)
    }

    fn write_last(&mut self, case: &Case<'_>) -> Result<(), report::ReportError> {
        self.output.write_junit(&self.report)?;
        self.save()?;
        write_invocation_junit(case.settings, &self.output, case.invocation)
    }
}

/// Leaves the report of a case that cannot be run at all, so that no file over
/// all cases is green for want of it. Returns what to say of the case.
fn refuse(mut report: Report, settings: &Settings, why: String) -> String {
    report.state = State::Final;
    report.finished = Some(report.started);
    report.error = Some(why.clone());
    let written = OutputDir::open(&settings.output, &report.profile).and_then(|output| {
        output.write_junit(&report)?;
        report.files = output.existing_files()?;
        output.write_report(&report)?;
        write_invocation_junit(settings, &output, &report.invocation_id)
    });
    match written {
        Ok(()) => why,
        Err(err) => format!("{why}\nand {}", chain(&err)),
    }
}

/// As [`run`], for a profile that is not valid.
pub fn refuse_profile(
    name: &str,
    settings: &Settings,
    target: Target,
    invocation: &str,
    errors: &ProfileErrors,
) -> String {
    let report = blank_report(name, settings, target, invocation, run_number());
    refuse(report, settings, errors.to_string())
}

fn write_invocation_junit(
    settings: &Settings,
    output: &OutputDir,
    invocation: &str,
) -> Result<(), report::ReportError> {
    let Some(path) = &settings.junit else {
        return Ok(());
    };
    let rebuilt = report::rebuild_invocation_junit(path, output.path(), invocation)?;
    for unreadable in &rebuilt.unreadable {
        eprintln!("  left out of {}: {}", path.display(), chain(unreadable));
    }
    Ok(())
}

fn first_report(case: &Case<'_>, plan: &Plan) -> Report {
    Report {
        plan: as_json(plan),
        not_applied: plan.not_applied.clone(),
        ..blank_report(
            &plan.profile.name,
            case.settings,
            case.target,
            case.invocation,
            plan.run,
        )
    }
}

fn blank_report(
    profile: &str,
    settings: &Settings,
    target: Target,
    invocation: &str,
    run: u32,
) -> Report {
    Report {
        schema_version: SCHEMA_VERSION,
        state: State::Running,
        profile: profile.to_string(),
        test_type: settings.test_type,
        target,
        run_id: run.to_string(),
        seed: settings.seed,
        invocation_id: invocation.to_string(),
        started: Timestamp::now(),
        finished: None,
        error: None,
        built_in_trace_store: false,
        plan: serde_json::Value::Null,
        components: Vec::new(),
        machine: Machine::gather(),
        window: None,
        load: serde_json::Value::Null,
        stages: Vec::new(),
        checks: Vec::new(),
        not_applied: Vec::new(),
        notes: Vec::new(),
        files: Vec::new(),
    }
}

/// A number that no other run is likely to have: traces of runs with the same
/// seed on the same Tempo must differ.
pub(crate) fn run_number() -> u32 {
    let now = Timestamp::now().as_nanosecond() as u64;
    let mixed = now ^ u64::from(std::process::id()).rotate_left(40);
    // A multiplier of splitmix64 (Steele, Lea, Flood 2014) spreads close times.
    (mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32
}

fn as_json(value: &impl serde::Serialize) -> serde_json::Value {
    // A plan is maps, lists, texts and finite numbers.
    serde_json::to_value(value).unwrap_or_default()
}
