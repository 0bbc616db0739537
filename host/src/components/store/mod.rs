//! Where components and their compiled code are kept.

pub mod folder;
