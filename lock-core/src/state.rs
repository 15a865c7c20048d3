//! [`State`]: the guarded value as stored.

use std::fmt;

use bytes::Bytes;

/// The guarded value as the store keeps it: bytes, and the tag of the codec that wrote them.
///
/// `Debug` shows the length and never the bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct State {
    format: FormatTag,
    bytes: Bytes,
}

impl State {
    /// A state of these bytes, written by the codec with this tag.
    #[must_use]
    pub fn new(format: FormatTag, bytes: impl Into<Bytes>) -> Self {
        Self {
            format,
            bytes: bytes.into(),
        }
    }

    /// The codec's tag.
    #[must_use]
    pub const fn format(&self) -> FormatTag {
        self.format
    }

    /// The bytes as the codec wrote them.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "State({}, {} bytes)", self.format, self.bytes.len())
    }
}

/// Tells the codec by which a state was written: a number from 1 to 255, stored beside the bytes.
///
/// 1 is [`Json`](crate::Json). Codecs of your own take numbers from [`FormatTag::FIRST_CUSTOM`] on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FormatTag(u8);

impl FormatTag {
    /// The tag of [`Json`](crate::Json).
    pub const JSON: Self = Self(1);
    /// No codec's tag: for a stored tag that this version cannot read. A value with it is refused
    /// rather than taken for none.
    pub const UNKNOWN: Self = Self(0);
    /// The first number that this library will never use itself.
    pub const FIRST_CUSTOM: u8 = 128;

    /// The tag with this number.
    #[must_use]
    pub const fn new(number: u8) -> Self {
        Self(number)
    }

    /// The number of the tag.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl fmt::Display for FormatTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::JSON => f.write_str("json"),
            Self::UNKNOWN => f.write_str("an unknown format"),
            Self(number) => write!(f, "format {number}"),
        }
    }
}
