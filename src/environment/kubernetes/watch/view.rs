//! A namespace as it was last seen, as one value that conditions are functions
//! of: taken from watches in a run, from recordings in tests.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::Resource as _;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Event, PersistentVolumeClaim, Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{DynamicObject, PartialObjectMeta};
use kube::core::{Selector, SelectorExt};
use kube::{Resource, ResourceExt};

use crate::environment::kubernetes::cluster::kinds::CustomKind;

/// Objects of one kind by name, in the order of their names. A clone shares
/// them.
pub type Objects<K> = Arc<BTreeMap<String, Arc<K>>>;

/// What can be watched in a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Pods,
    Deployments,
    StatefulSets,
    Jobs,
    Events,
    Claims,
    TempoMonolithics,
    TempoStacks,
    Collectors,
    /// Their metadata only.
    Secrets,
    /// Their metadata only.
    ConfigMaps,
}

impl Kind {
    /// Those that every cluster has.
    pub const BUILT_IN: [Kind; 8] = [
        Kind::Pods,
        Kind::Deployments,
        Kind::StatefulSets,
        Kind::Jobs,
        Kind::Events,
        Kind::Claims,
        Kind::Secrets,
        Kind::ConfigMaps,
    ];

    /// The custom kind that this is, if it is one.
    pub fn custom(self) -> Option<CustomKind> {
        match self {
            Kind::TempoMonolithics => Some(CustomKind::TEMPO_MONOLITHIC),
            Kind::TempoStacks => Some(CustomKind::TEMPO_STACK),
            Kind::Collectors => Some(CustomKind::COLLECTOR),
            _ => None,
        }
    }

    /// As in the API's paths and in RBAC rules.
    pub fn plural(self) -> &'static str {
        match self {
            Kind::Pods => Pod::URL_PATH_SEGMENT,
            Kind::Deployments => Deployment::URL_PATH_SEGMENT,
            Kind::StatefulSets => StatefulSet::URL_PATH_SEGMENT,
            Kind::Jobs => Job::URL_PATH_SEGMENT,
            Kind::Events => Event::URL_PATH_SEGMENT,
            Kind::Claims => PersistentVolumeClaim::URL_PATH_SEGMENT,
            Kind::TempoMonolithics => CustomKind::TEMPO_MONOLITHIC.plural,
            Kind::TempoStacks => CustomKind::TEMPO_STACK.plural,
            Kind::Collectors => CustomKind::COLLECTOR.plural,
            Kind::Secrets => Secret::URL_PATH_SEGMENT,
            Kind::ConfigMaps => ConfigMap::URL_PATH_SEGMENT,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.plural())
    }
}

/// A snapshot of one namespace. Cloning it copies no object.
#[derive(Debug, Clone, Default)]
pub struct View {
    pub pods: Objects<Pod>,
    pub deployments: Objects<Deployment>,
    pub stateful_sets: Objects<StatefulSet>,
    pub jobs: Objects<Job>,
    pub events: Objects<Event>,
    pub claims: Objects<PersistentVolumeClaim>,
    pub tempo_monolithics: Objects<DynamicObject>,
    pub tempo_stacks: Objects<DynamicObject>,
    pub collectors: Objects<DynamicObject>,
    /// Values of Secrets are never read, so they cannot leak either.
    pub secrets: Objects<PartialObjectMeta<Secret>>,
    pub config_maps: Objects<PartialObjectMeta<ConfigMap>>,
}

impl View {
    /// The pods whose labels match, by name. None when the selector is broken,
    /// which the API server does not let pass.
    pub fn pods_selected<'a>(
        &'a self,
        selector: &LabelSelector,
    ) -> impl Iterator<Item = &'a Pod> + use<'a> {
        let selector = Selector::try_from(selector.clone()).ok();
        self.pods.values().map(Arc::as_ref).filter(move |pod| {
            selector
                .as_ref()
                .is_some_and(|selector| selector.matches(pod.labels()))
        })
    }

    /// The pods that `owner` controls itself, by name: those of a Job or a
    /// StatefulSet.
    pub fn pods_of<'a, K: Resource>(
        &'a self,
        owner: &K,
    ) -> impl Iterator<Item = &'a Arc<Pod>> + use<'a, K> {
        let uid = owner.meta().uid.clone().unwrap_or_default();
        self.pods.values().filter(move |pod| {
            let mut owners = pod.owner_references().iter();
            owners.any(|owner| owner.controller == Some(true) && owner.uid == uid)
        })
    }

    /// Events of one object, oldest first. `uid` keeps those of an earlier object
    /// of the same name out.
    pub fn events_of(&self, kind: &str, name: &str, uid: Option<&str>) -> Vec<&Event> {
        let mut events: Vec<&Event> = self
            .events
            .values()
            .map(Arc::as_ref)
            .filter(|event| {
                let about = &event.involved_object;
                let same_uid = match (about.uid.as_deref(), uid) {
                    (Some(of_event), Some(wanted)) => of_event == wanted,
                    _ => true,
                };
                about.kind.as_deref() == Some(kind)
                    && about.name.as_deref() == Some(name)
                    && same_uid
            })
            .collect();
        events.sort_by_key(|event| last_time(event));
        events
    }
}

/// When an event was last seen. Controllers fill in one of four fields.
pub fn last_time(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref();
    let times = [
        series
            .and_then(|series| series.last_observed_time.as_ref())
            .map(|time| time.0),
        event.last_timestamp.as_ref().map(|time| time.0),
        event.event_time.as_ref().map(|time| time.0),
        event
            .metadata
            .creation_timestamp
            .as_ref()
            .map(|time| time.0),
    ];
    times.into_iter().flatten().max()
}
