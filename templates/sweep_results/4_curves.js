// Learning curves, and the means over seeds.

function drawCurves() {
  const parent = document.getElementById("curves");
  if (!parent) return;
  const name = document.getElementById("curve-metric").value;
  const curves = data.curves.metrics[name].filter((curve) => curve.points.some((point) => point[1] !== null));
  parent.replaceChildren();
  const points = curves.flatMap((curve) => curve.points);
  const width = Math.max(300, parent.clientWidth);
  const height = 340;
  const drawing = figure(parent, width, height, `${name} over ${data.curves.over}`, `${curves.length} learning curves`);
  const box = { left: 66, top: 34, right: width - 14, bottom: height - 62 };
  const x = scale(points.map((point) => point[0]), Infinity);
  const y = scale(points.map((point) => point[1]), 100);
  const { across, up } = frame(drawing, box, x, y, { x: data.curves.over, y: name });
  const colour = colours(data.trials.map((trial) => trial.value));
  for (const curve of curves.slice().reverse()) drawCurve(drawing, curve, across, up, colour, curves.length);
}

function drawCurve(drawing, curve, across, up, colour, count) {
  const trial = byNumber.get(curve.n);
  let pen = "M";
  const d = curve.points.map(([x, y]) => {
    if (y === null) { pen = "M"; return ""; }
    const part = `${pen}${across(x).toFixed(1)} ${up(y).toFixed(1)}`;
    pen = "L";
    return part;
  }).join("");
  const kind = curve.n === data.best ? " best" : count > 40 ? " many" : "";
  const line = svg(drawing, "path", { class: `path curve${kind}`, "data-t": curve.n, d });
  const known = trial && trial.value !== null;
  line.style.stroke = known ? colour(trial.value) : trial && trial.state !== "finished" ? "var(--bad)" : "var(--good)";
  if (curve.points.length === 1 && curve.points[0][1] !== null) {
    const [x, y] = curve.points[0];
    svg(drawing, "circle", { class: "dot", "data-t": curve.n, cx: across(x), cy: up(y), r: 3 });
  }
}

function chooseCurves() {
  const select = document.getElementById("curve-metric");
  if (!select) return;
  for (const name of Object.keys(data.curves.metrics)) select.append(new Option(name, name));
  if (data.metric in data.curves.metrics) select.value = data.metric;
  select.addEventListener("change", () => { drawCurves(); applyBrushes(); });
}

// One line a group: its trials, the mean and the interval.
function drawGroups() {
  const parent = document.getElementById("groups");
  if (!parent || !data.groups.length) return;
  parent.replaceChildren();
  const width = Math.max(300, parent.clientWidth);
  const wide = Math.min(width * 0.42, 300);
  const height = data.groups.length * 26 + 78;
  const drawing = figure(parent, width, height, `Mean ${data.metric} over seeds`,
    `${data.groups.length} groups with 95 % intervals; the table below has all numbers`);
  const values = (group) => group.of.map((n) => byNumber.get(n)).filter((trial) => trial && trial.value !== null);
  const all = data.groups.flatMap((group) => [group.mean, ...(group.limits || []), ...values(group).map((t) => t.value)]);
  const x = scale(all, Infinity);
  const box = { left: wide, top: 8, right: width - 16, bottom: height - 62 };
  const { across } = frame(drawing, box, x, { ticks: [], place: () => 0 }, { x: data.metric, y: "" });
  data.groups.forEach((group, at) => {
    const y = 22 + at * 26;
    svg(drawing, "line", { class: "grid", x1: box.left, x2: box.right, y1: y, y2: y });
    label(drawing, { x: wide - 16, y: y + 4, "text-anchor": "end" }, group.label, Math.floor(wide / 7));
    for (const trial of values(group)) {
      svg(drawing, "circle", { class: "single", "data-t": trial.n, cx: across(trial.value), cy: y, r: 3.5 });
    }
    if (group.limits) {
      const [from, to] = group.limits.map(across);
      svg(drawing, "path", { class: "whisker", d: `M${from} ${y - 5}v10m0-5H${to}m0-5v10` });
    }
    svg(drawing, "circle", { class: "mean", cx: across(group.mean), cy: y, r: 5 });
  });
}
