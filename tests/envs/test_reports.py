"""What users of other projects reported, tried here: docs/environments.md lists the reports."""

from __future__ import annotations

import random
import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from numpy.typing import NDArray

import envs
from common.errors import Note, UserError
from envs.pictures import as_picture, is_image
from learning.config import FamilyConfig
from learning.episodes import Episodes
from learning.evaluate import step_limit
from learning.policy import env_options
from tests.envs.odd import STEPS, Odd
from viewer.playing.session import Session


def registered(kind: Any, name: str = "") -> str:
    """Register an environment for this test, and return its id."""
    env_id = f"reports/{name or kind.__name__}-v0"
    gymnasium.registry.pop(env_id, None)
    gymnasium.register(env_id, entry_point=kind)
    return env_id


def first_steps(env_id: str, seed: int, count: int = 4, num_envs: int = 1, lane: int = 0) -> NDArray[Any]:
    """Return the first observations of an episode, in one environment of a batch, whose others have other seeds."""
    vec: Any = envs.make_vec(env_id, num_envs)
    seeds = [seed + i - lane for i in range(num_envs)]
    steps = [vec.reset(seed=seeds)[0], *(vec.step(np.zeros(num_envs, np.int64))[0] for _ in range(count))]
    return np.stack(steps)[:, lane]


# ------------------------------------------------------------------ observations


class Reused(Odd):
    """Returns the same array in each step, with other numbers in it."""

    observation_space: spaces.Space[Any] = spaces.Box(0, 255, (40, 36), np.uint8)

    def __init__(self) -> None:
        assert isinstance(self.observation_space, spaces.Box)
        self.buffer = np.zeros(self.observation_space.shape, self.observation_space.dtype)

    def seen(self) -> Any:
        self.buffer[:] = self.t
        return self.buffer


class ReusedVector(Reused):
    observation_space = spaces.Box(0, 100, (2,), np.float32)


def test_frames_of_a_stack_are_those_of_their_steps_where_an_environment_reuses_its_array() -> None:
    """DLR-RM/stable-baselines3#1435."""
    vec = envs.make_vec(registered(Reused), 2, picture_stack=3, seed=0)
    for _ in range(3):
        obs, *_ = vec.step(np.zeros(2, np.int64))
    assert obs[1, :, 0, 0].tolist() == [1, 2, 3]
    env = envs.make(registered(ReusedVector))
    before = env.reset(seed=0)[0]
    env.step(0)
    assert before.tolist() == [0, 0]


class Board(Odd):
    """A board whose cells are 0 or 1, as its space says."""

    observation_space = spaces.Box(0, 1, (20, 20), np.uint8)

    def seen(self) -> Any:
        return np.full((20, 20), self.t % 2, np.uint8)


def test_a_large_grid_of_codes_is_no_picture() -> None:
    """DLR-RM/stable-baselines3#1320: divided by 255, its numbers are hardly seen."""
    space = envs.make(registered(Board)).observation_space
    assert isinstance(space, spaces.Box)
    assert space.shape == (400,)
    assert np.isinf(space.high).all()
    small = spaces.Box(0, 255, (20, 20, 3), np.uint8)
    assert is_image(small)
    assert is_image(small, np.full((20, 20, 3), 200, np.uint8))
    assert not is_image(small, np.full((20, 20, 3), 10, np.uint8))
    assert is_image(spaces.Box(0, 255, (40, 40, 3), np.uint8), np.full((40, 40, 3), 10, np.uint8))  # a dark picture


def test_minigrids_whole_grid_is_codes_and_its_rendered_grid_is_a_picture() -> None:
    wrappers: Any = pytest.importorskip("minigrid.wrappers")

    def whole(**options: Any) -> Any:
        return wrappers.FullyObsWrapper(gymnasium.make("MiniGrid-FourRooms-v0", **options))

    def rendered(**options: Any) -> Any:
        return wrappers.ImgObsWrapper(wrappers.RGBImgObsWrapper(gymnasium.make("MiniGrid-Empty-5x5-v0", **options)))

    space = envs.make(registered(whole, "Whole")).observation_space
    assert isinstance(space, spaces.Box)
    assert space.shape == (19 * 19 * 3 + 4,)
    assert np.isinf(space.high).sum() == 19 * 19 * 3
    alone = envs.make(registered(lambda **options: wrappers.ImgObsWrapper(whole(**options)), "Alone")).observation_space
    assert alone.shape == (19 * 19 * 3,)
    assert envs.make(registered(rendered, "Rendered")).observation_space.shape == (3, 40, 40)


class Wide(Odd):
    """Observations that leave their space."""

    def seen(self) -> Any:
        return np.array([0.5, 50.0 * (self.t == 3)], np.float32)


def test_an_observation_outside_its_bounds_is_said() -> None:
    """Farama-Foundation/Gymnasium#377."""
    vec: Any = envs.make_vec(registered(Wide), 2)
    assert vec.notes == ["value 1 of an observation is 50, its space says -1 to 1"]
    assert envs.make_vec(registered(Odd), 2).notes == []  # type: ignore[attr-defined]


class Unbounded(Odd):
    observation_space = spaces.Box(-np.finfo(np.float64).max, np.finfo(np.float64).max, (2,), np.float64)


def test_the_largest_number_is_no_bound_and_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vec = envs.make_vec(registered(Unbounded), 2, seed=0)
        vec.step(np.zeros(2, np.int64))
    assert np.isinf(vec.single_observation_space.high).all()  # type: ignore[attr-defined]


class Bytes(Odd):
    observation_space = spaces.MultiDiscrete([101, 101, 101, 101], dtype=np.int8)

    def seen(self) -> Any:
        return np.array([0, 1, 2, 100], np.int8)


class Table(Odd):
    observation_space = spaces.Dict({"table": spaces.MultiDiscrete(np.array([[1, 2], [3, 4]]))})

    def seen(self) -> Any:
        return {"table": np.array([[0, 1], [2, 3]])}


def test_multidiscrete_of_bytes_and_of_two_dimensions() -> None:
    """Farama-Foundation/Gymnasium#53 and DLR-RM/stable-baselines3#1713."""
    obs = envs.make(registered(Bytes)).reset(seed=0)[0]
    assert np.flatnonzero(obs).tolist() == [0, 102, 204, 403]
    assert envs.make(registered(Table)).reset(seed=0)[0].tolist() == [1, 0, 1, 0, 0, 1, 0, 0, 0, 1]


class Ragged(Odd):
    def seen(self) -> Any:
        return [[0.5], [0.5, 0.5]] if self.t == 2 else super().seen()


class Vast(Odd):
    observation_space = spaces.Discrete(2**40)


class Choices(Odd):
    action_space = spaces.Discrete(10**9)


class NoSpaces(gymnasium.Env[Any, Any]):
    pass


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        (Vast, r"can't be learnt from: the observation has 1,099,511,627,776 values"),
        (Choices, r"has 1,000,000,000 actions; 100,000 are the most"),
        (NoSpaces, r"has no action_space; its __init__ must set self.action_space"),
    ],
)
def test_what_can_not_be_learnt_from_is_refused_in_one_line(kind: Any, line: str) -> None:
    with pytest.raises(UserError, match=line):
        envs.make_vec(registered(kind), 1)


# ------------------------------------------------------------------ what a step returns


class Infos(Odd):
    """Info of another type and shape in each environment and step, with words that mean something else here."""

    made = 0

    def __init__(self) -> None:
        Infos.made += 1
        self.kind = Infos.made % 3

    def step(self, action: Any) -> Any:
        info: Any = [{"x": 1, "path": np.zeros(2)}, {"x": "a", "path": np.zeros(3)}, {"x": None}][self.kind]
        return *super().step(action)[:4], {**info, "life_lost": "yes", "lives": [3], "frames": "all"}


def test_infos_may_differ_and_mean_what_they_like() -> None:
    """Farama-Foundation/Minari#191, Farama-Foundation/Gymnasium#1466."""
    episodes = Episodes(registered(Infos), 3, seed=0)
    episodes.begin()
    for _ in range(STEPS + 1):
        assert not episodes.step(np.zeros(3, np.int64)).life_lost.any()
    session = Session(envs.make(registered(Infos)), None)
    session.human_action = 0
    session.step()
    assert session.score.lives is None
    assert not session.timeline.current.life_lost


class Arrays(Odd):
    """Numbers as arrays of one number."""

    def step(self, action: Any) -> Any:
        obs, reward, terminated, truncated, info = super().step(action)
        return obs, np.array([reward], np.float32), np.array(terminated), np.array([truncated]), info


def test_arrays_of_one_number_are_numbers() -> None:
    """Farama-Foundation/Gymnasium#1445."""
    vec = envs.make_vec(registered(Arrays), 2, seed=0)
    for _ in range(STEPS):
        _, reward, terminated, truncated, _ = vec.step(np.array([2, 0]))
    assert reward.tolist() == [1, 0]
    assert not terminated.any()
    assert truncated.all()


class NoInfo(Odd):
    def reset(self, **options: Any) -> Any:
        return super().reset(**options)[0], None


class Leaves(Odd):
    def reward(self, action: Any) -> Any:
        raise SystemExit("game over")


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        (NoInfo, r"reset \(seed 1\): its info is None, a NoneType; a dict is needed"),
        (Leaves, r"step 1 of its episode \(seed 1\): its step\(\) raised SystemExit: game over"),
        (Ragged, r"step 2 of its episode \(seed 1\): the observation is \[\[0.5\], \[0.5, 0.5\]\], which is no array"),
    ],
)
def test_faults_of_kinds_that_were_tracebacks(kind: Any, line: str) -> None:
    vec = envs.make_vec(registered(kind), 2)

    def play() -> None:
        vec.reset(seed=1)
        for _ in range(3):
            vec.step(np.zeros(2, np.int64))

    with pytest.raises(envs.EnvironmentFault, match=line):
        play()


# ------------------------------------------------------------------ seeds


class DrawsGlobally(Odd):
    def seen(self) -> Any:
        return np.array([np.random.rand(), random.random()], np.float32)  # noqa: NPY002, as people write it


class DrawsUnseeded(Odd):
    def __init__(self) -> None:
        self.generator = np.random.default_rng()

    def seen(self) -> Any:
        return self.generator.random(2).astype(np.float32)


def test_an_environment_that_draws_from_global_generators_is_repeated_by_its_seed() -> None:
    """DLR-RM/stable-baselines3#973: alone, in a batch, and whatever else draws from them."""
    env_id = registered(DrawsGlobally)
    alone = first_steps(env_id, seed=5)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    state = random.getstate()
    assert np.array_equal(first_steps(env_id, seed=5, num_envs=3, lane=1), alone)
    assert random.getstate() == state  # and nobody else's draws are disturbed
    assert np.random.rand() == np.random.RandomState(0).rand()  # noqa: NPY002
    assert not np.array_equal(first_steps(env_id, seed=6), alone)
    assert envs.make_vec(env_id, 1).notes == []  # type: ignore[attr-defined]


def test_a_resumed_run_goes_on_where_it_was_with_global_generators() -> None:
    env_id = registered(DrawsGlobally)
    episodes = Episodes(env_id, 2, seed=3)
    episodes.begin()
    for _ in range(7):
        episodes.step(np.zeros(2, np.int64))
    again = Episodes(env_id, 2, seed=3)
    again.load(episodes.state())
    assert np.array_equal(again.obs, episodes.obs)
    assert np.array_equal(again.step(np.ones(2, np.int64)).obs, episodes.step(np.ones(2, np.int64)).obs)


def test_an_environment_that_no_seed_repeats_is_said() -> None:
    (note,) = envs.make_vec(registered(DrawsUnseeded), 1).notes  # type: ignore[attr-defined]
    assert note.startswith("episodes of the same seed differ")


# ------------------------------------------------------------------ arguments


class Arguments(Odd):
    def __init__(self, seed: int = 0, num_envs: int = 0, lane: int = 0, picture_size: int = 0, **more: Any) -> None:
        self.given = (seed, num_envs, lane, picture_size)


def test_arguments_of_an_environment_may_be_called_as_ours_are() -> None:
    """DLR-RM/stable-baselines3#259."""
    env_id = registered(Arguments)
    words = ("seed=1", "num_envs=2", "lane=3", "picture_size=4", "max_episode_steps=5")
    options = env_options(env_id, FamilyConfig(env_kwargs=words), evaluation=True)
    vec: Any = envs.make_vec(env_id, 2, seed=0, **options)
    assert [env.unwrapped.given for env in vec.envs] == [(1, 2, 3, 4)] * 2
    assert step_limit(env_id, options) == 5


def test_arguments_that_ale_py_knows_are_answered_in_one_line() -> None:
    """Farama-Foundation/Arcade-Learning-Environment#439."""
    with pytest.raises(UserError, match="--env-kwargs frameskip: a step of an Atari game is four frames"):
        envs.arguments("ALE/Breakout-v5", ["frameskip=1"])
    with pytest.raises(UserError, match="--env-kwargs foo: a game takes sticky, noops, frame_cap"):
        envs.arguments("ALE/Breakout-v5", ["foo=1"])
    assert envs.arguments("ALE/Breakout-v5", ["sticky=0.0"]) == {"sticky": 0.0}
    with pytest.raises(UserError, match="Waterworld-v1 can't be made with foo=1"):
        envs.make_vec("Waterworld-v1", 1, foo=1)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("MsPacmanNoFrameskip-v4", "MsPacman"),
        ("ALE/MsPacmanNoFrameskip-v4", "MsPacman"),
        ("SurroundNoFrameskip-v4", "Surround"),
    ],
)
def test_ids_of_before_name_those_of_today(typed: str, meant: str) -> None:
    """Farama-Foundation/Arcade-Learning-Environment#586, Farama-Foundation/Gymnasium#592, vwxyzjn/cleanrl#478."""
    with pytest.raises(UserError, match=f"did you mean ALE/{meant}-v5"):
        envs.resolve(typed)


# ------------------------------------------------------------------ pictures, closing


class Renders(Odd):
    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": None}  # noqa: RUF012
    answer: Any = None

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def render(self) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def close(self) -> None:
        raise AttributeError("'Renders' object has no attribute 'window'")


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (None, "returned None, which is no picture"),
        (RuntimeError("no GL"), r"raised RuntimeError: no GL \(test_reports"),
    ],
)
def test_an_environment_without_a_picture_is_watched_without(
    answer: Any, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DLR-RM/rl-baselines3-zoo#412, vwxyzjn/cleanrl#470 (no render_fps)."""
    monkeypatch.setattr(Renders, "answer", answer)
    session = Session(envs.make(registered(Renders), render_mode="rgb_array"), None)
    with pytest.warns(Note, match=rf"reports/Renders-v0 is shown without its picture: its render\(\) {line}"):
        assert session.picture() is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert session.picture() is None  # that was said once
    assert session.tick_seconds > 0
    with pytest.warns(Note, match=r"its close\(\) raised AttributeError: .*'window' \(test_reports"):
        session.env.close()


def test_pictures_of_all_kinds_are_shown() -> None:
    grey = np.array([[0, 51], [102, 255]], np.uint8)
    right = np.repeat(grey[..., None], 3, axis=2)
    alpha = np.concatenate([right, np.full((2, 2, 1), 9, np.uint8)], axis=2)
    for rendered in (grey, grey[..., None], right, alpha, right / 255, right.astype(float), [0 * right, right]):
        picture = as_picture(rendered)
        assert picture.dtype == np.uint8
        assert np.abs(picture.astype(int) - right).max() <= 1
