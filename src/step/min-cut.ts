/** A flow network with float capacities (Dinic's algorithm). */
export class Network {
  private readonly heads: number[][] = [];
  private readonly to: number[] = [];
  private readonly room: number[] = [];

  vertex(): number {
    this.heads.push([]);
    return this.heads.length - 1;
  }

  edge(from: number, to: number, capacity: number): void {
    (this.heads[from] as number[]).push(this.to.length);
    this.to.push(to);
    this.room.push(capacity);
    (this.heads[to] as number[]).push(this.to.length);
    this.to.push(from);
    this.room.push(0);
  }

  /**
   * Saturates a minimum cut and returns the vertices from which the sink can still be reached: of all minimum cuts the
   * one nearest to the sink.
   */
  cut(source: number, sink: number): ReadonlySet<number> {
    const { heads, to, room } = this;
    for (;;) {
      const level = new Int32Array(heads.length).fill(-1);
      level[source] = 0;
      const queue = [source];
      for (const at of queue)
        for (const edge of heads[at] as number[]) {
          const next = to[edge] as number;
          if ((room[edge] as number) > 0 && level[next] === -1) {
            level[next] = (level[at] as number) + 1;
            queue.push(next);
          }
        }
      if (level[sink] === -1) break;
      const tried = new Int32Array(heads.length);
      // depth first, with a stack of edges: paths are as long as the network is deep
      for (;;) {
        const path: number[] = [];
        let at = source;
        while (at !== sink) {
          const edges = heads[at] as number[];
          let edge: number | undefined;
          for (; (tried[at] as number) < edges.length; tried[at] = (tried[at] as number) + 1) {
            const candidate = edges[tried[at] as number] as number;
            const next = to[candidate] as number;
            if ((room[candidate] as number) > 0 && level[next] === (level[at] as number) + 1) {
              edge = candidate;
              break;
            }
          }
          if (edge !== undefined) {
            path.push(edge);
            at = to[edge] as number;
          } else if (path.length === 0) break;
          else {
            const back = path.pop() as number;
            at = to[back ^ 1] as number;
            tried[at] = (tried[at] as number) + 1;
          }
        }
        if (at !== sink) break;
        const flow = Math.min(...path.map((edge) => room[edge] as number));
        for (const edge of path) {
          room[edge] = (room[edge] as number) - flow;
          room[edge ^ 1] = (room[edge ^ 1] as number) + flow;
        }
      }
    }
    const reaching = new Set([sink]);
    const queue = [sink];
    for (const at of queue)
      for (const edge of heads[at] as number[]) {
        const from = to[edge] as number;
        if ((room[edge ^ 1] as number) > 0 && !reaching.has(from)) {
          reaching.add(from);
          queue.push(from);
        }
      }
    return reaching;
  }
}
