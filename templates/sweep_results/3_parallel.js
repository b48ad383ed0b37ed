// Parallel coordinates: one axis a parameter and one for the metric; a range kept on an axis is a brush.

const brushes = new Map();

function drawParallel() {
  const parent = document.getElementById("parallel");
  if (!parent) return;
  parent.replaceChildren();
  const rails = [
    ...data.parameters.map((parameter, at) => rail(parameter, (trial) => trial.at[at])),
    rail({ name: data.metric }, (trial) => trial.value, (values) => scale(values, 100)),
  ];
  const width = Math.max(parent.clientWidth, rails.length * 92);
  const incomplete = rails.some((each) => data.trials.some((trial) => each.of(trial) === null));
  const [height, top, bottom, side] = [incomplete ? 364 : 330, 46, 314, 46];
  const drawing = figure(parent, width, height, "Parallel coordinates of all parameters",
    `${data.trials.length} trials, coloured by ${data.metric}; the table below has all numbers`);
  rails.forEach((each, at) => { each.x = side + (at * (width - 2 * side)) / (rails.length - 1); });
  const height01 = (each, trial) => {
    const value = each.of(trial);
    if (value === null) return null;
    const spread = each.axis.columns && data.trials.length > 30 ? Math.min(0.07, (each.axis.width || 0) * 0.5) : 0;
    return each.axis.place(value) + jitter(trial.n, 2 * spread);
  };
  drawLines(drawing, rails, (place) => (place === null ? bottom + 26 : bottom - place * (bottom - top)), height01);
  rails.forEach((each, at) => drawRail(drawing, each, at, top, bottom, height01));
}

function rail(parameter, of, axisOf) {
  const values = data.trials.map(of).filter((value) => value !== null);
  return { name: parameter.name, of, axis: axisOf ? axisOf(values) : axis(parameter, values) };
}

function drawLines(drawing, rails, down, height01) {
  const colour = colours(data.trials.map((trial) => trial.value));
  const many = data.trials.length > 300 ? " many" : "";
  // Those without a value first, then from the worst to the best: the best lines lie on top.
  const worst = data.trials.slice().reverse().sort((a, b) => (a.value !== null) - (b.value !== null));
  for (const trial of worst) {
    const places = rails.map((each) => `${each.x.toFixed(1)} ${down(height01(each, trial)).toFixed(1)}`);
    const kind = trial.value === null ? " none" : trial.n === data.best ? " best" : many;
    const line = svg(drawing, "path", { class: `path${kind}`, "data-t": trial.n, d: `M${places.join("L")}` });
    if (trial.value !== null) line.style.stroke = colour(trial.value);
  }
}

function drawRail(drawing, each, at, top, bottom, height01) {
  const { x } = each;
  const group = svg(drawing, "g");
  svg(group, "line", { class: "rail", x1: x, x2: x, y1: top, y2: bottom });
  label(group, { class: "name", x, y: top - 24, "text-anchor": "middle" }, each.name, 14);
  if (each.axis.log) svg(group, "text", { x, y: top - 9, "text-anchor": "middle" }, "log");
  const labels = each.axis.columns || each.axis.ticks;
  const stride = Math.ceil(labels.length / 14);
  labels.forEach((value, place) => {
    if (place % stride) return;
    const y = bottom - each.axis.place(value) * (bottom - top);
    svg(group, "line", { class: "rail", x1: x - 4, x2: x, y1: y, y2: y });
    label(group, { x: x + 7, y: y + 4, class: "label" }, each.axis.values ? value : number(value), 12);
  });
  if (data.trials.some((trial) => each.of(trial) === null)) {
    svg(group, "text", { x, y: bottom + 44, "text-anchor": "middle" }, "no value");
  }
  brush(group, each, at, top, bottom, height01);
}

function brush(group, each, at, top, bottom, height01) {
  const mark = svg(group, "rect", { class: "brush", x: each.x - 9, width: 18, y: top, height: 0, rx: 3 });
  const grip = svg(group, "rect", { class: "grip", x: each.x - 18, y: top - 8, width: 36, height: bottom - top + 16 });
  const show = ([from, to]) => {
    mark.setAttribute("y", bottom - to * (bottom - top));
    mark.setAttribute("height", Math.max(0, (to - from) * (bottom - top)));
  };
  const place = (event) => {
    const box = grip.getBoundingClientRect();
    const part = (event.clientY - box.top) / box.height;
    return Math.min(1, Math.max(0, 1 - (part * (bottom - top + 16) - 8) / (bottom - top)));
  };
  if (brushes.has(at)) show(brushes.get(at).range);
  let start = null;
  grip.addEventListener("pointerdown", (event) => { start = place(event); grip.setPointerCapture(event.pointerId); });
  grip.addEventListener("pointermove", (event) => {
    if (start !== null) show([Math.min(start, place(event)), Math.max(start, place(event))]);
  });
  grip.addEventListener("pointerup", (event) => {
    if (start === null) return;
    const range = [Math.min(start, place(event)), Math.max(start, place(event))];
    start = null;
    keep(at, range, (trial) => height01(each, trial), each.name);
    show(brushes.has(at) ? range : [0, 0]);
  });
}

function keep(at, range, of, name) {
  if (range[1] - range[0] < 0.01) brushes.delete(at);
  else brushes.set(at, { range, of, name });
  applyBrushes();
}

function applyBrushes() {
  const off = new Set(data.trials.filter((trial) => [...brushes.values()].some(({ range, of }) => {
    const place = of(trial);
    return place === null || place < range[0] || place > range[1];
  })).map((trial) => trial.n));
  const isOff = (n) => off.has(n) || (brushes.size > 0 && !byNumber.has(n));
  for (const mark of document.querySelectorAll("[data-t]")) {
    mark.classList.toggle("off", isOff(Number(mark.dataset.t)));
  }
  document.getElementById("filter").hidden = brushes.size === 0;
  const names = [...brushes.values()].map((each) => each.name).join(", ");
  document.getElementById("filter-text").textContent =
    `${data.trials.length - off.size} of ${data.trials.length} trials, by ${names}`;
}

function drawLegend() {
  const parent = document.getElementById("legend");
  if (!parent) return;
  const values = finite(data.trials.map((trial) => trial.value));
  const ramp = document.createElement("span");
  ramp.className = data.goal === "minimize" ? "ramp down" : "ramp";
  const ends = [Math.min(...values), Math.max(...values)].map(number);
  const dashed = data.trials.some((trial) => trial.value === null) ? "(dashed: no value)" : "";
  const texts = [`${data.metric}: ${ends[0]}`, ends[1], dashed].map((text) => {
    const made = document.createElement("span");
    made.textContent = text;
    return made;
  });
  parent.replaceChildren(texts[0], ramp, texts[1], texts[2]);
}
