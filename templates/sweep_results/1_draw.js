// Elements, scales and axes.

const data = JSON.parse(document.getElementById("data").textContent);
const byNumber = new Map(data.trials.map((trial) => [trial.n, trial]));
const NS = "http://www.w3.org/2000/svg";

function svg(parent, name, attributes, text) {
  const made = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

// A figure with its drawing; the title and the description are what a screen reader says of it.
function figure(parent, width, height, title, description) {
  const made = svg(document.createElement("figure"), "svg", {
    viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": `${title}. ${description}`,
  });
  parent.append(made.parentNode);
  return made;
}

function short(text, length) {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

// Text that is cut where it is too long; the whole of it shows under the pointer.
function label(parent, attributes, text, length) {
  const made = svg(parent, "text", attributes, short(text, length));
  if (text.length > length) svg(made, "title", {}, text);
  return made;
}

function number(value) {
  if (value === null || value === undefined) return "-";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e6) return String(value);
  return size >= 1e5 || size < 1e-4 ? value.toExponential(3).replace(/\.?0+e/, "e") : String(+value.toPrecision(5));
}

const finite = (values) => values.filter((value) => typeof value === "number");

// From values to 0..1; a logarithm where they are positive, span much, and lie mostly at the low end.
function scale(values, span) {
  const known = finite(values);
  const low = known.reduce((a, b) => Math.min(a, b), Infinity);
  const high = known.reduce((a, b) => Math.max(a, b), -Infinity);
  const middle = known.sort((a, b) => a - b)[Math.floor((known.length - 1) / 2)];
  const log = low > 0 && high / low >= span && middle - low < 0.35 * (high - low);
  const to = log ? Math.log10 : (value) => value / scaleDown;
  // Twice the largest double is none: large values are compared a fourth as large.
  const scaleDown = Math.max(Math.abs(low), Math.abs(high)) > 1e300 ? 4 : 1;
  const [a, b] = [to(low), to(high)];
  const place = (value) => (b > a ? (to(value) - a) / (b - a) : 0.5);
  const ticks = log ? decades(low, high) : scaleDown > 1 || !(b > a) ? [low] : steps(low, high);
  return { place, ticks: known.length ? ticks : [], log, low, high };
}

function steps(low, high) {
  const raw = (high - low) / 5;
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((each) => each * unit).find((each) => each >= raw) || raw;
  const found = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9 && found.length < 9; n += 1) {
    found.push(+(n * step).toPrecision(12));
  }
  return found;
}

function decades(low, high) {
  const [first, last] = [Math.ceil(Math.log10(low) - 1e-9), Math.floor(Math.log10(high) + 1e-9)];
  const stride = Math.max(1, Math.ceil((last - first) / 5));
  const found = [];
  for (let power = first; power <= last; power += stride) found.push(10 ** power);
  return found.length > 1 ? found : [low, high];
}

// Columns for the values of a category, in their order; numbers get a scale.
function axis(parameter, values) {
  if (!parameter.values) return numbersAxis(values);
  const index = new Map(parameter.values.map((value, place) => [value, place]));
  const count = parameter.values.length;
  return {
    values: parameter.values,
    columns: parameter.values,
    place: (value) => (index.get(String(value)) + 0.5) / count,
    width: 1 / count,
  };
}

// Where there are few numbers, each has its tick and its own column of trials.
function numbersAxis(values) {
  const distinct = [...new Set(values)].sort((a, b) => a - b);
  if (distinct.length > 8) return scale(values, 20);
  const found = scale(distinct, 8);
  const gaps = distinct.slice(1).map((value, at) => found.place(value) - found.place(distinct[at]));
  const width = Math.min(0.2, ...gaps) * (values.length > distinct.length ? 1 : 0);
  const place = (value) => width / 2 + found.place(value) * (1 - width);
  return { ...found, place, ticks: distinct, columns: distinct, width: width * (1 - width) };
}

// Colours: from --c0 to --c4, the last one for the best values, or for the highest ones without a goal.
function colours(values) {
  const style = getComputedStyle(document.documentElement);
  const stops = [0, 1, 2, 3, 4].map((stop) => {
    const hex = style.getPropertyValue(`--c${stop}`).trim();
    return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  });
  const known = finite(values).sort((a, b) => a - b);
  // A few values far off must not take all the colours: the ends are those of nine tenths.
  const within = known.slice(Math.floor(known.length * 0.05), Math.ceil(known.length * 0.95));
  const range = scale(within.length > 1 ? within : known, 100);
  return (value) => {
    let place = Math.min(1, Math.max(0, range.place(Math.min(Math.max(value, range.low), range.high))));
    if (data.goal === "minimize") place = 1 - place;
    const stop = Math.min(3, Math.floor(place * 4));
    const part = place * 4 - stop;
    const mixed = stops[stop].map((from, at) => Math.round(from + part * (stops[stop + 1][at] - from)));
    return `rgb(${mixed.join(",")})`;
  };
}

// The frame of a plot: names of the axes, lines and numbers; returns where values lie.
function frame(drawing, box, x, y, names) {
  const { left, top, right, bottom } = box;
  const across = (value) => left + x.place(value) * (right - left);
  const up = (value) => bottom - y.place(value) * (bottom - top);
  for (const tick of y.ticks) {
    svg(drawing, "line", { class: "grid", x1: left - 6, x2: right, y1: up(tick), y2: up(tick) });
    svg(drawing, "text", { x: left - 10, y: up(tick) + 4, "text-anchor": "end" }, number(tick));
  }
  svg(drawing, "line", { class: "axis", x1: left - 6, x2: right, y1: bottom + 10, y2: bottom + 10 });
  const labels = x.columns || x.ticks;
  const room = Math.max(5, Math.floor((right - left) / Math.max(1, labels.length) / 7));
  const stride = x.columns ? Math.ceil(labels.length / Math.max(1, Math.floor((right - left) / 34))) : 1;
  labels.forEach((at, place) => {
    if (place % stride) return;
    const text = x.values ? at : number(at);
    label(drawing, { x: across(at), y: bottom + 28, "text-anchor": "middle" }, text, room * stride);
  });
  const wide = Math.floor((right - left) / 8);
  const below = { class: "name", x: (left + right) / 2, y: bottom + 48, "text-anchor": "middle" };
  label(drawing, below, names.x + (x.log ? " (log)" : ""), wide);
  label(drawing, { class: "name", x: left - 6, y: top - 14 }, names.y + (y.log ? " (log)" : ""), wide);
  return { across, up };
}
