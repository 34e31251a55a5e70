//! Devices of other shapes than the real one: with a header, a log, a queue, a flusher task,
//! several files. Each is legal, and has bugs that such devices have shipped.
//!
//! A shape is one file: a [`Store`](shell::Store) behind the [`Shell`](shell::Shell) that all of
//! them share, which checks requests; a `Subject` that says how it is made and opened; and its
//! entries of the catalogue, the legal one first.
//!
//! **Invariant:** a shape promises no more than it keeps, and a bug is one `if`.

/// An entry of the catalogue: the shape, its name and class, the bug that it is made with if it has
/// one, and the origin.
macro_rules! device {
    ($shape:ident, $name:literal, $class:ident, $bug:expr, $origin:literal) => {
        crate::zoo::ZooDevice {
            name: $name,
            class: crate::zoo::Class::$class,
            origin: $origin,
            variant: crate::zoo::Variant::Shape(|| Box::new($shape($bug))),
        }
    };
}

mod actor;
mod cache_write_through;
mod checksummed;
mod completion_pool;
mod compressed;
mod direct;
mod dirty_flag;
mod dirty_mark;
mod elevator;
mod extent_files;
mod flat_combining;
mod flusher_write_back;
mod group_commit;
mod header;
mod in_place;
mod journal;
mod lazy_open;
mod log_structured;
mod mirrored;
mod overlay;
mod pages_of_eight;
mod poll_driven_queue;
mod pool_file;
mod read_retry;
mod records;
mod restart_after_short;
mod reverse_order;
mod sectors_in_parallel;
mod shadow;
mod shell;
mod striped;
mod superblock_by_rename;
mod thin_steps;
mod trim_by_hole;
mod trim_by_map;
mod trim_by_truncation;
mod two_superblocks;
mod verify_after_write;
mod worker;

use super::ZooDevice;

/// The devices of all shapes.
pub(super) static SHAPES: &[&[ZooDevice]] = &[
    actor::DEVICES,
    cache_write_through::DEVICES,
    checksummed::DEVICES,
    completion_pool::DEVICES,
    compressed::DEVICES,
    direct::DEVICES,
    dirty_flag::DEVICES,
    dirty_mark::DEVICES,
    elevator::DEVICES,
    extent_files::DEVICES,
    flat_combining::DEVICES,
    flusher_write_back::DEVICES,
    group_commit::DEVICES,
    header::DEVICES,
    journal::DEVICES,
    lazy_open::DEVICES,
    log_structured::DEVICES,
    mirrored::DEVICES,
    overlay::DEVICES,
    pages_of_eight::DEVICES,
    poll_driven_queue::DEVICES,
    pool_file::DEVICES,
    read_retry::DEVICES,
    restart_after_short::DEVICES,
    reverse_order::DEVICES,
    sectors_in_parallel::DEVICES,
    striped::DEVICES,
    superblock_by_rename::DEVICES,
    thin_steps::DEVICES,
    trim_by_hole::DEVICES,
    trim_by_map::DEVICES,
    trim_by_truncation::DEVICES,
    two_superblocks::DEVICES,
    verify_after_write::DEVICES,
];
