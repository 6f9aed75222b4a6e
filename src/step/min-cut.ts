import { least } from "../graph/lists.js";

/** A flow network with float capacities (Dinic's algorithm). */
export class Network {
  /** Edges at each vertex. An edge and the one back are neighbours in `to` and `room`: i and i ^ 1. */
  private readonly heads: number[][] = [];
  private readonly to: number[] = [];
  /** What can still flow through each edge. */
  private readonly room: number[] = [];

  vertex(): number {
    this.heads.push([]);
    return this.heads.length - 1;
  }

  edge(from: number, to: number, capacity: number): void {
    this.half(from, to, capacity);
    this.half(to, from, 0);
  }

  private half(from: number, to: number, room: number): void {
    (this.heads[from] as number[]).push(this.to.length);
    this.to.push(to);
    this.room.push(room);
  }

  /**
   * Saturates a minimum cut and returns the vertices from which the sink can still be reached: of all minimum cuts the
   * one nearest to the sink.
   */
  cut(source: number, sink: number): ReadonlySet<number> {
    for (;;) {
      const level = this.levels(source);
      if (level[sink] === -1) return this.reaching(sink);
      const tried = new Int32Array(this.heads.length);
      for (;;) {
        const path = this.path(source, sink, level, tried);
        if (!path) break;
        this.fill(path);
      }
    }
  }

  /** Number of edges with room from the source to each vertex; -1 where there is no way. */
  private levels(source: number): Int32Array {
    const level = new Int32Array(this.heads.length).fill(-1);
    level[source] = 0;
    const queue = [source];
    for (const at of queue)
      for (const edge of this.heads[at] as number[]) {
        const next = this.to[edge] as number;
        if ((this.room[edge] as number) > 0 && level[next] === -1) {
          level[next] = (level[at] as number) + 1;
          queue.push(next);
        }
      }
    return level;
  }

  /**
   * A way with room from level to level, as edges. `tried` counts the edges of each vertex that lead nowhere. Goes depth
   * first with a stack of edges, for paths are as long as the network is deep.
   */
  private path(source: number, sink: number, level: Int32Array, tried: Int32Array): number[] | undefined {
    const path: number[] = [];
    for (let at = source; at !== sink; ) {
      const edge = this.onward(at, level, tried);
      if (edge !== undefined) {
        path.push(edge);
        at = this.to[edge] as number;
        continue;
      }
      const back = path.pop();
      if (back === undefined) return undefined;
      at = this.to[back ^ 1] as number;
      tried[at] = (tried[at] as number) + 1;
    }
    return path;
  }

  /** The first edge with room to the next level that has not been tried. */
  private onward(at: number, level: Int32Array, tried: Int32Array): number | undefined {
    const edges = this.heads[at] as number[];
    for (; (tried[at] as number) < edges.length; tried[at] = (tried[at] as number) + 1) {
      const edge = edges[tried[at] as number] as number;
      if ((this.room[edge] as number) > 0 && level[this.to[edge] as number] === (level[at] as number) + 1) return edge;
    }
    return undefined;
  }

  /** Sends as much along a path as goes through all of its edges. */
  private fill(path: readonly number[]): void {
    const { room } = this;
    const flow = least(path.map((edge) => room[edge] as number));
    for (const edge of path) {
      room[edge] = (room[edge] as number) - flow;
      room[edge ^ 1] = (room[edge ^ 1] as number) + flow;
    }
  }

  /** The vertices from which there is a way with room to the sink. */
  private reaching(sink: number): Set<number> {
    const reaching = new Set([sink]);
    for (const at of reaching)
      for (const edge of this.heads[at] as number[])
        if ((this.room[edge ^ 1] as number) > 0) reaching.add(this.to[edge] as number);
    return reaching;
  }
}
