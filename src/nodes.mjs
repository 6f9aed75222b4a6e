// Runs the tests under other versions of Node: `npm run test:nodes` (22 and 24), `npm run test:nodes -- 22 FILE…`.
import { mkdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

/** The npm package that the package `node` takes this system's binary from. */
const packageName = () => `node-${process.platform === "win32" ? "win" : process.platform}-${process.arch}`;

/** The newest Node of a major version, from the npm registry. Throws what npm could not do. */
function fetchNode(major, npm, run, fail) {
  const folder = path.join(tmpdir(), `mutwo-node-${major}`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, "package.json"), JSON.stringify({ private: true }));
  const [program, ...first] = npm;
  const args = [...first, "install", "--no-audit", "--no-fund", "--loglevel=error", `${packageName()}@${major}`];
  if (run(program, args, { cwd: folder }) !== 0)
    fail(`no Node ${major} for ${process.platform} ${process.arch} from npm`);
  const bin = path.join(folder, "node_modules", packageName(), "bin");
  return path.join(bin, process.platform === "win32" ? "node.exe" : "node");
}

/** Runs `tests(node)` under each version; a status that is not 0 if one of them fails. */
export function testNodes(majors, { npm, run, fail, tests }) {
  let status = 0;
  for (const major of majors) {
    const node = fetchNode(major, npm, run, fail);
    console.log(`# Node ${major}`);
    run(node, ["--version"]);
    status = tests(node) || status;
  }
  return status;
}
