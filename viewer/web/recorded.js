// The page of recorded episodes: everything shown follows the scrubber.

const arrays = { f4: Float32Array, i2: Int16Array, u4: Uint32Array, u1: Uint8Array };
const read = (text, kind) => text && new arrays[kind](bytesOf(text).buffer);

const record = { count: DATA.count, action: read(DATA.action, "i2"), reward: read(DATA.reward, "f4"), score: read(DATA.score, "f4"),
  episode: read(DATA.episode, "u4"), step: read(DATA.step, "u4"), greedy: read(DATA.greedy, "u1"), lives: read(DATA.lives, "u1"),
  q: read(DATA.q, "f4"), heights: DATA.distribution && read(DATA.distribution.heights, "u1"),
  expected: DATA.truth && read(DATA.truth.expected, "f4"), realised: DATA.truth && read(DATA.truth.realised, "f4") };

/** Pictures in sheets, one below the other; a sheet is decoded when it is first needed. */
class Sheets {
  constructor({ width, height, perSheet, each, index, sheets }) {
    Object.assign(this, { width, height, perSheet, each, sheets, index: read(index, "u4"), images: new Map() });
  }

  image(number) {
    if (!this.images.has(number)) {
      const image = new Image();
      image.src = `data:image/webp;base64,${this.sheets[number]}`;
      image.onload = () => { image.ready = true; shown = -1; };
      image.onerror = () => { throw new Error("one of its pictures, WebP, can't be shown"); };
      this.images.set(number, image);
      if (this.images.size > 12) this.images.delete(this.images.keys().next().value);
    }
    return this.images.get(number);
  }

  /** Draw picture `k` of a moment; false while it is being decoded. */
  draw(canvas, moment, k = 0) {
    const number = this.index[moment * this.each + k], sheet = Math.floor(number / this.perSheet);
    const image = this.image(sheet);
    if (number % this.perSheet > this.perSheet / 2 && sheet + 1 < this.sheets.length) this.image(sheet + 1);
    if (!image.ready) return false;
    if (canvas.width !== this.width || canvas.height !== this.height) [canvas.width, canvas.height] = [this.width, this.height];
    const top = (number % this.perSheet) * this.height;
    canvas.getContext("2d").drawImage(image, 0, top, this.width, this.height, 0, 0, this.width, this.height);
    return true;
  }
}

let at = 0, shown = -1; // the moment looked at, and the one that is drawn
const picture = new Sheets(DATA.picture), seen = DATA.seen && new Sheets(DATA.seen);
const actions = DATA.actions.length, rows = new ActionRows($("actions"), DATA.actions);
const clock = new Clock(DATA.tick, () => (at < record.count - 1 ? go(at + 1) : pause(true)), draw);
clock.paused = true;

// ---------------------------------------------------------------- commands

function go(moment) { at = clamp(Math.round(moment), 0, record.count - 1); }

function pause(now = !clock.paused) {
  if (clock.paused && !now && at === record.count - 1) at = 0;
  clock.paused = now;
}

function look(by) {
  pause(true);
  go(at + by);
}

const second = Math.max(1, Math.round(1 / DATA.tick));
const commands = { space: () => pause(), p: () => pause(), "+": () => clock.change(1), "=": () => clock.change(1),
  "-": () => clock.change(-1), home: () => look(-record.count), end: () => look(record.count) };
const jumps = { left: -1, right: 1, ",": -1, ".": 1, b: -1, n: 1, pageup: -second, pagedown: second };
onKeys(commands, (key) => {
  if (!Object.hasOwn(jumps, key)) return false;
  look(jumps[key]);
  return true;
});

const controls = $("controls"), scrub = $("scrub");
const playButton = button(controls, "Play", () => pause(), { class: "strong", title: "Space" });
button(controls, "Back", () => look(-1), { title: "one step back (←)" });
button(controls, "Step", () => look(1), { title: "one step on (→)" });
button(controls, "Next reward", () => {
  let next = at;
  do next += 1; while (next < record.count - 1 && record.reward[next] === 0);
  pause(true);
  go(next);
}, { title: "the next step with a reward" });
const showSpeed = speedButtons(controls, clock);
scrub.max = record.count - 1;
scrub.oninput = () => { pause(true); go(Number(scrub.value)); };
scrub.onpointerup = () => scrub.blur();

// ---------------------------------------------------------------- drawing

/** Rewards above and below a line over all steps, and where episodes begin. */
function drawMarks() {
  const { ctx, width, height } = fresh($("marks")), x = (k) => 8 + (k / Math.max(record.count - 1, 1)) * (width - 16);
  const most = record.reward.reduce((largest, reward) => Math.max(largest, Math.abs(reward)), 1e-9), middle = height / 2;
  line(ctx, 8, middle, width - 8, middle, color("edge"));
  for (let k = 0; k < record.count; k++) {
    const reward = record.reward[k];
    if (reward) line(ctx, x(k), middle, x(k), middle - (reward / most) * (middle - 1), color(reward > 0 ? "agent" : "human"), 1.5);
    if (k && record.episode[k] !== record.episode[k - 1]) line(ctx, x(k), 0, x(k), height, color("text"));
  }
}

function drawActions() {
  if (!record.q) return rows.draw({ q: null, by: null });
  const q = Array.from(record.q.subarray(at * actions, (at + 1) * actions));
  if (!record.heights) {
    rows.draw({ q });
    return;
  }
  const { bins, low, high } = DATA.distribution, axis = Object.assign(new Axis(), { low, high });
  const densities = q.map((_, a) => Array.from(record.heights.subarray((at * actions + a) * bins, (at * actions + a + 1) * bins)));
  rows.draw({ q, densities, axis });
}

function drawScore() {
  const points = (value) => Number(value.toFixed(2)).toLocaleString("en").replace("-", "−");
  const episodes = record.episode[record.count - 1] - record.episode[0] + 1;
  const which = episodes > 1 ? `episode ${record.episode[at] - record.episode[0] + 1} of ${episodes}, ` : "";
  write($("moment"), `${which}step ${record.step[at].toLocaleString("en")} of ${lastStep(at).toLocaleString("en")}`);
  write($("score"), points(record.score[at]));
  const action = record.action[at], lives = record.lives ? ` · ${record.lives[at]} lives` : "";
  const does = action < 0 ? over() : `${DATA.actions[action]}${record.greedy[at] ? "" : record.q ? " (at random)" : ""}`;
  write($("reward"), `${does}, reward ${points(record.reward[at])}${lives}`);
}

/** Why no step was taken at a moment. */
function over() { return DATA.cut && at === record.count - 1 ? "the recording ends here" : "the episode is over"; }

function lastStep(moment) {
  let last = moment;
  while (last + 1 < record.count && record.episode[last + 1] === record.episode[moment]) last += 1;
  return record.step[last];
}

function drawMeter() {
  const span = Math.min(300, record.count), first = clamp(at - Math.round(span / 2), 0, record.count - span);
  const part = (values) => Array.from(values.subarray(first, first + span));
  drawTruth($("truth"), part(record.expected), part(record.realised), { at: at - first });
}

function drawInputs() {
  $("inputs").replaceChildren(...DATA.inputs.rows[at].map(([input, value, share]) => element("tr", {},
    element("td", { text: DATA.inputs.names[input] }), element("td", { text: value.toFixed(3).replace("-", "−") }),
    element("td", { text: `${share} %` }))));
}

/** The lines of an explanation, as viewer/inspecting/explain.py words them. */
function drawExplained() {
  const lines = DATA.explained[at];
  const shownLines = lines.map((text, k) => {
    const look = text.startsWith("TD error") ? `error ${kindOf(text)}` : text.startsWith("= target") ? "total" : k === 0 ? "first" : /^[+=]|^reward/.test(text) ? "" : "soft";
    return element("p", { text: text.replaceAll(/-(?=\d)/g, "−").replaceAll(" x ", " × "), class: look });
  });
  $("explained").replaceChildren(...(shownLines.length ? shownLines : [element("p", { class: "soft", text: `No step was taken here: ${over()}.` })]));
}

function draw() {
  write(playButton, clock.paused ? "Play" : "Pause");
  showSpeed();
  if (shown === at) return;
  if (!picture.draw($("picture"), at)) return; // it comes with the next frame
  shown = at;
  scrub.value = at;
  drawScore();
  drawActions();
  if (record.expected) drawMeter();
  if (seen) seenCanvases.forEach((canvas, k) => { if (!seen.draw(canvas, at, k)) shown = -1; });
  if (DATA.inputs) drawInputs();
  if (DATA.explained) drawExplained();
}

const seenCanvases = [];
for (let k = 0; seen && k < seen.each; k++) {
  const age = seen.each - 1 - k, canvas = element("canvas");
  seenCanvases.push(canvas);
  $("seen").append(element("figure", {}, canvas, element("figcaption", { text: age ? `−${age} step${age > 1 ? "s" : ""}` : "now" })));
}

head();
$("picture").style.setProperty("--shape", DATA.shape);
$("picture").classList.toggle("small", picture.width <= 200);
$("actions").hidden = !record.q;
for (const q of (record.q ?? []).filter(Number.isFinite)) { // one axis for all steps
  rows.axis.low = Math.min(rows.axis.low, q);
  rows.axis.high = Math.max(rows.axis.high, q);
}
write($("actions-about"), !record.q ? "This player has no network: it expects nothing." : DATA.distribution ? DATA.distribution.about : "What the network expects to gain from here on, discounted.");
if (DATA.distribution) write($("actions-title"), "Return of each action, as a distribution");
for (const [card, has] of [["truth-card", DATA.truth], ["seen-card", seen], ["inputs-card", DATA.inputs], ["explained-card", DATA.explained]]) {
  $(card).hidden = !has;
}
if (seen) write($("seen-about"), `${seen.width} × ${seen.height} grey, a stack of ${seen.each}`);
if (DATA.truth) {
  write($("verdict"), verdict(DATA.truth.summary, DATA.truth.gamma));
  write($("gamma"), `discount ${DATA.truth.gamma} a step`);
}
new ResizeObserver(() => { drawMarks(); shown = -1; }).observe($("marks"));
globalThis.tidepool = { record, clock, go, get at() { return at; } };
