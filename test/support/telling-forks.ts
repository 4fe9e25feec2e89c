// The processes that tests run in, which tell how they ended when they were not asked to: the code or signal, and the test
// files. Vitest alone says that a worker exited. All else is Vitest's own pool.
import { ForksPoolWorker, type PoolOptions, type WorkerRequest } from "vitest/node";

class TellingFork extends ForksPoolWorker {
  override readonly name = "telling-forks";
  private files: readonly string[] = [];
  private stopping = false;

  override on(event: string, callback: (...args: unknown[]) => void): void {
    super.on(event, callback);
    if (event === "exit") super.on(event, (...[code, signal]: unknown[]) => this.tell(code, signal));
  }

  override send(message: WorkerRequest): void {
    if (message.type === "run") this.files = message.context.files.map(({ filepath }) => filepath);
    super.send(message);
  }

  override stop(): Promise<void> {
    this.stopping = true;
    return super.stop();
  }

  /** Last of all that is printed: in a long log the end is what people see. */
  private tell(code: unknown, signal: unknown): void {
    if (this.stopping) return;
    const how = signal === null ? `with code ${code}` : `by ${signal}`;
    process.once("exit", () => console.error(`A test process ended ${how} while it ran ${this.files.join(", ")}`));
  }
}

export const tellingForks = {
  name: "telling-forks",
  createPoolWorker: (options: PoolOptions) => new TellingFork(options),
};
