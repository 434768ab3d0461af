//! The objects of a run on Kubernetes: read in snapshots, held against the
//! schemas of the real custom resources, and against labels and ports that the
//! operators were seen to give.

mod blueprints;
mod built_in;
mod choices;
mod crd_schema;
mod placement;
mod scraping;
mod snapshots;
