"""Atari: preprocessing against a reference, vector and single environment, explicit resets, protocols."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import ale_py
import gymnasium
import numpy as np
import pytest
from numpy.typing import NDArray

import envs
from common.errors import UserError
from envs import atari, protocols

PONG, BREAKOUT = "ALE/Pong-v5", "ALE/Breakout-v5"
PLAIN: dict[str, Any] = {"sticky": 0.0, "noops": 0, "frame_cap": 108_000}


def make_vec(env_id: str, num_envs: int, **options: Any) -> atari.AtariVector:
    vec = envs.make_vec(env_id, num_envs, **options)
    assert isinstance(vec, atari.AtariVector)
    return vec


# ---------------------------------------------------------------------- against a NumPy reference


def area_weights(size: int, into: int) -> NDArray[np.float64]:
    """Return W (into, size): the share of each old pixel in each new one; rows sum to 1."""
    edges = np.arange(into + 1) * size / into
    low, high = np.maximum.outer(edges[:-1], np.arange(size)), np.minimum.outer(edges[1:], np.arange(size) + 1.0)
    weights: NDArray[np.float64] = np.maximum(high - low, 0) / (size / into)
    return weights


class ReferenceAtari:
    """The paper's preprocessing, step by step: four frames, the maximum of the last two, grey, resized, stacked."""

    def __init__(self, rom: str, size: int) -> None:
        self.ale = ale_py.ALEInterface()
        self.ale.setFloat("repeat_action_probability", 0.0)
        self.ale.setInt("random_seed", 0)
        path = ale_py.roms.get_rom_path(rom)
        assert path is not None
        self.ale.loadROM(path)
        self.ale.reset_game()
        self.size = size
        self.stack = [np.zeros((size, size))] * 3 + [self.resize(self.grey())]

    def grey(self) -> NDArray[np.float64]:
        return self.ale.getScreenGrayscale().astype(np.float64)

    def resize(self, frame: NDArray[np.float64]) -> NDArray[np.float64]:
        height, width = frame.shape
        return area_weights(height, self.size) @ frame @ area_weights(width, self.size).T

    def step(self, action: int) -> float:
        reward, last = 0.0, self.grey()
        for _ in range(4):
            before, reward = last, reward + self.ale.act(self.ale.getMinimalActionSet()[action])
            last = self.grey()
        self.stack = [*self.stack[1:], self.resize(np.maximum(before, last))]
        return reward


@pytest.mark.parametrize(
    ("env_id", "rom", "size"), [(PONG, "pong", 84), (BREAKOUT, "breakout", 84), (PONG, "pong", 42)]
)
def test_observations_and_rewards_equal_the_reference(env_id: str, rom: str, size: int) -> None:
    env = envs.make(env_id, **PLAIN, frame_size=size)
    obs, _ = env.reset(seed=0)
    reference = ReferenceAtari(rom, size)
    rng = np.random.default_rng(0)
    rewards = []
    for _ in range(150):
        # both round once: never more than one grey level apart
        assert np.abs(obs - np.stack(reference.stack)).max() <= 1.0
        action = int(rng.integers(env.action_space.n))  # type: ignore[attr-defined]
        obs, reward, terminated, _, _ = env.step(action)
        assert reward == reference.step(action)
        rewards.append(reward)
        if terminated:
            break
    assert any(rewards)  # not only zeros were compared


# ---------------------------------------------------------------------- vector and single environment


@pytest.mark.parametrize("protocol", protocols.ATARI)
@pytest.mark.parametrize("env_id", [PONG, BREAKOUT])
def test_vector_and_single_environment_are_equal_frame_for_frame(env_id: str, protocol: str) -> None:
    options = envs.options(env_id, protocol, evaluation=False, frame_size=42)
    vec, env = make_vec(env_id, 3, **options), envs.make(env_id, "rgb_array", **options)
    obs, _ = vec.reset(seed=[5, 6, 2**32 - 1])
    single_obs, _ = env.reset(seed=6)
    np.testing.assert_array_equal(obs[1], single_obs)
    rng = np.random.default_rng(0)
    ended = 0
    for t in range(400):
        actions = rng.integers(0, vec.single_action_space.n, 3)  # type: ignore[attr-defined]
        obs, reward, terminated, truncated, info = vec.step(actions)
        single_obs, single_reward, over, cut, single_info = env.step(actions[1])
        np.testing.assert_array_equal(obs[1], single_obs)
        assert (reward[1], terminated[1], truncated[1]) == (single_reward, over, cut)
        assert {key: values[1] for key, values in info.items()} == single_info
        if over:
            ended += 1
            mask = np.array([False, True, False])
            untouched = obs[0].copy()
            obs, _ = vec.reset(seed=[None, 100 + t, None], options={"reset_mask": mask})
            np.testing.assert_array_equal(obs[0], untouched)
            single_obs, _ = env.reset(seed=100 + t)
            np.testing.assert_array_equal(obs[1], single_obs)
    assert ended or env_id == PONG
    env.close()
    vec.close()


def test_render_returns_the_screen_behind_the_observation() -> None:
    env = envs.make(PONG, "rgb_array", **{**PLAIN, "sticky": 0.25})
    env.reset(seed=3)
    for action in np.random.default_rng(1).integers(0, 6, 100):
        obs, *_ = env.step(action)
    screen: Any = env.render()
    assert screen.shape == (210, 160, 3)
    assert screen.dtype == np.uint8
    grey = screen @ np.array([0.2989, 0.587, 0.114])
    resized = area_weights(210, 84) @ grey @ area_weights(160, 84).T
    # the maximum of colours differs a little from the maximum of greys
    assert np.abs(resized - obs[-1]).mean() < 1.0
    assert envs.make(PONG).render() is None


def test_all_games_can_be_made_and_rendered() -> None:
    """All ids are resolved; one game in eight is made, as making one takes a while."""
    assert len(atari.games()) >= 100
    assert [envs.resolve(env_id) for env_id in atari.games()] == atari.games()
    for env_id in [*atari.games()[::8], "ALE/AirRaid-v5"]:  # the last one's screen has 250 lines
        env = envs.make(env_id, "rgb_array")
        obs, _ = env.reset(seed=0)
        assert obs.shape == (4, 84, 84)
        screen: Any = env.render()
        assert screen.shape == ((250 if "Air" in env_id else 210), 160, 3) or screen.shape[0] in (214, 220, 230, 250)
        assert len(envs.action_names(env)) == env.action_space.n  # type: ignore[attr-defined]
        env.close()


# ---------------------------------------------------------------------- seeds, lives, caps, rewards


def play(env_id: str, seeds: list[int], steps: int, num_threads: int = 1, **options: Any) -> list[NDArray[np.uint8]]:
    vec = make_vec(env_id, len(seeds), num_threads=num_threads, **options)
    seen = [vec.reset(seed=seeds)[0].copy()]
    rng = np.random.default_rng(0)
    for _ in range(steps):
        obs, *_ = vec.step(np.full(len(seeds), rng.integers(4)))
        seen.append(obs.copy())
    vec.close()
    return seen


@pytest.mark.parametrize("protocol", protocols.ATARI)
def test_episodes_depend_on_the_seed_only(protocol: str) -> None:
    options = envs.options(BREAKOUT, protocol)
    first, again = (play(BREAKOUT, [1, 2, 1], 100, **options) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(np.stack(first)[:, 0], np.stack(first)[:, 2])
    assert not np.array_equal(np.stack(first)[:, 0], np.stack(first)[:, 1])


def test_the_number_of_threads_changes_nothing() -> None:
    np.testing.assert_array_equal(play(PONG, [1, 2, 3, 4], 50), play(PONG, [1, 2, 3, 4], 50, num_threads=2))


def test_life_loss_is_reported_and_does_not_end_the_episode() -> None:
    env = envs.make(BREAKOUT, **PLAIN)
    env.reset(seed=0)
    losses, lives = [], [5]
    for t in range(400):
        *_, terminated, _, info = env.step(1 if t % 7 == 0 else 0)
        losses.append(info["life_lost"])
        lives.append(info["lives"])
        if terminated:
            break
    assert terminated
    assert sum(losses) == 4  # of five lives; losing the fifth ends the game
    assert not losses[-1]
    assert lives[-1] == 0
    assert [lives[i + 1] - lives[i] for i, lost in enumerate(losses) if lost] == [-1] * 4


@pytest.mark.parametrize("noops", [0, 30])
def test_the_frame_cap_counts_emulator_frames_and_truncates(noops: int) -> None:
    vec = make_vec(PONG, 1, sticky=0.0, noops=noops, frame_cap=400)
    vec.reset(seed=[3])
    for _ in range(100):
        *_, terminated, truncated, _ = vec.step(np.array([0]))
    assert truncated[0]
    assert not terminated[0]


def test_rewards_are_not_clipped() -> None:
    """A pill is worth 10 in Ms. Pac-Man; a clipped reward would be 1."""
    vec = make_vec("ALE/MsPacman-v5", 4, **PLAIN)
    vec.reset(seed=[1, 2, 3, 4])
    rng = np.random.default_rng(0)
    most = max(vec.step(rng.integers(0, 9, 4))[1].max() for _ in range(150))
    assert most >= 10.0  # a pill


def test_sticky_actions_repeat_at_random() -> None:
    """Machado et al. 2018: with probability 0.25 the last action is repeated, and equal games diverge."""
    random, deterministic = (
        play(PONG, list(range(6)), 60, sticky=sticky, noops=0, frame_cap=108_000) for sticky in (0.25, 0.0)
    )
    assert all(np.array_equal(frame[0], one) for frame in deterministic for one in frame)  # all are equal
    assert not any(np.array_equal(random[-1][0], one) for one in random[-1][1:])


def test_noops_randomise_the_start() -> None:
    _, info = make_vec(PONG, 15, sticky=0.0, noops=30, frame_cap=108_000).reset(seed=list(range(15)))
    starts = set(info["frames"].tolist())
    assert len(starts) > 5
    assert max(starts) <= 30
    assert min(starts) >= 0


def test_fire_begins_a_game_where_there_is_one() -> None:
    """Breakout's ball flies after FIRE, one frame at least; Freeway has none. In a mode of the game likewise."""
    options: dict[str, Any] = {"sticky": 0.0, "noops": 0, "frame_cap": 108_000, "fire": True}
    for env_id, frames in ((BREAKOUT, 1), ("ALE/Freeway-v5", 0)):
        _, info = make_vec(env_id, 2, **options).reset(seed=[1, 2])
        assert info["frames"].tolist() == [frames] * 2
    for fire in (True, False):
        vec: Any = make_vec(BREAKOUT, 1, **{**options, "fire": fire})
        of_mode: Any = envs.make(BREAKOUT, mode=0, **{**options, "fire": fire})
        for env, action in ((vec, np.array([0])), (of_mode, 0)):
            env.reset(seed=1)
            seen = [np.asarray(env.step(action)[0]).reshape(-1, 84, 84)[-1] for _ in range(12)]
            # without the ball nothing moves
            assert (np.ptp(seen, axis=0).max() > 0) == fire


# ---------------------------------------------------------------------- names


def test_protocols_equal_the_papers() -> None:
    default, nature, zoo = (envs.protocol(PONG, name) for name in ("default", "mnih2015", "dqn_zoo"))
    assert default.name == "machado2018"
    assert default.evaluation == {"sticky": 0.25, "noops": 0, "frame_cap": 108_000}
    assert not default.life_loss_cuts
    assert nature.evaluation == {"sticky": 0.0, "noops": 30, "frame_cap": 18_000}  # 5 minutes
    assert nature.training["frame_cap"] == 108_000
    assert (nature.eval_epsilon, nature.life_loss_cuts) == (0.05, True)
    assert zoo.evaluation == {"sticky": 0.0, "noops": 30, "frame_cap": 108_000}  # 30 minutes
    assert {one.frames_per_step for one in (default, nature, zoo)} == {4}
    # as their authors' environments: envpool's defaults, Gymnasium's AtariPreprocessing of a v5 game
    gallici, clark = (envs.protocol(PONG, name) for name in ("gallici2024", "clark2024"))
    assert gallici.evaluation == {**zoo.evaluation, "fire": True}
    assert (gallici.eval_epsilon, gallici.life_loss_cuts) == (0.0, True)
    assert clark.evaluation == {**default.evaluation, "noops": 30}
    assert (clark.eval_epsilon, clark.life_loss_cuts) == (0.0, False)


def test_every_protocol_is_known_to_the_scores() -> None:
    from scores.atari.normalization import protocol

    for name in protocols.ATARI:
        assert protocol(name).name == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ALE/Pnog-v5", r"unknown environment 'ALE/Pnog-v5'; did you mean ALE/Pong-v5"),
        ("Pong", r"did you mean ALE/Pong-v5\?"),
        ("PongNoFrameskip-v4", r"did you mean ALE/Pong-v5\?"),
        ("ALE/MsPackman-v5", r"did you mean ALE/MsPacman-v5"),
    ],
)
def test_a_misspelt_game_is_rejected_with_the_nearest_name(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        envs.resolve(name)


def test_short_names_and_wrong_protocols() -> None:
    assert envs.resolve("Pong-v5") == PONG
    with pytest.raises(UserError, match=r"unknown protocol 'mnih2016'; did you mean mnih2015"):
        envs.protocol(PONG, "mnih2016")
    with pytest.raises(UserError, match=r"--protocol mnih2015: CartPole-v1 has one protocol only, gymnasium-default"):
        envs.protocol("CartPole-v1", "mnih2015")


def test_without_ale_py_one_line_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['ale_py'] = None\n"
        "import envs\nfrom common.errors import UserError\n"
        "try: envs.resolve('ALE/Pong-v5')\nexcept UserError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "ALE/Pong-v5 needs the Atari emulator: pip install ale-py"


def test_invalid_resets_and_spaces_are_rejected() -> None:
    vec = make_vec(PONG, 2)
    with pytest.raises(ValueError, match="reset_mask must be bool"):
        vec.reset(seed=[1, 2], options={"reset_mask": np.array([1, 0])})
    with pytest.raises(ValueError, match="1 seeds were given for 2 environments"):
        vec.reset(seed=[1])
    with pytest.raises(UserError, match="only discrete actions"):
        envs.make("Pendulum-v1")
    assert "ALE/Pong-v5" in gymnasium.registry
