/** A point of a graph; x grows from point to point. */
export interface Point {
  readonly x: number;
  readonly y: number;
}

/** y = y0 + slope * (x - x0). */
export interface Line {
  readonly x0: number;
  readonly y0: number;
  readonly slope: number;
}

export const valueAt = ({ x0, y0, slope }: Line, x: number): number => y0 + slope * (x - x0);

/** When points tell a slope. */
export interface Evidence {
  readonly minPoints: number;
  readonly minSpan: number;
}

/**
 * No two clocks that are any good differ by more: 500 ppm is also the most that a kernel corrects.
 */
const MAX_SLOPE = 500e-6;

export const tellsSlope = (points: readonly Point[], { minPoints, minSpan }: Evidence): boolean =>
  points.length >= minPoints && points.at(-1)!.x - points[0]!.x >= minSpan;

/**
 * The line on top of points whose errors all go down: what a clock would have shown, had no message
 * been late. Its slope is `knownSlope` as long as the points don't tell a better one. At least one
 * point is needed.
 *
 * Of the edges of the upper convex hull it is the one over the mean of x: no other line above all
 * points is closer to them in sum (Moon, Skelly, Towsley: Estimation and Removal of Clock Skew from
 * Network Delay Measurements, 1999).
 */
export function upperEnvelope(
  points: readonly Point[],
  evidence: Evidence,
  knownSlope: number,
): Line {
  const last = points.at(-1)!;
  const told = tellsSlope(points, evidence) ? hullSlope(points) : knownSlope;
  const slope = Math.abs(told) <= MAX_SLOPE ? told : knownSlope;
  const y0 = Math.max(...points.map(({ x, y }) => y - slope * (x - last.x)));
  return { x0: last.x, y0, slope };
}

function hullSlope(points: readonly Point[]): number {
  const hull: Point[] = [];
  for (const point of points) {
    // A point below the line from its neighbour to the new one is not on the hull
    while (hull.length > 1 && slopeOf(hull.at(-2)!, hull.at(-1)!) <= slopeOf(hull.at(-1)!, point))
      hull.pop();
    hull.push(point);
  }
  const mean = points.reduce((sum, { x }) => sum + x, 0) / points.length;
  const right = hull.findIndex(({ x }, i) => i > 0 && x >= mean);
  return slopeOf(hull[right - 1]!, hull[right]!);
}

const slopeOf = (a: Point, b: Point): number => (b.y - a.y) / (b.x - a.x);
