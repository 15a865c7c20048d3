//! One recipe a file; see `examples/*.rs`.
