//! The protocol between the host and a compile worker: the job, the answer and the exit codes.
//!
//! The host sends the length of the job, the job as JSON, and the component. The worker sends one
//! frame: a mark, the lengths and the SHA-256 of both parts, the answer as JSON, and the compiled
//! code. The worker has read a customer's bytes, so the host checks the frame.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::components::refusal::Refusal;
use crate::components::shield::Shield;
use crate::components::uses::Uses;
use crate::domain::id::PluginName;
use crate::domain::manifest::Manifest;

/// The hidden subcommand that starts a worker.
pub const COMMAND: &str = "compile-worker";

/// Exit code of a worker without enough memory.
pub const NO_MEMORY: u8 = 75;

/// Exit code of a worker that panicked, which Rust defines.
pub const PANICKED: u8 = 101;

/// The first bytes of a frame.
const MARK: &[u8; 8] = b"mortise2";

/// Bytes of a frame before the answer: the mark, both lengths and the digest.
pub const HEAD_BYTES: usize = 8 + 8 + 8 + 32;

/// The longest answer: a manifest of 256 KiB, once as text and once parsed, and the names that a
/// component uses.
const MAX_ANSWER: u64 = 8 << 20;

/// The longest job.
const MAX_JOB: u32 = 1 << 20;

/// A request to a worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The plugin of an upload. `None` for a stored version, which was checked at its upload.
    pub upload: Option<PluginName>,
    /// Whether the component is compiled.
    pub compile: bool,
    /// The operator's rules for uploads.
    pub shield: Shield,
}

/// The answer of a worker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Answer {
    /// The component is valid.
    Accepted(Box<Description>),
    /// The component is refused.
    Refused(Refusal),
}

/// What a worker found in a component.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// The manifest of an upload.
    pub manifest: Option<DescribedManifest>,
    /// What the component uses.
    pub uses: Uses,
}

/// A checked manifest.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DescribedManifest {
    /// The parsed manifest.
    pub manifest: Manifest,
    /// The text of `plugin.toml`.
    pub text: String,
}

/// The checked head of a frame: lengths and digest.
#[derive(Debug)]
pub struct Head {
    /// Bytes of the answer.
    pub answer: usize,
    /// Bytes of the code.
    pub code: usize,
    digest: [u8; 32],
}

/// Why the head of a frame is not valid.
#[derive(Debug, PartialEq, Eq)]
pub enum HeadError {
    /// A worker did not write it.
    Garbled,
    /// The code is longer than allowed.
    TooLarge,
}

impl Job {
    /// A job that compiles a stored component, or one of the host.
    pub fn stored() -> Self {
        Self {
            upload: None,
            compile: true,
            shield: Shield::default(),
        }
    }

    /// Encodes the job, with its length first.
    pub fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let json = serde_json::to_vec(self)?;
        let length = u32::try_from(json.len())
            .ok()
            .filter(|length| *length <= MAX_JOB)
            .ok_or_else(|| io::Error::other("the job is too long"))?;
        Ok([length.to_le_bytes().as_slice(), &json].concat())
    }

    /// Reads a job from the host. The component follows it.
    pub fn read(input: &mut impl Read) -> io::Result<Self> {
        let mut length = [0; 4];
        input.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length).min(MAX_JOB);
        let mut json = Vec::new();
        input.take(u64::from(length)).read_to_end(&mut json)?;
        Ok(serde_json::from_slice(&json)?)
    }
}

impl Answer {
    /// Writes a frame with this answer and `code`.
    pub fn write(&self, code: &[u8], output: &mut impl Write) -> io::Result<()> {
        let answer = serde_json::to_vec(self)?;
        let length = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes();
        output.write_all(MARK)?;
        output.write_all(&length(&answer))?;
        output.write_all(&length(code))?;
        output.write_all(&digest(&answer, code))?;
        output.write_all(&answer)?;
        output.write_all(code)?;
        output.flush()
    }
}

impl Head {
    /// Parses the head of a frame with at most `most` bytes of code.
    pub fn parse(bytes: &[u8; HEAD_BYTES], most: u64) -> Result<Self, HeadError> {
        let parts = || {
            let (mark, rest) = bytes.split_first_chunk::<8>()?;
            let (answer, rest) = rest.split_first_chunk::<8>()?;
            let (code, rest) = rest.split_first_chunk::<8>()?;
            let (digest, _) = rest.split_first_chunk::<32>()?;
            let (answer, code) = (u64::from_le_bytes(*answer), u64::from_le_bytes(*code));
            (mark == MARK && answer <= MAX_ANSWER).then_some((answer, code, *digest))
        };
        let (answer, code, digest) = parts().ok_or(HeadError::Garbled)?;
        if code > most {
            return Err(HeadError::TooLarge);
        }
        let size = |length: u64| usize::try_from(length).map_err(|_| HeadError::TooLarge);
        Ok(Self {
            answer: size(answer)?,
            code: size(code)?,
            digest,
        })
    }

    /// The answer, if the digest matches both parts.
    pub fn open(&self, answer: &[u8], code: &[u8]) -> Option<Answer> {
        if self.digest != digest(answer, code) {
            return None;
        }
        match serde_json::from_slice(answer).ok()? {
            Answer::Accepted(description) => Some(Answer::Accepted(description)),
            Answer::Refused(refusal) => Some(Answer::Refused(refusal.bounded())),
        }
    }
}

fn digest(answer: &[u8], code: &[u8]) -> [u8; 32] {
    let mut sha = Sha256::new();
    sha.update(u64::try_from(answer.len()).unwrap_or(u64::MAX).to_le_bytes());
    sha.update(answer);
    sha.update(code);
    sha.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(answer: &Answer, code: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        answer.write(code, &mut bytes).unwrap();
        bytes
    }

    fn open(frame: &[u8], most: u64) -> Option<(Answer, Vec<u8>)> {
        let (head, rest) = frame.split_first_chunk::<HEAD_BYTES>()?;
        let head = Head::parse(head, most).ok()?;
        let (answer, code) = rest.split_at_checked(head.answer)?;
        (code.len() == head.code).then_some(())?;
        Some((head.open(answer, code)?, code.to_vec()))
    }

    #[test]
    fn a_frame_must_be_whole() {
        let refused = Answer::Refused(Refusal::component("wrong", "mend it"));
        let framed = frame(&refused, b"code");
        let (answer, code) = open(&framed, 4).unwrap();
        assert!(matches!(answer, Answer::Refused(refusal) if refusal.message == "wrong"));
        assert_eq!(code, b"code");
        for cut in 0..framed.len() {
            assert!(open(&framed[..cut], 4).is_none(), "{cut}");
        }
        for flipped in 0..framed.len() {
            let mut garbled = framed.clone();
            garbled[flipped] ^= 1;
            assert!(open(&garbled, u64::MAX).is_none(), "{flipped}");
        }
    }

    #[test]
    fn lengths_are_checked_before_anything_is_read() {
        let mut head = [0; HEAD_BYTES];
        head[..8].copy_from_slice(MARK);
        let with = |answer: u64, code: u64| {
            let mut head = head;
            head[8..16].copy_from_slice(&answer.to_le_bytes());
            head[16..24].copy_from_slice(&code.to_le_bytes());
            Head::parse(&head, 100).map(|head| (head.answer, head.code))
        };
        assert_eq!(with(5, 100), Ok((5, 100)));
        assert_eq!(with(5, 101), Err(HeadError::TooLarge));
        assert_eq!(with(MAX_ANSWER + 1, 0), Err(HeadError::Garbled));
        assert_eq!(with(u64::MAX, u64::MAX), Err(HeadError::Garbled));
    }

    #[test]
    fn a_job_comes_back_as_it_was() {
        let job = Job {
            upload: Some("p".parse().unwrap()),
            compile: false,
            shield: "proposal:simd".parse().unwrap(),
        };
        let bytes = [job.to_bytes().unwrap().as_slice(), b"component"].concat();
        let mut input = bytes.as_slice();
        let read = Job::read(&mut input).unwrap();
        assert_eq!(
            (read.upload, read.compile, read.shield),
            (job.upload, false, job.shield)
        );
        assert_eq!(input, b"component");
    }
}
