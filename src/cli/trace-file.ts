// A step's profile as a timeline: the trace event format that Perfetto and chrome://tracing read. Measures nothing.
//
// https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU: "X" is an event with a duration, "M" names a
// process or a thread; times are in microseconds.
import type { StepProfile } from "../study/index.ts";
import { rates } from "./profile-table.ts";

interface TraceEvent {
  readonly name: string;
  readonly ph: "X" | "M";
  readonly pid: number;
  readonly tid: number;
  readonly cat?: string;
  readonly ts?: number;
  readonly dur?: number;
  readonly args: { readonly [name: string]: string | number };
}

/** One process, a track per program, an event per instruction that ran, in the order in which they ran. */
function traceEvents({ runs, engine }: StepProfile): TraceEvent[] {
  const tracks = [...new Set(runs.map(({ program }) => program))];
  const named = (name: string, tid: number, label: string): TraceEvent => {
    return { name, ph: "M", pid: 1, tid, args: { name: label } };
  };
  const origin = runs[0]?.startMs ?? 0;
  const events = runs.flatMap(({ program, startMs, nanoseconds, instructions }) => {
    let ts = 1000 * (startMs - origin);
    return instructions.flatMap((instruction, at): TraceEvent[] => {
      const dur = nanoseconds[at]! / 1000;
      if (dur === 0) return []; // left out by the guard
      const { op, layer, text, calls } = instruction;
      const [flops, bytes, floorMs] = [instruction.flops, instruction.bytes, instruction.floorMs].map((n) => n / calls);
      const { gflops, gbPerSecond, ofFloor } = rates({ calls: 1, ms: dur / 1000, flops, bytes, floorMs });
      const args = { layer, bytes, flops, gflops, gbPerSecond, ofFloor, instruction: text };
      const event: TraceEvent = {
        name: op,
        cat: program,
        ph: "X",
        pid: 1,
        tid: 1 + tracks.indexOf(program),
        ts,
        dur,
        args,
      };
      ts += dur;
      return [event];
    });
  });
  return [
    named("process_name", 0, `athanor, ${engine.name} ${engine.isa}`),
    ...tracks.map((track, at) => named("thread_name", at + 1, track)),
    ...events,
  ];
}

export const traceText = (profile: StepProfile): string =>
  JSON.stringify({ displayTimeUnit: "ms", traceEvents: traceEvents(profile) });
