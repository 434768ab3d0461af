//! What a run was made of, for the report: components with version and image.

use crate::environment::kubernetes::cluster::names::COLLECTOR_CONTAINER;
use crate::environment::kubernetes::manifests::blueprint::{Blueprint, StoragePlan};
use crate::environment::kubernetes::prerequisites::prometheus::Chosen;
use crate::environment::kubernetes::watch::pods::tempo_pods;
use crate::environment::kubernetes::watch::view::View;
use crate::report::Component;

/// Those in the namespace. `tempo_version` is what its custom resource says.
pub fn in_namespace(blueprint: &Blueprint, view: &View, tempo_version: &str) -> Vec<Component> {
    let running = |container: &str| {
        view.pods.values().find_map(|pod| {
            let containers = &pod.spec.as_ref()?.containers;
            containers
                .iter()
                .find(|it| it.name == container)?
                .image
                .clone()
        })
    };
    let tempo_image =
        tempo_pods(view).find_map(|pod| pod.spec.as_ref()?.containers.first()?.image.clone());
    let mut components = vec![
        component("tempo", tempo_version.to_string(), tempo_image),
        match running(COLLECTOR_CONTAINER) {
            Some(found) => of_image("collector", &found),
            None => component(
                "collector",
                String::new(),
                blueprint.images.collector.clone(),
            ),
        },
        of_image("k6", &blueprint.images.k6),
    ];
    if matches!(blueprint.storage, StoragePlan::Minio { .. }) {
        components.push(of_image("minio", &blueprint.images.minio));
    }
    components
}

/// The Prometheus that measures the run.
pub fn prometheus(blueprint: &Blueprint, chosen: &Chosen) -> Component {
    match chosen {
        Chosen::Own { .. } => of_image("prometheus", &blueprint.images.prometheus),
        _ => component("prometheus", String::new(), Some(chosen.describe())),
    }
}

pub fn component(name: &str, version: String, origin: Option<String>) -> Component {
    Component {
        name: name.into(),
        version,
        origin,
    }
}

fn of_image(name: &str, image: &str) -> Component {
    let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
    component(name, tag.to_string(), Some(image.to_string()))
}
