#![doc = include_str!("guide.md")]

#[doc = include_str!("above.md")]
pub mod above {}

#[doc = include_str!("actor.md")]
pub mod actor {}

#[doc = include_str!("contract.md")]
pub mod contract {}

#[doc = include_str!("flusher.md")]
pub mod flusher {}

#[doc = include_str!("header.md")]
pub mod header {}

#[doc = include_str!("plain.md")]
pub mod plain {}

#[doc = include_str!("striped.md")]
pub mod striped {}
