//! From a scenario that diverges to the smallest one that shows the same.

use crate::cli::{ShrinkArgs, ShowArgs};
use crate::{Status, complain, failure, input, quiet, say};
use anyhow::Context;
