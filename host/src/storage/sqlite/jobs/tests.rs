//! Tests of the statements of the queue.
