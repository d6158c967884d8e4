"""The pages in a real browser: worlds and networks against Python's, keys, learning, layout, old browsers."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import compare
import envs
from agents import recipe
from agents.loading import load_policy
from common.files import PRETRAINED
from learning.insight import reader_of
from learning.policy import Policy, player
from tests.viewer.web.conftest import RLDEMO, V1, Browser, live_page
from viewer.opening import open_session
from viewer.options import Options
from viewer.playing import players
from viewer.playing.session import Session
from viewer.web import recording
from viewer.web.weights import network_of

GOLDEN = Path(__file__).parents[2] / "golden"


def packed(array: Any) -> dict[str, Any]:
    data = np.ascontiguousarray(array, "<f8")
    return {"bytes": base64.b64encode(data.tobytes()).decode(), "shape": list(data.shape)}


UNPACK = """
const unpack = ({ bytes, shape }) => {
  const flat = new Float64Array(tidepool.bytesOf(bytes).buffer), size = flat.length / shape[0];
  return Array.from({ length: shape[0] }, (_, k) => flat.subarray(k * size, (k + 1) * size));
};
const rows = (flat, count, width) =>
  Array.from({ length: count }, (_, k) => Array.from(flat.slice(k * width, (k + 1) * width)));
const columns = (world) => world.itemSpeed > 0 ? ["x", "y", "vx", "vy", "type", "age"] : ["x", "y", "type", "age"];
"""
EVERY_TICK = (
    UNPACK
    + """
const [name, packed] = arguments, world = tidepool.WORLDS[name]({}), names = columns(world);
const golden = Object.fromEntries(Object.entries(packed).map(([key, value]) => [key, unpack(value)]));
const worst = { obs: 0, pos: 0, motion: 0, items: 0, reward: 0 };
const items = (t) => rows(golden.items[t], golden.item_count[t][0], names.length);
const differ = (key, found, wanted) => found.forEach((value, k) => {
  const far = Math.abs(value - wanted[k]);
  if (!(far <= worst[key])) worst[key] = far;
});
const motion = () => golden.vel ? [world.vx, world.vy] : [world.angle];
for (let t = 0; t < golden.action.length; t++) {
  world.clock = golden.clock[t][0];
  [world.x, world.y] = golden.pos[t];
  if (golden.vel) [world.vx, world.vy] = golden.vel[t]; else world.angle = golden.angle[t][0];
  const named = (row) => Object.fromEntries(row.map((value, k) => [names[k], value]));
  world.items = items(t).map((row) => ({ vx: 0, vy: 0, ...named(row) }));
  world.sense();
  differ("obs", world.obs, golden.obs[t]);
  differ("reward", [world.step(golden.action[t][0])], golden.reward[t]);
  differ("pos", [world.x, world.y], golden.pos[t + 1]);
  differ("motion", motion(), (golden.vel ?? golden.angle)[t + 1]);
  if (golden.random_event[t][0]) continue;
  const after = items(t + 1);
  if (after.length !== world.items.length) worst.items = Infinity;
  else after.forEach((row, k) => differ("items", names.map((column) => world.items[k][column]), row));
}
return worst;
"""
)


@pytest.mark.parametrize(("file", "name"), [("waterworld_v0.npz", "Waterworld-v0"), ("rldemo_v0.npz", "RLDemo-v0")])
def test_every_golden_tick_is_the_originals(browser: Browser, water: Path, file: str, name: str) -> None:
    browser.open(water)
    golden = {key: packed(value) for key, value in np.load(GOLDEN / file).items()}
    worst = browser.run(EVERY_TICK, name, golden)
    # observations are float32 here as in Python: half a unit in the last place of the largest value, 19
    assert worst.pop("obs") < 19 * 2**-24
    assert worst.keys() == {"pos", "motion", "items", "reward"}
    assert max(worst.values()) < 1e-9


FROM_A_SEED = (
    UNPACK
    + """
const [name, options, seed, actions] = arguments, world = tidepool.WORLDS[name](options), found = [];
world.reset(seed);
for (const action of actions) {
  const reward = world.step(action);
  found.push([world.x, world.y, reward, world.items.length]);
}
return { found, obs: Array.from(world.obs), rng: String(world.random.state),
  items: world.items.map((item) => columns(world).map((column) => item[column])) };
"""
)


@pytest.mark.parametrize(
    ("env_id", "options"), [("Waterworld-v0", {}), ("Waterworld-v1", {}), ("RLDemo-v0", {"temporal_window": 2})]
)
def test_a_seed_and_actions_are_the_same_episode_as_in_python(
    browser: Browser, water: Path, env_id: str, options: dict[str, Any]
) -> None:
    browser.open(water)
    env: Any = envs.make(f"tidepool/{env_id}", **options)
    actions = [int(action) for action in np.random.default_rng(0).integers(-1, env.action_space.n, 700)]
    obs, _ = env.reset(seed=11)
    expected = []
    for action in actions:
        obs, reward, *_ = env.unwrapped.step(action)
        state = env.unwrapped.get_state()
        expected.append([*state["pos"], reward, len(state["items"])])
    page_has = browser.run(FROM_A_SEED, env_id, options, 11, actions)
    assert page_has["rng"] == str(state["rng"]), "as many random numbers"
    np.testing.assert_allclose(page_has["found"], expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(page_has["items"], state["items"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(page_has["obs"], obs, rtol=0, atol=1e-6)


FAMILY: dict[str, dict[str, Any]] = {
    "dqn": {},
    "d3qn": {},
    "dueling_dqn": {"head_hidden": (12,)},
    "noisy_dqn": {},
    "c51": {},
    "qr_dqn": {"num_quantiles": 16},
    "iqn": {},
    "rainbow": {"head_hidden": (12,)},
    "hl_gauss": {},
    "pqn": {},
}


def untrained(agent: str, env_id: str, **settings: Any) -> Policy:
    found = recipe(agent)
    config = found.config(**{**found.switches, "hidden": (24, 16), **settings})
    env: Any = envs.make(env_id)
    actions = int(env.action_space.n)
    network = found.network(env.observation_space, actions, config, torch.Generator().manual_seed(1))
    with torch.no_grad():
        for weights in network.parameters():
            weights.mul_(2.0)  # expectations of about 1, and biases that are not 0
            weights.add_(0.01)
    return player(agent, config, env_id, network, actions)


def observations(env_id: str, **options: Any) -> Any:
    env: Any = envs.make(env_id, **options)
    found = [env.reset(seed=seed)[0] for seed in range(3)]
    for action in np.random.default_rng(0).integers(0, env.action_space.n, 30):
        found.append(env.step(int(action))[0])
    return np.array(found, np.float32)


def q_in_page(browser: Browser, policy: Policy, obs: Any) -> Any:
    script = "const net = tidepool.readNetwork(arguments[0]); return arguments[1].map((obs) => net.qValues(obs));"
    return np.array(browser.run(script, network_of(policy).as_json(), obs.tolist()))


def test_networks_agree_with_pytorch(browser: Browser, water: Path) -> None:
    browser.open(water)
    obs = observations(V1)
    policies = [untrained(agent, V1, **settings) for agent, settings in FAMILY.items()]
    policies += [untrained(agent, V1, **FAMILY[agent], canonical=True) for agent in ("d3qn", "qr_dqn", "iqn")]
    policies += [load_policy(PRETRAINED / "waterworld"), load_policy(PRETRAINED / "waterworld_rainbow")]
    for policy in policies:
        expected: Any = policy.q_values(obs)
        assert np.ptp(expected) > 0.01, policy.name
        np.testing.assert_allclose(q_in_page(browser, policy, obs), expected, rtol=1e-6, atol=1e-5, err_msg=policy.name)


@pytest.mark.parametrize("canonical", [False, True])
def test_gradients_agree_with_pytorch(browser: Browser, water: Path, canonical: bool) -> None:
    browser.open(water)
    policy, obs = untrained("d3qn", V1, canonical=canonical), observations(V1)[10]
    script = """const net = tidepool.readNetwork(arguments[0]); net.act(arguments[1]);
    return Array.from(net.backward(2, 1)).map(Math.abs);"""
    found = browser.run(script, network_of(policy).as_json(), obs.tolist())
    reader = reader_of(policy)
    assert reader is not None
    np.testing.assert_allclose(found, reader.saliency(obs, 2), rtol=1e-4, atol=1e-6)


def test_karpathys_networks_agree_too(browser: Browser, water: Path) -> None:
    browser.open(water)
    for file, obs in (
        ("reinforcejs_wateragent.json", observations("tidepool/Waterworld-v0")),
        ("convnetjs_rldemo_net.json", observations(RLDEMO, temporal_window=1)),
    ):
        policy = load_policy(PRETRAINED / file)
        expected: Any = policy.q_values(obs)
        np.testing.assert_allclose(q_in_page(browser, policy, obs), expected, rtol=0, atol=1e-5)


def session_of(policy: Policy, seed: int) -> Session:
    rules = players.rules_for(policy.env_id or V1, policy)
    return open_session(Options(seed=seed, epsilon=0.0), policy, rules)


def test_the_agent_plays_the_episode_that_the_window_shows(browser: Browser, water: Path) -> None:
    """Also the truth meter measures the same."""
    browser.open(water, before="requestAnimationFrame = () => {}")
    session = session_of(load_policy(PRETRAINED / "waterworld"), 1)
    for _ in range(400):
        session.step()
    script = """
    const { session } = tidepool;
    for (let k = 0; k < 400; k++) session.step();
    return { score: session.score, apples: session.apples, q: session.output.q, truth: session.truth.summary };
    """
    found = browser.run(script)
    assert (found["score"], found["apples"]) == (session.score.episode_return, session.score.apples)
    assert found["apples"] > 5
    np.testing.assert_allclose(found["q"], session.q_values(), atol=1e-4)  # type: ignore[arg-type]
    assert session.truth is not None
    truth = session.truth.calibration()
    assert found["truth"]["pairs"] == truth.pairs > 50
    assert found["truth"]["bias"] == pytest.approx(truth.bias, abs=1e-4)
    assert found["truth"]["error"] == pytest.approx(truth.error, abs=1e-4)


def test_keys_take_over_and_hand_back(browser: Browser, water: Path) -> None:
    browser.open(water)
    browser.until("tidepool.session.total > 3")
    assert browser.text("#who") == "the agent plays"
    browser.key("ArrowRight", 39, down=True)
    browser.until("tidepool.session.last.human && tidepool.session.last.action === 1")
    browser.until("document.querySelector('#who').textContent === 'you play'")
    browser.key("ArrowRight", 39, down=False)
    browser.until("tidepool.session.last.human && tidepool.session.last.action === -1")  # it coasts
    browser.key("Enter", 13, down=True)
    browser.key("Enter", 13, down=False)
    browser.until("document.querySelector('#who').textContent === 'the agent plays'")
    browser.until("!tidepool.session.last.human")
    browser.key("ArrowUp", 38, down=True)
    browser.key("ArrowUp", 38, down=False)
    browser.until("tidepool.session.human")
    browser.until("!tidepool.session.human")  # two seconds without a key
    assert browser.errors() == []


def test_an_action_can_be_held_on_its_row(browser: Browser, water: Path) -> None:
    browser.open(water)
    press = "document.querySelectorAll('.action')[2].on{}({{ pointerId: 1 }})"
    browser.run("Element.prototype.setPointerCapture = () => {};" + press.format("pointerdown"))
    browser.until("tidepool.session.last?.human && tidepool.session.last.action === 2")
    browser.until("document.querySelectorAll('.action')[2].classList.contains('human')")
    browser.run(press.format("pointerup"))
    browser.until("!tidepool.session.human")


def test_buttons_and_keys_of_time(browser: Browser, wheels: Path) -> None:
    browser.open(wheels)
    browser.key(" ", 32, down=True)
    browser.until("tidepool.clock.paused")
    steps = browser.run("return tidepool.session.total")
    browser.key("n", 78, down=True)
    assert browser.run("return tidepool.session.total") == steps + 1
    browser.run("[...document.querySelectorAll('button')].find((one) => one.textContent === 'Agent view').click()")
    browser.until("document.querySelector('[title*=\"(V)\"]').getAttribute('aria-pressed') === 'true'")
    for _ in range(9):
        browser.key("+", 187, down=True)
    browser.until("document.querySelector('.speed output').textContent === 'max'")
    browser.key(" ", 32, down=True)
    browser.until(f"tidepool.session.total > {steps} + 200")
    browser.key("ArrowDown", 40, down=True)
    browser.key("ArrowLeft", 37, down=True)
    assert browser.run("return tidepool.session.humanAction") == 4, "with down it turns sharply"
    assert browser.errors() == []


LEARN = """
const { session, Random } = tidepool, random = new Random(arguments[0]);
session.random = () => random.uniform(0, 1);
const play = (steps) => {
  let sum = 0;
  for (let k = 0; k < steps; k++) {
    if (session.finished) session.nextEpisode();
    session.step();
    sum += session.last.reward;
  }
  return sum / steps;
};
session.startAnew();
session.learning = session.fading = false;
const before = play(600);
session.learning = session.fading = true;
play(arguments[1]);
session.learning = false;
session.epsilon = 0.05;
return [before, play(1000), session.learner.updates];
"""


def test_learning_in_the_page_raises_the_score(browser: Browser, wheels: Path) -> None:
    """Random play gets 0.73 a step, Karpathy's trained network 1.09 (scores/data/reference_scores.csv)."""
    browser.open(wheels, before="requestAnimationFrame = () => {}")
    before, after, updates = browser.run(LEARN, 1, 3000)
    assert updates > 1000
    assert before < 0.8
    assert after > before + 0.15


def test_returns_of_n_steps_end_where_an_episode_does(browser: Browser, wheels: Path) -> None:
    browser.open(wheels, before="requestAnimationFrame = () => {}")
    script = """
    const { Learner, Network } = tidepool, network = Network.random(1, [2], 2, Math.random);
    const learner = new Learner(network, { gamma: 0.5, learningRate: 0.1, nStep: 3, starts: 100, capacity: 4 });
    [1, 2, 4, 8].forEach((reward, k) => learner.add([k], k % 2, reward, [k + 1]));
    learner.cut();
    const first = learner.replay.map((one) => [one.obs[0], one.action, one.reward, one.discount, one.nextObs[0]]);
    learner.add([9], 0, 16, [10]);
    learner.cut();
    return [first, learner.replay.map((one) => one.reward), learner.open.length];
    """
    first, rewards, still_open = browser.run(script)
    assert first == [
        [0, 0, 1 + 0.5 * 2 + 0.25 * 4, 0.125, 3],
        [1, 1, 2 + 0.5 * 4 + 0.25 * 8, 0.125, 4],
        [2, 0, 4 + 0.5 * 8, 0.25, 4],
        [3, 1, 8, 0.5, 4],
    ]
    assert rewards == [16, 6, 8, 8], "the oldest makes room"
    assert still_open == 0


def test_the_target_network_is_the_network_of_some_updates_ago(browser: Browser, wheels: Path) -> None:
    browser.open(wheels, before="requestAnimationFrame = () => {}")
    script = """
    const { Learner, Network } = tidepool, network = Network.random(1, [4], 2, Math.random);
    const settings = { gamma: 0.5, learningRate: 0.1, batch: 4, every: 1, starts: 1, targetPeriod: 3 };
    const learner = new Learner(network, settings), values = [];
    for (let k = 0; k < 5; k++) {
      values.push([learner.updates, [...learner.target.qValues([1])], [...network.qValues([1])]]);
      learner.add([1], k % 2, 1, [1]);
    }
    return values;
    """
    found = browser.run(script)
    assert [updates for updates, _, _ in found] == [0, 1, 2, 3, 4]
    targets, values = ([one[k] for one in found] for k in (1, 2))
    assert targets == [values[0], values[0], values[0], values[3], values[3]]
    assert len({str(one) for one in values}) == 5


def test_a_step_that_is_not_learnt_from_ends_the_returns_before_it(browser: Browser, wheels: Path) -> None:
    browser.open(wheels, before="requestAnimationFrame = () => {}")
    script = """
    const { session } = tidepool;
    session.data.learner.nStep = 3;
    session.learning = true;
    session.step();
    const open = [session.learner.open.length];
    session.learning = false;
    session.step();
    open.push(session.learner.open.length);
    session.learning = true;
    session.step();
    session.restart();
    open.push(session.learner.open.length);
    return [open, session.learner.replay.map((one) => one.discount)];
    """
    still_open, discounts = browser.run(script)
    gamma = browser.run("return tidepool.session.gamma")
    assert still_open == [1, 0, 0]
    assert discounts == [gamma, gamma]


def test_a_trained_agent_that_learns_on_does_not_forget(browser: Browser, wheels: Path) -> None:
    browser.open(wheels, before="requestAnimationFrame = () => {}")
    script = """
    const { session, Random } = tidepool, random = new Random(3);
    session.random = () => random.uniform(0, 1);
    session.learning = true;
    let sum = 0;
    for (let k = 0; k < 3000; k++) { session.step(); if (k >= 1500) sum += session.last.reward; }
    const changed = session.network.qValues(session.world.obs), first = session.trained.qValues(session.world.obs);
    session.backToTrained();
    return [sum / 1500, changed, first, session.network.qValues(session.world.obs)];
    """
    reward, changed, first, back = browser.run(script)
    assert reward > 0.95
    assert changed != first
    assert back == first


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Session]:
    policy = untrained("c51", "CartPole-v1", num_atoms=11)
    session = session_of(policy, 5)
    path = tmp_path_factory.mktemp("recorded") / "agent.html"
    rules = players.rules_for("CartPole-v1", policy)
    path.write_text(recording.make(session, rules, "untrained", episodes=2, steps=60), encoding="utf-8")
    return path, session


def test_a_recorded_page_follows_its_scrubber(browser: Browser, recorded: tuple[Path, Session]) -> None:
    path, session = recorded
    browser.open(path)
    browser.run("tidepool.go(4)")
    browser.until("document.querySelector('#explained').textContent.startsWith('step 4:')")
    moments = list(session.timeline)
    assert "step 4 of" in browser.text("#moment")
    assert browser.text("#score") == "4"
    assert moments[4].q_values is not None
    shown = [browser.text(f".action:nth-child({k + 1}) output").replace("\N{MINUS SIGN}", "-") for k in range(2)]
    assert [float(text) for text in shown] == pytest.approx(moments[4].q_values, abs=0.006)
    assert "TD error" in browser.text("#explained")
    assert len(browser.run("return [...document.querySelectorAll('#inputs tr')]")) == 4
    picture = "document.getElementById('picture').getContext('2d').getImageData(0, 0, 480, 320).data"
    count = f"const data = {picture}; return [data[0], data.reduce((dark, value) => dark + (value < 50), 0)]"
    sky, dark = browser.run(count)
    assert sky == 255
    assert dark > 1000, "the cart"
    browser.key("ArrowRight", 39, down=True)
    browser.until("tidepool.at === 5")
    browser.key("End", 35, down=True)
    browser.until(f"tidepool.at === {len(moments) - 1}")
    browser.run("tidepool.clock.speed = 0.25")
    browser.key(" ", 32, down=True)
    browser.until(f"tidepool.at > 0 && tidepool.at < {len(moments) - 1}")  # it plays from the start again
    assert browser.errors() == []


@pytest.mark.parametrize("width", [1400, 400])
def test_pages_fit_their_window(browser: Browser, water: Path, recorded: tuple[Path, Session], width: int) -> None:
    for path in (water, recorded[0]):
        browser.open(path, width, 900)
        browser.until("document.querySelector('#score').textContent !== ''")
        assert browser.run("return document.documentElement.scrollWidth") == width
        assert (
            browser.run(
                "return Math.min(...[...document.querySelectorAll('p, button, small, output, h2')]"
                ".filter((one) => one.getClientRects().length)"
                ".map((one) => parseFloat(getComputedStyle(one).fontSize)))"
            )
            >= 12
        )
        assert browser.errors() == []


def test_a_page_shows_its_numbers_before_its_first_frame(browser: Browser, water: Path) -> None:
    browser.open(water, width=400, height=850, before="window.requestAnimationFrame = () => 0")
    rows = browser.run("return [...document.querySelectorAll('.action')].map((row) => row.innerText)")
    assert all(any(letter.isdigit() for letter in row) for row in rows), rows
    assert browser.errors() == []


def test_an_old_browser_shows_a_sentence(browser: Browser, water: Path) -> None:
    browser.open(water, before="delete window.BigInt")
    assert browser.shows("#old")
    assert not browser.shows("#app")
    assert "browser of 2022 or newer" in browser.text("#old")
    browser.open(water)
    assert not browser.shows("#old")
    assert browser.shows("#app")


def test_a_page_that_fails_says_why_first_and_what_it_needs(browser: Browser, water: Path) -> None:
    browser.open(water, before="delete Element.prototype.append")
    assert not browser.shows("#app")
    said = browser.text("#old")
    assert said.startswith(
        "This page has failed: Uncaught TypeError: made.append is not a function. This page needs"
    ), said
    assert said.endswith("Safari 15.4).")


def test_a_page_that_was_cut_off_says_so(browser: Browser, water: Path, tmp_path: Path) -> None:
    whole = water.read_text(encoding="utf-8")
    (tmp_path / "cut.html").write_text(whole[: whole.index('<script type="module">') - 100], encoding="utf-8")
    browser.open(tmp_path / "cut.html")
    browser.until("document.getElementById('old').textContent.includes('cut off')")
    assert browser.shows("#old")
    assert not browser.shows("#app")


def test_pictures_that_a_browser_cannot_show_are_said(browser: Browser, recorded: tuple[Path, Session]) -> None:
    failing = "{ set() { setTimeout(() => this.onerror?.(new Event('error'))); } }"
    browser.open(recorded[0], before=f"Object.defineProperty(HTMLImageElement.prototype, 'src', {failing})")
    browser.until("document.getElementById('old').textContent.includes('WebP')")
    assert not browser.shows("#app")


def test_names_are_text(browser: Browser, tmp_path: Path) -> None:
    policy: Any = untrained("dqn", V1)
    policy.name = "</script><img src=x onerror='document.title = 1'>"
    browser.open(live_page(tmp_path, policy))
    assert browser.text("h1").startswith(policy.name)
    assert browser.run("return document.querySelectorAll('img').length") == 0
    assert browser.errors() == []


def test_an_agent_plays_in_a_report(browser: Browser, tmp_path: Path) -> None:
    compare.main(["--runs-dir", str(tmp_path), "--env-id", V1, "--report", str(tmp_path / "report.html")])
    browser.open(tmp_path / "report.html")
    assert browser.run("return document.documentElement.scrollWidth") == 1400
    browser.run("document.querySelector('details').open = true")
    browser.run("document.querySelector('details').scrollIntoView()")
    browser.until("document.querySelector('iframe').contentWindow.tidepool?.session.total > 5")
    assert browser.errors() == []
