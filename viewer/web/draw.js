// Drawing on canvases: the world, bars and distributions, plots. Sizes are CSS pixels.

const STYLE = getComputedStyle(document.documentElement);
const color = (name) => STYLE.getPropertyValue(`--${name}`).trim();

/** Fit a canvas to its place on any screen; return its context in CSS pixels, cleared, with width and height. */
function fresh(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas, ratio = devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const ctx = canvas.getContext("2d");
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.clearRect(0, 0, width, height);
  return { ctx, width, height };
}

function disc(ctx, x, y, radius, fill, edge = null) {
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 2 * Math.PI);
  ctx.fillStyle = fill;
  ctx.fill();
  if (edge) [ctx.strokeStyle, ctx.lineWidth] = [edge, 1];
  if (edge) ctx.stroke();
}

function line(ctx, x1, y1, x2, y2, stroke, width = 1) {
  ctx.beginPath();
  ctx.moveTo(x1, y1);
  ctx.lineTo(x2, y2);
  [ctx.strokeStyle, ctx.lineWidth] = [stroke, width];
  ctx.stroke();
}

// ---------------------------------------------------------------- the world

const REDDISH = ["#e5574d", "#a5302a"], GREENISH = ["#74b65a", "#3f7f2b"]; // fill, edge
const LOOKS = { // RLDemo has its colours the other way round, as in the original
  Waterworld: { apple: REDDISH, poison: GREENISH, water: ["#f3fafd", "#d6ebf4"] },
  RLDemo: { apple: GREENISH, poison: REDDISH, water: ["#ffffff", "#f6f8fa"] },
};

/** Draw the world; agentView leaves out what the agent does not see. `pops`: where something was eaten, with age 0-1. */
function drawWorld(canvas, world, { human, agentView, pops }) {
  const { ctx, width, height } = fresh(canvas), look = LOOKS[world instanceof Waterworld ? "Waterworld" : "RLDemo"];
  const water = ctx.createLinearGradient(0, 0, 0, height);
  look.water.forEach((tone, k) => water.addColorStop(k, tone));
  ctx.fillStyle = water;
  ctx.fillRect(0, 0, width, height);
  ctx.save();
  ctx.scale(width / WIDTH, height / HEIGHT);
  if (!agentView) for (const wall of world.walls) line(ctx, ...wall, "#55606c", 2);
  const { x, y } = world, kinds = [look.apple, look.poison];
  for (const eye of world.eyes) {
    const toX = x + eye.distance * Math.sin(eye.angle), toY = y + eye.distance * Math.cos(eye.angle);
    const seen = kinds[eye.kind - 1];
    line(ctx, x, y, toX, toY, seen ? seen[0] : "rgba(70, 95, 115, 0.28)", seen ? 1.6 : 1);
    if (agentView) drawHit(ctx, toX, toY, eye.kind, kinds);
  }
  if (!agentView) for (const item of world.items) drawItem(ctx, item, kinds[item.type - 1]);
  for (const pop of agentView ? [] : pops) {
    ctx.globalAlpha = 1 - pop.age;
    ctx.beginPath();
    ctx.arc(pop.x, pop.y, RADIUS * (1 + 1.8 * pop.age), 0, 2 * Math.PI);
    [ctx.strokeStyle, ctx.lineWidth] = [kinds[pop.type - 1][0], 3];
    ctx.stroke();
    ctx.globalAlpha = 1;
  }
  const body = color(human ? "human" : "agent");
  disc(ctx, x, y, RADIUS, body, "rgba(0, 0, 0, 0.45)");
  disc(ctx, x - 3, y - 3, 2.6, "rgba(255, 255, 255, 0.55)");
  if (world instanceof RLDemo) line(ctx, x, y, x + 9 * Math.sin(world.angle), y + 9 * Math.cos(world.angle), "#fff", 2);
  ctx.restore();
}

function drawItem(ctx, { x, y, type }, [fill, edge]) {
  disc(ctx, x, y, RADIUS, fill, edge);
  disc(ctx, x - 3, y - 3, 2.4, "rgba(255, 255, 255, 0.45)");
  if (type === APPLE) { // a leaf, and a cross on poison: red and green are one colour to many people
    line(ctx, x, y - 7, x + 1, y - 13, "#5d4330", 1.6);
    ctx.beginPath();
    ctx.ellipse(x + 4.5, y - 11.5, 4, 2, -0.5, 0, 2 * Math.PI);
    ctx.fillStyle = "#3f7f2b";
    ctx.fill();
  } else {
    for (const sign of [1, -1]) line(ctx, x - 4, y - 4 * sign, x + 4, y + 4 * sign, edge, 2);
  }
}

/** Mark where a ray meets something, in a shape for each kind of thing. */
function drawHit(ctx, x, y, kind, kinds) {
  if (kind === WALL) {
    ctx.fillStyle = "#55606c";
    ctx.fillRect(x - 2.5, y - 2.5, 5, 5);
  } else if (kind === APPLE) {
    disc(ctx, x, y, 4, ...kinds[0]);
  } else if (kind === POISON) {
    for (const sign of [1, -1]) line(ctx, x - 4, y - 4 * sign, x + 4, y + 4 * sign, kinds[1][1], 2.5);
  }
}

// ---------------------------------------------------------------- expectations

/** An axis with 0 for the numbers shown lately: it widens at once and narrows slowly. */
class Axis {
  constructor() { this.low = this.high = 0; }

  include(values) {
    const finite = values.filter(Number.isFinite);
    this.low = Math.min(this.low * 0.98, 0, ...finite);
    this.high = Math.max(this.high * 0.98, 0, ...finite);
  }

  at(value, width) { return this.high > this.low ? ((value - this.low) / (this.high - this.low)) * width : 0; }
}

/** One action's expectation, as a bar from zero. */
function drawBar(canvas, axis, value, fill) {
  const { ctx, width, height } = fresh(canvas), zero = axis.at(0, width);
  ctx.fillStyle = color("track");
  ctx.fillRect(0, 0, width, height);
  if (Number.isFinite(value)) {
    ctx.fillStyle = fill;
    ctx.fillRect(Math.min(zero, axis.at(value, width)), 0, Math.abs(axis.at(value, width) - zero), height);
  }
  if (axis.low < 0) line(ctx, zero, 0, zero, height, color("soft"));
}

/** One action's distribution of returns, `heights` over the axis, with a tick at its mean. */
function drawDensity(canvas, axis, heights, value, fill) {
  const { ctx, width, height } = fresh(canvas), most = Math.max(...heights, 1e-12);
  ctx.fillStyle = color("track");
  ctx.fillRect(0, 0, width, height);
  ctx.beginPath();
  ctx.moveTo(0, height);
  heights.forEach((share, k) => ctx.lineTo(((k + 0.5) / heights.length) * width, height - (share / most) * (height - 2)));
  ctx.lineTo(width, height);
  ctx.fillStyle = fill;
  ctx.fill();
  const x = axis.at(value, width);
  line(ctx, x, 0, x, height, color("text"), 2);
}

/** Returns and their probabilities (null: equally likely) as a smooth histogram over an axis. */
function histogram(returns, probabilities, axis, bins = 60) {
  const heights = new Array(bins).fill(0);
  returns.forEach((value, k) => {
    const place = axis.at(value, bins) - 0.5, below = Math.floor(place), share = place - below;
    const weight = probabilities ? probabilities[k] : 1 / returns.length;
    heights[clamp(below, 0, bins - 1)] += weight * (1 - share);
    heights[clamp(below + 1, 0, bins - 1)] += weight * share;
  });
  return heights.map((h, k) => ((heights[k - 1] ?? h) + 2 * h + (heights[k + 1] ?? h)) / 4);
}

/** The range that holds all but a hundredth of some distributions. */
function rangeOf(returns, probabilities) {
  const ends = returns.flatMap((row, a) => {
    const order = row.map((_, k) => k).sort((i, j) => row[i] - row[j]);
    let sum = 0;
    const inner = order.filter((k) => {
      const before = sum;
      sum += probabilities ? probabilities[a][k] : 1 / row.length;
      return sum > 0.005 && before < 0.995;
    });
    return [row[inner[0]], row[inner.at(-1)]];
  });
  return ends.filter(Number.isFinite);
}

// ---------------------------------------------------------------- plots

/** A number with a typographic sign. */
function signed(value, digits = 2) {
  if (!Number.isFinite(value)) return "–";
  const text = Math.abs(value).toFixed(digits);
  return (value < 0 && Number(text) !== 0 ? "−" : "+") + text;
}

function plotRange(values) {
  let [low, high] = [0, 0];
  for (const value of values) if (Number.isFinite(value)) [low, high] = [Math.min(low, value), Math.max(high, value)];
  return high - low < 1e-9 ? [low - 1, high + 1] : [low - 0.05 * (high - low), high + 0.05 * (high - low)];
}

/** Draw the lines of a plot with their numbers; return where the plot begins beside them. */
function drawGrid(ctx, width, height, [low, high]) {
  ctx.font = `12px ${STYLE.fontFamily || "sans-serif"}`;
  ctx.textAlign = "right";
  ctx.textBaseline = "middle";
  const step = [1, 2, 5].map((k) => k * 10 ** Math.floor(Math.log10(high - low))).flatMap((s) => [s / 10, s])
    .sort((a, b) => a - b).find((s) => (high - low) / s <= 4.5);
  const ticks = [];
  for (let k = Math.ceil(low / step); k * step <= high; k++) ticks.push(k * step);
  const texts = ticks.map((tick) => (tick ? signed(tick, Math.max(0, -Math.floor(Math.log10(step)))).replace("+", "") : "0"));
  const left = Math.max(40, ...texts.map((text) => ctx.measureText(text).width + 8));
  ticks.forEach((tick, k) => {
    const y = height - ((tick - low) / (high - low)) * height;
    line(ctx, left, y, width, y, tick ? color("track") : color("edge"));
    ctx.fillStyle = color("soft");
    ctx.fillText(texts[k], left - 6, clamp(y, 7, height - 7));
  });
  return left;
}

/** Expected returns as a line and realised ones as dots, pale while they are not complete; `at` marks a step. */
function drawTruth(canvas, expected, realised, { at = null, human = null, soFar = [] } = {}) {
  const { ctx, width, height } = fresh(canvas), count = expected.length;
  const range = plotRange([...expected, ...realised, ...soFar]), [low, high] = range;
  const left = drawGrid(ctx, width, height, range);
  const x = (k) => left + ((k + 0.5) / Math.max(count, 1)) * (width - left);
  const y = (value) => height - ((value - low) / (high - low)) * height;
  ctx.beginPath();
  let open = false;
  for (let k = 0; k < count; k++) {
    const known = Number.isFinite(expected[k]);
    if (known) ctx[open ? "lineTo" : "moveTo"](x(k), y(expected[k]));
    open = known;
  }
  [ctx.strokeStyle, ctx.lineWidth] = [color("agent"), 2];
  ctx.stroke();
  for (const [values, tone] of [[soFar, "edge"], [realised, "text"]]) {
    ctx.fillStyle = color(tone); // every second one, so that the dots stay apart
    for (let k = 0; k < count; k += 2) if (Number.isFinite(values[k])) ctx.fillRect(x(k) - 1, y(values[k]) - 1, 2.4, 2.4);
  }
  ctx.fillStyle = color("human");
  for (let k = 0; human && k < count; k++) if (human[k]) ctx.fillRect(x(k) - 1, height - 4, 2 + (width - left) / count, 4);
  if (at !== null) line(ctx, x(at), 0, x(at), height, color("text"));
}

/** Returns of episodes as bars, the oldest left, with labelled levels. */
function drawReturns(canvas, returns, levels) {
  const { ctx, width, height } = fresh(canvas), shown = returns.slice(-60);
  const range = plotRange([...shown.map((one) => one.value), ...levels.map((level) => level.value)]), [low, high] = range;
  const left = drawGrid(ctx, width, height, range);
  const y = (value) => height - ((value - low) / (high - low)) * height;
  const step = Math.min(18, (width - left) / Math.max(shown.length, 1));
  shown.forEach(({ value, human }, k) => {
    ctx.fillStyle = color(human ? "human" : "agent");
    ctx.fillRect(left + k * step + 1, Math.min(y(0), y(value)), step - 2, Math.max(1, Math.abs(y(value) - y(0))));
  });
  const labels = [];
  for (const { value, name } of levels) {
    ctx.setLineDash([4, 3]);
    line(ctx, left, y(value), width, y(value), color("soft"));
    ctx.setLineDash([]);
    const label = { name, y: y(value) < 16 ? y(value) + 9 : y(value) - 8, x: width - 2 };
    for (const other of labels) if (Math.abs(other.y - label.y) < 15) label.x = other.x - ctx.measureText(other.name).width - 16;
    labels.push(label);
  }
  drawLabels(ctx, labels);
}

/** Text that ends at (x, y), readable on bars, too. */
function drawLabels(ctx, labels) {
  [ctx.textAlign, ctx.lineWidth, ctx.lineJoin, ctx.strokeStyle, ctx.fillStyle] = ["right", 4, "round", color("card"), color("soft")];
  for (const { name, x, y } of labels) {
    ctx.strokeText(name, x, y);
    ctx.fillText(name, x, y);
  }
}

/** When a return is known: the rest weighs less than NEGLIGIBLE, or the episode is over. */
function whenKnown(gamma) {
  const steps = Math.max(1, Math.ceil(Math.log(0.01) / Math.log(gamma)));
  return `a return is known ${gamma < 1 ? `after ${steps.toLocaleString("en")} steps or ` : ""}at the episode's end`;
}

/** What the truth meter says, in a sentence. */
function verdict(summary, gamma) {
  if (!summary) return `Nothing to compare yet: ${whenKnown(gamma)}.`;
  const { bias, error, pairs } = summary, over = `over ${pairs.toLocaleString("en")} ${pairs === 1 ? "step" : "steps"}`;
  if (Math.abs(bias) < 0.005) return `Well calibrated ${over}; the mean distance is ${error.toFixed(2)}.`;
  const much = bias > 0 ? "much" : "little";
  return `It expects ${Math.abs(bias).toFixed(2)} too ${much} on average ${over}; the mean distance is ${error.toFixed(2)}.`;
}
