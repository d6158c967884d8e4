// DQN in the page: replay, epsilon-greedy play, a target network, Adam. Mnih et al. 2015; returns of n steps as in Rainbow.

class Learner {
  constructor(network, { gamma, learningRate, batch = 32, every = 4, capacity = 20000, starts = 500,
    targetPeriod = 250, nStep = 1, random = Math.random }) {
    Object.assign(this, { network, gamma, learningRate, batch, every, capacity, starts, targetPeriod, nStep, random });
    this.target = network.copy();
    this.replay = [];
    this.open = []; // transitions whose next rewards are still to come
    this.steps = this.kept = this.updates = 0;
    this.error = null; // mean |TD error| of the last updates
    this.moments = network.layers.map((layer) =>
      layer.parameters.map((values) => [new Float64Array(values.length), new Float64Array(values.length)]));
  }

  /** Take a step, keep what is n steps old, and learn from a batch of the replay every few steps. */
  add(obs, action, reward, nextObs) {
    const next = new Float64Array(nextObs);
    this.open.push({ obs: new Float64Array(obs), action, reward: 0, discount: 1, nextObs: next });
    for (const transition of this.open) {
      transition.reward += transition.discount * reward;
      transition.discount *= this.gamma;
      transition.nextObs = next;
    }
    if (this.open.length === this.nStep) this.keep(this.open.shift());
    this.steps += 1;
    if (this.replay.length >= this.starts && this.steps % this.every === 0) this.update();
  }

  /** An episode ends, or a step is not learnt from: no return reaches across. */
  cut() { while (this.open.length) this.keep(this.open.shift()); }

  keep(transition) {
    if (this.replay.length < this.capacity) this.replay.push(transition);
    else this.replay[this.kept % this.capacity] = transition;
    this.kept += 1;
  }

  update() {
    const { network, target, replay, batch } = this;
    for (const layer of network.layers) layer.slopes.forEach((slope) => slope.fill(0));
    let errors = 0;
    for (let k = 0; k < batch; k++) {
      const { obs, action, reward, discount, nextObs } = replay[Math.floor(this.random() * replay.length)];
      const goal = reward + discount * Math.max(...target.qValues(nextObs)); // our worlds never terminate
      const error = network.qValues(obs)[action] - goal;
      network.backward(action, clamp(error, -1, 1) / batch); // the slope of the Huber loss
      errors += Math.abs(error) / batch;
    }
    this.error = this.error === null ? errors : 0.98 * this.error + 0.02 * errors;
    this.updates += 1;
    this.adam();
    if (this.updates % this.targetPeriod === 0) this.target = network.copy();
  }

  /** Kingma and Ba 2015, arXiv:1412.6980, with its defaults. */
  adam() {
    const rate = this.learningRate * Math.sqrt(1 - 0.999 ** this.updates) / (1 - 0.9 ** this.updates);
    this.network.layers.forEach((layer, l) => layer.parameters.forEach((values, p) => {
      const slope = layer.slopes[p], [first, second] = this.moments[l][p];
      for (let k = 0; k < values.length; k++) {
        first[k] += 0.1 * (slope[k] - first[k]);
        second[k] += 0.001 * (slope[k] * slope[k] - second[k]);
        values[k] -= rate * first[k] / (Math.sqrt(second[k]) + 1e-8);
      }
    }));
  }
}
