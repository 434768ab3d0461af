//! Getting what is missing: downloads first, then builds. Before either starts,
//! all that cannot be had is told at once.

use std::path::PathBuf;

use futures::future::join_all;

use crate::error_chain::chain;
use crate::settings::ToolSource;

use super::build::Builder;
use super::download::{DownloadError, Downloader};
use super::pin::Pin;
use super::release::{Product, Release};
use super::resolve::{MissingTool, ResolvedTool, ToolError, ToolStatus, Toolbox, absolute};
use super::tempo::{Tempo, TempoStatus};
use super::{Origin, Tool, Way};

/// What is to be done for a tool.
enum Step {
    Nothing(ResolvedTool),
    Download(MissingTool, Download),
    Build(Build),
}

/// A release that can be reached, and the digest of its archive.
struct Download {
    release: Release,
    digest: String,
}

/// A tool that a Go is there for.
struct Build {
    missing: MissingTool,
    /// Why it was not downloaded, if that was tried.
    refusal: Option<DownloadError>,
}

impl Toolbox {
    /// All of them, in the order given; got if they are nowhere.
    pub async fn resolve_all(&self, tools: &[Tool]) -> Result<Vec<ResolvedTool>, ToolError> {
        let steps = join_all(tools.iter().map(|tool| self.step(*tool))).await;
        self.take(ToolError::all(steps)?).await
    }

    /// All tools, and Tempo if one is there or asked for.
    pub async fn resolve_local(&self) -> Result<(Vec<ResolvedTool>, Option<Tempo>), ToolError> {
        let steps = join_all(Tool::ALL.iter().map(|tool| self.step(*tool)));
        let (mut steps, tempo) = tokio::join!(steps, self.tempo_step());
        let tempo = match tempo {
            Ok(step) => Some(step),
            Err(error) => {
                steps.push(Err(error));
                None
            }
        };
        let steps = ToolError::all(steps)?;
        // First, as nothing can be built in place of it.
        let tempo = match tempo {
            Some(step) => self.take_tempo(step).await?,
            None => None,
        };
        Ok((self.take(steps).await?, tempo))
    }

    /// How the tool would be got, if it can be.
    pub async fn can_get(&self, missing: MissingTool) -> Result<Way, ToolError> {
        Ok(match self.plan(missing).await? {
            Step::Build(_) => Way::Build,
            Step::Nothing(_) | Step::Download(..) => Way::Download,
        })
    }

    async fn step(&self, tool: Tool) -> Result<Step, ToolError> {
        match self.look(tool).await? {
            ToolStatus::Ready(found) => Ok(Step::Nothing(found)),
            ToolStatus::Missing(missing) => self.plan(missing).await,
        }
    }

    async fn plan(&self, missing: MissingTool) -> Result<Step, ToolError> {
        if self.settings.source == ToolSource::Build {
            return self.plan_build(missing, None).await.map(Step::Build);
        }
        let version = missing.version.to_string();
        match self.reach(Product::Tool(missing.tool), &version).await {
            Ok(download) => Ok(Step::Download(missing, download)),
            Err(error) => self.plan_build(missing, Some(error)).await.map(Step::Build),
        }
    }

    /// A build, because that was asked for or the download does not work.
    async fn plan_build(
        &self,
        missing: MissingTool,
        refusal: Option<DownloadError>,
    ) -> Result<Build, ToolError> {
        let tool = missing.tool;
        let refusal = match refusal {
            Some(error)
                if self.settings.source == ToolSource::Download
                    || matches!(error, DownloadError::Interrupted(_)) =>
            {
                let version = missing.version.to_string();
                return Err(refused(Product::Tool(tool), &version, error));
            }
            refusal => refusal,
        };
        match (self.builder().find_go(&Pin::of(tool)).await, refusal) {
            (Ok(_), refusal) => Ok(Build { missing, refusal }),
            (Err(build), None) => Err(build.into()),
            (Err(build), Some(download)) => Err(ToolError::NeitherWay {
                tool,
                download: Box::new(download),
                build: Box::new(build),
            }),
        }
    }

    /// Asks for the digest of a release, which shows that it is there.
    async fn reach(&self, product: Product, version: &str) -> Result<Download, DownloadError> {
        let release = self
            .release(product, version)
            .ok_or(DownloadError::NoRelease { product })?;
        let digest = self.downloader().digest(&release).await?;
        Ok(Download { release, digest })
    }

    /// One after another: a download fills the line, a Go build uses all cores, and
    /// the three share packages.
    async fn take(&self, steps: Vec<Step>) -> Result<Vec<ResolvedTool>, ToolError> {
        let mut left = Vec::with_capacity(steps.len());
        for step in steps {
            left.push(match step {
                Step::Nothing(found) => Ok(Ok(found)),
                Step::Build(build) => Ok(Err(build)),
                Step::Download(missing, download) => self.try_download(missing, download).await,
            });
            if let Some(Err(error)) = left.last()
                && error.signal().is_some()
            {
                break;
            }
        }
        let mut resolved = Vec::new();
        for tool in ToolError::all(left)? {
            resolved.push(match tool {
                Ok(found) => found,
                Err(build) => self.build(build).await?,
            });
        }
        Ok(resolved)
    }

    /// The tool, or the build that takes the place of the download.
    async fn try_download(
        &self,
        missing: MissingTool,
        download: Download,
    ) -> Result<Result<ResolvedTool, Build>, ToolError> {
        self.tell_passed_over(&missing);
        match self.download(&download).await {
            Ok(path) => Ok(Ok(got(missing, path, Origin::Release))),
            Err(error) => self.plan_build(missing, Some(error)).await.map(Err),
        }
    }

    async fn download(&self, download: &Download) -> Result<PathBuf, DownloadError> {
        self.downloader()
            .download(&download.release, &download.digest)
            .await
    }

    async fn build(&self, build: Build) -> Result<ResolvedTool, ToolError> {
        let Build { missing, refusal } = build;
        self.tell_passed_over(&missing);
        if let Some(refusal) = refusal {
            let MissingTool { tool, version, .. } = &missing;
            let why = chain(&refusal);
            self.progress
                .line(&format!("{tool} {version} is not downloaded: {why}"));
        }
        let path = self.builder().build(&Pin::of(missing.tool)).await?;
        Ok(got(missing, path, Origin::Built))
    }

    fn tell_passed_over(&self, missing: &MissingTool) {
        for passed in &missing.passed_over {
            self.progress.line(&format!("not used: {}", passed.reason));
        }
    }

    /// TEMPO_PERF_TEMPO_BIN, else the release of TEMPO_PERF_TEMPO_VERSION, else a
    /// Grafana Tempo on PATH, else none.
    pub async fn find_tempo(&self) -> Result<Option<Tempo>, ToolError> {
        let step = self.tempo_step().await?;
        self.take_tempo(step).await
    }

    async fn tempo_step(&self) -> Result<TempoStep, ToolError> {
        match self.look_tempo().await? {
            TempoStatus::Ready(tempo) => Ok(TempoStep::Nothing(Some(tempo))),
            TempoStatus::None => Ok(TempoStep::Nothing(None)),
            TempoStatus::Missing(version) => match self.reach(Product::Tempo, &version).await {
                Ok(download) => Ok(TempoStep::Download(download)),
                Err(error) => Err(refused(Product::Tempo, &version, error)),
            },
        }
    }

    async fn take_tempo(&self, step: TempoStep) -> Result<Option<Tempo>, ToolError> {
        match step {
            TempoStep::Nothing(tempo) => Ok(tempo),
            TempoStep::Download(download) => {
                let version = &download.release.version;
                match self.download(&download).await {
                    Ok(path) => Ok(Some(Tempo::released(path, version))),
                    Err(error) => Err(refused(Product::Tempo, version, error)),
                }
            }
        }
    }

    /// Whether the Tempo that was asked for can be downloaded.
    pub async fn can_get_tempo(&self) -> Result<(), ToolError> {
        self.tempo_step().await.map(|_| ())
    }

    fn builder(&self) -> Builder<'_> {
        Builder {
            cache: &self.settings.cache,
            search_path: &self.search_path,
            supervisor: &self.supervisor,
            interrupt: &self.interrupt,
            progress: &self.progress,
        }
    }

    fn downloader(&self) -> Downloader<'_> {
        Downloader {
            cache: &self.settings.cache,
            supervisor: &self.supervisor,
            interrupt: &self.interrupt,
            progress: &self.progress,
        }
    }
}

/// What is to be done for Tempo.
enum TempoStep {
    Nothing(Option<Tempo>),
    Download(Download),
}

fn refused(product: Product, version: &str, error: DownloadError) -> ToolError {
    match error {
        DownloadError::Interrupted(interrupted) => interrupted.into(),
        error => ToolError::Download {
            product,
            version: version.to_owned(),
            error: Box::new(error),
        },
    }
}

fn got(missing: MissingTool, path: PathBuf, origin: Origin) -> ResolvedTool {
    ResolvedTool {
        tool: missing.tool,
        path: absolute(path),
        version: missing.version.to_string(),
        origin,
        passed_over: missing.passed_over,
    }
}
