// One world in play: who acts, the score, the truth meter, the learner. No drawing here.

class Session {
  constructor(data, network = readNetwork(data.network)) {
    Object.assign(this, { data, trained: network, epsilon: data.epsilon, seed: data.seed });
    this.world = WORLDS[data.world](data.options);
    this.results = [];
    this.total = 0; // steps since the page opened
    this.random = Math.random;
    this.held = []; // keys that are down, in the order of pressing
    this.pressed = null; // an action that is held on its bar
    this.human = false;
    this.learning = false;
    this.useNetwork(network.copy(), data.gamma);
    this.begin(0);
  }

  learnt(reward) {
    return (this.data.clipped ? clamp(reward, -1, 1) : reward) * this.data.rewardScale;
  }

  useNetwork(network, gamma) {
    this.network = network;
    this.gamma = gamma;
    this.learner = null;
    this.truth = new TruthMeter(gamma, (reward) => this.learnt(reward));
    this.history = []; // of the last steps: {step, expected, human}
    this.output = network.act(this.world.obs);
  }

  begin(episode) {
    this.learner?.cut();
    this.episode = episode;
    this.world.reset(this.seed + episode);
    Object.assign(this, { steps: 0, score: 0, apples: 0, poison: 0, humanSteps: 0, finished: false, last: null });
    this.output = this.network.act(this.world.obs);
  }

  restart() {
    if (!this.finished) this.truth.end(this.output.q);
    this.begin(this.episode);
  }

  nextEpisode() { this.begin(this.episode + 1); }

  /** The action of the keys that are held: a combination before its parts, of single keys the one pressed last. */
  get humanAction() {
    if (this.pressed !== null) return this.pressed;
    const chord = this.data.keys.find(([keys]) => keys.length > 1 && keys.every((key) => this.held.includes(key)));
    if (chord) return chord[1] ?? -1;
    for (const key of [...this.held].reverse()) {
      const rule = this.data.keys.find(([keys]) => keys.length === 1 && keys[0] === key);
      if (rule) return rule[1] ?? -1;
    }
    return -1; // coast
  }

  agentAction() {
    if (this.random() < this.epsilon) return Math.floor(this.random() * this.data.actions.length);
    return argmax(this.output.q);
  }

  step() {
    if (this.finished) return this.nextEpisode();
    const { world, human } = this, { q } = this.output, obs = world.obs.slice();
    const action = human ? this.humanAction : this.agentAction();
    const greedy = !human && q[action] >= Math.max(...q);
    const reward = world.step(action);
    this.truth.add(this.total, q, action, greedy, reward);
    this.history.push({ step: this.total, expected: action < 0 ? NaN : q[action], human });
    if (this.history.length > 400) this.history.shift();
    this.steps += 1;
    this.total += 1;
    this.score += reward;
    this.humanSteps += human;
    this.apples += world.eaten[0];
    this.poison += world.eaten[1];
    if (this.learning && action >= 0) this.learn(obs, action, reward);
    else this.learner?.cut();
    this.output = this.network.act(world.obs);
    this.last = { action, human, greedy, reward: this.learnt(reward), expected: action < 0 ? null : q[action],
      value: Math.max(...this.output.q), next: argmax(this.output.q) };
    if (this.steps >= this.data.horizon) this.end();
  }

  end() {
    this.finished = true;
    this.truth.end(this.output.q);
    this.results.push({ value: this.score, human: this.humanSteps > this.steps / 2 });
  }

  learn(obs, action, reward) {
    this.learner ??= new Learner(this.network, { gamma: this.gamma, random: () => this.random(), ...this.data.learner });
    this.learner.add(obs, action, this.learnt(reward), this.world.obs);
    if (this.fading) this.epsilon = Math.max(0.05, this.epsilon - 0.95 / this.data.fresh.epsilonSteps);
  }

  /** Start with random weights, and explore; the trained network can be had back. */
  startAnew() {
    const { hidden, gamma, learner } = this.data.fresh, inputs = this.world.obs.length;
    this.useNetwork(Network.random(inputs, hidden, this.data.actions.length, this.random), gamma);
    this.learner = new Learner(this.network, { gamma, random: () => this.random(), ...learner });
    Object.assign(this, { epsilon: 1, fading: true, learning: true, anew: true });
  }

  backToTrained() {
    this.useNetwork(this.trained.copy(), this.data.gamma);
    Object.assign(this, { epsilon: this.data.epsilon, fading: false, learning: false, anew: false });
  }
}
