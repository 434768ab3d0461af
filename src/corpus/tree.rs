//! One trace: who calls whom, for how long, and what fails.

use std::collections::{BTreeMap, HashSet};

use super::attributes;
use super::encode::{self, Attribute, Event, Kind, Message, SpanContent};
use super::random::Random;
use super::services::{self, ENTRY, SERVICES, Store};

/// A span while the tree grows. Times are in microseconds from the start of
/// the trace until [`encode_trace`] turns them round.
struct Node {
    parent: Option<usize>,
    /// Index into [`SERVICES`].
    service: usize,
    name: String,
    kind: Kind,
    attributes: Vec<Attribute>,
    children: Vec<usize>,
    start: u64,
    end: u64,
    failed: bool,
    depth: usize,
}

/// How a part of the corpus is to turn out.
pub(super) struct Wanted {
    pub spans: usize,
    /// How many of them end with an error, at most.
    pub errors: usize,
}

pub(super) struct Trace {
    pub message: Message,
    pub duration_us: u32,
    pub errors: usize,
    /// Fixed halves of each span's and its parent's ID, by span index.
    pub links: Vec<(u32, Option<u32>)>,
}

/// Encoded bytes that a span should have, without its share of resources.
const SPAN_BYTES: std::ops::RangeInclusive<u64> = 410..=500;

pub(super) fn generate(wanted: &Wanted, random: &mut Random) -> Trace {
    let mut nodes = grow(wanted.spans, random);
    let duration = duration_of(wanted.spans, random);
    place(&mut nodes, duration, random);
    let errors = fail(&mut nodes, wanted.errors, random);
    encode_trace(nodes, duration, errors, random)
}

fn grow(spans: usize, random: &mut Random) -> Vec<Node> {
    let (name, attributes) = attributes::entry(&SERVICES[ENTRY], random);
    let mut nodes = vec![Node {
        parent: None,
        service: ENTRY,
        name,
        kind: Kind::Server,
        attributes,
        children: Vec::new(),
        start: 0,
        end: 0,
        failed: false,
        depth: 0,
    }];
    // Every trace begins with a call into the system, so that none is flat.
    let mut callers = vec![0];
    // How many services a trace touches follows its size: a resource is some
    // 400 bytes, and a trace of ten spans through ten services would be mostly that.
    let mut services = HashSet::from([ENTRY]);
    let most_services = 2 + spans / 12;

    while nodes.len() < spans {
        let caller = *random.pick(&callers);
        let service = &SERVICES[nodes[caller].service];
        let room = spans - nodes.len();
        let reachable: Vec<usize> = service
            .calls
            .iter()
            .copied()
            .filter(|callee| services.contains(callee) || services.len() < most_services)
            .collect();
        let must_call = callers.len() == 1;
        let deep = nodes[caller].depth >= 10;
        if room >= 2 && !reachable.is_empty() && !deep && (must_call || random.chance(0.45)) {
            let callee = *random.pick(&reachable);
            services.insert(callee);
            let call = attributes::call(&SERVICES[callee], random);
            let service = nodes[caller].service;
            let client = add(
                &mut nodes,
                caller,
                service,
                call.client_name,
                call.kinds.0,
                call.client,
            );
            let server = add(
                &mut nodes,
                client,
                callee,
                call.server_name,
                call.kinds.1,
                call.server,
            );
            callers.push(server);
        } else if !service.stores.is_empty() && random.chance(0.7) {
            let store: Store = *random.pick(service.stores);
            let (name, attributes) = services::statement(store, random);
            let service = nodes[caller].service;
            add(&mut nodes, caller, service, name, Kind::Client, attributes);
        } else {
            let (name, attributes) = attributes::step(service, random);
            let service = nodes[caller].service;
            let step = add(
                &mut nodes,
                caller,
                service,
                name,
                Kind::Internal,
                attributes,
            );
            if random.chance(0.3) && !deep {
                callers.push(step);
            }
        }
    }
    nodes
}

fn add(
    nodes: &mut Vec<Node>,
    parent: usize,
    service: usize,
    name: String,
    kind: Kind,
    attributes: Vec<Attribute>,
) -> usize {
    let index = nodes.len();
    let depth = nodes[parent].depth + 1;
    nodes[parent].children.push(index);
    nodes.push(Node {
        parent: Some(parent),
        service,
        name,
        kind,
        attributes,
        children: Vec::new(),
        start: 0,
        end: 0,
        failed: false,
        depth,
    });
    index
}

/// From some 40 ms for the smallest trace to 3.5 s, mostly below one second.
fn duration_of(spans: usize, random: &mut Random) -> u64 {
    let shortest = 40_000.0 + 2_500.0 * spans as f64;
    let longest: f64 = 3_500_000.0;
    // Log-uniform, and the square draws it towards the short end.
    let share = random.fraction().powi(2);
    (shortest * (longest / shortest).powf(share)) as u64
}

/// Gives each span its time: children inside their parent, one after the other
/// or side by side, each in proportion to what is below it.
fn place(nodes: &mut [Node], duration: u64, random: &mut Random) {
    let mut weight = vec![1.0; nodes.len()];
    for index in (1..nodes.len()).rev() {
        if let Some(parent) = nodes[index].parent {
            weight[parent] += weight[index];
        }
    }
    nodes[0].end = duration;
    // Parents come before their children.
    for index in 0..nodes.len() {
        let (start, end) = (nodes[index].start, nodes[index].end);
        let children = nodes[index].children.clone();
        if children.is_empty() {
            continue;
        }
        let length = (end - start) as f64;
        let parallel = children.len() > 1 && random.chance(0.3);
        if parallel {
            for child in children {
                let from = start as f64 + length * (0.02 + 0.1 * random.fraction());
                let to = end as f64 - length * (0.02 + 0.4 * random.fraction());
                nodes[child].start = from as u64;
                nodes[child].end = to as u64;
            }
            continue;
        }
        // Own work before, between and after the children.
        let own = 0.6 + 0.4 * random.fraction();
        let total: f64 = own + children.iter().map(|&child| weight[child]).sum::<f64>();
        let gap = own / (children.len() + 1) as f64;
        let mut at = gap;
        for child in children {
            let share = weight[child] * (0.6 + 0.4 * random.fraction());
            nodes[child].start = start + (length * at / total) as u64;
            nodes[child].end = start + (length * (at + share) / total) as u64;
            at += weight[child] + gap;
        }
    }
}

/// Lets up to `errors` spans fail: a leaf, and its callers as far as it goes.
fn fail(nodes: &mut [Node], errors: usize, random: &mut Random) -> usize {
    let leaves: Vec<usize> = (0..nodes.len())
        .filter(|&index| nodes[index].children.is_empty())
        .collect();
    let mut failed = 0;
    while failed < errors {
        let mut at = *random.pick(&leaves);
        if nodes[at].failed {
            break;
        }
        loop {
            nodes[at].failed = true;
            failed += 1;
            match nodes[at].parent {
                Some(parent) if failed < errors && !nodes[parent].failed && random.chance(0.6) => {
                    at = parent;
                }
                _ => break,
            }
        }
    }
    failed
}

fn encode_trace(nodes: Vec<Node>, duration: u64, errors: usize, random: &mut Random) -> Trace {
    let mut used = HashSet::new();
    let fixed: Vec<u32> = nodes
        .iter()
        .map(|_| {
            loop {
                let id = random.next_u64() as u32;
                if id != 0 && used.insert(id) {
                    return id;
                }
            }
        })
        .collect();
    let links = nodes
        .iter()
        .zip(&fixed)
        .map(|(node, &id)| (id, node.parent.map(|parent| fixed[parent])))
        .collect();

    let mut by_service: BTreeMap<usize, Vec<Message>> = BTreeMap::new();
    for (index, node) in nodes.into_iter().enumerate() {
        let before_end = |time: u64| (duration - time) as u32;
        let mut attributes = node.attributes;
        let mut events: Vec<Event> = Vec::new();
        let mut error = None;
        let late = node.end - (node.end - node.start) / 10;
        if node.failed {
            attributes::mark_failed(&mut attributes, node.kind);
            let (message, event) = attributes::failure(before_end(late), random);
            error = Some(message);
            events.push(event);
        } else if random.chance(0.08) {
            events.push(attributes::note(before_end(late), random));
        }
        let mut content = SpanContent {
            index: index as u32,
            fixed_id: fixed[index],
            parent_fixed_id: node.parent.map(|parent| fixed[parent]),
            start: before_end(node.start),
            end: before_end(node.end),
            name: node.name,
            kind: node.kind,
            attributes,
            events,
            error,
        };
        let wanted = random.within(*SPAN_BYTES.start(), *SPAN_BYTES.end()) as usize;
        let mut bytes = encode::span(&content).bytes.len();
        for extra in attributes::extras(node.kind, random) {
            if bytes >= wanted {
                break;
            }
            // Two bytes for the key and the length of the attribute itself.
            bytes += encode::attribute(&extra).bytes.len() + 2;
            content.attributes.push(extra);
        }
        by_service
            .entry(node.service)
            .or_default()
            .push(encode::span(&content));
    }

    let mut message = Message::default();
    for (service, spans) in by_service {
        let service = &SERVICES[service];
        let resource = services::resource(service, random);
        message.put_message(
            1,
            &encode::resource_spans(&resource, services::scope(service), &spans),
        );
    }
    Trace {
        message,
        duration_us: duration as u32,
        errors,
        links,
    }
}
