// A chart of lines as SVG, readable on light and on dark paper.

const WIDTH = 720;
const HEIGHT = 360;
const [LEFT, RIGHT, TOP, BOTTOM] = [64, 24, 24, 56];
/** Colours for light and for dark paper. Colour-blind readers can tell them apart, also by their marks. */
const COLOURS = [
  ["#0072b2", "#56b4e9"],
  ["#d55e00", "#ff9f4a"],
  ["#00795a", "#3fd3a5"],
  ["#a0458c", "#e89ccb"],
  ["#8a6d00", "#f0d34a"],
  ["#555555", "#bbbbbb"],
  ["#b3003c", "#ff7a93"],
  ["#3f3fbf", "#a3a3ff"],
];
const MARKS = [
  (x, y) => `<circle cx="${x}" cy="${y}" r="4"/>`,
  (x, y) => `<rect x="${x - 3.5}" y="${y - 3.5}" width="7" height="7"/>`,
  (x, y) => `<path d="M${x} ${y - 5}l5 9h-10z"/>`,
  (x, y) => `<path d="M${x} ${y - 5}l5 5l-5 5l-5 -5z"/>`,
];

const escaped = (text) => text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
const round = (value) => Math.round(value * 10) / 10;

/** 4096 as 4 KiB. */
export function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB"];
  let unit = 0;
  for (; count >= 1024 && unit < units.length - 1; unit++) count /= 1024;
  return `${round(count)} ${units[unit]}`;
}

/** A function that writes the numbers of an axis. */
export const labelOf = (axis) => (/bytes/i.test(axis) ? bytes : (count) => count.toLocaleString("en"));

/** Maps values to places, on a logarithmic scale if the values lie far apart. */
function scale(values, from, to, apart) {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const power = least > 0 && most / least > apart;
  const of = power ? Math.log : (value) => value;
  const span = of(most) - of(least) || 1;
  return Object.assign((value) => round(from + ((of(value) - of(least)) / span) * (to - from)), { power });
}

/** Round numbers that enclose the values; on a logarithmic scale 1, 2 and 5 of each power, or fewer if there are many. */
function ticks(values) {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  if (least > 0 && most / least > 12) {
    const decades = [];
    for (let d = Math.floor(Math.log10(least)); d <= Math.ceil(Math.log10(most)); d++) decades.push(10 ** d);
    const inner = decades.length < 4 ? decades.flatMap((d) => [d, 2 * d, 5 * d]) : decades;
    const below = inner.findLastIndex((tick) => tick <= least);
    const above = inner.findIndex((tick) => tick >= most);
    return inner.slice(Math.max(0, below), above + 1);
  }
  const steps = [0.1, 0.2, 0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 1000];
  const step = steps.find((size) => most / size <= 6) ?? 10 ** Math.ceil(Math.log10(most / 6));
  return Array.from({ length: Math.ceil(most / step) + 1 }, (_, i) => Number((i * step).toFixed(4)));
}

/** `lines` are [name, points]; `x` and `y` are the titles of the axes. */
export function chart({ title, x, y, lines }) {
  const points = lines.flatMap(([, list]) => list);
  const xs = [...new Set(points.map(([value]) => value))].sort((a, b) => a - b);
  const yTicks = ticks([...points.map(([, value]) => value), 1]);
  const legendRows = Math.ceil(lines.length / 3);
  const top = TOP + 20 + legendRows * 18;
  const height = HEIGHT + legendRows * 18;
  const across = scale(xs, LEFT, WIDTH - RIGHT, 12);
  const up = scale(yTicks, height - BOTTOM, top, 12);
  const xLabel = labelOf(x);

  const grid = [...new Set([...yTicks, 1])].map((value) => {
    const at = up(value);
    return `<line class="${value === 1 ? "one" : "grid"}" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${at}" y2="${at}"/>
<text x="${LEFT - 8}" y="${at + 4}" text-anchor="end">${value.toLocaleString("en", { maximumFractionDigits: 4 })}</text>`;
  });
  // From the last one back, because the end of the axis needs a label.
  let last = Infinity;
  const marksBelow = xs.toReversed().flatMap((value) => {
    const at = across(value);
    if (last - at < 48) return [];
    last = at;
    return [
      `<text x="${at}" y="${height - BOTTOM + 18}" text-anchor="${at > WIDTH - 40 ? "end" : "middle"}">${xLabel(value)}</text>`,
    ];
  });
  const drawn = lines.map(([, list], i) => {
    const places = list.map(([px, py]) => [across(px), up(py)]);
    const path = places.map(([px, py], n) => `${n === 0 ? "M" : "L"}${px} ${py}`).join("");
    const marks = places.map(([px, py]) => MARKS[i % MARKS.length](px, py)).join("");
    return `<g class="line${i % COLOURS.length}"><path class="line" d="${path}"/>${marks}</g>`;
  });
  const legend = lines.map(([name], i) => {
    const left = LEFT + (i % 3) * 216;
    const at = TOP + 16 + Math.floor(i / 3) * 18;
    return `<g class="line${i % COLOURS.length}">${MARKS[i % MARKS.length](left + 5, at - 4)}</g><text x="${left + 16}" y="${at}">${escaped(name)}</text>`;
  });
  const rule = (column) =>
    COLOURS.map((pair, i) => `.line${i}{fill:${pair[column]};stroke:${pair[column]}}`).join("");
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escaped(title)}">
<style>
text{font:12px system-ui,sans-serif;fill:#24292f}.title{font-weight:600;font-size:14px}
.paper{fill:#fff}.grid{stroke:#d8dee4}.one{stroke:#57606a;stroke-dasharray:4 3}
.line{fill:none!important;stroke-width:2}${rule(0)}
@media (prefers-color-scheme:dark){text{fill:#e6edf3}.paper{fill:#0d1117}.grid{stroke:#30363d}.one{stroke:#8b949e}${rule(1)}}
</style>
<rect class="paper" width="${WIDTH}" height="${height}"/>
<text class="title" x="${LEFT}" y="${TOP - 4}">${escaped(title)}</text>
${[...legend, ...grid, ...marksBelow, ...drawn].join("\n")}
<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${height - 12}" text-anchor="middle">${escaped(x)}</text>
<text transform="translate(14 ${(top + height - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">${escaped(y)}</text>
</svg>
`;
}
