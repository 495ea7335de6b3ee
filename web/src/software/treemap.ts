// A squarified treemap (Bruls, Huizing, van Wijk): areas in proportion, cells as square as they can be, the largest first.

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** How far from a square the worst of some areas is, laid in a row along a side. */
function worst(areas: number[], sum: number, side: number): number {
  const thick = sum / side;
  return areas.reduce((most, area) => Math.max(most, (thick * thick) / area, area / (thick * thick)), 0);
}

/** Boxes for values, in their order, which fill a box. Values are sorted, the largest first, and above 0. */
export function squarify(values: number[], { x, y, width, height }: Box): Box[] {
  const all = values.reduce((sum, value) => sum + value, 0);
  const scale = (width * height) / all;
  const boxes: Box[] = [];
  for (let next = 0; next < values.length; ) {
    const side = Math.min(width, height);
    // A row grows as long as that makes its cells squarer.
    const row = [values[next]! * scale];
    let sum = row[0]!;
    let is = worst(row, sum, side);
    for (let candidate = next + 1; candidate < values.length; candidate++) {
      const area = values[candidate]! * scale;
      const would = worst([...row, area], sum + area, side);
      if (would > is) break;
      row.push(area);
      [sum, is] = [sum + area, would];
    }
    const thick = sum / side;
    let at = 0;
    for (const area of row) {
      const long = area / thick;
      boxes.push(width >= height ? { x, y: y + at, width: thick, height: long } : { x: x + at, y, width: long, height: thick });
      at += long;
    }
    if (width >= height) [x, width] = [x + thick, width - thick];
    else [y, height] = [y + thick, height - thick];
    next += row.length;
  }
  return boxes;
}
