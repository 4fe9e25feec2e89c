// What the pages of studies share: the document, its style, tables and scales. Inline SVG and CSS, nothing fetched, no script; each
// page is also XML.

/** Eight hues that are told apart with any colour vision (Okabe & Ito 2008), darker on white and lighter on black. */
export const colours = [
  ["#0072b2", "#56b4e9"],
  ["#d55e00", "#ff8c42"],
  ["#008060", "#2fc79a"],
  ["#b0508c", "#e79cc6"],
  ["#8a6a00", "#f0d040"],
  ["#3a3aa8", "#a0a0ff"],
  ["#8b1a1a", "#ff7b7b"],
  ["#555555", "#bbbbbb"],
] as const;

/** Text as XML holds it; characters that XML cannot hold are replaced. */
export function escapeXml(text: string): string {
  return text
    .replace(/[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/gu, "\ufffd")
    .replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** A whole page; `style` follows the shared style. */
export function page(title: string, style: string, body: string): string {
  return `<!doctype html>
<html xmlns="http://www.w3.org/1999/xhtml" lang="en">
<head>
<meta charset="utf-8" />
<meta name="viewport" content="width=device-width" />
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'" />
<title>${escapeXml(title)}</title>
<style>
${sharedStyle}
${style}
</style>
</head>
<body>
${body}
</body>
</html>
`;
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = (tag: string, texts: readonly string[]) =>
    texts.map((text) => `<${tag}>${escapeXml(text)}</${tag}>`).join("");
  return `<div class="wide"><table><thead><tr>${cells("th", head)}</tr></thead><tbody>\n${rows.map((row) => `<tr>${cells("td", row)}</tr>`).join("\n")}\n</tbody></table></div>`;
}

export function formatFigure(value: number | undefined): string {
  return value === undefined ? "" : Number.isFinite(value) ? value.toFixed(4) : String(value);
}

const variables = (theme: 0 | 1) => colours.map((pair, at) => `--c${at}: ${pair[theme]};`).join(" ");
const sharedStyle = `:root { color-scheme: light dark; --back: #ffffff; --text: #1c1c1c; --faint: #d8d8d8; ${variables(0)} }
@media (prefers-color-scheme: dark) { :root { --back: #161616; --text: #e8e8e8; --faint: #3c3c3c; ${variables(1)} } }
body { margin: 2rem auto; max-width: 78rem; padding: 0 1rem; background: var(--back); color: var(--text); font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.legend { list-style: none; padding: 0; } .key { width: 34px; height: 10px; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(30rem, 100%), 1fr)); gap: 1rem; }
figure { margin: 0; } figcaption { font-weight: 600; } .charts svg { width: 100%; }
svg text { fill: var(--text); font-size: 12px; } .grid { stroke: var(--faint); }
.mean, .run { fill: none; stroke: var(--c); stroke-linecap: round; stroke-linejoin: round; }
.mean { stroke-width: 2; } .run { stroke-width: 1; opacity: 0.45; } .band { fill: var(--c); opacity: 0.12; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 0.25rem 0.9rem 0.25rem 0; border-bottom: 1px solid var(--faint); }
.problem { font-style: italic; }`;

/** Where a value lies between the ends of an axis, 0 to 1, and the values that are written at it. */
export interface Scale {
  place(value: number): number;
  readonly ticks: readonly number[];
}

export const round = (value: number): number => Math.round(value * 10) / 10;

/** About six ticks, at 1, 2 or 5 times a power of ten. */
export function linear(low: number, high: number): Scale {
  const span = high - low || Math.abs(high) || 1;
  const rough = span / 6;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10);
  const [from, to] = high > low ? [low, high] : [low - span / 2, low + span / 2];
  const first = Math.ceil(from / step);
  const ticks = Array.from({ length: Math.floor(to / step) - first + 1 }, (_, at) => (first + at) * step);
  return { place: (value) => (value - from) / (to - from), ticks };
}

export function logarithmic(low: number, high: number): Scale {
  const [from, to] = [Math.log10(low), Math.log10(high)];
  const powers = Array.from({ length: Math.ceil(to) - Math.floor(from) + 1 }, (_, at) => 10 ** (Math.floor(from) + at));
  const ticks = powers.flatMap((power) => (to - from > 3 ? [power] : [power, 2 * power, 5 * power]));
  const shown = ticks.filter((tick) => tick >= low && tick <= high);
  return { place: (value) => (value > 0 ? (Math.log10(value) - from) / (to - from) : -Infinity), ticks: shown };
}
