import { NativeLibrary } from "./native-library.js";
import type { Pointer } from "./ort-api.js";

/** Less memory than this lies in few pages as it is. */
const leastBytes = 2 ** 23;

const pageBytes = 4096n;

/** MADV_HUGEPAGE of Linux' <sys/mman.h>. */
const wanted = 14;

let advise: ((start: Pointer, bytes: bigint, advice: number) => number) | null | undefined;

function madvise(): typeof advise {
  if (advise !== undefined) return advise;
  try {
    advise = new NativeLibrary("libc.so.6").function("int madvise(uintptr_t start, size_t bytes, int advice)");
  } catch {
    advise = null; // another system, or another C library
  }
  return advise;
}

/**
 * Asks the system to put memory that nothing has touched yet into pages of 2 MiB, which a processor finds more quickly: 2
 * to 4 % of ResNet-18's step. Answers whether it could be asked; what it does is its own affair.
 */
export function askForHugePages(address: Pointer, bytes: number): boolean {
  if (bytes < leastBytes || process.platform !== "linux") return false;
  const start = ((address + pageBytes - 1n) / pageBytes) * pageBytes;
  const end = ((address + BigInt(bytes)) / pageBytes) * pageBytes;
  return madvise()?.(start, end - start, wanted) === 0;
}
