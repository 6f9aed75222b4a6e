// Makes dist/vendor/ from packages of node_modules: what cannot be a dependency of the published package, because its own
// dependencies or its install script fetch from elsewhere than the npm registry, or because most of it is never used.
//   danfo.cjs            danfojs-node and all it needs, in one file, with this project's overrides
//   onnxruntime/         ONNX Runtime's core library for each system, and the script that fetches its CUDA provider
//   LICENSES.txt         the licences of all that
import { cpSync, existsSync, linkSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const modules = path.join(root, "node_modules");
const vendor = path.join(root, "dist/vendor");

/** Bundles a file of a package for Node; returns the folders of the packages that went in. */
async function bundle(entry, outfile, settings = {}) {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: [path.join(modules, entry)],
    outfile,
    bundle: true,
    platform: "node",
    target: "node20.19",
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: "none", // LICENSES.txt has them
    metafile: true,
    logLevel: "error",
    ...settings,
  });
  const used = Object.values(metafile.outputs).flatMap(({ inputs }) => Object.keys(inputs));
  return used.flatMap((file) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0] ?? []);
}

/** Where the core library of each system lies in onnxruntime-node, and its name here. */
const libraries = (folder) =>
  readdirSync(folder).flatMap((platform) =>
    readdirSync(path.join(folder, platform)).map((arch) => {
      const name = { darwin: "libonnxruntime.1.dylib", win32: "onnxruntime.dll" }[platform] ?? "libonnxruntime.so.1";
      return { from: path.join(folder, platform, arch, name), to: path.join(`${platform}-${arch}`, name) };
    }),
  );

/** As a link where that can be: the libraries are large. */
function put(from, to) {
  mkdirSync(path.dirname(to), { recursive: true });
  try {
    linkSync(from, to);
  } catch {
    cpSync(from, to);
  }
}

/** What a package says of its licence: names, and the texts that it brings. */
function licenceOf(folder) {
  const manifest = JSON.parse(readFileSync(path.join(root, folder, "package.json"), "utf8"));
  const { name, version, license, author, repository } = manifest;
  const files = readdirSync(path.join(root, folder)).filter((file) => /^(licen[cs]e|copying|notice)/i.test(file));
  const texts = files.map((file) => readFileSync(path.join(root, folder, file), "utf8").trim());
  const from = typeof repository === "string" ? repository : repository?.url;
  const by = typeof author === "string" ? author : author?.name;
  const said = [license && `Licence: ${license}`, by && `By: ${by}`, from && `From: ${from}`].filter(Boolean);
  return { name, license, texts, head: [`${name} ${version}`, ...said].join("\n") };
}

/** All of them as one text; a package without a text is referred to one under the same licence. */
function licences(folders) {
  const all = [...new Set(folders)].sort().map(licenceOf);
  const entries = all.map(({ name, license, texts, head }) => {
    if (texts.length) return [head, ...texts].join("\n\n");
    const alike = license
      ?.split(" AND ")
      .map((one) => all.find((other) => other.license === one && other.texts.length));
    if (!alike?.every(Boolean)) throw new Error(`no text of the licence of ${name}: ${license}`);
    const where = alike.map((other) => other.name).join(" and ");
    return `${head}\n\n(It brings no text: the terms are those under ${where}, the copyright is its own authors'.)`;
  });
  return `${entries.join(`\n\n${"-".repeat(80)}\n\n`)}\n`;
}

rmSync(vendor, { recursive: true, force: true });
const onnxruntime = path.join(vendor, "onnxruntime");
const packages = [
  ...(await bundle("danfojs-node/dist/danfojs-node/src/index.js", path.join(vendor, "danfo.cjs"), {
    external: ["plotly.js-dist-min"], // df.plot() works in a browser only
    alias: { punycode: "punycode.js" }, // the same code: Node's own warns that it is deprecated
  })),
  ...(await bundle("onnxruntime-node/script/install.js", path.join(onnxruntime, "install.cjs"))),
];
for (const { from, to } of libraries(path.join(modules, "onnxruntime-node/bin/napi-v6")))
  if (existsSync(from)) put(from, path.join(onnxruntime, to));
writeFileSync(path.join(vendor, "LICENSES.txt"), licences(packages));
