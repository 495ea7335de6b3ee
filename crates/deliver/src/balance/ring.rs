//! Which address a trace belongs to: the same for everybody who knows the same addresses.

use std::net::{IpAddr, SocketAddr};

use model::TraceId;

use crate::fnv;

/// Traces fall into so many slots, each of which belongs to one address.
const SLOTS: usize = 1 << 14;
/// Addresses beyond so many, in their order, get nothing: each would have a few slots only.
pub const MOST: usize = 256;

/// Who owns which slot: of all addresses the one for which a hash of slot and address is highest (rendezvous hashing). So an
/// address that comes takes slots from all others alike, one that goes leaves its own to them, and nothing else moves.
#[derive(Debug, Default)]
pub struct Ring {
    addresses: Vec<SocketAddr>,
    /// Indexes of `addresses`; nothing where there is none.
    slots: Vec<u16>,
}

impl Ring {
    /// Of these addresses, in whatever order.
    pub fn of(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        let mut addresses: Vec<_> = addresses.into_iter().collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses.truncate(MOST);
        let seeds: Vec<u64> = addresses.iter().map(seed).collect();
        let owner = |slot: usize| (0..seeds.len()).max_by_key(|&index| mixed(seeds[index] ^ mixed(slot as u64)));
        let slots = (0..SLOTS).map_while(|slot| owner(slot).map(|index| index as u16)).collect();
        Self { addresses, slots }
    }

    /// The addresses, sorted.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// There is nobody.
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    /// Index of the address that a trace belongs to; of an empty ring 0.
    #[inline]
    pub fn owner(&self, trace: TraceId) -> usize {
        let [.., a, b, c, d, e, f, g, h] = trace.0;
        // The last bytes are random where any are, but not everybody's ids are.
        let slot = mixed(u64::from_le_bytes([a, b, c, d, e, f, g, h])) as usize % SLOTS;
        self.slots.get(slot).copied().unwrap_or_default().into()
    }
}

/// Of an address, the same on every machine and in every version.
fn seed(address: &SocketAddr) -> u64 {
    let ip = match address.ip().to_canonical() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    mixed(fnv::hash(ip.into_iter().chain(address.port().to_be_bytes())))
}

/// The finalizer of SplitMix64: every bit of the result depends on every bit of the number.
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> SocketAddr {
        ([10, 0, 0, last], 4317).into()
    }

    fn trace(number: u64) -> TraceId {
        let mut id = [0; 16];
        id[8..].copy_from_slice(&number.to_be_bytes());
        TraceId(id)
    }

    fn owners(ring: &Ring) -> Vec<SocketAddr> {
        (1..20_000).map(|number| ring.addresses()[ring.owner(trace(number))]).collect()
    }

    #[test]
    fn each_gets_its_share() {
        let ring = Ring::of((0..8).map(address));
        let owners = owners(&ring);
        for address in ring.addresses() {
            let share = owners.iter().filter(|owner| *owner == address).count() as f64 / owners.len() as f64;
            assert!((0.1..0.15).contains(&share), "{address}: {share}");
        }
    }

    #[test]
    fn only_those_of_who_goes_move() {
        let (all, fewer) = (Ring::of((0..8).map(address)), Ring::of((0..8).filter(|last| *last != 3).map(address)));
        for (before, after) in owners(&all).into_iter().zip(owners(&fewer)) {
            assert!(before == after || before == address(3), "{before} {after}");
        }
    }

    #[test]
    fn order_and_repetition_do_not_matter() {
        let (one, other) = (Ring::of((0..5).map(address)), Ring::of((0..5).chain(2..4).rev().map(address)));
        assert_eq!(owners(&one), owners(&other));
    }

    /// Agents of two versions must agree, or every trace is split while a fleet is updated.
    #[test]
    fn the_same_in_every_version() {
        let ring = Ring::of((0..4).map(address));
        let owners: Vec<usize> = (1..=16).map(|number| ring.owner(trace(number))).collect();
        assert_eq!(owners, EXPECTED);
    }

    const EXPECTED: [usize; 16] = [1, 1, 0, 2, 1, 2, 0, 1, 1, 0, 1, 3, 2, 1, 0, 3];

    #[test]
    fn nobody_is_no_panic() {
        let ring = Ring::of([]);
        assert!(ring.is_empty());
        assert_eq!(ring.owner(trace(7)), 0);
    }
}
