// Bounds a core module's memory before it is compiled: JavaScript can't say how far a memory that a module defines may grow.

/** Bytes in a page of WebAssembly's memory. */
const PAGE = 65_536;
const MEMORY_SECTION = 5;

class Reader {
  place = 8;

  constructor(readonly bytes: Uint8Array) {}

  byte(): number {
    const byte = this.bytes[this.place];
    if (byte === undefined) throw new RangeError('the module breaks off');
    this.place += 1;
    return byte;
  }

  /** An unsigned LEB128 number, of up to 64 bits. */
  number(): number {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new RangeError('a number is too long');
  }
}

function leb(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  do {
    const byte = rest % 128;
    rest = Math.floor(rest / 128);
    bytes.push(rest > 0 ? byte | 0x80 : byte);
  } while (rest > 0);
  return bytes;
}

/**
 * The module with every memory that it defines bounded to so many bytes. Throws a RangeError where one begins larger. What
 * isn't a module comes back as it is, for the compiler to refuse.
 */
export function boundMemory(module: Uint8Array, bytesMax: number): Uint8Array {
  const magic = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];
  if (magic.some((byte, place) => module[place] !== byte)) return module;
  const pagesMax = Math.floor(bytesMax / PAGE);
  const reader = new Reader(module);
  while (reader.place < module.length) {
    const sectionAt = reader.place;
    const id = reader.byte();
    const size = reader.number();
    const end = reader.place + size;
    if (id !== MEMORY_SECTION) {
      reader.place = end;
      continue;
    }
    const count = reader.number();
    const body = leb(count);
    for (let memory = 0; memory < count; memory += 1) {
      const flags = reader.byte();
      const least = reader.number();
      const most = (flags & 1) === 1 ? reader.number() : Infinity;
      if (least > pagesMax)
        throw new RangeError(`its memory begins with ${least * PAGE} bytes, and ${bytesMax} are allowed: \`memoryBytesMax\` sets the bound`);
      body.push(flags | 1, ...leb(least), ...leb(Math.min(most, pagesMax)));
    }
    const section = [id, ...leb(body.length), ...body];
    const bounded = new Uint8Array(module.length - (end - sectionAt) + section.length);
    bounded.set(module.subarray(0, sectionAt));
    bounded.set(section, sectionAt);
    bounded.set(module.subarray(end), sectionAt + section.length);
    return bounded;
  }
  return module;
}
