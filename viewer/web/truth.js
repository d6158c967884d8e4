// The truth meter, by the rule of viewer/playing/calibration.py: the return that the network expected at each greedy
// step against the discounted return that followed; what is not observed yet is the network's own value.

const NEGLIGIBLE = 0.01; // weight of the rest below which a return counts as known

class TruthMeter {
  constructor(gamma, learnt = (reward) => reward, kept = 1000) {
    Object.assign(this, { gamma, learnt, kept });
    this.open = []; // {step, expected, observed, weight}
    this.pairs = []; // {step, expected, realised, remaining}
  }

  /** Close, in a state of this value, what is known by now; all if an action other than the greedy one is taken. */
  arrive(value, greedy) {
    while (this.open.length && (!greedy || this.open[0].weight < NEGLIGIBLE)) this.close(value);
  }

  close(value) {
    const { step, expected, observed, weight } = this.open.shift();
    this.pairs.push({ step, expected, realised: observed + weight * value, remaining: weight });
    if (this.pairs.length > this.kept) this.pairs.shift();
  }

  /** A step: q (A) before the action, the action, whether it was the greedy one, and the reward for it. */
  add(step, q, action, greedy, reward) {
    this.arrive(Math.max(...q), greedy);
    if (greedy) this.open.push({ step, expected: q[action], observed: 0, weight: 1 });
    for (const one of this.open) {
      one.observed += one.weight * this.learnt(reward);
      one.weight *= this.gamma;
    }
  }

  /** The episode was cut off in a state of these Q values. */
  end(q) { this.arrive(Math.max(...q), false); }

  /** By how much the network expects too much, on average, and the mean distance; null without pairs. */
  get summary() {
    const shares = this.pairs.reduce((sum, pair) => sum + 1 - pair.remaining, 0);
    if (!(shares > 0)) return null;
    const over = (f) => this.pairs.reduce((sum, pair) => sum + f(pair.expected - pair.realised), 0) / shares;
    return { bias: over((error) => error), error: over(Math.abs), pairs: this.pairs.length };
  }
}
