import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import koffi from "koffi";

/** Major versions of CUDA for which there is a provider. */
export type CudaMajor = 12 | 13;

/** What the machine says of itself; tests give their own. */
export interface Machine {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Folders of the loader's cache and of CUDA toolkits. */
  systemFolders(): readonly string[];
  /** Folders in which Python packages and conda keep libraries. */
  pythonFolders(): readonly string[];
  /** The file that the loader takes for a name, wherever that lies. */
  byLoader(name: string): string | undefined;
}

/** Names in a folder, in order; none if it cannot be read. */
export const list = (folder: string): string[] => {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
};

/** What a program prints; nothing if it is not there, fails or takes too long. */
function printed(program: string, args: readonly string[]): string {
  try {
    return execFileSync(program, args, { encoding: "utf8", timeout: 10_000, stdio: ["ignore", "pipe", "ignore"] });
  } catch {
    return "";
  }
}

/** What must outlive every call into the libraries: koffi unloads what the collector takes. */
const kept: unknown[] = [];

const once = <T>(look: () => T): (() => T) => {
  let known: { value: T } | undefined;
  return () => {
    known ??= { value: look() };
    return known.value;
  };
};

/** Folders with libraries below the folders in which Python looks for modules. */
export const nvidiaFolders = (places: readonly string[]): string[] =>
  places
    .filter((place) => path.isAbsolute(place))
    .flatMap((place) => list(path.join(place, "nvidia")).map((name) => path.join(place, "nvidia", name, "lib")))
    .filter((folder) => existsSync(folder));

/** The machine that this process runs on; programs are asked once. */
export const thisMachine: Machine = {
  env: process.env,
  systemFolders: once(() => {
    const cache = printed("ldconfig", ["-p"]) || printed("/sbin/ldconfig", ["-p"]);
    const cached = [...cache.matchAll(/^\s*lib(?:cu|nv)\S+ \(.*x86-64.*\) => (\/\S+)$/gm)].map(([, file]) =>
      path.dirname(file as string),
    );
    const toolkits = list("/usr/local")
      .filter((name) => /^cuda(-[\d.]+)?$/.test(name))
      .map((name) => path.join("/usr/local", name, "lib64"));
    const usual = ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib/wsl/lib", "/usr/local/nvidia/lib64"];
    return [...cached, ...toolkits, ...usual];
  }),
  pythonFolders: once(() => {
    const script = 'import sys; print("\\n".join([sys.prefix + "/lib", *sys.path]))';
    const [prefix = "", ...places] = printed("python3", ["-c", script]).trim().split("\n");
    return [...nvidiaFolders(places), ...(path.isAbsolute(prefix) ? [prefix] : [])];
  }),
  byLoader(name) {
    try {
      kept.push(koffi.load(name, { global: true }));
      const maps = readFileSync("/proc/self/maps", "utf8").split("\n");
      // the file may have a longer name than the link that leads to it
      const file = maps
        .map((line) => line.slice(line.indexOf("/")))
        .find((place) => path.basename(place).startsWith(name));
      return file ?? name;
    } catch {
      return undefined;
    }
  },
};

/** Packages that bring a library: pip's for CUDA 13 and 12, and in NVIDIA's repository for Debian and Ubuntu. */
const packages: readonly {
  readonly library: RegExp;
  readonly pip: Readonly<Record<CudaMajor, string>>;
  readonly apt: Readonly<Record<CudaMajor, string>>;
}[] = [
  {
    library: /^libcudart\./,
    pip: { 13: "nvidia-cuda-runtime~=13.0", 12: "nvidia-cuda-runtime-cu12" },
    apt: { 13: "cuda-cudart-13-0", 12: "cuda-cudart-12-8" },
  },
  {
    library: /^libcublas(Lt)?\./,
    pip: { 13: "nvidia-cublas~=13.0", 12: "nvidia-cublas-cu12" },
    apt: { 13: "libcublas-13-0", 12: "libcublas-12-8" },
  },
  {
    library: /^libcurand\./,
    pip: { 13: "nvidia-curand~=10.4", 12: "nvidia-curand-cu12" },
    apt: { 13: "libcurand-13-0", 12: "libcurand-12-8" },
  },
  {
    library: /^libcufft\./,
    pip: { 13: "nvidia-cufft~=12.0", 12: "nvidia-cufft-cu12" },
    apt: { 13: "libcufft-13-0", 12: "libcufft-12-8" },
  },
  {
    library: /^libnvrtc\./,
    pip: { 13: "nvidia-cuda-nvrtc~=13.0", 12: "nvidia-cuda-nvrtc-cu12" },
    apt: { 13: "cuda-nvrtc-13-0", 12: "cuda-nvrtc-12-8" },
  },
  {
    library: /^libnvJitLink\./,
    pip: { 13: "nvidia-nvjitlink~=13.0", 12: "nvidia-nvjitlink-cu12" },
    apt: { 13: "libnvjitlink-13-0", 12: "libnvjitlink-12-8" },
  },
  {
    library: /^libcudnn/,
    pip: { 13: "nvidia-cudnn-cu13", 12: "nvidia-cudnn-cu12" },
    apt: { 13: "libcudnn9-cuda-13", 12: "libcudnn9-cuda-12" },
  },
];

/** Commands that bring libraries, `pip install …` or `apt install …`; empty if none of them comes in a package. */
export function installCommands(names: readonly string[], major: CudaMajor): string[] {
  const found = names.flatMap((name) => packages.find(({ library }) => library.test(name)) ?? []);
  if (!found.length) return [];
  const unique = (kind: "pip" | "apt"): string => [...new Set(found.map((one) => one[kind][major]))].join(" ");
  return [`pip install ${unique("pip")}`, `apt install ${unique("apt")}`];
}
