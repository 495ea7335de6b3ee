//! From records and kernel counters to spans: assemble, correlate, measure, sample.
