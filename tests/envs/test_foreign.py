"""Environments from elsewhere: what is unusual works, and what is wrong is said in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

import envs
import tests.envs.odd  # noqa: F401, registers environments
from agents import choose
from common.errors import UserError
from envs.flattening import ForeignBox, flattened, telling
from learning.config import FamilyConfig
from learning.episodes import Episodes
from learning.policy import env_options, protocol
from tests.envs.odd import STEPS, Picture

ROOT = Path(__file__).resolve().parent.parent.parent
ODD = "tests.envs.odd"


def program(name: str, *words: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / name), *map(str, words)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=cwd,
        env={**os.environ, "SDL_VIDEODRIVER": "dummy"},
    )


def play(env_id: str, action: int = 0, num_envs: int = 3) -> str:
    """Return how an episode of a batch ends: in the error's line."""
    vec = envs.make_vec(env_id, num_envs, seed=10)
    for _ in range(STEPS):
        vec.step(np.full(num_envs, action))
    return "ended"


# ------------------------------------------------------------------ actions


@pytest.mark.parametrize("name", ["StartsBelowZero", "StartsAtOne", "Odd"])
def test_actions_need_not_start_at_0(name: str) -> None:
    vec = envs.make_vec(f"odd/{name}-v0", 2, seed=1)
    assert vec.single_action_space == spaces.Discrete(3)
    _, reward, *_ = vec.step(np.array([2, 1]))  # a strict environment: an action that it does not have is an error
    assert reward.tolist() == [1.0, 0.0]
    env = envs.make(f"odd/{name}-v0")
    first = {"StartsBelowZero": -1, "StartsAtOne": 1, "Odd": 0}[name]
    assert envs.action_names(env) == tuple(str(first + action) for action in range(3))


def test_only_discrete_actions_are_taken() -> None:
    with pytest.raises(UserError, match=r"odd/Continuous-v0 has actions Box.*; only discrete actions"):
        envs.make("odd/Continuous-v0")
    with pytest.raises(UserError, match=r"only discrete actions can have one Q value each$"):
        envs.make("odd/Continuous-v0")
    with pytest.raises(UserError, match=r"each; with --env-kwargs continuous=False it has such$"):
        envs.make("odd/Either-v0")
    envs.make("odd/Either-v0", continuous=False)


# ------------------------------------------------------------------ observations


def test_parts_of_an_observation_become_numbers() -> None:
    env = envs.make("odd/Nested-v0")
    obs, _ = env.reset(seed=0)
    assert obs.tolist() == [1, 0, 0, 1, 0, 0, 1, 0, 0, 1]  # 1 of 1 to 3, two bits, 1 of 0 and 1, 2 of 0 to 2
    assert env.step(0)[0].tolist() == [0, 1, 0, 1, 0, 0, 1, 0, 0, 1]
    assert env.observation_space.contains(obs)


def test_texts_are_left_out_with_a_note() -> None:
    vec: Any = envs.make_vec("odd/Text-v0", 2, seed=0)
    assert vec.single_observation_space.shape == (2,)
    assert vec.notes == ["left out of the observation: the observation['mission'], a Text"]


def test_what_has_no_fixed_number_of_numbers_is_refused() -> None:
    with pytest.raises(UserError, match=r"odd/OnlySequence-v0 has observations Sequence.*can't be learnt from"):
        envs.make("odd/OnlySequence-v0")


def test_bounds_scale_numbers_but_not_codes() -> None:
    space = spaces.Dict({"memory": spaces.Box(0, 255, (2,), np.uint8), "grid": spaces.Box(0, 255, (3, 3, 2), np.uint8)})
    part = flattened(space, "the observation", [])
    assert part is not None
    assert part.high.tolist() == [np.inf] * 18 + [255, 255]  # in the order of a Dict's keys


def test_wide_bounds_tell_nothing_and_narrow_ones_scale() -> None:
    bounds = np.array([-10, -0.07, -5, 0], np.float32), np.array([10, 0.07, 3, 255], np.float32)
    low, high = telling(ForeignBox(*bounds))
    assert low.tolist() == [-np.inf, np.float32(-0.07), -np.inf, 0]
    assert high.tolist() == [np.inf, np.float32(0.07), np.inf, 255]
    pytest.importorskip("Box2D")
    env = envs.make("LunarLander-v3")
    assert isinstance(env.observation_space, spaces.Box)
    assert np.isinf(telling(env.observation_space)[1][:4]).all()
    assert env.reset(seed=1)[0] in env.observation_space


def test_pictures_keep_their_shape() -> None:
    vec: Any = envs.make_vec("odd/Picture-v0", 2, picture_stack=3, seed=0)
    assert vec.single_observation_space == spaces.Box(0, 255, (9, 40, 36), np.uint8)
    assert vec.frame_stack == 3
    obs, _ = vec.reset(seed=[1, 2])
    assert not obs[:, :6].any()  # black before the start
    place = vec.envs[0].unwrapped.place
    assert (obs[0, 7, :, 12 * place : 12 * place + 12] == 200).all()
    assert obs[0, 6:].sum() == 200 * 40 * 12
    after, *_ = vec.step(np.zeros(2, np.int64))
    assert np.array_equal(after[:, 3:6], obs[:, 6:])


def test_pictures_become_grey_and_small_by_options() -> None:
    pytest.importorskip("cv2")
    config = FamilyConfig(picture_size=20, picture_grayscale=True, frame_stack=2)
    vec = envs.make_vec("odd/Picture-v0", 2, **env_options("odd/Picture-v0", config, evaluation=False))
    assert vec.single_observation_space == spaces.Box(0, 255, (2, 20, 20), np.uint8)
    grey = envs.make_vec("odd/Grey-v0", 2, picture_stack=4, seed=0)
    assert grey.single_observation_space == spaces.Box(0, 255, (4, 40, 36), np.uint8)
    assert grey.step(np.zeros(2, np.int64))[0][0, :, 0, 0].tolist() == [0, 0, 0, 1]


# ------------------------------------------------------------------ faults


FAULTS = {
    "WrongShape": r"the observation has shape \(3,\), its space says \(2,\)",
    "WrongDtype": r"the observation has dtype <U1, its space says float32",
    "NanObservation": r"value 1 of its observation is nan",
    "InfiniteFloat64": r"value 1 of its observation is inf",
    "OutsideDiscrete": r"the observation is 4, its space says 0 to 3",
    "NanReward": r"its reward is nan",
    "ArrayReward": r"its reward is array\(\[0., 0.\]\), a ndarray; one number is needed",
    "NoReward": r"its reward is None, a NoneType; one number is needed",
    "FourValues": r"its step\(\) returned 4 values; five are needed",
    "Raises": r"its step\(\) raised RuntimeError: the server has gone \(odd.py:\d+\)",
}


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_names_the_environment_the_step_and_what_is_wrong(name: str) -> None:
    where = rf"^odd/{name}-v0: environment 1 of 3, step 5 of its episode \(seed 10\): "
    with pytest.raises(envs.EnvironmentFault, match=where + FAULTS[name]) as caught:
        play(f"odd/{name}-v0")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_reset_of_another_time_is_named() -> None:
    with pytest.raises(envs.EnvironmentFault, match=r"odd/NoSeed-v0: environment 1 of 3, reset \(seed 10\): .*seed"):
        play("odd/NoSeed-v0")
    with pytest.raises(envs.EnvironmentFault, match=r"reset .*: its reset\(\) returned array.*a pair"):
        play("odd/OldReset-v0")


def test_right_environments_have_no_fault() -> None:
    for name in ("Odd", "StartsBelowZero", "Text", "Nested", "Picture", "Grey"):
        assert play(f"odd/{name}-v0") == "ended"
    assert Picture.observation_space.shape == (40, 36, 3)


def test_a_batch_plays_as_its_environments_do_alone() -> None:
    episodes = Episodes("odd/Nested-v0", 2, seed=3)
    first = episodes.begin().copy()
    alone = envs.make("odd/Nested-v0")
    assert np.array_equal(first[0], alone.reset(seed=0)[0])
    for action in range(3):
        step = episodes.step(np.array([action, action]))
        obs, reward, *_ = alone.step(action)
        assert np.array_equal(step.obs[0], obs)
        assert step.reward[0] == reward


# ------------------------------------------------------------------ arguments and modules


def test_atari_games_in_other_modes_and_as_memory() -> None:
    config = FamilyConfig(difficulty=1, mode=1, frame_size=42, protocol="dqn_zoo")
    options = env_options("ALE/Pong-v5", config, evaluation=True)
    vec: Any = envs.make_vec("ALE/Pong-v5", 2, seed=1, **options)
    assert vec.single_observation_space == spaces.Box(0, 255, (4, 42, 42), np.uint8)
    assert vec.frame_stack == 4
    game: Any = vec.envs[0].unwrapped
    assert (game._game_mode, game._game_difficulty) == (1, 1)
    assert "life_lost" in vec.step(np.zeros(2, np.int64))[4]
    assert protocol("ALE/Pong-v5", config).name == "dqn_zoo mode=1 difficulty=1"
    with pytest.raises(UserError, match=r"--difficulty 3: ALE/Breakout-v5 has 0, 1"):
        envs.make("ALE/Breakout-v5", difficulty=3)
    assert envs.resolve("Pong-ram-v5") == "ALE/Pong-ram-v5"
    memory: Any = envs.make_vec("ALE/Pong-ram-v5", 2, seed=1)
    assert memory.single_observation_space.shape == (128,)
    assert memory.frame_stack == 1
    assert choose("auto", "auto", "ALE/Pong-ram-v5", "cpu")[1] == "general"


def test_an_atari_game_made_by_gymnasiums_wrappers_is_the_same_game() -> None:
    """In mode 0 and difficulty 0 both ways lead to the same frames, rewards and ends."""
    rules: Any = {"sticky": 0.0, "noops": 0, "frame_cap": 4_000, "frame_size": 84}
    fast: Any = envs.make_vec("ALE/Breakout-v5", 1, **rules)
    plain = envs.make("ALE/Breakout-v5", mode=0, **rules)
    (obs, _), (same, _) = fast.reset(seed=[3]), plain.reset(seed=3)
    rng = np.random.default_rng(0)
    lost = 0
    for _ in range(300):
        assert np.abs(obs[0].astype(int) - same).max() <= 1  # two ways to round
        action = int(rng.integers(4))
        obs, reward, terminated, _, info = fast.step(np.array([action]))
        same, value, ended, _, about = plain.step(action)
        assert (reward[0], terminated[0], info["life_lost"][0]) == (value, ended, about["life_lost"])
        lost += about["life_lost"]
        if ended:
            break
    assert lost > 0


def test_missing_box2d_is_said_with_commands_that_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gymnasium's "pip install swig" fails on Python 3.14: pip builds where swig is not."""
    monkeypatch.setitem(sys.modules, "Box2D", None)  # as if it were not installed
    for module in [name for name in sys.modules if name.startswith("gymnasium.envs.box2d")]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(UserError, match=r"^LunarLander-v3 can't be made: Box2D is .* --no-build-isolation") as caught:
        envs.make("LunarLander-v3")
    assert 'pip install "gymnasium[box2d]"' in str(caught.value)
    assert len(str(caught.value)) <= 300


def test_env_kwargs_reach_the_environment_and_name_the_protocol() -> None:
    config = FamilyConfig(env_kwargs=("gain=2.5", "name=b"))
    env = envs.make("odd/Kwargs-v0", **env_options("odd/Kwargs-v0", config, evaluation=True))
    unwrapped: Any = env.unwrapped
    assert (unwrapped.gain, unwrapped.name) == (2.5, "b")
    assert protocol("odd/Kwargs-v0", config).name == "gymnasium-default gain=2.5 name=b"
    assert envs.protocol("odd/Kwargs-v0", "gymnasium-default gain=2.5 name=b").name.endswith("gain=2.5 name=b")
    with pytest.raises(UserError, match="--env-kwargs gain: KEY=VALUE is needed"):
        envs.keywords(["gain"])
    with pytest.raises(UserError, match=r"odd/Kwargs-v0 can't be made with gain=-1: gain must not be negative"):
        envs.make("odd/Kwargs-v0", gain=-1)
    with pytest.raises(UserError, match=r"can't be made with gian=1: .*unexpected keyword argument 'gian'"):
        envs.make("odd/Kwargs-v0", gian=1)


def test_all_actions_of_an_atari_game() -> None:
    config = FamilyConfig(full_action_space=True)
    options = env_options("ALE/Pong-v5", config, evaluation=True)
    env = envs.make("ALE/Pong-v5", **options)
    assert env.action_space == spaces.Discrete(18)
    assert len(envs.action_names(env)) == 18
    assert protocol("ALE/Pong-v5", config).name == "machado2018 full_action_space"
    assert envs.make_vec("ALE/Pong-v5", 1, **options).single_action_space == spaces.Discrete(18)


def test_a_pygame_over_pygame_ce_is_said_before_it_crashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "pygame-2.6.1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: pygame\nVersion: 2.6.1\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = program("play.py", "--record", tmp_path / "film.png", "--steps", "2")
    assert done.returncode == 2
    assert done.stderr.startswith("error: pygame 2.6.1 was installed over pygame-ce")
    assert "pip install pygame-ce" in done.stderr


def test_what_is_left_out_is_said_before_a_run(tmp_path: Path) -> None:
    done = program("train.py", "tests.envs.odd:odd/Text-v0", *TINY, "--runs-dir", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "note: left out of the observation: the observation['mission'], a Text" in done.stdout
    assert "mean return 20.00" in done.stdout


TINY = ("--total-timesteps", "1200", "--learning-starts", "200", "--capacity", "1000", "--eval-episodes", "2")


def test_an_environment_of_ones_own_from_training_to_film(tmp_path: Path) -> None:
    """The way of a person who wrote an environment: trained, resumed, watched, compared, from another folder."""
    (tmp_path / "my_envs.py").write_text(
        "import gymnasium\nfrom tests.envs.odd import Kwargs\n"
        "gymnasium.register('mine/Env-v0', entry_point='tests.envs.odd:Kwargs')\n"
    )
    mine = ("--import", "my_envs")
    unknown = program("train.py", "mine/Env-v0", cwd=tmp_path)
    assert unknown.returncode == 2
    assert "--import MODULE" in unknown.stderr
    done = program("train.py", "my_envs:mine/Env-v0", *TINY, "--env-kwargs", "gain=3.0", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "runs").iterdir()
    about = json.loads((run / "config.json").read_text())
    assert about["imports"] == ["my_envs"]
    assert about["config"]["env_kwargs"] == ["gain=3.0"]
    assert about["protocol"] == "gymnasium-default gain=3.0 cap=10000"
    with (run / "eval.csv").open() as rows:
        assert "60.0" in rows.read()  # 20 steps of 3
    film = ("--record", "film.png", "--steps", "3")
    refused = program("play.py", run, *film, cwd=tmp_path)
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
    assert "--import" in refused.stderr
    assert program("play.py", run, *mine, *film, cwd=tmp_path).returncode == 0
    assert (tmp_path / "film.png").exists()
    assert "mine/Env-v0" in program("compare.py", *mine, "--env-id", "mine/Env-v0", cwd=tmp_path).stdout


def test_a_fault_in_training_leaves_a_run_that_can_be_resumed(tmp_path: Path) -> None:
    """It raises once, 300 steps after the run's folder was made."""
    (tmp_path / "fragile.py").write_text(
        "import gymnasium\nfrom pathlib import Path\nfrom tests.envs.odd import Odd\nsteps = 0\n"
        "class Fragile(Odd):\n"
        "    def reward(self, action):\n"
        "        global steps\n        steps += Path('runs').exists()\n"
        "        if steps == 300 and not Path('raised').exists():\n"
        "            Path('raised').touch()\n            raise ConnectionError('reset by peer')\n"
        "        return super().reward(action)\n"
        "gymnasium.register('Fragile-v0', entry_point='fragile:Fragile')\n"
    )
    words = ("--import", "fragile", "Fragile-v0", *TINY, "--evaluations", "1")
    done = program("train.py", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "its step() raised ConnectionError: reset by peer (fragile.py:11)" in done.stderr
    (run,) = (tmp_path / "runs").iterdir()
    assert f"resume with python train.py --resume runs/{run.name}; its episodes will begin anew" in done.stderr
    assert "--import fragile" in program("train.py", "--resume", run, cwd=tmp_path).stderr
    again = program("train.py", "--resume", run, "--import", "fragile", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "resumed" in again.stdout
    rows = (run / "metrics.csv").read_text().splitlines()
    steps = [int(row.split(",")[0]) for row in rows[1:]]
    assert steps == sorted(steps)
    assert steps[-1] >= 1_200
