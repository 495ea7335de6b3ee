//! Any bytes as requests that are sampled by every policy there is: nothing breaks, memory stays bounded, every span that
//! comes is kept, dropped or lost.
#![no_main]

use std::io::Write;
use std::sync::LazyLock;
use std::time::Duration;

use agent::sample::Stage;
use agent::{Sampling, Settings};
use libfuzzer_sys::fuzz_target;

const OURS: &str = "
sampling:
  memory_mib: 1
  num_traces: 50
  decision_cache: {sampled_cache_size: 20, non_sampled_cache_size: 20}
  policies:
    - {name: queue, type: anatomy, anatomy: {part: run_queue, share: 0.1}}
    - {name: dark, type: anatomy, anatomy: {part: unexplained, threshold_ms: 1000}}
    - {name: new, type: novelty, novelty: {max_shapes: 10}}
    - {name: odd, type: baseline, baseline: {min_count: 1, max_routes: 10}}
    - {name: some, type: probabilistic, probabilistic: {sampling_percentage: 50}}
";
const CERTAIN: &str = "
sampling:
  policies:
    - {name: failed, type: status_code, status_code: {status_codes: [ERROR]}}
    - {name: some, type: probabilistic, probabilistic: {sampling_percentage: 50}}
";

static CONFIGURATIONS: LazyLock<Vec<Sampling>> = LazyLock::new(|| {
    let texts = [OURS, CERTAIN, include_str!("../../tests/sampling/collector.yaml")];
    let read = |text: &str| {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(text.as_bytes()).expect("it can be written");
        Settings::read(file.path()).expect("a good configuration").sampling.expect("a section")
    };
    texts.map(read).into()
});

fuzz_target!(|input: &[u8]| {
    let Some((&choice, mut rest)) = input.split_first() else { return };
    let settings = &CONFIGURATIONS[usize::from(choice) % CONFIGURATIONS.len()];
    let mut stage = Stage::new(settings).expect("a stage");
    let mut now = Duration::ZERO;
    while let Some((&[low, high, pause], after)) = rest.split_first_chunk() {
        let (request, after) = after.split_at(usize::from(u16::from_le_bytes([low, high])).min(after.len()));
        rest = after;
        stage.take_in(request, 1, now);
        now += Duration::from_secs(pause.into());
        while stage.decide_due(now, 7) {}
    }
    while stage.decide_rest(now, 7) {}
    stage.take();
    let counts = stage.counts();
    assert_eq!(stage.held()[..2], [0, 0]);
    let decided = counts.kept_traces() + counts.dropped_traces();
    assert!(counts.early.values().sum::<u64>() <= decided);
});
