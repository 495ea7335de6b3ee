// What is known of a service, by where its spans come from.
import type { MapNode } from '../api';

export interface Mark {
  name: string;
  meaning: string;
}

export function markOf(node: MapNode): Mark {
  if (node.kind !== 'service') return { name: node.kind === 'outside' ? 'no spans' : node.kind, meaning: 'has no spans of its own: known by the calls of others only' };
  const has = (source: string): boolean => (node.sources[source] ?? 0) > 0;
  if (has('woven') || has('api')) return { name: 'woven', meaning: 'built with tandem: exact context, and where its time goes' };
  if (has('uprobe')) return { name: 'observed', meaning: 'probes on its functions; not built with tandem' };
  if (has('socket')) return { name: 'observed', meaning: 'seen on its sockets; any language' };
  return { name: 'sdk', meaning: 'sends OTLP itself' };
}
