import type { Point } from "./manifest.js";

/** Points that share a measurement. */
interface Group {
  readonly points: Point[];
  /** Whether the measurement is there, so that several may plan from it at a time. */
  isMeasured: boolean;
  /** Points of it that are being done. */
  running: number;
}

/**
 * The points that are to be done. Those that share a measurement are given to one worker after another until it is there,
 * so that it is made once; then whoever has nothing else to do helps.
 */
export class Queue {
  /** Groups of which nothing was given yet, the next one last. */
  private readonly fresh: Group[];
  /** Groups of which points are left, and something was given. */
  private readonly begun = new Set<Group>();
  private readonly groups = new Map<string, Group>();

  /** `isMeasured` says whether a measurement is there already, by its id. */
  constructor(points: readonly Point[], isMeasured: (profile: string) => boolean) {
    for (const point of points) {
      const known = this.groups.get(point.profile);
      if (known) known.points.push(point);
      else this.groups.set(point.profile, { points: [point], isMeasured: isMeasured(point.profile), running: 0 });
    }
    this.fresh = [...this.groups.values()].reverse();
    for (const { points } of this.fresh) points.reverse();
  }

  /** The next point for a worker whose last one shared that measurement; undefined where there is none for now. */
  take(profile?: string): Point | undefined {
    const own = profile === undefined ? undefined : this.groups.get(profile);
    const group = own && this.isOpen(own) ? own : (this.fresh.pop() ?? this.fullest());
    if (!group) return undefined;
    const point = group.points.pop() as Point;
    group.running++;
    if (group.points.length) this.begun.add(group);
    else this.begun.delete(group);
    return point;
  }

  private readonly isOpen = ({ points, isMeasured, running }: Group): boolean =>
    points.length > 0 && (isMeasured || running === 0);

  private fullest(): Group | undefined {
    let most: Group | undefined;
    for (const group of this.begun)
      if (this.isOpen(group) && group.points.length > (most?.points.length ?? 0)) most = group;
    return most;
  }

  /** Says that a point is not being done any more, and whether what it shares is measured now. */
  release({ profile }: Point, isMeasured: boolean): void {
    const group = this.groups.get(profile) as Group;
    group.running--;
    group.isMeasured ||= isMeasured;
  }

  /** Takes a point back that is to be tried again. */
  giveBack(point: Point): void {
    const group = this.groups.get(point.profile) as Group;
    group.points.push(point);
    this.begun.add(group);
  }
}
