// Systems taking turns: each is started once, and every round asks each of them once. Keeps what they answer; judges nothing.
import { loadavg } from "node:os";
import { startLineProcess } from "./line-process.mjs";

/**
 * Starts the systems one after the other and lets them take turns.
 *
 * @param systems `{ name, setting, command, env }`
 * @param options `rounds`; `request`, what each is asked; `say(text)` for progress
 * @returns `systems` with their `ready` line and the answers in `rounds`; `failed`, those that did not start or broke off,
 *   and why; `load`, the machine's load average before, between and after
 */
export async function takeTurns(systems, { rounds, request, say = () => undefined }) {
  const load = [loadavg()[0]];
  const running = [];
  const failed = [];
  const drop = ({ name, setting }, error) => {
    say(`${label({ name, setting })}: ${error.message}`);
    failed.push({ name, setting, why: error.message });
  };
  try {
    for (const { name, setting, command, env } of systems) {
      try {
        const system = await startLineProcess(command, { env });
        running.push({ name, setting, system, ready: system.ready, rounds: [] });
        say(`${label({ name, setting })}: ready after ${(system.ready.elapsedMs / 1000).toFixed(1)} s`);
      } catch (error) {
        drop({ name, setting }, error);
      }
    }
    for (let round = 0; round < rounds; round++) {
      for (const one of [...running]) {
        try {
          one.rounds.push(await one.system.ask(request));
        } catch (error) {
          running.splice(running.indexOf(one), 1);
          drop(one, error);
        }
      }
      load.push(loadavg()[0]);
      say(`round ${round + 1} of ${rounds}`);
    }
  } finally {
    await Promise.all(running.map(({ system }) => system.end()));
  }
  return { systems: running.map(({ system: _, ...rest }) => rest), failed, load };
}

export const label = ({ name, setting }) => (setting === "" ? name : `${name} (${setting})`);
