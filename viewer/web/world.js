// The worlds of envs/waterworld.py and envs/rldemo.py, tick for tick, with the same random numbers.

const WIDTH = 700, HEIGHT = 500, RADIUS = 10;
const NOTHING = -1, WALL = 0, APPLE = 1, POISON = 2;

/** SplitMix64, as in envs/geometry.py: one seed gives the same world here and in Python. */
class Random {
  constructor(seed) { this.state = Random.mix(BigInt.asUintN(64, BigInt(seed))); }

  static mix(z) {
    z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xBF58476D1CE4E5B9n);
    z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94D049BB133111EBn);
    return z ^ (z >> 31n);
  }

  uniform(low, high) {
    this.state = BigInt.asUintN(64, this.state + 0x9E3779B97F4A7C15n);
    return (Number(Random.mix(this.state) >> 11n) / 2 ** 53) * (high - low) + low;
  }
}

/** Four walls [x1, y1, x2, y2] of a box: top, right, bottom, left. */
function box(x, y, width, height) {
  const right = x + width, bottom = y + height;
  return [[x, y, right, y], [right, y, right, bottom], [right, bottom, x, bottom], [x, bottom, x, y]];
}

/** Where the segment (x, y) + u (dx, dy), 0 < u < 1, meets a wall; 2 if nowhere. Ends do not count. */
function segmentHit(x, y, dx, dy, [x1, y1, x2, y2]) {
  const wx = x2 - x1, wy = y2 - y1;
  const denominator = wy * dx - wx * dy;
  if (denominator === 0) return 2;
  const u = (wx * (y - y1) - wy * (x - x1)) / denominator;
  const w = (dx * (y - y1) - dy * (x - x1)) / denominator;
  return u > 0 && u < 1 && w > 0 && w < 1 ? u : 2;
}

function wallBetween(x, y, toX, toY, walls) {
  return walls.some((wall) => segmentHit(x, y, toX - x, toY - y, wall) < 1);
}

/** [u, distance] at which the originals' eye sees an item at (rx, ry): the foot lies on one side only, as theirs does. */
function originalHit(rx, ry, sine, cosine, reach) {
  const off = Math.abs(sine * ry - cosine * rx);
  const footX = rx + off * cosine, footY = ry - off * sine;
  const u = Math.abs(sine) > Math.abs(cosine) ? footX / (reach * sine) : footY / (reach * cosine);
  return u > 0 && u < 1 ? [u, Math.sqrt(footX * footX + footY * footY)] : [2, reach];
}

/** [u, distance] at which a ray first meets an item's circle; an eye within it sees it at distance 0. */
function exactHit(rx, ry, sine, cosine, reach) {
  const along = rx * sine + ry * cosine, square = rx * rx + ry * ry;
  const underRoot = RADIUS * RADIUS - (square - along * along);
  if (underRoot < 0) return [2, reach];
  let distance = along - Math.sqrt(underRoot);
  if (distance < 0 && square <= RADIUS * RADIUS) distance = 0;
  return distance >= 0 && distance <= reach ? [distance / reach, distance] : [2, reach];
}

const clamp = (x, low, high) => Math.min(Math.max(x, low), high);

/** What both worlds share: items, eyes, eating. `eyes` is what each eye sees: {angle, distance, kind, item}. */
class World {
  constructor({ exact, reach, capacity, itemSpeed, start, walls, innerWalls }) {
    Object.assign(this, { exact, reach, capacity, itemSpeed, start, walls, innerWalls });
    this.random = new Random(0);
  }

  reset(seed) {
    this.random = new Random(seed);
    this.clock = this.reward = this.angle = this.vx = this.vy = 0;
    [this.x, this.y] = this.start;
    this.items = [];
    this.eaten = [0, 0];
    while (this.items.length < this.capacity) this.spawn();
    this.sense();
  }

  spawn() {
    const draw = (low, high) => this.random.uniform(low, high), speed = this.itemSpeed;
    const item = { x: draw(20, WIDTH - 20), y: draw(20, HEIGHT - 20), type: Math.floor(draw(1, 3)), vx: 0, vy: 0, age: 0 };
    if (speed > 0) [item.vx, item.vy] = [draw(-speed, speed), draw(-speed, speed)];
    this.items.push(item);
  }

  /** Advance by one tick; action -1 presses no key. */
  step(action) {
    this.clock += 1;
    this.move(action);
    this.tickItems();
    this.reward = this.pay(action); // by what the eyes saw before the move
    this.sense(action);
    return this.reward;
  }

  tickItems() {
    this.eaten = [0, 0];
    this.items = this.items.filter((item) => {
      item.age += 1;
      const dx = this.x - item.x, dy = this.y - item.y;
      const touched = Math.sqrt(dx * dx + dy * dy) < 2 * RADIUS;
      let gone = touched && !wallBetween(this.x, this.y, item.x, item.y, this.innerWalls);
      if (gone) this.eaten[item.type - 1] += 1;
      if (this.itemSpeed > 0) this.bounce(item);
      if (item.age > 5000 && this.clock % 100 === 0 && this.random.uniform(0, 1) < 0.1) gone = true;
      return !gone;
    });
    if (this.items.length < this.capacity && this.clock % 10 === 0 && this.random.uniform(0, 1) < 0.25) this.spawn();
  }

  bounce(item) {
    item.x += item.vx;
    item.y += item.vy;
    if (item.x < 1 || item.x > WIDTH - 1) [item.x, item.vx] = [clamp(item.x, 1, WIDTH - 1), -item.vx];
    if (item.y < 1 || item.y > HEIGHT - 1) [item.y, item.vy] = [clamp(item.y, 1, HEIGHT - 1), -item.vy];
  }

  look(angles) {
    const { x, y, reach } = this;
    const eyes = angles.map((angle) => ({ angle, sine: Math.sin(angle), cosine: Math.cos(angle),
      nearest: 1.5, distance: reach, kind: NOTHING, item: null }));
    for (const wall of this.walls) {
      for (const eye of eyes) {
        const u = segmentHit(x, y, reach * eye.sine, reach * eye.cosine, wall);
        if (u < eye.nearest) Object.assign(eye, { nearest: u, kind: WALL, distance: u * reach });
      }
    }
    const limit = (reach + 3 * RADIUS) ** 2, hit = this.exact ? exactHit : originalHit;
    for (const item of this.items) {
      const rx = item.x - x, ry = item.y - y;
      if (rx * rx + ry * ry > limit) continue;
      for (const eye of eyes) {
        if (Math.abs(eye.sine * ry - eye.cosine * rx) > RADIUS) continue;
        const [u, distance] = hit(rx, ry, eye.sine, eye.cosine, reach);
        if (u < eye.nearest) Object.assign(eye, { nearest: u, kind: item.type, distance, item });
      }
    }
    this.eyes = eyes;
  }
}

/** v0 is the original; `exact` eyes and scaled observations make v1. Observation (152,). */
class Waterworld extends World {
  constructor({ exact }) {
    const walls = box(0, 0, WIDTH, HEIGHT);
    super({ exact, reach: 120, capacity: 50, itemSpeed: 2.5, start: [300, 300], walls, innerWalls: [] });
    this.angles = Array.from({ length: 30 }, (_, eye) => eye * 0.21);
    this.obs = new Float32Array(152);
    this.reset(0);
  }

  move(action) {
    if (action >= 0) this[action < 2 ? "vx" : "vy"] += action % 2 === 1 ? 1 : -1; // left, right, up, down
    this.vx *= 0.95;
    this.vy *= 0.95;
    this.x += this.vx;
    this.y += this.vy;
    const x = clamp(this.x, 1, WIDTH - 1), y = clamp(this.y, 1, HEIGHT - 1);
    if (x !== this.x || y !== this.y) [this.x, this.y, this.vx, this.vy] = [x, y, 0, 0]; // on both axes
  }

  pay() { return this.eaten[0] - this.eaten[1]; }

  sense() {
    this.look(this.angles);
    const [itemScale, agentScale] = this.exact ? [1 / 2.5, 1 / 19] : [1, 1];
    this.eyes.forEach(({ kind, distance, item }, eye) => {
      const at = 5 * eye;
      this.obs.fill(1, at, at + 3);
      if (kind !== NOTHING) this.obs[at + kind] = distance / this.reach;
      this.obs[at + 3] = item ? item.vx * itemScale : 0;
      this.obs[at + 4] = item ? item.vy * itemScale : 0;
    });
    this.obs[150] = this.vx * agentScale;
    this.obs[151] = this.vy * agentScale;
  }
}

const WHEELS = [[1, 1], [0.8, 1], [1, 0.8], [0.5, 0], [0, 0.5]]; // rotation of each, radians

/** The ConvNetJS demo. Observation (27,), and for each tick of `window` the eyes and the action before it. */
class RLDemo extends World {
  constructor({ window = 0 }) {
    // the inner boxes are open: each lacks its left wall
    const inner = [box(100, 100, 200, 300), box(400, 100, 200, 300)].flatMap((walls) => walls.slice(0, 3));
    const walls = [...box(10, 10, WIDTH - 20, HEIGHT - 20), ...inner];
    super({ exact: false, reach: 85, capacity: 30, itemSpeed: 0, start: [50, 50], walls, innerWalls: walls });
    this.offsets = Array.from({ length: 9 }, (_, eye) => (eye - 3) * 0.25);
    this.window = window;
    this.obs = new Float32Array(27 + 32 * window);
    this.reset(0);
  }

  /** Turn the wheels: each swings the axle about the other; a wall on the way undoes the move. */
  move(action) {
    if (action < 0) return;
    const [left, right] = WHEELS[action], { x, y, angle } = this, facing = angle + Math.PI / 2;
    const ax = (RADIUS / 2) * Math.sin(facing), ay = (RADIUS / 2) * Math.cos(facing); // half an axle
    const sinL = Math.sin(-left), cosL = Math.cos(-left), sinR = Math.sin(right), cosR = Math.cos(right);
    const oneX = x - ax + ax * cosL + ay * sinL, oneY = y - ay - ax * sinL + ay * cosL;
    const twoX = x + ax - ax * cosR - ay * sinR, twoY = y + ay + ax * sinR - ay * cosR;
    const toX = 0.5 * oneX + 0.5 * twoX, toY = 0.5 * oneY + 0.5 * twoY;
    this.angle -= left;
    if (this.angle < 0) this.angle += 2 * Math.PI;
    this.angle += right;
    if (this.angle > 2 * Math.PI) this.angle -= 2 * Math.PI;
    if (!wallBetween(x, y, toX, toY, this.walls)) [this.x, this.y] = [toX, toY];
    this.x = clamp(this.x, 0, WIDTH);
    this.y = clamp(this.y, 0, HEIGHT);
  }

  pay(action) {
    const open = this.eyes.reduce((sum, eye) => sum + (eye.kind === WALL ? eye.distance / this.reach : 1), 0);
    const awayFromWalls = Math.min(1, (open / this.eyes.length) * 2);
    const straight = action === 0 && awayFromWalls > 0.75 ? 0.1 * awayFromWalls : 0;
    return awayFromWalls + straight + 5 * this.eaten[0] - 6 * this.eaten[1];
  }

  /** Without an action the world did not come here by a tick, and its past is the present. */
  sense(action) {
    const { obs, window } = this;
    if (window && action !== undefined) {
      obs.copyWithin(27 + 32, 27, obs.length - 32);
      obs.copyWithin(27, 0, 27);
      for (let k = 0; k < 5; k++) obs[54 + k] = k === action ? 27 : 0;
    }
    this.look(this.offsets.map((offset) => this.angle + offset));
    this.eyes.forEach(({ kind, distance }, eye) => {
      obs.fill(1, 3 * eye, 3 * eye + 3);
      if (kind !== NOTHING) obs[3 * eye + kind] = distance / this.reach;
    });
    if (window && action === undefined) {
      for (let past = 0; past < window; past++) {
        obs.copyWithin(27 + 32 * past, 0, 27);
        obs.fill(0, 54 + 32 * past, 59 + 32 * past);
      }
    }
  }
}

const WORLDS = {
  "Waterworld-v0": (options) => new Waterworld({ ...options, exact: false }),
  "Waterworld-v1": (options) => new Waterworld({ ...options, exact: true }),
  "RLDemo-v0": (options) => new RLDemo({ ...options, window: options.temporal_window }),
};
