//! The real device behind NBD, under clients that nobody here wrote, and killed under load.
//!
//! Each test serves an image with the example `nbd`, once for each kind of file it was built with.

#[path = "nbd/client.rs"]
mod client;
#[path = "nbd/copies.rs"]
mod copies;
#[path = "nbd/file_system.rs"]
mod file_system;
#[path = "nbd/kill.rs"]
mod kill;
#[path = "nbd/nonsense.rs"]
mod nonsense;
#[path = "nbd/server.rs"]
mod server;
#[path = "nbd/tools.rs"]
mod tools;
