// Draws everything, again where the width or the colours change; shows which trial the pointer is on.

function draw() {
  drawScatter();
  drawLegend();
  drawParallel();
  drawCurves();
  drawGroups();
  if (brushes.size) applyBrushes();
}

const tip = document.getElementById("tip");
let hot = null;

function heat(n) {
  if (n === hot) return;
  for (const mark of document.querySelectorAll(".hot")) mark.classList.remove("hot");
  hot = n;
  tip.hidden = n === null || !byNumber.has(n);
  if (n === null) return;
  for (const mark of document.querySelectorAll(`[data-t="${n}"]`)) mark.classList.add("hot");
  if (!tip.hidden) tip.textContent = told(byNumber.get(n));
}

function told(trial) {
  const chosen = data.parameters.map((parameter, at) =>
    (trial.at[at] === null ? "" : `${parameter.name}: ${typeof trial.at[at] === "number" ? number(trial.at[at]) : trial.at[at]}`));
  const seed = trial.seed === null ? "" : `seed: ${trial.seed}`;
  const value = data.metric === null ? "" : `${data.metric}: ${number(trial.value)}`;
  return [`trial ${trial.n}, ${trial.says}`, value, ...chosen, seed].filter(Boolean).join("\n");
}

document.addEventListener("pointerover", (event) => {
  const mark = event.target instanceof Element ? event.target.closest("svg [data-t]") : null;
  heat(mark ? Number(mark.dataset.t) : null);
});
document.addEventListener("pointermove", (event) => {
  if (tip.hidden) return;
  const [wide, high] = [tip.offsetWidth, tip.offsetHeight];
  tip.style.left = `${Math.max(4, Math.min(event.clientX + 16, innerWidth - wide - 8))}px`;
  tip.style.top = `${event.clientY + 18 + high > innerHeight ? event.clientY - high - 12 : event.clientY + 18}px`;
});
document.getElementById("filter-clear").addEventListener("click", () => {
  brushes.clear();
  applyBrushes();
  drawParallel();
});
for (const part of document.querySelectorAll("[data-share]")) part.style.flexGrow = part.dataset.share;

let pending = 0;
let width = innerWidth;
window.addEventListener("resize", () => {
  if (innerWidth === width) return;
  width = innerWidth;
  clearTimeout(pending);
  pending = setTimeout(draw, 120);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

chooseCurves();
draw();
sortAsAddressSays();
