//! The controller, without clock, thread and measuring: costs go in, steps come out.
//!
//! Detail is shed in the order of [`Kind`] and comes back in the reverse one. It sheds when the mean of the looks since the last step lies
//! above a limit by more than their noise allows, and brings back when what that would cost fits below all limits with room to spare; between
//! the two nothing happens. Of head sampling as much is shed as would do if all the cost followed it, and as little comes back as
//! fits in that case: so both ways end in the band between, without crossing it. What a step of the other kinds brought is learnt, with how
//! sure that is, and must fit before the step is taken back; while it does not, something that is worth less may come, if that certainly fits.
//! A step back that was a mistake makes the next ones wait twice as long.

use std::time::Duration;

/// What is shed, the first one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Samples of stacks a second.
    ProfileRate,
    /// Page faults, system calls and sockets (`--detail`).
    KernelDetail,
    /// Spans of join points that make many of them in each trace: only counted.
    JoinPoints,
    /// The share of new traces that is recorded.
    HeadSampling,
}

impl Kind {
    /// In the order in which they are shed.
    pub const ALL: [Self; 4] = [Self::ProfileRate, Self::KernelDetail, Self::JoinPoints, Self::HeadSampling];

    /// Its name in metrics and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::ProfileRate => "profile_rate",
            Self::KernelDetail => "kernel_detail",
            Self::JoinPoints => "join_points",
            Self::HeadSampling => "head_sampling",
        }
    }
}

/// Steps of head sampling that halve the share.
pub const STEPS_A_HALF: u32 = 8;
/// The lowest share is a thousandth: some traces are always there.
pub const LEAST_SAMPLING: u32 = 10 * STEPS_A_HALF;

/// The share of new traces that is recorded at a level.
pub fn share(level: u32) -> f64 {
    (-f64::from(level) / f64::from(STEPS_A_HALF)).exp2()
}

/// A cost that has a limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// As it was in the time since the last look.
    pub measured: f64,
    /// What it may be.
    pub limit: f64,
    /// It follows what is done at the moment; memory does so late, if at all.
    pub follows: bool,
}

/// What was measured at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// When, since any beginning.
    pub now: Duration,
    /// The costs, always the same ones in the same order; one that could not be measured is `None`.
    pub costs: Vec<Option<Cost>>,
    /// Operations a second, recorded or not: what the cost follows.
    pub work: f64,
    /// The highest level of each kind that there is, by [`Kind::ALL`].
    pub highest: [u32; 4],
    /// The lowest level that is wanted, likewise.
    pub lowest: [u32; 4],
}

/// Why a step was taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cause {
    /// This cost (by its index) was above its limit: so much on average.
    Over(usize, f64),
    /// All costs leave room; this one, on average, the least.
    Room(usize, f64),
    /// More detail is wanted than was, or less.
    Wanted,
}

/// One kind goes to another level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Of what.
    pub kind: Kind,
    /// The level before; higher ones mean less detail.
    pub from: u32,
    /// The level after.
    pub to: u32,
    /// Why.
    pub cause: Cause,
}

/// After a step, what was under way still costs: looks that come so soon are not believed.
const SETTLE: Duration = Duration::from_millis(1500);
/// Looks that are averaged: so many at most, and the newest of them by themselves, for what comes suddenly.
const WINDOW: usize = 30;
const SPANS: [usize; 3] = [3, 10, WINDOW];
/// Looks that a step back needs, and that say what a step has brought.
const CALM: usize = 10;
const FEW: usize = 3;
/// No steps back sooner after any step than this, and after steps that were mistakes.
const FIRST_HOLD: Duration = Duration::from_secs(10);
const LONGEST_HOLD: Duration = Duration::from_secs(600);
/// After so much time without a step, and with so much of the work that there was when something was shed, effects of steps are believed less.
const FORGET: Duration = Duration::from_secs(60);
const EASED: f64 = 0.75;
/// A step back after which something must be shed so soon, without more work, was a mistake.
const MISTAKE: Duration = Duration::from_secs(60);
const MORE_WORK: f64 = 1.15;
/// Where both ways aim, of the limit.
const AIM: f64 = 0.93;
/// By how many of its standard errors a mean must lie above a limit, and below it.
const ABOVE: f64 = 3.0;
const BELOW: f64 = 2.0;
/// How much of that difference a new pair of looks makes.
const NOISE_NEWEST: f64 = 0.05;
/// Looks differ by at least so much of their mean, whatever the last ones say.
const LEAST_NOISE: f64 = 0.05;
/// At most so many steps of head sampling at once.
const LEAP: u32 = 2 * STEPS_A_HALF;
/// Memory is given so long until something less is seen in it.
const LATE: Duration = Duration::from_secs(10);

/// What one step of a kind brought: the cost of one operation before less that after, by cost.
#[derive(Clone, Debug, Default)]
struct Effect {
    of_work: Vec<f64>,
    /// How far that may be from the truth.
    error: Vec<f64>,
}

/// A mean, how far from the truth it may be, and of how many looks it is.
#[derive(Clone, Copy, Debug)]
struct Mean {
    mean: f64,
    error: f64,
    looks: u32,
}

#[derive(Clone, Debug)]
struct Before {
    kind: Kind,
    level: u32,
    costs: Vec<Option<Mean>>,
    work: f64,
}

/// The controller.
#[derive(Clone, Debug)]
pub struct Controller {
    levels: [u32; 4],
    /// Looks since the last step.
    looks: Vec<Look>,
    stepped: Option<Duration>,
    /// What was measured before the last step that shed something, until its effect is known.
    before: Option<Before>,
    /// Effects of the step to each level, of the kinds whose levels differ.
    effects: [Vec<Effect>; 4],
    hold: Duration,
    /// The last step back: when, and the work at that time.
    back: Option<(Duration, f64)>,
    /// When effects were last believed less.
    forgot: Option<Duration>,
    /// By how much neighbouring looks differ, the square of their share, by cost.
    noise: Vec<f64>,
    /// The work when something was last shed.
    shed_at: f64,
    exhausted: bool,
}

impl Default for Controller {
    fn default() -> Self {
        Self {
            levels: [0; 4],
            looks: Vec::new(),
            stepped: None,
            before: None,
            effects: Default::default(),
            hold: FIRST_HOLD,
            back: None,
            forgot: None,
            noise: Vec::new(),
            shed_at: 0.0,
            exhausted: false,
        }
    }
}

impl Controller {
    /// The level of a kind; 0: all of it is there.
    pub fn level(&self, kind: Kind) -> u32 {
        self.levels[kind as usize]
    }

    /// Something is above its limit, and there is nothing more to shed.
    pub fn is_exhausted(&self) -> bool {
        self.exhausted
    }

    /// Takes a look, and says what is to be done.
    pub fn look(&mut self, look: Look) -> Option<Step> {
        let (highest, lowest, now) = (look.highest, look.lowest, look.now);
        if let Some(step) = self.wanted(&highest, &lowest) {
            return Some(self.take(step, now));
        }
        if self.stepped.is_some_and(|stepped| now.saturating_sub(stepped) < SETTLE) {
            return None;
        }
        if self.looks.len() == WINDOW {
            self.looks.remove(0);
        }
        self.looks.push(look);
        self.note_noise();
        self.learn();
        self.exhausted = false;
        let step = self.shed(&highest, now).or_else(|| self.bring_back(&lowest, now))?;
        Some(self.take(step, now))
    }

    /// Levels that are not offered any more, or that are too low for what is wanted.
    fn wanted(&self, highest: &[u32; 4], lowest: &[u32; 4]) -> Option<Step> {
        Kind::ALL.into_iter().find_map(|kind| {
            let (from, top) = (self.level(kind), highest[kind as usize]);
            let to = from.max(lowest[kind as usize]).min(top);
            (to != from).then_some(Step { kind, from, to, cause: Cause::Wanted })
        })
    }

    fn shed(&mut self, highest: &[u32; 4], now: Duration) -> Option<Step> {
        let (index, mean, limit) = self.over(now)?;
        let Some(kind) = Kind::ALL.into_iter().find(|&kind| self.level(kind) < highest[kind as usize]) else {
            self.exhausted = true;
            return None;
        };
        if let Some((when, work)) = self.back.take() {
            let grown = self.work() > work * MORE_WORK;
            if now.saturating_sub(when) < MISTAKE && !grown {
                self.hold = (self.hold * 2).min(LONGEST_HOLD);
            } else {
                self.hold = (self.hold / 2).max(FIRST_HOLD);
            }
        }
        self.shed_at = self.work();
        let from = self.level(kind);
        let steps = if kind == Kind::HeadSampling { steps_down(mean, limit) } else { 1 };
        let to = (from + steps).min(highest[kind as usize]);
        let costs = (0..self.latest().costs.len()).map(|index| self.mean_of(index, WINDOW)).collect();
        self.before = (kind != Kind::HeadSampling).then(|| Before { kind, level: to, costs, work: self.work() });
        Some(Step { kind, from, to, cause: Cause::Over(index, mean) })
    }

    fn bring_back(&mut self, lowest: &[u32; 4], now: Duration) -> Option<Step> {
        let held = self.stepped.is_none_or(|stepped| now.saturating_sub(stepped) >= self.hold);
        if !held || self.looks.len() < CALM {
            return None;
        }
        // What is worth more comes first; where there is no room for that there may be for something less, if that is certain.
        let shed = Kind::ALL.into_iter().rev().filter(|&kind| self.level(kind) > lowest[kind as usize]);
        let found = shed.enumerate().find_map(|(place, kind)| {
            let from = self.level(kind);
            let mut levels = if kind == Kind::HeadSampling { lowest[kind as usize]..from } else { from - 1..from };
            levels.find(|&to| self.fits(kind, from, to, place > 0)).map(|to| (kind, from, to))
        });
        let Some((kind, from, to)) = found else {
            self.forget(now);
            return None;
        };
        let (index, mean) = self.tightest()?;
        self.back = Some((now, self.work()));
        Some(Step { kind, from, to, cause: Cause::Room(index, mean) })
    }

    /// What noise may have made too much of a step's effect must not keep it away for good: now and then less of it is believed.
    fn forget(&mut self, now: Duration) {
        let since = self.stepped.max(self.forgot).unwrap_or_default();
        if now.saturating_sub(since) < FORGET || !self.is_eased() {
            return;
        }
        self.forgot = Some(now);
        for effect in self.effects.iter_mut().flatten() {
            for (of_work, error) in effect.of_work.iter_mut().zip(&mut effect.error) {
                let less = (*of_work / 2.0).max(*of_work - ABOVE * *error);
                (*of_work, *error) = (less, (*error - (*of_work - less) / ABOVE).max(0.0));
            }
        }
    }

    /// The cost that is most above its limit, its mean, and the limit.
    fn over(&self, now: Duration) -> Option<(usize, f64, f64)> {
        let settled = self.stepped.is_none_or(|stepped| now.saturating_sub(stepped) >= LATE);
        let costs = self.latest().costs.iter().enumerate();
        let over = costs.filter_map(|(index, cost)| {
            let cost = (*cost).filter(|cost| cost.follows || settled)?;
            let over = SPANS.into_iter().filter(|&span| span <= self.looks.len() || span == WINDOW);
            let over = over.filter_map(|span| {
                let Mean { mean, error, looks } = self.mean_of(index, span)?;
                (looks as usize >= FEW && mean > cost.limit + ABOVE * error).then_some((index, mean, cost.limit))
            });
            over.max_by(|one, other| one.1.total_cmp(&other.1))
        });
        over.max_by(|one, other| (one.1 / one.2).total_cmp(&(other.1 / other.2)))
    }

    /// Whether all costs would stay below their limits at that level; for certain: whatever noise has made of what is known of that step.
    fn fits(&self, kind: Kind, from: u32, to: u32, certainly: bool) -> bool {
        let work = self.work();
        self.latest().costs.iter().enumerate().all(|(index, cost)| {
            let (Some(cost), Some(Mean { mean, error, .. })) = (cost, self.mean_of(index, WINDOW)) else { return true };
            let more = if !cost.follows {
                0.0
            } else if kind == Kind::HeadSampling {
                mean * (share(to) / share(from) - 1.0)
            } else {
                let effect = self.effects[kind as usize].get(to as usize);
                let of = |values: fn(&Effect) -> &Vec<f64>| Some(*values(effect?).get(index)?);
                let error = of(|effect| &effect.error).unwrap_or(if certainly { f64::INFINITY } else { 0.0 });
                let errors = match (certainly, self.is_eased()) {
                    (true, _) => ABOVE,
                    (false, false) => BELOW,
                    (false, true) => 0.0,
                };
                (of(|effect| &effect.of_work).unwrap_or(0.0) + errors * error) * work
            };
            mean + BELOW * error + more <= cost.limit * AIM
        })
    }

    fn tightest(&self) -> Option<(usize, f64)> {
        let costs = self.latest().costs.iter().enumerate();
        let ratios = costs.filter_map(|(index, cost)| Some((index, self.mean(index)?, (*cost)?.limit)));
        let tightest = ratios.max_by(|one, other| (one.1 / one.2).total_cmp(&(other.1 / other.2)));
        tightest.map(|(index, mean, _)| (index, mean))
    }

    /// Notes by how much neighbouring looks differ, in all the time: the few since a step say little of it.
    fn note_noise(&mut self) {
        let [.., before, now] = &self.looks[..] else { return };
        self.noise.resize(now.costs.len(), 0.0);
        for (noise, costs) in self.noise.iter_mut().zip(now.costs.iter().zip(&before.costs)) {
            let (Some(now), Some(before)) = costs else { continue };
            let mean = (now.measured + before.measured) / 2.0;
            let square = if mean > 0.0 { ((now.measured - before.measured) / mean).powi(2) / 2.0 } else { 0.0 };
            *noise += NOISE_NEWEST * (square.min(1.0) - *noise);
        }
    }

    /// Notes what the last step has brought, once that is seen clearly enough.
    fn learn(&mut self) {
        if self.looks.len() < FEW {
            return;
        }
        let Some(before) = self.before.take() else { return };
        let work = self.work();
        let mut effect = Effect::default();
        for (index, before_it) in before.costs.iter().enumerate() {
            let (is, error) = before_it.zip(self.mean_of(index, WINDOW)).map_or((0.0, 0.0), |(then, now)| {
                let (then_work, now_work) = (before.work.max(1.0), work.max(1.0));
                let is = then.mean / then_work - now.mean / now_work;
                (is.max(0.0), (then.error / then_work).hypot(now.error / now_work))
            });
            effect.of_work.push(is);
            effect.error.push(error);
        }
        let effects = &mut self.effects[before.kind as usize];
        let below = before.level as usize - 1; // the level that it would come back to
        if effects.len() <= below {
            effects.resize(below + 1, Effect::default());
        }
        effects[below] = effect;
    }

    fn take(&mut self, step: Step, now: Duration) -> Step {
        self.levels[step.kind as usize] = step.to;
        self.looks.clear();
        self.stepped = Some(now);
        if step.cause == Cause::Wanted || step.to < step.from {
            self.before = None;
        }
        step
    }

    fn latest(&self) -> &Look {
        self.looks.last().expect("somebody has looked")
    }

    fn mean(&self, index: usize) -> Option<f64> {
        self.mean_of(index, WINDOW).map(|mean| mean.mean)
    }

    /// The mean of a cost over the newest looks, of those that know it. What they differ by is read off neighbours, so that a change
    /// of the cost itself is not taken for noise.
    fn mean_of(&self, index: usize, span: usize) -> Option<Mean> {
        let oldest = self.looks.len().saturating_sub(span);
        let (mut sum, mut newest) = (0.0, 0u32);
        let (mut squares, mut pairs, mut before) = (0.0, 0u32, None);
        for (place, look) in self.looks.iter().enumerate() {
            let Some(cost) = look.costs.get(index).copied().flatten() else { continue };
            if place >= oldest {
                (sum, newest) = (sum + cost.measured, newest + 1);
            }
            if let Some(before) = before.replace(cost.measured) {
                (squares, pairs) = (squares + (cost.measured - before) * (cost.measured - before) / 2.0, pairs + 1);
            }
        }
        let looks = f64::from(newest);
        let mean = sum / looks;
        let usual = self.noise.get(index).copied().unwrap_or(0.0).sqrt().max(LEAST_NOISE);
        let deviation = (squares / f64::from(pairs.max(1))).sqrt().max(mean * usual);
        (newest > 0).then(|| Mean { mean, error: deviation / looks.sqrt(), looks: newest })
    }

    /// There is clearly less to do than when something was last shed.
    fn is_eased(&self) -> bool {
        self.work() < EASED * self.shed_at
    }

    fn work(&self) -> f64 {
        self.looks.iter().map(|look| look.work).sum::<f64>() / self.looks.len().max(1) as f64
    }
}

/// How many steps of head sampling would do if all the cost followed it: at least one.
fn steps_down(mean: f64, limit: f64) -> u32 {
    let steps = (mean / (limit * AIM)).log2() * f64::from(STEPS_A_HALF);
    (steps as u32).clamp(1, LEAP)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    /// A program and its agent, as far as they cost something.
    struct Plant {
        seed: u64,
        /// Costs of the agent, percent of a CPU: what is always there, and at full detail for each thousand operations a second.
        fixed: f64,
        profile: f64,
        detail: f64,
        noisy: f64,
        spans: f64,
        /// How far a look may lie from the truth, as a share of it.
        noise: f64,
        limit: f64,
    }

    impl Plant {
        fn random(&mut self) -> f64 {
            self.seed ^= self.seed << 13;
            self.seed ^= self.seed >> 7;
            self.seed ^= self.seed << 17;
            (self.seed >> 11) as f64 / (1u64 << 53) as f64
        }

        fn any(seed: u64) -> Self {
            let mut plant = Self {
                seed: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
                fixed: 0.0,
                profile: 0.0,
                detail: 0.0,
                noisy: 0.0,
                spans: 0.0,
                noise: 0.0,
                limit: 0.0,
            };
            for _ in 0..8 {
                plant.random();
            }
            plant.fixed = 0.3 * plant.random();
            plant.profile = 0.5 * plant.random();
            plant.detail = 0.3 * plant.random();
            plant.noisy = 0.8 * plant.random();
            plant.spans = 0.3 + plant.random();
            plant.noise = 0.25 * plant.random();
            // What it takes at a thousand operations a second fits, with the room that a step back asks for.
            plant.limit = plant.cost(&Controller::default(), 1000.0) * (1.25 + 0.5 * plant.random());
            plant
        }

        fn cost(&self, controller: &Controller, work: f64) -> f64 {
            let level = |kind| f64::from(controller.level(kind));
            let (profile, noisy) = (1.0 - level(Kind::ProfileRate) / 3.0, 1.0 - level(Kind::JoinPoints) / 2.0);
            let share = share(controller.level(Kind::HeadSampling));
            let detail = 1.0 - level(Kind::KernelDetail);
            let thousands = work / 1000.0;
            self.fixed
                + self.profile * profile
                + thousands * (self.detail * detail + share * (self.noisy * noisy + self.spans))
        }

        fn look(&mut self, controller: &Controller, work: f64, second: u64) -> Look {
            let noise = 1.0 + self.noise * (2.0 * self.random() - 1.0);
            let measured = self.cost(controller, work) * noise;
            Look {
                now: Duration::from_secs(second),
                costs: vec![None, Some(Cost { measured, limit: self.limit, follows: true })],
                work: work * (1.0 + 0.05 * (2.0 * self.random() - 1.0)),
                highest: [3, 1, 2, LEAST_SAMPLING],
                lowest: [0; 4],
            }
        }
    }

    /// Load triples for five minutes, with whatever noise and whatever share each detail has in the cost. The budget holds within a tenth
    /// once the steps are taken, nothing goes back and forth, and all of it comes back afterwards.
    #[test]
    fn budgets_hold_when_load_triples() {
        for seed in 1..=200 {
            let mut plant = Plant::any(seed);
            let mut controller = Controller::default();
            let mut story = String::new();
            let mut turns = [(0, 0u32); 4]; // the last direction of each kind, and how often it changed
            let mut steady = Vec::new();
            for second in 0..1500 {
                let high = (120..420).contains(&second);
                let work = if high { 3000.0 } else { 1000.0 };
                let look = plant.look(&controller, work, second);
                if (240..420).contains(&second) {
                    steady.push(plant.cost(&controller, work) / plant.limit);
                }
                let Some(step) = controller.look(look) else { continue };
                let _ = writeln!(story, "{second}: {step:?}");
                if high {
                    let direction = if step.to > step.from { 1 } else { -1 };
                    let (last, changes) = &mut turns[step.kind as usize];
                    *changes += u32::from(*last != 0 && *last != direction);
                    *last = direction;
                }
            }
            let mean = steady.iter().sum::<f64>() / steady.len() as f64;
            let worst = steady.iter().copied().fold(0.0, f64::max);
            assert!(mean <= 1.05 && worst <= 1.12, "seed {seed}: {mean:.2} of the limit, at worst {worst:.2}\n{story}");
            assert!(turns.iter().all(|(_, changes)| *changes <= 1), "seed {seed}: back and forth\n{story}");
            let left = Kind::ALL.map(|kind| controller.level(kind));
            assert_eq!(left, [0; 4], "seed {seed}: it does not come back\n{story}");
        }
    }

    /// Where the load stays as it is and fits, nothing is ever shed; where it does not fit, steps become rare.
    #[test]
    fn steps_end() {
        for seed in 1..=100 {
            let mut plant = Plant::any(seed);
            for (factor, most) in [(1.0, 0), (0.6, 14)] {
                plant.limit *= factor;
                let mut controller = Controller::default();
                let mut steps = Vec::new();
                for second in 0..1800 {
                    let look = plant.look(&controller, 1000.0, second);
                    steps.extend(controller.look(look).map(|step| (second, step)));
                }
                let late = steps.iter().filter(|(second, _)| *second > 600).count();
                assert!(steps.len() <= most, "seed {seed}, {factor}: {steps:#?}");
                assert!(late <= 4, "seed {seed}, {factor}: {steps:#?}");
            }
        }
    }

    #[test]
    fn detail_goes_in_order_and_what_is_left_is_said() {
        let mut controller = Controller::default();
        let mut kinds = Vec::new();
        for second in 0..600 {
            let look = Look {
                now: Duration::from_secs(second),
                costs: vec![Some(Cost { measured: 9.0, limit: 1.0, follows: true })],
                work: 10.0,
                highest: [2, 1, 0, LEAST_SAMPLING],
                lowest: [0; 4],
            };
            kinds.extend(controller.look(look).map(|step| step.kind));
        }
        let sampling = kinds.iter().filter(|kind| **kind == Kind::HeadSampling).count();
        assert_eq!(kinds[..3], [Kind::ProfileRate, Kind::ProfileRate, Kind::KernelDetail]);
        assert_eq!((sampling, kinds.len()), (5, 8));
        assert!(controller.is_exhausted());
        assert!((share(controller.level(Kind::HeadSampling)) - 1.0 / 1024.0).abs() < 1e-9);
    }

    /// What is wanted less of is had less of at once; what is no longer there is not counted as shed.
    #[test]
    fn levels_follow_what_is_wanted() {
        let mut controller = Controller::default();
        let mut look = Look {
            now: Duration::ZERO,
            costs: vec![Some(Cost { measured: 0.1, limit: 1.0, follows: true })],
            work: 10.0,
            highest: [3, 0, 0, LEAST_SAMPLING],
            lowest: [1, 0, 0, 0],
        };
        let step = controller.look(look.clone()).expect("a step");
        assert_eq!((step.kind, step.to, step.cause), (Kind::ProfileRate, 1, Cause::Wanted));
        look.lowest = [0; 4];
        let mut back = None;
        for second in 1..60 {
            look.now = Duration::from_secs(second);
            back = back.or(controller.look(look.clone()));
        }
        assert_eq!(back.map(|step| (step.from, step.to)), Some((1, 0)));
    }

    /// Memory that does not become less takes a step each ten seconds, no faster.
    #[test]
    fn memory_is_given_time() {
        let mut controller = Controller::default();
        let mut steps = 0;
        for second in 0..31 {
            let look = Look {
                now: Duration::from_secs(second),
                costs: vec![Some(Cost { measured: 300.0, limit: 200.0, follows: false })],
                work: 10.0,
                highest: [3, 1, 0, LEAST_SAMPLING],
                lowest: [0; 4],
            };
            steps += u32::from(controller.look(look).is_some());
        }
        assert_eq!(steps, 3);
    }
}
