pub mod batch;
mod facts;
mod fragment;
mod hex;
mod table;
mod traceql;
mod view;
mod wire;
