//! placeholder
#![deny(unsafe_code)]

pub mod device;
pub mod disk;
pub mod exec;
pub mod file;
pub mod lockstep;
pub mod model;
pub mod rng;
pub mod scenario;

mod sparse;
