// What both kinds of pages share: elements, the rows of actions, the clock.

const DATA = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);

/** A new element with attributes; text stays text, whatever it holds. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") made.textContent = value;
    else if (name.startsWith("on")) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** Write a text only when it has changed, which is cheaper than drawing it. */
function write(target, text) { if (target.textContent !== text) target.textContent = text; }

/** The class of a line on the TD error. */
function kindOf(text) { return text.includes("better") ? "better" : text.includes("worse") ? "worse" : ""; }

const TAP = 150; // milliseconds: a finger that rests so long holds a row, and so long acts a tap

/** Tell `hold` when a row is pressed and let go: by a mouse at once, by a finger unless it swipes, which scrolls the page. */
function holdable(row, hold) {
  let timer = null, held = false;
  const press = () => { held = true; hold(true); };
  const release = () => {
    clearTimeout(timer);
    if (held) hold(false);
    [timer, held] = [null, false];
    row.blur(); // else Space would be its own
  };
  row.tabIndex = -1; // keys play without it
  row.onpointerdown = (event) => {
    if (event.button) return;
    release();
    row.setPointerCapture(event.pointerId);
    if (event.pointerType === "touch") timer = setTimeout(press, TAP);
    else press();
  };
  row.onpointerup = () => {
    if (held || timer === null) return release();
    clearTimeout(timer);
    press();
    timer = setTimeout(release, TAP);
  };
  row.onpointercancel = release; // the browser scrolls
  row.addEventListener("touchmove", (event) => { if (held) event.preventDefault(); }, { passive: false });
  row.oncontextmenu = (event) => event.preventDefault();
}

/** A row for each action: its name, a bar or a distribution, a number. Rows are buttons if actions can be held. */
class ActionRows {
  constructor(place, names, hold = null) {
    this.axis = new Axis();
    this.rows = names.map((name, action) => {
      const parts = { name: element("span", { text: name, title: name }), canvas: element("canvas"), number: element("output") };
      const row = element(hold ? "button" : "div", { class: "action" }, parts.name, parts.canvas, parts.number);
      if (hold) holdable(row, (down) => hold(action, down));
      place.append(row);
      return { row, ...parts };
    });
  }

  /** Show expectations (A), or of a network that has them distributions: heights (A, bins) of `densities`. */
  draw({ q, densities = null, axis = this.axis, by = null }) {
    const best = q && q.some(Number.isFinite) ? argmax(q) : null;
    this.rows.forEach(({ row, canvas, number }, action) => {
      row.classList.toggle("best", action === best);
      row.classList.toggle("human", by === action);
      row.classList.toggle("density", densities !== null);
      const fill = color(action === best ? "agent" : "agent-pale");
      if (densities) drawDensity(canvas, axis, densities[action], q[action], fill);
      else drawBar(canvas, axis, q ? q[action] : NaN, fill);
      write(number, q ? signed(q[action]) : "");
    });
  }
}

const SPEEDS = [0.25, 0.5, 1, 2, 5, 20, Infinity];

/** Real time into steps; `advance` makes one, `draw` shows the present. */
class Clock {
  constructor(tick, advance, draw) {
    Object.assign(this, { tick, advance, draw, speed: 1, paused: false, due: 0, then: performance.now() });
    const frame = (now) => {
      this.run(clamp(now - this.then, 0, 250) / 1000); // the first frame may have begun before the script
      this.then = now;
      this.draw();
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  run(seconds) {
    if (this.paused) return;
    const steps = this.speed === Infinity ? Infinity : (seconds * this.speed) / this.tick; // no seconds at all may have passed
    this.due = Math.min(this.due + steps, 1e6);
    const started = performance.now();
    while (this.due >= 1 && !this.paused) {
      this.due -= 1;
      this.advance();
      if (performance.now() - started > 14) this.due = Math.min(this.due, 1); // else the page would freeze
    }
  }

  change(by) { this.speed = SPEEDS[clamp(SPEEDS.indexOf(this.speed) + by, 0, SPEEDS.length - 1)]; }

  get speedText() { return this.speed === Infinity ? "max" : `${this.speed} ×`; }
}

/** A button; after a mouse's click it gives the focus back, so that keys mean what they did before. */
function button(place, text, run, attributes = {}) {
  const made = element("button", { type: "button", text, ...attributes, onclick: (event) => {
    run();
    if (event.detail) made.blur();
  } });
  place.append(made);
  return made;
}

/** Slower, the speed, faster. */
function speedButtons(place, clock) {
  const shown = element("output"), group = element("span", { class: "speed" });
  button(group, "−", () => clock.change(-1), { "aria-label": "slower", title: "slower (−)" });
  group.append(shown);
  button(group, "+", () => clock.change(+1), { "aria-label": "faster", title: "faster (+)" });
  place.append(group);
  return () => write(shown, clock.speedText);
}

const OWN = { BUTTON: ["space", "enter"], INPUT: ["left", "right", "up", "down", "home", "end", "pageup", "pagedown"] };

/** Run a key's command; keys with Ctrl, Alt or Meta belong to the browser, and those that move what has the focus to that. */
function onKeys(commands, down = () => false, up = () => {}) {
  const name = (event) => ({ " ": "space", ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down" })[event.key]
    ?? event.key.toLowerCase();
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const key = name(event);
    if (OWN[event.target.tagName]?.includes(key)) return;
    if (down(key)) return event.preventDefault();
    if (Object.hasOwn(commands, key) && !event.repeat) {
      commands[key]();
      event.preventDefault();
    }
  });
  addEventListener("keyup", (event) => up(name(event)));
}

function head() {
  write($("title"), DATA.title);
  write($("about"), DATA.about);
  write($("foot"), DATA.foot);
}
