//! The oracle is the product: each test tells a story that must not pass, and beside it the nearest
//! one that must.

mod answers;
mod barriers;
mod data;
mod drains;
mod durability;
mod failed_sync;
mod history;
mod lies;
mod limits;
mod model_device;
mod naming;
mod never_polled;
mod promises;
mod protocol;
mod reads;
mod reference;
mod sentences;
mod trims;
