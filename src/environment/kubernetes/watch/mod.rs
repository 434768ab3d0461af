//! What is seen in a namespace: watches keep a view of it up to date, conditions
//! say of a view how far things are, and waiting ends when one holds.

pub mod conditions;
pub mod namespace;
pub mod pods;
pub mod view;
pub mod wait;
pub mod watches;
