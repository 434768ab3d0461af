//! Where the load goes when `--target` leaves it open.

use std::ffi::OsStr;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::options::{Settings, TargetChoice};

/// Where the load goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    Local,
    Kubernetes,
    Endpoint,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Kubernetes => "kubernetes",
            Self::Endpoint => "endpoint",
        })
    }
}

/// Resolves `--target`, and gives lines to print when there is something that
/// the user may not expect. `default_kubeconfig_context` is the current context
/// of the kubeconfig in the home directory: it is mentioned, and never used, as
/// no cluster must be loaded because a file happens to lie there.
pub fn resolve_target(
    settings: &Settings,
    kubeconfig_env: Option<&OsStr>,
    in_cluster: bool,
    default_kubeconfig_context: Option<String>,
) -> (Target, Option<String>) {
    let endpoint = settings.tempo_endpoint.is_some() || settings.tempo_query_endpoint.is_some();
    let context = settings.kubernetes.context.as_deref();
    let no_endpoint_with = |target: &str| {
        endpoint.then(|| {
            format!("TEMPO_ENDPOINT and TEMPO_QUERY_ENDPOINT are not used with --target {target}")
        })
    };
    let no_context_with =
        |other: &str| context.map(|name| format!("the context {name} is not used with {other}"));
    let lines = |lines: [Option<String>; 2]| {
        let lines: Vec<String> = lines.into_iter().flatten().collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    };
    match settings.target {
        TargetChoice::Local => (
            Target::Local,
            lines([no_endpoint_with("local"), no_context_with("--target local")]),
        ),
        TargetChoice::Kubernetes => (Target::Kubernetes, no_endpoint_with("kubernetes")),
        TargetChoice::Endpoint => (Target::Endpoint, no_context_with("--target endpoint")),
        TargetChoice::Auto if endpoint => (
            Target::Endpoint,
            no_context_with("TEMPO_ENDPOINT or TEMPO_QUERY_ENDPOINT"),
        ),
        TargetChoice::Auto
            if context.is_some()
                || in_cluster
                || kubeconfig_env.is_some_and(|path| !path.is_empty()) =>
        {
            (Target::Kubernetes, None)
        }
        TargetChoice::Auto => {
            let mention = |context| {
                format!("kubeconfig has context {context}; to run there: --target kubernetes")
            };
            (Target::Local, default_kubeconfig_context.map(mention))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::nothing(TargetChoice::Auto, false, None, false, None, Target::Local)]
    #[case::endpoint_first(TargetChoice::Auto, true, Some("/k"), true, None, Target::Endpoint)]
    #[case::kubeconfig(TargetChoice::Auto, false, Some("/k"), false, None, Target::Kubernetes)]
    #[case::empty_kubeconfig(TargetChoice::Auto, false, Some(""), false, None, Target::Local)]
    #[case::in_cluster(TargetChoice::Auto, false, None, true, None, Target::Kubernetes)]
    #[case::file_in_the_home_directory(
        TargetChoice::Auto,
        false,
        None,
        false,
        Some("prod"),
        Target::Local
    )]
    #[case::local_said(
        TargetChoice::Local,
        true,
        Some("/k"),
        true,
        Some("prod"),
        Target::Local
    )]
    #[case::kubernetes_said(TargetChoice::Kubernetes, true, None, false, None, Target::Kubernetes)]
    #[case::endpoint_said(TargetChoice::Endpoint, true, Some("/k"), true, None, Target::Endpoint)]
    fn a_target_is_resolved(
        #[case] target: TargetChoice,
        #[case] endpoint: bool,
        #[case] kubeconfig: Option<&str>,
        #[case] in_cluster: bool,
        #[case] context: Option<&str>,
        #[case] expected: Target,
    ) {
        let settings = Settings {
            target,
            tempo_endpoint: endpoint.then(|| "http://tempo:4318".parse().unwrap()),
            ..Settings::default()
        };
        let (resolved, line) = resolve_target(
            &settings,
            kubeconfig.map(OsStr::new),
            in_cluster,
            context.map(str::to_owned),
        );
        assert_eq!(resolved, expected);
        let line = line.unwrap_or_default();
        match (target, endpoint, context) {
            (TargetChoice::Auto, _, Some(_)) => assert_eq!(
                line,
                "kubeconfig has context prod; to run there: --target kubernetes"
            ),
            (TargetChoice::Local | TargetChoice::Kubernetes, true, _) => {
                assert!(line.contains("are not used with --target "), "{line}");
            }
            _ => assert_eq!(line, ""),
        }
    }

    #[rstest]
    #[case::auto(TargetChoice::Auto, false, Target::Kubernetes, "")]
    #[case::endpoint_first(
        TargetChoice::Auto,
        true,
        Target::Endpoint,
        "the context kind-perf is not used with TEMPO_ENDPOINT or TEMPO_QUERY_ENDPOINT"
    )]
    #[case::endpoint_said(
        TargetChoice::Endpoint,
        true,
        Target::Endpoint,
        "the context kind-perf is not used with --target endpoint"
    )]
    #[case::local_said(
        TargetChoice::Local,
        true,
        Target::Local,
        "TEMPO_ENDPOINT and TEMPO_QUERY_ENDPOINT are not used with --target local\n\
         the context kind-perf is not used with --target local"
    )]
    #[case::kubernetes_said(TargetChoice::Kubernetes, false, Target::Kubernetes, "")]
    fn a_context_that_is_named_chooses_the_cluster_or_is_said_to_be_unused(
        #[case] target: TargetChoice,
        #[case] endpoint: bool,
        #[case] expected: Target,
        #[case] expected_line: &str,
    ) {
        let mut settings = Settings {
            target,
            tempo_endpoint: endpoint.then(|| "http://tempo:4318".parse().unwrap()),
            ..Settings::default()
        };
        settings.kubernetes.context = Some("kind-perf".into());
        // The context of the file in the home directory has no say any more.
        let (resolved, line) = resolve_target(&settings, None, false, Some("prod".into()));
        assert_eq!(resolved, expected);
        assert_eq!(line.unwrap_or_default(), expected_line);
    }
}
