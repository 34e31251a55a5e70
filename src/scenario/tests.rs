//! Scenarios as text, and what the generator gives.

mod bad_text;
mod generated;
mod limits;
mod text;
mod variants;
