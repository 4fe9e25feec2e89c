// The live line of a training run: step, loss, rate, speed, time left. One line that is rewritten on a terminal; on a pipe,
// a plain line now and then.
import pc from "picocolors";
import { formatCount, formatDuration } from "../base/index.ts";
import type { EvalEvent, RunEvent, StepEvent } from "../track/index.ts";

export interface StatusOptions {
  readonly steps: number;
  /** Floating-point operations of one step, to tell the share of the machine's peak. */
  readonly flopsPerStep: number;
  /** Measured peak of the machine, or undefined when unknown. */
  readonly peakFlopsPerSecond: number | undefined;
  readonly stream: NodeJS.WriteStream;
}

const redrawMs = 100;
const plainMs = 5000;

export class StatusLine {
  private readonly options: StatusOptions;
  private smoothedLoss: number | undefined;
  private secondsPerStep: number | undefined;
  private lastTime = performance.now();
  private lastStep: number | undefined;
  private drawnAt = Number.NEGATIVE_INFINITY;
  private visible = false;
  /** Measured before the run, perhaps while the machine was busy: a run that is faster than that shows a higher one. */
  private peak: number | undefined;

  constructor(options: StatusOptions) {
    this.options = options;
    this.peak = options.peakFlopsPerSecond;
  }

  event(event: RunEvent): void {
    switch (event.type) {
      case "step":
        this.step(event);
        break;
      case "eval":
        this.line(pc.cyan(evaluationText(event)));
        this.lastTime = performance.now(); // time of evaluation is no time of steps
        break;
      case "checkpoint":
        this.line(pc.dim(`step ${event.step}  saved ${event.path}`));
        this.lastTime = performance.now();
        break;
      case "sample":
        // an empty line, the usual prompt, has nothing to show
        this.line(`${pc.dim(`step ${event.step}  sample:\n${event.prompt.trimStart()}`)}${event.text}\n`);
        this.lastTime = performance.now();
        break;
      case "error":
        this.line(pc.red(event.message));
        break;
      case "warning":
        this.line(pc.yellow(event.message));
        break;
      case "rollback":
        this.line(pc.yellow(`${event.message}\nback from step ${event.from} to the checkpoint of step ${event.step}`));
        this.lastStep = undefined;
        break;
    }
  }

  private step(event: StepEvent): void {
    const now = performance.now();
    const steps = this.lastStep === undefined ? 0 : event.step - this.lastStep;
    if (steps > 0) {
      const measured = (now - this.lastTime) / 1000 / steps;
      this.secondsPerStep = this.secondsPerStep === undefined ? measured : 0.95 * this.secondsPerStep + 0.05 * measured;
    }
    this.lastStep = event.step;
    this.lastTime = now;
    // a step that was left out for its NaN says nothing about the loss
    if (Number.isFinite(event.loss))
      this.smoothedLoss = this.smoothedLoss === undefined ? event.loss : 0.98 * this.smoothedLoss + 0.02 * event.loss;
    const { isTTY } = this.options.stream;
    if (now - this.drawnAt < (isTTY ? redrawMs : plainMs) && event.step !== this.options.steps) return;
    this.drawnAt = now;
    const text = this.text(event);
    if (!isTTY) this.options.stream.write(`${text}\n`);
    else {
      const width = this.options.stream.columns || 80;
      this.options.stream.write(`\r\u001b[2K${text.slice(0, width - 1)}`);
      this.visible = true;
    }
  }

  private text(event: StepEvent): string {
    const { steps, flopsPerStep } = this.options;
    const perStep = this.secondsPerStep;
    const parts = [
      `step ${event.step}/${steps}`,
      `loss ${event.loss.toFixed(4)} (${(this.smoothedLoss ?? event.loss).toFixed(4)})`,
      `lr ${event.lr.toExponential(2)}`,
      `${formatCount(Math.round(event.tokensPerSecond))}/s`,
    ];
    if (perStep !== undefined && this.peak !== undefined) {
      this.peak = Math.max(this.peak, flopsPerStep / perStep);
      parts.push(`${Math.round((100 * flopsPerStep) / perStep / this.peak)}% of peak`);
    }
    if (perStep !== undefined) parts.push(`${formatDuration(perStep * (steps - event.step))} left`);
    return parts.join("  ");
  }

  /** A line above the live one. */
  line(text: string): void {
    const clear = this.visible ? "\r\u001b[2K" : "";
    this.visible = false;
    this.options.stream.write(`${clear}${text}\n`);
  }

  /** Leaves the last state standing. */
  end(): void {
    if (this.visible) this.options.stream.write("\n");
    this.visible = false;
  }
}

function evaluationText({ step, loss, perplexity, metrics = {} }: EvalEvent): string {
  const figures = [
    `held-out loss ${loss.toFixed(4)}`,
    ...(perplexity === undefined ? [] : [`perplexity ${perplexity.toFixed(2)}`]),
    ...Object.entries(metrics).map(([name, value]) => `${name} ${value.toFixed(4)}`),
  ];
  return `step ${step}  ${figures.join("  ")}`;
}
