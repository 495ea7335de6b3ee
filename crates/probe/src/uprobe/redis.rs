//! Where a connection of go-redis has its net.Conn, by version: a program may have both.

use gobin::Offsets;

use super::skeleton::types::tandem_binary;

/// Variants of its sites (`bpf/uprobe.h`).
pub(super) const V9: u8 = 0;
pub(super) const V8: u8 = 1;

pub(super) fn types(offsets: &Offsets, facts: &mut tandem_binary) -> Result<(), String> {
    find("github.com/redis/go-redis/v9/internal/pool.Conn", V9, offsets, facts)
}

pub(super) fn types_v8(offsets: &Offsets, facts: &mut tandem_binary) -> Result<(), String> {
    find("github.com/go-redis/redis/v8/internal/pool.Conn", V8, offsets, facts)
}

fn find(structure: &str, version: u8, offsets: &Offsets, facts: &mut tandem_binary) -> Result<(), String> {
    let [own, behind] = ["netConn", "netConnAtomic"].map(|field| offsets.field(structure, field));
    let place = own.or(behind).ok_or_else(|| {
        let why = offsets.why_not(structure).unwrap_or("there is no such field");
        format!("where {structure} has its net.Conn is not known: {why}")
    })?;
    facts.pooled_connection[usize::from(version)] = place;
    facts.pooled_connection_points[usize::from(version)] = u32::from(own.is_none());
    Ok(())
}
