//! The problem code in the record of an invocation.

use std::fmt;

use super::invocation::{ABANDONED, Blame};
use super::problem::Code;

/// Why the host answered in the plugin's place. Another version of the host may have stored a code
/// that this version does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProblemCode {
    /// A code that this host knows.
    Known(Code),
    /// The caller disconnected before the answer.
    Abandoned,
    /// A code of another version of the host.
    Other(Box<str>),
}

impl ProblemCode {
    /// The code as text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(code) => code.as_str(),
            Self::Abandoned => ABANDONED,
            Self::Other(code) => code,
        }
    }

    /// Whose fault it is; `None` if this version of the host does not know the code.
    pub fn blame(&self) -> Option<Blame> {
        match self {
            Self::Known(code) => Some(code.blame()),
            Self::Abandoned => Some(Blame::Client),
            Self::Other(_) => None,
        }
    }
}

impl From<Code> for ProblemCode {
    fn from(code: Code) -> Self {
        Self::Known(code)
    }
}

impl From<&str> for ProblemCode {
    fn from(text: &str) -> Self {
        if text == ABANDONED {
            return Self::Abandoned;
        }
        Code::named(text).map_or_else(|| Self::Other(text.into()), Self::Known)
    }
}

impl fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back_and_one_that_is_not_known_stays_as_it_is() {
        for code in Code::ALL {
            assert_eq!(ProblemCode::from(code.as_str()), ProblemCode::Known(*code));
        }
        assert_eq!(ProblemCode::from("abandoned"), ProblemCode::Abandoned);
        assert_eq!(ProblemCode::Abandoned.blame(), Some(Blame::Client));
        assert_eq!(ProblemCode::from(Code::PluginTrapped).blame(), Some(Blame::Guest));
        let later = ProblemCode::from("made-up-later");
        assert_eq!(later.blame(), None);
        assert_eq!(
            (&later, later.as_str()),
            (&ProblemCode::Other("made-up-later".into()), "made-up-later")
        );
    }
}
