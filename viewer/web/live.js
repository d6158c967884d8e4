// The page of an agent that plays in the browser: panels, keys, buttons.

const HAND_BACK = 2000, POP = 350, REST = 1500; // milliseconds
const session = new Session(DATA);
const pops = []; // where something was eaten lately
let agentView = false, lastKey = 0, restUntil = 0;

function advance() {
  if (session.finished && performance.now() < restUntil && clock.speed <= 1) return;
  const before = session.world.items;
  session.step();
  if (session.world.eaten[0] + session.world.eaten[1] && clock.speed <= 5) {
    const gone = before.filter((item) => !session.world.items.includes(item) && near(item));
    for (const { x, y, type } of gone) pops.push({ x, y, type, at: performance.now() });
  }
  if (session.finished) restUntil = performance.now() + REST;
}

function near({ x, y }) { return Math.hypot(x - session.world.x, y - session.world.y) < 2 * RADIUS + 4; }

const clock = new Clock(DATA.tick, advance, draw);
const rows = new ActionRows($("actions"), DATA.actions, hold);

// ---------------------------------------------------------------- who plays

function hold(action, down) {
  if (down) session.pressed = action;
  else if (session.pressed === action) session.pressed = null;
  takeOver();
}

function takeOver() {
  session.human = true;
  lastKey = performance.now();
}

function handBack() {
  session.human = false;
  session.held = [];
  session.pressed = null;
}

const known = new Set(DATA.keys.flatMap(([keys]) => keys));

function keyDown(key) {
  if (!known.has(key)) return false;
  if (!session.held.includes(key)) session.held.push(key);
  if (key !== "shift") takeOver();
  return key !== "shift";
}

function keyUp(key) {
  if (session.held.includes(key)) lastKey = performance.now();
  session.held = session.held.filter((one) => one !== key);
}

// ---------------------------------------------------------------- commands

function pause() { clock.paused = !clock.paused; }

function stepOnce() {
  clock.paused = true;
  session.step();
}

function learn() {
  if (session.network.learns) session.learning = !session.learning;
}

const commands = { space: pause, p: pause, n: stepOnce, ".": stepOnce, "+": () => clock.change(1),
  "=": () => clock.change(1), "-": () => clock.change(-1), v: () => { agentView = !agentView; }, l: learn,
  r: () => session.restart(), enter: handBack };
onKeys(commands, keyDown, keyUp);
addEventListener("blur", () => { session.held = []; });

const controls = $("controls"), learning = $("learn");
const pauseButton = button(controls, "Pause", pause, { class: "strong", title: "Space" });
button(controls, "Step", stepOnce, { title: "N" });
const showSpeed = speedButtons(controls, clock);
const viewButton = button(controls, "Agent view", commands.v, { title: "show only what the agent sees (V)" });
button(controls, "Restart", commands.r, { title: "R" });
const learnButton = button(learning, "Learn", learn, { title: "L" });
button(learning, "Start anew", () => session.startAnew(), { title: "random weights: watch it learn from nothing" });
const backButton = button(learning, "Trained agent", () => session.backToTrained(), { title: "the weights this page came with" });
const slider = element("input", { type: "range", min: 0, max: 100, oninput: () => {
  session.epsilon = slider.value / 100;
  session.fading = false;
}, onpointerup: () => slider.blur() });
const share = element("output");
learning.append(element("label", { class: "slider", text: "random actions" }, slider, share));

// ---------------------------------------------------------------- drawing

function draw() {
  const idle = !session.held.length && session.pressed === null;
  if (session.human && idle && performance.now() - lastKey > HAND_BACK) handBack();
  if (session.held.length || session.pressed !== null) lastKey = performance.now();
  while (pops.length && performance.now() - pops[0].at > POP) pops.shift();
  const shown = pops.map((pop) => ({ ...pop, age: (performance.now() - pop.at) / POP }));
  drawWorld($("world"), session.world, { human: session.human, agentView, pops: shown });
  drawActions();
  drawScore();
  drawMeter();
  drawLearning();
  drawSum();
  $("who").classList.toggle("human", session.human);
  write($("who"), session.human ? "you play" : session.learning ? "the agent plays and learns" : "the agent plays");
  write(pauseButton, clock.paused ? "Play" : "Pause");
  viewButton.setAttribute("aria-pressed", agentView);
  showSpeed();
}

const densityAxis = new Axis();

function drawActions() {
  const { q, returns, probabilities } = session.output, by = session.human ? session.humanAction : null;
  if (!returns) {
    rows.axis.include(q);
    rows.draw({ q, by });
    return;
  }
  densityAxis.include(rangeOf(returns, probabilities));
  const densities = returns.map((row, a) => histogram(row, probabilities && probabilities[a], densityAxis));
  rows.draw({ q, densities, axis: densityAxis, by });
}

const points = (value) => value.toLocaleString("en", { maximumFractionDigits: 1 });

function drawScore() {
  write($("episode"), `episode ${session.episode + 1}, seed ${session.seed + session.episode}`);
  write($("score"), signed(session.score, DATA.world === "RLDemo-v0" ? 1 : 0).replace("+", ""));
  $("score").style.color = color(session.humanSteps > session.steps / 2 ? "human" : "agent");
  const ended = session.finished ? "the episode is over" : `step ${session.steps.toLocaleString("en")} of ${DATA.horizon.toLocaleString("en")}`;
  write($("eaten"), `${session.apples} apple${session.apples === 1 ? "" : "s"}, ${session.poison} poison · ${ended}`);
  const now = { value: session.score, human: session.humanSteps > session.steps / 2 };
  drawReturns($("returns"), session.finished ? session.results : [...session.results, now], DATA.levels);
}

function drawMeter() {
  write($("verdict"), verdict(session.truth.summary, session.gamma));
  write($("gamma"), `discount ${session.gamma} a step`);
  const first = Math.max(0, session.total - 300), span = 300;
  const [expected, realised, soFar] = [0, 1, 2].map(() => new Array(span).fill(NaN)), human = new Array(span).fill(false);
  for (const one of session.history.filter(({ step }) => step >= first)) {
    expected[one.step - first] = one.expected;
    human[one.step - first] = one.human;
  }
  for (const { step, realised: value } of session.truth.pairs) if (step >= first) realised[step - first] = value;
  for (const { step, observed } of session.truth.open) if (step >= first) soFar[step - first] = observed;
  drawTruth($("truth"), expected, realised, { human, soFar });
}

function drawLearning() {
  const { learner } = session, able = session.network.learns;
  learnButton.disabled = !able;
  learnButton.setAttribute("aria-pressed", session.learning);
  write(learnButton, session.learning ? "Stop learning" : "Learn");
  backButton.hidden = !learner && !session.anew;
  if (document.activeElement !== slider) slider.value = Math.round(100 * session.epsilon);
  write(share, `${Math.round(100 * session.epsilon)} %`);
  write($("learned"), learner ? `${learner.updates.toLocaleString("en")} updates` : "");
  const { nStep = 1 } = learner ?? DATA.learner, returns = nStep > 1 ? `returns of ${nStep} steps and ` : "";
  let text = `It learns on from its own steps, and from yours: DQN with ${returns}a replay of ${learner?.capacity.toLocaleString("en") ?? "20,000"} steps.`;
  if (!able) text = "This network learnt distributions, which the page can play but not teach; a new one can learn here.";
  else if (learner) {
    const error = learner.error === null ? "first it gathers experience" : `mean TD error ${learner.error.toFixed(3)}`;
    text = `${learner.steps.toLocaleString("en")} steps seen, ${error}. ${session.anew ? DATA.fresh.about : ""}`;
  }
  write($("learning"), text);
}

function drawSum() {
  const { last } = session; // of fast steps every third, so that numbers can be read
  if (!last || drawSum.shown === last || (!clock.paused && session.total % 3)) return;
  drawSum.shown = last;
  const target = last.reward + session.gamma * last.value, name = (a) => (a < 0 ? "no key" : DATA.actions[a]);
  write($("acted"), `${name(last.action)}, by ${last.human ? "you" : last.greedy ? "the agent" : "the agent, at random"}`);
  const lines = [["reward", signed(last.reward)],
    [`+ ${session.gamma} × ${signed(last.value)}, best next: ${name(last.next)}`, signed(session.gamma * last.value)],
    ["= target", signed(target), "total"]];
  if (last.expected !== null) {
    lines.push(["− expected before", signed(last.expected)]);
    const words = meaning(target - last.expected);
    lines.push([`= TD error: ${words}`, signed(target - last.expected), `error ${kindOf(words)}`]);
  }
  $("sum").replaceChildren(...lines.flatMap(([text, number, look = ""]) =>
    [element("dt", { text, class: look }), element("dd", { text: number, class: look })]));
}

function meaning(error) {
  if (Math.abs(error) < 0.005) return "as expected";
  return error > 0 ? "better than expected" : "worse than expected";
}

head();
clock.draw(); // now: the first frame may come late, and until then rows would have names alone
globalThis.tidepool = { session, clock, commands, Learner, Network, Random, WORLDS, bytesOf, readNetwork };
