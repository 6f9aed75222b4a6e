import koffi from "koffi";
import type { Pointer } from "./ort-api.js";

/** A function of a C library. */
export type NativeCall = (...args: unknown[]) => number;

/** What must outlive every call into a library: koffi unloads what the collector takes. */
const kept: unknown[] = [];

/** A C library that stays loaded. */
export class NativeLibrary {
  private readonly library: ReturnType<typeof koffi.load>;

  /** Loads `file`. Throws the loader's message. */
  constructor(file: string) {
    this.library = koffi.load(file);
    kept.push(this.library);
  }

  /** The function of that C signature, `int cudaFree(uintptr_t memory)` say. */
  function<Call = NativeCall>(signature: string): Call {
    const call = this.library.func(signature);
    kept.push(call);
    return call as Call;
  }

  /** Functions by name, each with its signature less the name: `int (uintptr_t memory)`. */
  functions<Name extends string>(signatures: Readonly<Record<Name, string>>): Readonly<Record<Name, NativeCall>> {
    return Object.fromEntries(
      Object.entries<string>(signatures).map(([name, signature]) => [
        name,
        this.function(signature.replace("(", `${name}(`)),
      ]),
    ) as Record<Name, NativeCall>;
  }
}

/** The address or handle that `call` writes through the pointer which it is given. */
export function pointerFrom(call: (out: [unknown]) => void): Pointer {
  const out: [unknown] = [null];
  call(out);
  return BigInt(out[0] as number | bigint);
}

/** The number that `call` writes through the pointer which it is given. */
export function numberFrom(call: (out: [unknown]) => void): number {
  const out: [unknown] = [0];
  call(out);
  return Number(out[0]);
}

/** The text in bytes that end in a zero. */
export const textIn = (bytes: Uint8Array): string =>
  Buffer.from(bytes.subarray(0, Math.max(0, bytes.indexOf(0)))).toString();
