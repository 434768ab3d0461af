//! Watches over one namespace, which keep a [`View`] of it up to date.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::NamespaceResourceScope;
use kube::api::Api;
use kube::core::{DynamicObject, PartialObjectMeta};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::conditions::Progress;
use super::view::{Kind, Objects, View};
use super::wait::{self, GRACE, Limits, Seen, WaitError};
use crate::environment::kubernetes::cluster::api_error::{watch_answer, watch_words};
use crate::environment::kubernetes::cluster::retry::Pauses;
use crate::process::Interrupt;

/// A watch is renewed after this many seconds, so a connection that died without
/// a word is noticed a little later.
const RENEWED_AFTER_SECONDS: u32 = 60;

/// Between attempts to watch again. Shorter than kube's own, which grow to 30 s and
/// more: an API server that is back should be noticed soon, and there are only a
/// few of us.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Watches of a namespace. They end when this is dropped.
pub struct NamespaceWatch {
    seen: watch::Receiver<Seen>,
    _tasks: JoinSet<()>,
}

impl NamespaceWatch {
    /// Starts to watch these kinds in the namespace, which need not exist yet.
    /// Must be called in a tokio runtime, whose tasks the watches are.
    ///
    /// The watches outlive an API server that is gone for a while; what was seen
    /// last stays in the view meanwhile.
    pub fn start(client: &Client, namespace: &str, kinds: &[Kind]) -> Self {
        let (sender, seen) = watch::channel(Seen {
            pending: kinds.iter().copied().collect(),
            ..Seen::default()
        });
        let mut watches = Watches {
            client,
            namespace,
            sender: Arc::new(sender),
            tasks: JoinSet::new(),
        };
        for kind in kinds {
            watches.add(*kind);
        }
        Self {
            seen,
            _tasks: watches.tasks,
        }
    }

    /// The namespace as it was last seen. Complete once [`Self::until`] has
    /// returned without an error.
    pub fn view(&self) -> View {
        self.seen.borrow().view.clone()
    }

    /// Waits until `condition` holds, evaluated at every change. Ends early with
    /// an error when it says Failed, when it says Stuck for [`GRACE`], and when
    /// the API server refuses to be watched.
    pub async fn until(
        &self,
        what: &str,
        limit: Duration,
        interrupt: &Interrupt,
        condition: impl Fn(&View) -> Progress,
    ) -> Result<(), WaitError> {
        let grace = GRACE;
        self.until_within(what, Limits { limit, grace }, interrupt, condition)
            .await
    }

    /// [`Self::until`] with another grace.
    pub async fn until_within(
        &self,
        what: &str,
        limits: Limits,
        interrupt: &Interrupt,
        condition: impl Fn(&View) -> Progress,
    ) -> Result<(), WaitError> {
        wait::until(&self.seen, what, limits, interrupt, condition).await
    }
}

/// Where in a view the objects of a kind are.
type Place<K> = fn(&mut View) -> &mut Objects<K>;

struct Watches<'a> {
    client: &'a Client,
    namespace: &'a str,
    sender: Arc<watch::Sender<Seen>>,
    tasks: JoinSet<()>,
}

impl Watches<'_> {
    fn add(&mut self, kind: Kind) {
        match kind {
            Kind::Pods => self.typed(kind, |view| &mut view.pods),
            Kind::Deployments => self.typed(kind, |view| &mut view.deployments),
            Kind::StatefulSets => self.typed(kind, |view| &mut view.stateful_sets),
            Kind::Jobs => self.typed(kind, |view| &mut view.jobs),
            Kind::Events => self.typed(kind, |view| &mut view.events),
            Kind::Claims => self.typed(kind, |view| &mut view.claims),
            Kind::TempoMonolithics => self.custom(kind, |view| &mut view.tempo_monolithics),
            Kind::TempoStacks => self.custom(kind, |view| &mut view.tempo_stacks),
            Kind::Collectors => self.custom(kind, |view| &mut view.collectors),
            Kind::Secrets => self.metadata(kind, |view| &mut view.secrets),
            Kind::ConfigMaps => self.metadata(kind, |view| &mut view.config_maps),
        }
    }

    fn typed<K>(&mut self, kind: Kind, place: Place<K>)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
        K: Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let api = Api::namespaced(self.client.clone(), self.namespace);
        self.spawn(kind, api, place);
    }

    fn custom(&mut self, kind: Kind, place: Place<DynamicObject>) {
        let custom = kind.custom().expect("only custom resources come here");
        let api = Api::namespaced_with(self.client.clone(), self.namespace, &custom.resource());
        self.spawn(kind, api, place);
    }

    /// kube asks for metadata only where this type is asked for.
    fn metadata<K>(&mut self, kind: Kind, place: Place<PartialObjectMeta<K>>)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
        K: Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let api = Api::namespaced(self.client.clone(), self.namespace);
        self.spawn(kind, api, place);
    }

    fn spawn<K>(&mut self, kind: Kind, api: Api<K>, place: Place<K>)
    where
        K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let config = watcher::Config::default().timeout(RENEWED_AFTER_SECONDS);
        let sender = Arc::clone(&self.sender);
        self.tasks.spawn(async move {
            let events = watcher(api, config)
                .modify(|object| object.managed_fields_mut().clear())
                .backoff(Pauses::between(FIRST_PAUSE, LONGEST_PAUSE));
            let mut events = std::pin::pin!(events);
            let mut listing = BTreeMap::new();
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) => apply(&sender, kind, place, &mut listing, event),
                    Err(error) => note(&sender, kind, &error),
                }
            }
        });
    }
}

/// Takes a watch's news over. A list replaces all at once, when it is complete.
fn apply<K: Resource + Clone>(
    sender: &watch::Sender<Seen>,
    kind: Kind,
    place: Place<K>,
    listing: &mut BTreeMap<String, Arc<K>>,
    event: watcher::Event<K>,
) {
    let change = |change: &mut dyn FnMut(&mut Objects<K>)| {
        sender.send_modify(|seen| {
            change(place(&mut seen.view));
            seen.heard(kind, Instant::now());
        });
    };
    match event {
        watcher::Event::Init => listing.clear(),
        watcher::Event::InitApply(object) => {
            listing.insert(object.name_any(), Arc::new(object));
        }
        watcher::Event::InitDone => {
            let listed = Arc::new(std::mem::take(listing));
            change(&mut |objects| *objects = Arc::clone(&listed));
        }
        watcher::Event::Apply(object) => {
            let object = Arc::new(object);
            change(&mut |objects| {
                Arc::make_mut(objects).insert(object.name_any(), Arc::clone(&object));
            });
        }
        watcher::Event::Delete(object) => change(&mut |objects| {
            Arc::make_mut(objects).remove(&object.name_any());
        }),
    }
}

fn note(sender: &watch::Sender<Seen>, kind: Kind, error: &watcher::Error) {
    let answer = watch_answer(error);
    // An old resource version: the watcher lists anew by itself.
    if answer == Some(410) {
        return;
    }
    let words = watch_words(error);
    tracing::debug!(%kind, "watch failed: {words}");
    sender.send_modify(|seen| seen.failed(kind, words, answer, Instant::now()));
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use kube::core::Status;

    use super::*;

    fn pod(name: &str) -> Pod {
        let mut pod = Pod::default();
        pod.metadata.name = Some(name.to_owned());
        pod
    }

    /// A watch of pods that is fed by hand.
    struct Fed {
        sender: watch::Sender<Seen>,
        listing: BTreeMap<String, Arc<Pod>>,
    }

    impl Fed {
        fn new() -> Self {
            let pending = [Kind::Pods].into();
            Self {
                sender: watch::Sender::new(Seen {
                    pending,
                    ..Seen::default()
                }),
                listing: BTreeMap::new(),
            }
        }

        fn event(&mut self, event: watcher::Event<Pod>) -> Vec<String> {
            let place: Place<Pod> = |view| &mut view.pods;
            apply(&self.sender, Kind::Pods, place, &mut self.listing, event);
            self.sender.borrow().view.pods.keys().cloned().collect()
        }

        fn error(&self, code: u16, message: &str) {
            let status = Status::failure(message, "").with_code(code).boxed();
            let error = watcher::Error::InitialListFailed(kube::Error::Api(status));
            note(&self.sender, Kind::Pods, &error);
        }
    }

    #[test]
    fn a_list_replaces_all_at_once_when_it_is_complete() {
        use watcher::Event;
        let mut fed = Fed::new();
        fed.event(Event::Init);
        assert!(fed.event(Event::InitApply(pod("a"))).is_empty());
        assert!(fed.sender.borrow().pending.contains(&Kind::Pods));
        assert_eq!(fed.event(Event::InitDone), ["a"]);
        assert!(fed.sender.borrow().pending.is_empty());
        assert_eq!(fed.event(Event::Apply(pod("b"))), ["a", "b"]);
        assert_eq!(fed.event(Event::Delete(pod("a"))), ["b"]);
        // As after an API server that was away for long.
        fed.event(Event::Init);
        assert_eq!(fed.event(Event::InitApply(pod("c"))), ["b"]);
        assert_eq!(fed.event(Event::InitDone), ["c"]);
    }

    #[test]
    fn a_view_that_was_taken_does_not_change_any_more() {
        let mut fed = Fed::new();
        fed.event(watcher::Event::Apply(pod("a")));
        let taken = fed.sender.borrow().view.clone();
        fed.event(watcher::Event::Delete(pod("a")));
        assert!(taken.pods.contains_key("a"));
    }

    #[test]
    fn a_failure_is_kept_until_there_is_news_but_not_until_the_next_attempt() {
        let mut fed = Fed::new();
        fed.error(
            403,
            "pods is forbidden: User \"me\" cannot list resource \"pods\"",
        );
        // What the watcher says before it lists again.
        fed.event(watcher::Event::Init);
        {
            let seen = fed.sender.borrow();
            let failure = &seen.failures[&Kind::Pods];
            assert_eq!(
                failure.words,
                "pods is forbidden: User \"me\" cannot list resource \"pods\""
            );
            assert!(failure.refused_since.is_some());
        }
        fed.event(watcher::Event::InitDone);
        assert!(fed.sender.borrow().failures.is_empty());
        fed.error(410, "too old resource version");
        assert!(fed.sender.borrow().failures.is_empty());
    }
}
