/** The bytes of a 64-bit library that says of itself what it is called and what it needs, and nothing else. */
export function elf(soname: string, needed: readonly string[] = []): Buffer {
  const strings = Buffer.from(["", soname, ...needed, ""].join("\0"));
  const entries: [number, number][] = [soname, ...needed].map((name, i) => [
    i ? 1 : 14,
    strings.indexOf(`\0${name}\0`) + 1,
  ]);
  const base = 0x1000; // addresses are not offsets
  const [dynamicAt, dynamicBytes] = [64 + 2 * 56, 16 * (entries.length + 2)];
  const stringsAt = dynamicAt + dynamicBytes;
  const file = Buffer.alloc(stringsAt + strings.length);
  file.write("\x7fELF\x02\x01\x01", "latin1");
  file.writeBigUInt64LE(64n, 32);
  file.writeUInt16LE(56, 54);
  file.writeUInt16LE(2, 56);
  [[1, 0, file.length] as const, [2, dynamicAt, dynamicBytes] as const].forEach(([type, offset, bytes], i) => {
    const at = 64 + 56 * i;
    file.writeUInt32LE(type, at);
    file.writeBigUInt64LE(BigInt(offset), at + 8);
    file.writeBigUInt64LE(BigInt(base + offset), at + 16);
    file.writeBigUInt64LE(BigInt(bytes), at + 32);
  });
  [[5, base + stringsAt] as const, ...entries, [0, 0] as const].forEach(([tag, value], i) => {
    file.writeBigUInt64LE(BigInt(tag), dynamicAt + 16 * i);
    file.writeBigUInt64LE(BigInt(value), dynamicAt + 16 * i + 8);
  });
  strings.copy(file, stringsAt);
  return file;
}
