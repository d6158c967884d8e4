// The network: the same layers as learning/networks.py, forwards for playing and backwards for learning.

const ACTIVATIONS = { // each with its derivative, as a function of its output
  relu: [(x) => Math.max(x, 0), (y) => (y > 0 ? 1 : 0)],
  tanh: [Math.tanh, (y) => 1 - y * y],
  sigmoid: [(x) => 1 / (1 + Math.exp(-x)), (y) => y * (1 - y)],
};

/** A fully connected layer, a normalisation if it has one, an activation if it has one; gradients add up in `slope`. */
class Dense {
  constructor({ weight, bias, norm = null, activation = null }) {
    Object.assign(this, { weight, bias, norm, activation });
    this.outputs = bias.length;
    this.inputs = weight.length / bias.length;
    this.parameters = [weight, bias, ...(norm ? [norm.weight, norm.bias] : [])];
    this.slopes = this.parameters.map((values) => new Float64Array(values.length));
  }

  static random(inputs, outputs, activation, random) {
    const bound = 1 / Math.sqrt(inputs), draw = () => (2 * random() - 1) * bound;
    return new Dense({ weight: Float32Array.from({ length: inputs * outputs }, draw),
      bias: Float32Array.from({ length: outputs }, draw), activation });
  }

  copy() {
    const norm = this.norm && { ...this.norm, weight: this.norm.weight.slice(), bias: this.norm.bias.slice() };
    return new Dense({ weight: this.weight.slice(), bias: this.bias.slice(), norm, activation: this.activation });
  }

  forward(given) {
    const x = given instanceof Float64Array ? given : new Float64Array(given); // one kind of array keeps loops fast
    const { weight, bias, inputs, outputs } = this, out = new Float64Array(outputs);
    for (let row = 0, at = 0; row < outputs; row++) {
      let column = 0, [a, b, c, d] = [bias[row], 0, 0, 0]; // four sums: one would wait for each addition
      for (; column + 3 < inputs; column += 4, at += 4) {
        a += weight[at] * x[column];
        b += weight[at + 1] * x[column + 1];
        c += weight[at + 2] * x[column + 2];
        d += weight[at + 3] * x[column + 3];
      }
      for (; column < inputs; column++, at++) a += weight[at] * x[column];
      out[row] = a + b + c + d;
    }
    if (this.norm) this.normalise(out);
    if (this.activation) {
      const f = ACTIVATIONS[this.activation][0];
      for (let row = 0; row < outputs; row++) out[row] = f(out[row]);
    }
    this.x = x;
    this.out = out;
    return out;
  }

  normalise(out) {
    const { weight, bias, epsilon } = this.norm, count = out.length;
    const mean = out.reduce((sum, value) => sum + value, 0) / count;
    const variance = out.reduce((sum, value) => sum + (value - mean) ** 2, 0) / count;
    this.spread = Math.sqrt(variance + epsilon);
    this.normal = out.map((value) => (value - mean) / this.spread);
    for (let k = 0; k < count; k++) out[k] = this.normal[k] * weight[k] + bias[k];
  }

  /** From the slope of the loss by the outputs of the last `forward` to that by its inputs. */
  backward(slope) {
    const { weight, inputs, outputs, x, out } = this, [slopeWeight, slopeBias] = this.slopes;
    let by = slope;
    if (this.activation) {
      const derivative = ACTIVATIONS[this.activation][1];
      by = slope.map((value, row) => value * derivative(out[row]));
    }
    if (this.norm) by = this.backwardNorm(by);
    const before = new Float64Array(inputs);
    for (let row = 0; row < outputs; row++) {
      const own = by[row];
      if (own === 0) continue; // half of the rectifiers
      slopeBias[row] += own;
      for (let column = 0, at = row * inputs; column < inputs; column++, at++) {
        slopeWeight[at] += own * x[column];
        before[column] += own * weight[at];
      }
    }
    return before;
  }

  backwardNorm(slope) {
    const { normal, spread, norm } = this, [, , slopeWeight, slopeBias] = this.slopes, count = slope.length;
    const by = slope.map((value, k) => {
      slopeWeight[k] += value * normal[k];
      slopeBias[k] += value;
      return value * norm.weight[k];
    });
    const mean = by.reduce((sum, value) => sum + value, 0) / count;
    const along = by.reduce((sum, value, k) => sum + value * normal[k], 0) / count;
    return by.map((value, k) => (value - mean - normal[k] * along) / spread);
  }
}

const runLayers = (layers, x) => layers.reduce((values, layer) => layer.forward(values), x);
const runBack = (layers, slope) => layers.reduceRight((values, layer) => layer.backward(values), slope);

/**
 * Observation -> trunk -> advantages (and, if dueling, a value): K outputs for each of A actions.
 *
 * head: "expected" (K = 1), "categorical" (K probabilities of `atoms`), "quantile" (K equally likely returns) or
 * "implicit" (one return for each row of `embedding`, which multiplies the features). `act` gives {q, returns,
 * probabilities}: q (A), the others (A, K) or null.
 */
class Network {
  constructor({ scale = null, trunk, advantage, value = null, actions, outputs = 1, head = "expected", atoms = null,
    embedding = null, mirrors = null }) {
    Object.assign(this, { scale, trunk, advantage, value, actions, outputs, head, atoms, embedding, mirrors });
    this.layers = [...trunk, ...advantage, ...(value ?? [])];
  }

  static random(inputs, hidden, actions, random) {
    const widths = [inputs, ...hidden];
    const trunk = hidden.map((width, k) => Dense.random(widths[k], width, "relu", random));
    return new Network({ trunk, advantage: [Dense.random(widths.at(-1), actions, null, random)], actions });
  }

  copy() {
    const copies = (layers) => layers && layers.map((layer) => layer.copy());
    return new Network({ ...this, trunk: copies(this.trunk), advantage: copies(this.advantage), value: copies(this.value) });
  }

  get learns() { return this.head === "expected"; }

  /** Which of an observation's mirror images is the canonical one, if it has any; see envs/mirrors.py. */
  image(obs) { return this.mirrors ? this.mirrors.by.reduce((image, k, bit) => image + ((obs[k] < 0) << bit), 0) : 0; }

  /** A list of actions' values, of the image's actions: that of the observation's own. */
  back(values, image) { return values && this.mirrors ? this.mirrors.action[image].map((a) => values[a]) : values; }

  features(obs) {
    const image = this.image(obs), { order, sign } = this.mirrors ?? {};
    const x = this.mirrors ? Float64Array.from(order[image], (from, k) => sign[image][k] * obs[from]) : new Float64Array(obs);
    if (this.scale) for (let k = 0; k < x.length; k++) x[k] *= this.scale[k];
    return runLayers(this.trunk, x);
  }

  /** A x K outputs, action by action. */
  outputsOf(features) {
    const { actions, outputs } = this, out = new Float64Array(runLayers(this.advantage, features));
    if (!this.value) return out;
    const value = runLayers(this.value, features);
    for (let k = 0; k < outputs; k++) {
      let mean = 0;
      for (let a = 0; a < actions; a++) mean += out[a * outputs + k] / actions;
      for (let a = 0; a < actions; a++) out[a * outputs + k] += value[k] - mean;
    }
    return out;
  }

  qValues(obs) { return this.act(obs).q; }

  act(obs) {
    this.seen = this.image(obs);
    const { q, returns, probabilities } = this.actCanonically(obs);
    return { q: this.back(q, this.seen), returns: this.back(returns, this.seen), probabilities: this.back(probabilities, this.seen) };
  }

  actCanonically(obs) {
    const features = this.features(obs), rows = Array.from({ length: this.actions }, (_, a) => a);
    if (this.head === "implicit") {
      const each = this.embedding.map((row) => this.outputsOf(features.map((x, k) => x * row[k])));
      const returns = rows.map((a) => each.map((outputs) => outputs[a]));
      return { q: returns.map(mean), returns, probabilities: null };
    }
    const out = this.outputsOf(features);
    if (this.head === "expected") return { q: Array.from(out), returns: null, probabilities: null };
    const parts = rows.map((a) => Array.from(out.subarray(a * this.outputs, (a + 1) * this.outputs)));
    if (this.head === "quantile") return { q: parts.map(mean), returns: parts, probabilities: null };
    const probabilities = parts.map(softmax);
    const q = probabilities.map((row) => row.reduce((sum, p, k) => sum + p * this.atoms[k], 0));
    return { q, returns: rows.map(() => Array.from(this.atoms)), probabilities };
  }

  /** Add to the slopes those of Q(action), times `slope`, for the observation of the last `act`; return the inputs'. */
  backward(action, slope) {
    const dueling = this.value !== null, by = new Float64Array(this.actions).fill(dueling ? -slope / this.actions : 0);
    by[this.mirrors ? this.mirrors.action[this.seen][action] : action] += slope;
    const before = runBack(this.advantage, by);
    if (dueling) runBack(this.value, Float64Array.of(slope)).forEach((x, k) => { before[k] += x; });
    const inputs = runBack(this.trunk, before), own = this.scale ? inputs.map((x, k) => x * this.scale[k]) : inputs;
    if (!this.mirrors) return own;
    const { order, sign } = this.mirrors, slopes = new Float64Array(own.length);
    order[this.seen].forEach((from, k) => { slopes[from] = sign[this.seen][k] * own[k]; });
    return slopes;
  }
}

function mean(values) { return values.reduce((sum, x) => sum + x, 0) / values.length; }

function softmax(logits) {
  const most = Math.max(...logits), powers = logits.map((x) => Math.exp(x - most));
  const total = powers.reduce((sum, x) => sum + x, 0);
  return powers.map((x) => x / total);
}

/** Where the largest number is; what is no number, as of a damaged network, counts as less. */
function argmax(values) { return values.reduce((best, x, k) => (x > values[best] || Number.isNaN(values[best]) ? k : best), 0); }

/** The arrays of a page: base64 of little-endian numbers. */
function bytesOf(base64) { return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)); }

/** The network that viewer/web/weights.py wrote: its layers name places in one array of float32. */
function readNetwork({ spec, weights }) {
  const all = new Float32Array(bytesOf(weights).buffer);
  const at = (place) => place && all.subarray(place[0], place[0] + place[1]);
  const layers = (list) => list && list.map(({ weight, bias, norm, activation }) => new Dense({
    weight: at(weight), bias: at(bias), activation,
    norm: norm && { weight: at(norm.weight), bias: at(norm.bias), epsilon: norm.epsilon } }));
  let embedding = null;
  if (spec.embedding) {
    const flat = at(spec.embedding.values), width = flat.length / spec.embedding.rows;
    embedding = Array.from({ length: spec.embedding.rows }, (_, k) => flat.subarray(k * width, (k + 1) * width));
  }
  return new Network({ ...spec, scale: at(spec.scale), atoms: at(spec.atoms), embedding,
    trunk: layers(spec.trunk), advantage: layers(spec.advantage), value: layers(spec.value) });
}
