// Where the nodes of a map go: callers left of what they call, in layers; within a layer, near to whom they talk with.

export interface Place {
  name: string;
  layer: number;
  x: number;
  y: number;
}

export interface Layout {
  places: Map<string, Place>;
  width: number;
  height: number;
}

export const NODE = { width: 208, height: 74 };
const GAP = { x: 104, y: 26 };
const EDGE = 24;
/** How often layers are put in order, each time by their neighbours' order. */
const ROUNDS = 8;

export function arrange(names: string[], calls: { from: string; to: string }[]): Layout {
  const layers = inOrder(byLayer(names, calls), calls);
  const tallest = Math.max(1, ...layers.map((layer) => layer.length));
  const height = 2 * EDGE + tallest * NODE.height + (tallest - 1) * GAP.y;
  const places = new Map<string, Place>();
  layers.forEach((layer, index) => {
    const taken = layer.length * NODE.height + (layer.length - 1) * GAP.y;
    layer.forEach((name, row) => {
      const place = { name, layer: index, x: EDGE + index * (NODE.width + GAP.x), y: (height - taken) / 2 + row * (NODE.height + GAP.y) };
      places.set(name, place);
    });
  });
  return { places, width: 2 * EDGE + layers.length * NODE.width + Math.max(0, layers.length - 1) * GAP.x, height };
}

/** A node stands right of all that call it, but for calls that lead back in a circle. */
function byLayer(names: string[], calls: { from: string; to: string }[]): string[][] {
  const next = new Map<string, string[]>(names.map((name) => [name, []]));
  const called = new Set<string>();
  for (const { from, to } of calls) {
    if (from === to || !next.has(from) || !next.has(to)) continue;
    next.get(from)!.push(to);
    called.add(to);
  }
  const layer = new Map<string, number>();
  const above = new Set<string>();
  const visit = (name: string, depth: number): void => {
    if (above.has(name) || (layer.get(name) ?? -1) >= depth) return;
    layer.set(name, depth);
    above.add(name);
    for (const to of next.get(name)!) visit(to, depth + 1);
    above.delete(name);
  };
  // Those that nobody calls first; what is left is in circles.
  for (const name of names) if (!called.has(name)) visit(name, 0);
  for (const name of names) if (!layer.has(name)) visit(name, 0);
  const layers: string[][] = [];
  for (const name of names) (layers[layer.get(name)!] ??= []).push(name);
  return Array.from(layers, (layer) => layer ?? []).filter((layer) => layer.length > 0);
}

/** Orders each layer by the mean place of its neighbours, there and back, so that fewer lines cross. */
function inOrder(layers: string[][], calls: { from: string; to: string }[]): string[][] {
  const neighbours = new Map<string, string[]>();
  const join = (one: string, other: string): void => void neighbours.set(one, [...(neighbours.get(one) ?? []), other]);
  for (const { from, to } of calls) {
    join(from, to);
    join(to, from);
  }
  const place = new Map<string, number>();
  const number = (layer: string[]): void => layer.forEach((name, index) => place.set(name, (index + 0.5) / layer.length));
  layers.forEach(number);
  for (let round = 0; round < ROUNDS; round++) {
    for (const layer of round % 2 === 0 ? layers : layers.toReversed()) {
      const wanted = new Map(
        layer.map((name) => {
          const around = (neighbours.get(name) ?? []).map((other) => place.get(other) ?? 0.5);
          return [name, around.length > 0 ? around.reduce((sum, at) => sum + at, 0) / around.length : place.get(name)!];
        }),
      );
      layer.sort((a, b) => wanted.get(a)! - wanted.get(b)! || a.localeCompare(b));
      number(layer);
    }
  }
  return layers;
}

/** The line of a call. One that leads back goes around below. */
export function curve(from: Place, to: Place): string {
  const [x1, y1] = [from.x + NODE.width, from.y + NODE.height / 2];
  const [x2, y2] = [to.x, to.y + NODE.height / 2];
  if (to.layer > from.layer) {
    const bend = Math.max(40, (x2 - x1) / 2);
    return `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2 - 5} ${y2}`;
  }
  const [xa, xb, below] = [from.x + NODE.width / 2, to.x + NODE.width / 2, Math.max(from.y, to.y) + NODE.height + 40];
  return `M${xa} ${from.y + NODE.height}C${xa} ${below} ${xb} ${below} ${xb} ${to.y + NODE.height + 5}`;
}
