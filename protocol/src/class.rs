//! Classes of resources: deals that reserve about the same have comparable prices.
//!
//! A class is a shape: so much memory, and disk in proportion. A deal belongs to the smallest shape that
//! holds what it reserves, a slot sells the largest one that it holds whole. Each step doubles, so that
//! a deal reserves more than half of its class's memory or disk (but for the smallest), and there are
//! few classes for anybody to open deals in. Traffic out is used up, not held, and makes no class.
//!
//! Price histories, pools of reserved capacity and shards of gossip all speak of these classes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::types::Resources;

/// MiB of memory of the smallest shape: what old hardware can spare for a slot.
const MEMORY_MIB: u64 = 256;
/// MiB of disk of the smallest shape: 16 for each MiB of memory.
const DISK_MIB: u64 = 16 * MEMORY_MIB;
/// The largest shape: 2^32 MiB of memory are more than an order can name.
const STEP_MAX: u8 = 24;
/// Set in the number of a class with GPUs.
const GPU: u8 = 1 << 5;
/// Unit letters of names; a step of ten is a step of one letter.
const UNITS: [char; 4] = ['m', 'g', 't', 'p'];

/// A class of resources. Ordered by number: without GPU before with, then by size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class(u8);

impl Class {
    /// The first of all.
    pub const SMALLEST: Self = Self(0);

    /// The class of what a bid or a deal reserves: the smallest that holds it.
    #[must_use]
    pub fn of(reserved: &Resources) -> Self {
        let needed = |amount: u32, unit: u64| {
            let units = u64::from(amount).div_ceil(unit).max(1);
            // At most 2^24 units, so at most 24.
            units.next_power_of_two().trailing_zeros() as u8
        };
        let step = needed(reserved.memoryMib, MEMORY_MIB).max(needed(reserved.diskMib, DISK_MIB));
        Self(step | if reserved.gpuCount > 0 { GPU } else { 0 })
    }

    /// The class that a slot sells: the largest that it holds whole; `None` for one that is too small
    /// for any.
    #[must_use]
    pub fn of_slot(slot: &Resources) -> Option<Self> {
        let gpu = if slot.gpuCount > 0 { GPU } else { 0 };
        let classes = (0..=STEP_MAX).rev().map(|step| Self(step | gpu));
        classes.into_iter().find(|class| {
            class.memory_mib() <= slot.memoryMib.into() && class.disk_mib() <= slot.diskMib.into()
        })
    }

    /// Every class, ascending.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=STEP_MAX)
            .map(Self)
            .chain((0..=STEP_MAX).map(|step| Self(step | GPU)))
    }

    /// The class with a number, if there is one.
    #[must_use]
    pub fn from_id(id: u8) -> Option<Self> {
        (id & !GPU <= STEP_MAX).then_some(Self(id))
    }

    /// Its number: the step, and 32 more with GPUs.
    #[must_use]
    pub fn id(self) -> u8 {
        self.0
    }

    /// How often its shape doubles the smallest.
    pub(crate) fn step(self) -> u8 {
        self.0 & !GPU
    }

    /// Whether its slots have GPUs.
    #[must_use]
    pub fn has_gpu(self) -> bool {
        self.0 & GPU != 0
    }

    /// MiB of memory of its shape.
    #[must_use]
    pub fn memory_mib(self) -> u64 {
        MEMORY_MIB << self.step()
    }

    /// MiB of disk of its shape.
    #[must_use]
    pub fn disk_mib(self) -> u64 {
        DISK_MIB << self.step()
    }
}

/// The memory of the shape, as `512m`, `1g`, `2t`; `-gpu` behind it.
impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 2^8 MiB and up: the letter changes every ten doublings.
        let log = 8 + usize::from(self.step());
        let unit = UNITS.get(log / 10).copied().unwrap_or('p');
        write!(f, "{}{unit}", 1u32 << (log % 10))?;
        f.write_str(if self.has_gpu() { "-gpu" } else { "" })
    }
}

/// A word that names no class.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no class of resources; classes are named by their memory in powers of two from 256m to 4p, \
     as 512m or 1g, with -gpu behind it for slots with GPUs"
)]
pub struct ClassError(String);

impl FromStr for Class {
    type Err = ClassError;

    fn from_str(text: &str) -> Result<Self, ClassError> {
        Self::all()
            .find(|class| class.to_string() == text)
            .ok_or_else(|| ClassError(text.chars().take(32).collect()))
    }
}

impl Serialize for Class {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Class {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Classes from one to another, both included, as `256m..4g`. What is left out on either side stands for
/// the first or the last of all; those with GPUs come behind all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassRange {
    first: Class,
    last: Class,
}

impl ClassRange {
    /// Every class.
    pub const ALL: Self = Self {
        first: Class::SMALLEST,
        last: Class(STEP_MAX | GPU),
    };

    /// Whether a class is among them.
    #[must_use]
    pub fn contains(self, class: Class) -> bool {
        (self.first..=self.last).contains(&class)
    }
}

impl fmt::Display for ClassRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first != Self::ALL.first {
            write!(f, "{}", self.first)?;
        }
        f.write_str("..")?;
        if self.last != Self::ALL.last {
            write!(f, "{}", self.last)?;
        }
        Ok(())
    }
}

/// A text that names no range of classes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClassRangeError {
    /// One of its ends names no class.
    #[error(transparent)]
    Class(#[from] ClassError),
    /// It has no two ends, or they descend.
    #[error(
        "`{0}` is no range of classes; one is written with the smaller class first, as 256m..4g, 1g.. or .."
    )]
    Range(String),
}

impl FromStr for ClassRange {
    type Err = ClassRangeError;

    fn from_str(text: &str) -> Result<Self, ClassRangeError> {
        let wrong = || ClassRangeError::Range(text.chars().take(32).collect());
        let (first, last) = text.split_once("..").ok_or_else(wrong)?;
        let end = |text: &str, default: Class| match text {
            "" => Ok(default),
            _ => text.parse(),
        };
        let (first, last) = (end(first, Self::ALL.first)?, end(last, Self::ALL.last)?);
        (first <= last)
            .then_some(Self { first, last })
            .ok_or_else(wrong)
    }
}

impl Serialize for ClassRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ClassRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
