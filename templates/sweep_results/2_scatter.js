// The metric over each parameter, a panel each.

function drawScatter() {
  const parent = document.getElementById("scatter");
  if (!parent) return;
  parent.replaceChildren();
  const columns = Math.min(data.parameters.length, Math.max(1, Math.floor((parent.clientWidth + 26) / 346)));
  const width = Math.min(720, Math.max(280, (parent.clientWidth - 26 * (columns - 1)) / columns));
  data.parameters.forEach((parameter, at) => drawPanel(parent, parameter, at, width));
}

function drawPanel(parent, parameter, at, width) {
  const trials = data.trials.filter((trial) => trial.at[at] !== null);
  const height = 262;
  const box = { left: 62, top: 34, right: width - 12, bottom: height - 72 };
  const valued = trials.filter((trial) => trial.value !== null);
  const without = trials.filter((trial) => trial.value === null);
  const drawing = figure(parent, width, height, `${data.metric} by ${parameter.name}`,
    `${valued.length} trials with a value, ${without.length} without; the table below has all numbers`);
  const x = axis(parameter, trials.map((trial) => trial.at[at]));
  const y = scale(valued.map((trial) => trial.value), 100);
  const { across, up } = frame(drawing, box, x, y, { x: parameter.name, y: data.metric });
  const spot = (trial) => across(trial.at[at]) + jitter(trial.n, x.width || 0) * (box.right - box.left);
  for (const trial of without) cross(drawing, spot(trial), box.bottom + 10, trial);
  const finished = valued.filter((trial) => trial.state === "finished");
  if (x.columns) medians(drawing, finished, at, x, across, up, box);
  for (const trial of valued.slice().reverse()) {
    if (trial.state !== "finished") {
      cross(drawing, spot(trial), up(trial.value), trial);
      continue;
    }
    const best = trial.n === data.best;
    svg(drawing, "circle", {
      class: best ? "dot best" : data.trials.length > 60 ? "dot many" : "dot", "data-t": trial.n, cx: spot(trial), cy: up(trial.value), r: best ? 6 : data.trials.length > 60 ? 3.5 : 4.5,
    });
  }
}

// Always the same place of a trial within its column.
function jitter(n, width) {
  return (((n * 0.6180339887) % 1) - 0.5) * width * 0.5;
}

function cross(drawing, x, y, trial) {
  const d = `M${x - 3.5} ${y - 3.5}l7 7m0-7l-7 7`;
  svg(drawing, "path", { class: `cross ${trial.state}`, "data-t": trial.n, d });
}

function medians(drawing, trials, at, x, across, up, box) {
  for (const value of x.columns) {
    const found = trials.filter((trial) => String(trial.at[at]) === String(value)).map((trial) => trial.value);
    if (found.length < 2) continue;
    found.sort((a, b) => a - b);
    const middle = found.length / 2;
    const median = (found[Math.ceil(middle) - 1] + found[Math.floor(middle)]) / 2;
    const half = Math.min(34, x.width * (box.right - box.left) * 0.36 + 3);
    svg(drawing, "line", {
      class: "median", x1: across(value) - half, x2: across(value) + half, y1: up(median), y2: up(median),
    });
  }
}
