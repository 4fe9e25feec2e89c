// A text as it is decoded: what may be shown of it, and whether a stop string came. Its end is held back while it may be the
// beginning of a stop string, which can reach over any number of tokens.

export class TextTail {
  /** All that was shown. */
  text = "";
  stopped = false;
  private held = "";
  private readonly stops: readonly string[];

  constructor(stops: readonly string[]) {
    this.stops = stops;
  }

  /** Takes the next piece of the text; gives what may be shown now. */
  push(piece: string): string {
    if (this.stopped) return "";
    const whole = this.held + piece;
    const found = this.stops.map((stop) => whole.indexOf(stop)).filter((at) => at >= 0);
    this.stopped = found.length > 0;
    const length = this.stopped ? Math.min(...found) : whole.length - this.longestBeginning(whole);
    return this.show(whole, length, !this.stopped);
  }

  /** What was held back, when the text has ended without a stop string. */
  end(): string {
    return this.show(this.held, this.held.length, false);
  }

  private show(whole: string, length: number, keepsRest: boolean): string {
    const shown = whole.slice(0, length);
    this.held = keepsRest ? whole.slice(length) : "";
    this.text += shown;
    return shown;
  }

  /** Length of the longest end of `whole` that begins a stop string. */
  private longestBeginning(whole: string): number {
    const lengths = this.stops.map((stop) => {
      let length = Math.min(stop.length - 1, whole.length);
      while (length > 0 && !whole.endsWith(stop.slice(0, length))) length--;
      return length;
    });
    return Math.max(0, ...lengths);
  }
}
