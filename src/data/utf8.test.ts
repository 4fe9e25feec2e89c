// Our account of UTF-8 against Node's and TextDecoder's.
import { isUtf8 } from "node:buffer";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { findUtf8Fault, incompleteTail, Utf8Stream } from "./utf8.ts";

const bytes = (...values: number[]) => Uint8Array.from(values);

/** Byte strings that are nearly UTF-8: whole characters with stray bytes, cuts and surrogates between them. */
const nearlyUtf8 = fc
  .array(
    fc.oneof(
      fc.string({ unit: "binary", maxLength: 3 }).map((text) => [...Buffer.from(text)]),
      fc.uint8Array({ maxLength: 4 }).map((array) => [...array]),
      fc.constantFrom(
        [0xc0, 0x80],
        [0xe0, 0x80, 0x80],
        [0xed, 0xa0, 0x80],
        [0xf4, 0x90, 0x80, 0x80],
        [0xef, 0xbb, 0xbf],
      ),
    ),
    { maxLength: 12 },
  )
  .map((parts) => Uint8Array.from(parts.flat()));

describe("findUtf8Fault", () => {
  it.each([
    ["overlong 2", bytes(0x61, 0xc0, 0x80), { offset: 1, length: 1, reason: "overlong" }],
    ["overlong 3", bytes(0xe0, 0x80, 0x80), { offset: 0, length: 1, reason: "overlong" }],
    ["overlong 4", bytes(0xf0, 0x80, 0x80, 0x80), { offset: 0, length: 1, reason: "overlong" }],
    ["surrogate", bytes(0x61, 0x62, 0xed, 0xa0, 0x80), { offset: 2, length: 1, reason: "surrogate" }],
    ["above U+10FFFF", bytes(0xf4, 0x90, 0x80, 0x80), { offset: 0, length: 1, reason: "out of range" }],
    ["byte F5", bytes(0x61, 0xf5), { offset: 1, length: 1, reason: "out of range" }],
    ["truncated at the end", bytes(0xe4, 0xb8), { offset: 0, length: 2, reason: "truncated" }],
    ["truncated within", bytes(0xf0, 0x9f, 0x98, 0x41), { offset: 0, length: 3, reason: "truncated" }],
    ["stray continuation", bytes(0x41, 0x80), { offset: 1, length: 1, reason: "invalid byte" }],
  ])("%s", (_, input, fault) => {
    expect(findUtf8Fault(input)).toEqual(fault);
  });

  it("agrees with Node on which bytes are UTF-8", () => {
    fc.assert(
      fc.property(nearlyUtf8, (input) => {
        expect(findUtf8Fault(input) === undefined).toBe(isUtf8(input));
      }),
      { numRuns: 3000 },
    );
  });
});

describe("Utf8Stream", () => {
  it("decodes any bytes cut anywhere as TextDecoder does, one fault per replacement", () => {
    fc.assert(
      fc.property(nearlyUtf8, fc.array(fc.nat(8), { maxLength: 10 }), (input, cuts) => {
        let faults = 0;
        const stream = new Utf8Stream(() => faults++);
        let [text, at] = ["", 0];
        for (const cut of cuts) {
          text += stream.push(input.subarray(at, at + cut));
          at = Math.min(input.length, at + cut);
        }
        text += stream.push(input.subarray(at)) + stream.end();
        expect(text).toBe(new TextDecoder().decode(input));
        const genuine = text.split("\ufffd").length - 1 - countGenuine(input);
        expect(faults).toBe(genuine);
      }),
      { numRuns: 3000 },
    );
  });

  it("gives absolute offsets", () => {
    const offsets: number[] = [];
    const stream = new Utf8Stream((fault) => offsets.push(fault.offset));
    stream.push(Buffer.from("中文"));
    stream.push(bytes(0x41, 0xff, 0x42, 0xe4));
    stream.push(bytes(0xb8));
    stream.end();
    expect(offsets).toEqual([7, 9]);
  });

  it("drops a byte-order mark at the start only", () => {
    const stream = new Utf8Stream(() => {});
    expect(stream.push(bytes(0xef)) + stream.push(bytes(0xbb, 0xbf, 0x61, 0xef, 0xbb, 0xbf, 0x62))).toBe("a\ufeffb");
  });
});

it("incompleteTail counts only sequences that may go on", () => {
  expect(incompleteTail(Buffer.from("a中"))).toBe(0);
  expect(incompleteTail(bytes(0x61, 0xe4, 0xb8))).toBe(2);
  expect(incompleteTail(bytes(0xf0, 0x9f, 0x98))).toBe(3);
  expect(incompleteTail(bytes(0x80, 0x80, 0x80, 0x80))).toBe(0);
});

/** U+FFFD written as such in the input: EF BF BD where a character begins. */
function countGenuine(input: Uint8Array): number {
  let count = 0;
  for (let at = 0; at < input.length; ) {
    const fault = findUtf8Fault(input.subarray(at, at + 4));
    if (fault?.offset === 0) {
      at += fault.length;
      continue;
    }
    const lead = input[at];
    if (lead === 0xef && input[at + 1] === 0xbf && input[at + 2] === 0xbd) count++;
    at += lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
  }
  return count;
}
