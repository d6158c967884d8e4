from __future__ import annotations

import csv
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import envs
import play
from agents import recipe
from common.errors import UserError
from common.settings import option_name
from learning.checkpoint import save_agent
from learning.learner import Learner
from scores.runs import read_humans
from viewer import settings
from viewer.drawing.theme import DARK, LIGHT, Theme
from viewer.opening import open_session
from viewer.options import Options
from viewer.playing import players

ROOT = Path(play.__file__).parent
WATER, WHEELS = "reinforcejs_wateragent.json", "convnetjs_rldemo_net.json"
SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER", "SDL_VIDEO_DRIVER")


def command(*words: str, cwd: Path, screen: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run play.py in another folder, without a screen or with SDL's dummy driver."""
    environment = {name: value for name, value in os.environ.items() if name not in SCREENS}
    if screen is not None:
        environment["SDL_VIDEODRIVER"] = screen
    return subprocess.run(
        [sys.executable, str(ROOT / "play.py"), *words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def one_line_error(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def run_folder(runs: Path, name: str, env_id: str = "CartPole-v1") -> Path:
    """Write a run with an untrained agent, as training does at its first evaluation."""
    learned = recipe("dqn")
    env: Any = envs.make(env_id)
    learner = Learner(learned, learned.config(), env.observation_space, int(env.action_space.n), 1)
    folder = runs / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"format": 1, "env_id": env_id, "agent": "dqn", "seed": 1}))
    save_agent(folder / "agent", learner, env_id, env.observation_space, 100)
    return folder


# as a program


def test_a_picture_without_a_screen(tmp_path: Path) -> None:
    done = command("--agent-file", WATER, "--record", "a.png", "--steps", "5", "--seed", "4", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "karpathy_pretrained in tidepool/Waterworld-v0, seed 4" in done.stdout
    width, height = Image.open(tmp_path / "a.png").size
    assert width > 1100
    assert height > 600


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a screen")
def test_without_a_screen_the_message_names_the_alternative(tmp_path: Path) -> None:
    assert re.search(r"no screen.*--record film\.mp4", one_line_error(command("--agent-file", WATER, cwd=tmp_path)))


def test_a_machine_without_the_emulator(tmp_path: Path) -> None:
    (tmp_path / "ale_py.py").write_text("raise ImportError('no wheel for this machine')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    for words in (["ALE/Pong-v5"], ["--human", "--env-id", "ALE/Pong-v5"]):
        done = subprocess.run(
            [sys.executable, str(ROOT / "play.py"), *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert one_line_error(done) == "error: ALE/Pong-v5 needs the Atari emulator: pip install ale-py"


def test_the_window_closes_itself_after_steps(tmp_path: Path) -> None:
    done = command("--agent-file", WHEELS, "--steps", "60", "--speed", "10", cwd=tmp_path, screen="dummy")
    assert (done.returncode, done.stderr) == (0, "")
    assert "tidepool/RLDemo-v0" in done.stdout


def test_a_mistyped_option_and_a_missing_run(tmp_path: Path) -> None:
    message = one_line_error(command("--recrod", "a.png", cwd=tmp_path))
    assert message.startswith("error: unknown option '--recrod'; did you mean --record")
    assert "reinforcejs_wateragent.json" in one_line_error(command("reinforcejs_wateragent", cwd=tmp_path))


def test_help_groups_the_options_and_cuts_nothing_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("PYTHONUTF8", "1")
    done = command("--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    _, *parts = re.split(r"╭─ (.*?) ─+╮", done.stdout)
    found = {
        title: set(re.findall(r"│ (--[a-z-]+)", text)) for title, text in zip(parts[::2], parts[1::2], strict=True)
    }
    groups = {"player options", "play options", "film options", "page options"}
    assert {title for title, options in found.items() if options} == groups
    assert found["page options"] == {"--export-html", "--recorded"}
    assert found["film options"] == {"--record", "--film", "--fps", "--overwrite"}
    names = {option_name(field.name) for field in dataclasses.fields(Options)}
    assert set().union(*found.values()) == names - {"--run"}
    assert max(map(len, done.stdout.splitlines())) == 120
    assert "\N{HORIZONTAL ELLIPSIS}" not in done.stdout


# in this process


@pytest.fixture(autouse=True)
def _dummy_screen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.chdir(tmp_path)


def test_a_trained_agent_plays_in_its_own_environment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run_folder(tmp_path / "runs", "CartPole-v1__dqn__1__20261123-101530")
    for path in (folder, folder / "agent", Path(folder.name)):  # a bare name is looked for in runs/
        assert play.main([str(path), "--record", "a.png", "--overwrite", "--steps", "3"]) == 0
        assert "dqn in CartPole-v1" in capsys.readouterr().out


def test_without_a_name_the_newest_run_with_an_agent_plays(tmp_path: Path) -> None:
    newest = run_folder(tmp_path / "runs", "b__dqn__1__20261123-101530")
    run_folder(tmp_path / "runs", "c__dqn__2__20261122-235959")
    (tmp_path / "runs" / "d__dqn__3__20261124-000000").mkdir()  # still without an agent
    damaged = run_folder(tmp_path / "runs", "e__dqn__4__20261125-000000")
    (damaged / "config.json").write_text("{")
    assert players.find_agent(None, tmp_path / "runs") == newest
    assert players.find_agent(Path("newest"), tmp_path / "runs") == newest


def test_without_any_run_the_pretrained_agent_plays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretrained = run_folder(tmp_path / "pretrained", "waterworld")
    monkeypatch.setattr(players, "DEFAULT_AGENT", pretrained)
    assert players.find_agent(None, Path("runs")) == pretrained
    monkeypatch.setattr(players, "DEFAULT_AGENT", tmp_path / "nothing")
    with pytest.raises(UserError, match=r"no run in runs has an agent yet; train one: python train\.py"):
        players.find_agent(None, Path("runs"))


def test_a_run_without_an_agent_yet(tmp_path: Path) -> None:
    (tmp_path / "runs" / "x").mkdir(parents=True)
    with pytest.raises(UserError, match="no agent here yet"):
        play.main(["x", "--record", "a.png"])


def test_the_other_options_reach_the_session(capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--agent-file", WATER, "--env-id", "Waterworld-v1", "--record", "a.png"]
    play.main([*where, "--seed", "9", "--epsilon", "1"])
    assert "karpathy_pretrained in tidepool/Waterworld-v1, seed 9, epsilon 1" in capsys.readouterr().out


def test_a_random_seed_is_printed_and_reproduces_the_film(capsys: pytest.CaptureFixture[str]) -> None:
    play.main(["--agent-file", WATER, "--record", "a.png"])
    seed = re.search(r"seed (\d+)", capsys.readouterr().out)
    assert seed is not None
    play.main(["--agent-file", WATER, "--record", "b.png", "--seed", seed[1]])
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["runs/x", "--agent-file", WATER], "two players"),
        (["--human", "--speed", "2"], "real time"),
        (["--human", "--record", "a.mp4"], "--human needs a screen"),
        (["--fps", "30"], "--fps belongs to --record"),
        (["--overwrite"], "--overwrite belongs to --record"),
        (["--record", "a.avi"], r"allowed: \.mp4, \.gif, \.png"),
        (["--speed", "51"], "--speed 51.0 is out of range; allowed: 0.25 to 50"),
        (["--epsilon", "nan"], "--epsilon nan is out of range"),
        (["--steps", "0"], "--steps 0 is out of range"),
        (["--agent-file", WATER, "--env-id", "CartPole-v1", "--record", "a.png"], "does not fit CartPole-v1"),
        (["--agent-file", WATER, "--env-id", "Waterwrld-v1", "--record", "a.png"], "did you mean.*Waterworld-v1"),
        (["ALE/Pogn-v5"], r"did you mean.*ALE/Pong-v5"),
        (["CartPole-v1", "--env-id", "Waterworld-v1"], "two environments"),
        (["--agent-file", "nothing.json", "--record", "a.png"], "no such run or agent"),
        (["--attach", "newst"], "newst: no such run; train one first"),
        (["--attach", "newest"], "there is no run in runs yet"),
        (["runs/x", "--attach", "newest"], "a run and --attach are two players"),
        (["--attach", "newest", "--film", "newest"], "--attach and --film are two players"),
        (["--attach", "newest", "--human"], "--attach shows a run's agent in its own environment; leave --human out"),
        (["--film", "newest", "--env-id", "CartPole-v1"], "leave --env-id out"),
        (["--film", "newest", "--episodes", "2"], "--film shows one episode of each agent"),
        (["--film", "runs/x", "--record", "a.png"], "runs/x: no such run"),
    ],
)
def test_bad_input_is_rejected(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        play.main(words)
    assert not Path("a.png").exists()


def test_attached_to_a_run_that_has_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run_folder(tmp_path / "runs", "CartPole-v1__dqn__1__20261123-101530")
    for words in (["newest", "--record", "a.png"], [folder.name]):
        assert play.main(["--attach", *words, "--steps", "3", "--speed", "50"]) == 0
        out = capsys.readouterr().out
        assert "attached to runs/CartPole-v1__dqn__1__20261123-101530: the run has ended, step 100 of " in out
        assert "dqn (the run has ended, step 100 of" in out
    assert sorted(path.name for path in folder.iterdir()) == ["agent", "config.json"]  # left alone


def test_attached_before_the_first_weights_the_window_waits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run_folder(tmp_path / "runs", "CartPole-v1__dqn__1__20261123-101530")
    shutil.rmtree(folder / "agent")
    assert play.main(["--attach", str(folder), "--steps", "3", "--speed", "50"]) == 0
    assert "waiting for the run's first weights" in capsys.readouterr().out


def test_a_film_of_a_training_run_is_written_into_its_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run_folder(tmp_path / "runs", "CartPole-v1__dqn__1__20261123-101530")
    shutil.copytree(folder / "agent", folder / "milestones" / "0")
    assert play.main(["--film", "newest", "--record", "a.png", "--theme", "dark", "--steps", "1"]) == 0
    assert Theme.name == DARK
    assert capsys.readouterr().out
    assert play.main(["--film", "newest", "--record", "a.gif", "--seed", "3"]) == 0
    assert Theme.name == LIGHT
    out = capsys.readouterr().out
    assert out.startswith(f"0 % of runs/{folder.name}, seed 3, epsilon 0\nwithout 1 %, 10 %, 100 %: the run has not ")
    assert re.search(r"a\.gif: \d+ frames, .* MB; returns: 0 % \d+", out)
    assert play.main(["--film", folder.name, "--steps", "2"]) == 0
    (film,) = (folder / "videos").iterdir()
    assert film.name in ("training.mp4", "training.gif")
    with pytest.raises(UserError, match="the file exists; --overwrite replaces it"):
        play.main(["--film", folder.name])
    assert play.main(["--film", folder.name, "--steps", "2", "--overwrite"]) == 0


def test_a_human_is_scored_and_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from viewer import window

    def run_fast(self: window.Window) -> None:
        """Play the game without waiting, with the left arrow held."""
        scored_play = self.view.scored_play
        assert scored_play is not None
        while len(scored_play.finished) < scored_play.episodes:
            self.play(0.25)
            self.view.human_control.press("left")
            scored_play.confirm()

    monkeypatch.setattr(window.Window, "run", run_fast)
    assert play.main(["--human", "--episodes", "2", "--name", "Ada", "--seed", "7"]) == 0
    episodes, warnings = read_humans(tmp_path / "runs")
    assert warnings == []
    assert [(one.player, one.seed, one.episode_length) for one in episodes] == [("Ada", 7, 1000), ("Ada", 8, 1000)]
    assert {(one.env_id, one.protocol) for one in episodes} == {("tidepool/Waterworld-v1", "waterworld-1000")}
    first = episodes[0]
    with (tmp_path / "runs" / "humans.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    assert first.episode_return == int(row["apples"]) - int(row["poison"])
    out = capsys.readouterr().out
    assert f"episode 1: return {first.episode_return:g}" in out
    assert "python compare.py" in out


def test_an_unfinished_episode_is_not_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert play.main(["--human", "--steps", "1"]) == 0  # the window closes in the middle of the first episode
    assert read_humans(tmp_path / "runs") == ([], [])
    assert "none was recorded" in capsys.readouterr().out


def test_the_networks_of_both_demos_play_in_their_environments() -> None:
    for name, env_id in ((WATER, "tidepool/Waterworld-v0"), (WHEELS, "tidepool/RLDemo-v0")):
        options = Options(seed=1)
        policy = players.load(players.find_agent(Path(name), Path("runs")))
        assert policy.env_id == env_id
        session = open_session(options, policy, players.rules_for(env_id, policy))
        assert session.epsilon == 0.05
        for _ in range(300):
            session.step()
        q = session.q_values()
        assert q is not None
        assert np.isfinite(q).all()
        assert session.score.episode_return > 0


# environments and agents


def test_an_environment_in_place_of_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert play.main(["CartPole-v1", "--record", "a.png", "--steps", "3"]) == 0
    out = capsys.readouterr().out
    assert (
        "no agent has been trained in CartPole-v1 yet, so a random policy plays; train one: python train.py CartPole-v1"
        in out
    )
    assert "random in CartPole-v1" in out
    run_folder(tmp_path / "runs", "a__dqn__1__20261123-101530")
    for words in (["CartPole-v1"], ["--env-id", "CartPole-v1"]):
        assert play.main([*words, "--record", "a.png", "--overwrite", "--steps", "3"]) == 0
        assert "dqn in CartPole-v1" in capsys.readouterr().out


def test_the_newest_run_in_an_environment_plays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, pretrained = tmp_path / "runs", tmp_path / "pretrained"
    monkeypatch.setattr(players, "PRETRAINED", pretrained)
    assert players.trained_in("CartPole-v1", runs) is None
    ours = run_folder(pretrained, "cartpole")
    assert players.trained_in("CartPole-v1", runs) == ours
    newest = run_folder(runs, "a__dqn__1__20261123-101530")
    run_folder(runs, "b__dqn__1__20261122-101530")
    run_folder(runs, "c__dqn__1__20261124-101530", "Acrobot-v1")
    (runs / "d__dqn__1__20261125-101530" / "agent").mkdir(parents=True)
    (runs / "d__dqn__1__20261125-101530" / "agent" / "manifest.json").write_text("not JSON")
    assert players.trained_in("CartPole-v1", runs) == newest


class AtariAgent:
    """An agent that was trained on small frames under a protocol of its own."""

    name, env_id, protocol, default_epsilon = "cpu_dqn", "ALE/Pong-v5", "mnih2015", 0.05

    def __init__(self) -> None:
        self.env_options = envs.options("ALE/Pong-v5", "mnih2015", frame_size=42)

    def q_values(self, obs: Any) -> Any:
        assert obs.shape[1:] == (4, 42, 42)
        return np.tile(np.arange(6.0), (len(obs), 1))

    def act(self, obs: Any, epsilon: float, rng: Any) -> Any:
        return self.q_values(obs).argmax(1)


@pytest.fixture
def atari_agent(monkeypatch: pytest.MonkeyPatch) -> AtariAgent:
    pytest.importorskip("ale_py")
    agent = AtariAgent()
    monkeypatch.setattr(players, "load", lambda path: agent)
    return agent


def test_an_atari_agent_has_its_own_frames_and_rules(
    atari_agent: AtariAgent, capsys: pytest.CaptureFixture[str]
) -> None:
    assert play.main(["--agent-file", WATER, "--record", "a.png", "--steps", "3", "--seed", "2"]) == 0
    assert "cpu_dqn in ALE/Pong-v5 (mnih2015), seed 2, epsilon 0.05" in capsys.readouterr().out
    with Image.open("a.png") as image:
        assert image.size[1] > 700  # the larger layout


def test_an_agents_rules_apply_in_other_atari_games_only(atari_agent: AtariAgent) -> None:
    agent: Any = atari_agent
    for env_id in ("ALE/Pong-v5", "ALE/Carnival-v5"):  # another game with the same joystick
        rules = players.rules_for(env_id, agent)
        assert (rules.protocol, rules.label, rules.env_options["frame_size"]) == ("mnih2015", "mnih2015", 42)
        assert (rules.env_options["sticky"], rules.env_options["frame_cap"]) == (0.0, 18_000)
    assert players.rules_for("CartPole-v1", agent) == players.Rules("CartPole-v1", "gymnasium-default", {})
    default = players.rules_for("ALE/Pong-v5", None)
    assert (default.protocol, default.env_options["sticky"]) == ("machado2018", 0.25)
    assert players.rules_for("tidepool/Waterworld-v1", None).label == ""


@pytest.mark.parametrize(("words", "protocol"), [(["--agent-file", WATER], "mnih2015"), ([], "machado2018")])
def test_a_human_atari_score_has_the_protocol_that_was_played(
    atari_agent: AtariAgent,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    protocol: str,
) -> None:
    from viewer import window

    def one_step(self: window.Window) -> None:
        """End the game after its first step, as a full one."""
        scored_play, session = self.view.scored_play, self.view.session
        assert scored_play is not None
        assert self.view.protocol == protocol
        scored_play.advance(3.0)
        session.step()
        session.score.finished = True
        scored_play.advance(0.0)

    monkeypatch.setattr(window.Window, "run", one_step)
    assert play.main(["--human", "--env-id", "ALE/Pong-v5", "--name", "Ada", *words]) == 0
    with (tmp_path / "runs" / "humans.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    assert (row["env_id"], row["protocol"], row["apples"]) == ("ALE/Pong-v5", protocol, "")
    assert re.search(r"in 1 step \(\d+ frames\)", capsys.readouterr().out)


# two worlds, learning, panels


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--human", "--versus"], "--human is scored alone and --versus is a race; give one of them"),
        (["--human", "--learn", "dqn"], "--human is scored without an agent; leave --learn out"),
        (["--versus", "--record", "a.png"], "--versus needs a screen, --record has none; give one of them"),
        (["--versus", "--learn", "dqn"], "--versus and --learn don't go together"),
        (["--learn", "dqn", "--attach", "newest"], "--attach and --learn are two players"),
        (["--learn", "rainbwo"], "did you mean rainbow"),
        (["--panels", "actoins"], "did you mean actions"),
        (["--versus", "--env-id", "Acrobot-v1"], "no agent has been trained in Acrobot-v1 yet; train one"),
    ],
)
def test_incompatible_options_are_rejected(words: list[str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        play.main([*words, *([] if "--record" in words else ["--steps", "1"])])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_versus_ends_after_its_episodes(capsys: pytest.CaptureFixture[str]) -> None:
    assert play.main([WATER, "--versus", "--episodes", "1", "--speed", "50", "--seed", "4"]) == 0
    out = capsys.readouterr().out
    assert "you against karpathy_pretrained in tidepool/Waterworld-v0, seed 4" in out
    assert re.search(r"episode 1: you -?\d+, the agent \d+", out)


def test_versus_in_an_atari_game() -> None:
    pytest.importorskip("ale_py")
    assert play.main(["pong", "--versus", "--steps", "5", "--speed", "10"]) == 0


def test_a_new_agent_learns_in_the_window_and_in_a_film(capsys: pytest.CaptureFixture[str]) -> None:
    assert play.main(["--learn", "stream_q", "--env-id", "CartPole-v1", "--record", "a.png", "--steps", "40"]) == 0
    assert "stream_q in CartPole-v1" in capsys.readouterr().out
    assert play.main(["--learn", "auto", "--steps", "40", "--speed", "50"]) == 0
    assert "d3qn in tidepool/Waterworld-v1" in capsys.readouterr().out


def test_the_option_panels_sets_the_panels_and_is_not_saved(tmp_path: Path) -> None:
    for panels in ("none", "actions, score", "all"):
        words = ["--agent-file", WATER, "--record", f"{panels}.png", "--steps", "2", "--seed", "1", "--panels", panels]
        assert play.main(words) == 0
    small, middle, large = (Image.open(f"{panels}.png").size for panels in ("none", "actions, score", "all"))
    assert small[0] < middle[0] < large[0]
    assert not settings.path().exists()


def test_the_window_saves_its_panels_and_a_film_shows_the_same(tmp_path: Path) -> None:
    settings.path().parent.mkdir(parents=True, exist_ok=True)
    settings.path().write_text(json.dumps({"hidden": ["actions", "score"]}))
    assert play.main(["--agent-file", WATER, "--steps", "2"]) == 0
    assert set(json.loads(settings.path().read_text())["hidden"]) == {"actions", "score"}
    assert play.main(["--agent-file", WATER, "--record", "a.png", "--steps", "2"]) == 0
    assert play.main(["--agent-file", WATER, "--record", "b.png", "--steps", "2", "--panels", "all"]) == 0
    assert Image.open("a.png").size[0] < Image.open("b.png").size[0]
