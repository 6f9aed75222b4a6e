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

/** Licence files, of packages in a package too; what package.json says where there is none. */
function licenceOf(folder) {
  const { name, version, license, author, repository } = JSON.parse(
    readFileSync(path.join(root, folder, "package.json"), "utf8"),
  );
  const files = readdirSync(path.join(root, folder)).filter((file) => /^(licen[cs]e|copying|notice)/i.test(file));
  const texts = files.map((file) => readFileSync(path.join(root, folder, file), "utf8").trim());
  const from = typeof repository === "string" ? repository : repository?.url;
  const by = typeof author === "string" ? author : author?.name;
  const said = [license && `Licence: ${license}`, by && `By: ${by}`, from && `From: ${from}`].filter(Boolean);
  return [`${name} ${version}`, ...said, ...texts.map((text) => `\n${text}`)].join("\n");
}

rmSync(vendor, { recursive: true, force: true });
const onnxruntime = path.join(vendor, "onnxruntime");
const packages = [
  ...(await bundle("danfojs-node/dist/danfojs-node/src/index.js", path.join(vendor, "danfo.cjs"), {
    external: ["plotly.js-dist-min"], // df.plot() works in a browser only
  })),
  ...(await bundle("onnxruntime-node/script/install.js", path.join(onnxruntime, "install.cjs"))),
];
for (const { from, to } of libraries(path.join(modules, "onnxruntime-node/bin/napi-v6")))
  if (existsSync(from)) put(from, path.join(onnxruntime, to));
const texts = [...new Set(packages)].sort().map(licenceOf);
writeFileSync(path.join(vendor, "LICENSES.txt"), `${texts.join(`\n\n${"-".repeat(80)}\n\n`)}\n`);
