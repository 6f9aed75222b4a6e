import assert from "node:assert/strict";

/** Marks the stack where the items of a list or dict begin. */
const mark = Symbol("mark");

/**
 * Reads a pickle of protocol 2 as Python's `pickle.loads` does, as far as lists, tuples, dicts, strings, numbers, booleans
 * and None go. Throws for other opcodes, what does not fit the stack, and bytes after the end. Tuples become frozen lists.
 */
export function unpickle(pickled: Uint8Array): unknown {
  const bytes = Buffer.from(pickled);
  const stack: unknown[] = [];
  const memo = new Map<number, unknown>();
  let at = 0;
  const take = (count: number): number => {
    at += count;
    assert.ok(at <= bytes.length, "truncated");
    return at - count;
  };
  const pop = (): unknown => {
    assert.ok(stack.length && stack.at(-1) !== mark, "nothing on the stack");
    return stack.pop();
  };
  const top = (): unknown => {
    assert.ok(stack.length, "nothing on the stack");
    return stack.at(-1);
  };
  const marked = (): unknown[] => {
    const from = stack.lastIndexOf(mark);
    assert.ok(from >= 0, "no mark");
    const items = stack.splice(from).slice(1);
    assert.ok(items.length <= 1000, "more items at once than CPython writes: a reader may put them on its call stack");
    return items;
  };
  const get = (number: number): void => {
    assert.ok(memo.has(number), `nothing in memo ${number}`);
    stack.push(memo.get(number));
  };
  const put = (number: number): void => {
    assert.ok(!memo.has(number), `memo ${number} is taken`);
    memo.set(number, top());
  };
  const opcodes: Readonly<Record<string, () => void>> = {
    N: () => stack.push(null),
    "\x88": () => stack.push(true),
    "\x89": () => stack.push(false),
    K: () => stack.push(bytes.readUInt8(take(1))),
    M: () => stack.push(bytes.readUInt16LE(take(2))),
    J: () => stack.push(bytes.readInt32LE(take(4))),
    "\x8a": () => {
      const length = bytes.readUInt8(take(1));
      assert.equal(length, 8, "long of another length");
      const value = Number(bytes.readBigInt64LE(take(8)));
      assert.ok(Number.isSafeInteger(value));
      stack.push(value);
    },
    G: () => stack.push(bytes.readDoubleBE(take(8))),
    X: () => {
      const length = bytes.readUInt32LE(take(4));
      stack.push(new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(take(length), at)));
    },
    "]": () => stack.push([]),
    "}": () => stack.push({}),
    "(": () => stack.push(mark),
    e: () => {
      const items = marked();
      const list = top();
      assert.ok(Array.isArray(list));
      list.push(...items);
    },
    u: () => {
      const items = marked();
      const dict = top() as Record<string, unknown>;
      assert.ok(items.length % 2 === 0 && !Array.isArray(dict));
      for (let i = 0; i < items.length; i += 2) {
        const key = items[i] as string;
        assert.ok(typeof key === "string" && !Object.hasOwn(dict, key), `key ${key}`);
        dict[key] = items[i + 1];
      }
    },
    "\x86": () => {
      const second = pop();
      stack.push(Object.freeze([pop(), second]));
    },
    q: () => put(bytes.readUInt8(take(1))),
    r: () => put(bytes.readUInt32LE(take(4))),
    h: () => get(bytes.readUInt8(take(1))),
    j: () => get(bytes.readUInt32LE(take(4))),
  };
  assert.deepEqual([...bytes.subarray(take(2), at)], [0x80, 2], "not a pickle of protocol 2");
  for (;;) {
    const opcode = String.fromCharCode(bytes.readUInt8(take(1)));
    if (opcode === ".") break;
    const act = opcodes[opcode];
    assert.ok(act, `unknown opcode ${JSON.stringify(opcode)} at ${at - 1}`);
    act();
  }
  assert.equal(at, bytes.length, "bytes after the end");
  assert.equal(stack.length, 1);
  return stack[0];
}
