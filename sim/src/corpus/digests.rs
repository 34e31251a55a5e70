//! The digests of fuzz inputs, which have no place for them.
//!
//! Beside a directory of inputs lies a file of lines `<name> <digest>`, in order of the names.

use std::collections::BTreeMap;
use std::fmt;

/// What is added to the name of a directory.
pub(crate) const SUFFIX: &str = ".digests";

/// By the names of the inputs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Digests(BTreeMap<String, String>);

impl Digests {
    /// # Errors
    ///
    /// What is wrong with which line.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut digests = BTreeMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            let Some((name, digest)) = line.split_once(' ') else {
                return Err(format!("line {number}: \"{line}\" is not a name and a digest"));
            };
            if digests.insert(name.to_owned(), digest.to_owned()).is_some() {
                return Err(format!("line {number}: {name} is there twice"));
            }
        }
        Ok(Self(digests))
    }

    /// # Errors
    ///
    /// Where `digest` is not what is recorded, or nothing is.
    pub(crate) fn check(&self, name: &str, digest: &str) -> Result<(), String> {
        match self.0.get(name) {
            Some(recorded) if recorded == digest => Ok(()),
            Some(recorded) => Err(format!("digest {digest}, recorded {recorded}")),
            None => Err(format!("digest {digest}, and none is recorded; see corpus record")),
        }
    }

    /// The inputs that are recorded and not among `names`.
    pub(crate) fn missing(&self, names: &[String]) -> Vec<&str> {
        self.0
            .keys()
            .map(String::as_str)
            .filter(|&it| !names.iter().any(|name| name == it))
            .collect()
    }
}

impl Extend<(String, String)> for Digests {
    fn extend<I: IntoIterator<Item = (String, String)>>(&mut self, digests: I) {
        self.0.extend(digests);
    }
}

impl fmt::Display for Digests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(name, digest)| writeln!(f, "{name} {digest}"))
    }
}
