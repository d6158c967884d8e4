from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import envs
from common.files import PRETRAINED
from play import main
from tests.viewer.helpers import CARTPOLE, Q4, V1, Known, drawn, session_in, view_of
from viewer import commands
from viewer.learning import controls
from viewer.learning.online_learner import OnlineLearner
from viewer.modes import show
from viewer.options import Options
from viewer.panels import View
from viewer.panels.learning import LearningPanel
from viewer.playing import pending, players
from viewer.playing.session import Session


@pytest.fixture
def view(tmp_path: Path) -> View:
    """Return Waterworld with a copy of the pretrained agent, which can be found as a run."""
    run = tmp_path / "runs" / "old__20200101-000000"
    shutil.copytree(players.DEFAULT_AGENT, run)
    shown = view_of(session_in(policy=players.load(run)))  # type: ignore[arg-type]
    shown.source, shown.runs_dir = run, tmp_path / "runs"
    return shown


def weights(view: View) -> bytes:
    policy: Any = view.session.policy
    return b"".join(value.numpy().tobytes() for value in policy.network.state_dict().values())


def play(view: View, steps: int) -> None:
    for _ in range(steps):
        view.session.step()


def test_an_agent_starts_and_stops_learning(view: View) -> None:
    before = view.session.q_values()
    assert not controls.has_online_learner(view)
    controls.toggle_learning(view)
    learner = controls.online_learner(view)
    assert isinstance(learner, OnlineLearner)
    after = view.session.q_values()
    assert before is not None
    assert after is not None
    assert np.allclose(before, after)  # the same network continues
    assert view.session.truth is not None
    start = weights(view)
    play(view, 1100)  # the warm-up takes 1000 steps
    assert learner.steps_learnt == 1099  # one of the steps started the next episode
    assert learner.updates > 0
    assert learner.td_error is not None
    assert weights(view) != start
    controls.toggle_learning(view)
    stopped = weights(view)
    play(view, 20)
    assert (weights(view), learner.steps_learnt) == (stopped, 1099)


def test_it_learns_from_a_humans_actions_too(view: View) -> None:
    controls.toggle_learning(view)
    view.session.take_over()
    view.session.human_action = 2
    play(view, 10)
    learner = controls.online_learner(view)
    assert learner is not None
    assert learner.steps_learnt == 10
    view.session.human_action = None  # "no key" is not an action of the agent
    play(view, 5)
    assert learner.steps_learnt == 10


def test_a_reset_has_to_be_confirmed(view: View) -> None:
    before = weights(view)
    controls.reinitialise(view)
    assert view.notice == "press X again to reset the agent to random weights (saved files are kept)"
    assert weights(view) == before
    controls.reinitialise(view)
    fresh = weights(view)
    assert fresh != before
    assert weights_on_disk(view) == before
    controls.reinitialise(view)
    controls.reinitialise(view)
    assert weights(view) not in (before, fresh)  # from the next seed


def weights_on_disk(view: View) -> bytes:
    assert view.source is not None
    policy: Any = players.load(view.source)
    return b"".join(value.numpy().tobytes() for value in policy.network.state_dict().values())


def test_a_confirmation_expires(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    before = weights(view)
    controls.reinitialise(view)
    now = time.monotonic()
    monkeypatch.setattr(controls, "time", SimpleNamespace(monotonic=lambda: now + 10.0))
    controls.reinitialise(view)
    assert weights(view) == before


def test_other_agents_are_loaded_in_turn_and_unsaved_learning_needs_confirmation(view: View) -> None:
    known = players.all_trained_in(V1, view.runs_dir)
    assert known[0] == view.source
    assert known[1] == players.DEFAULT_AGENT  # the best of the pretrained agents
    controls.next_agent(view)
    assert view.source == players.DEFAULT_AGENT
    controls.toggle_learning(view)
    play(view, 5)
    controls.next_agent(view)
    assert view.source == players.DEFAULT_AGENT
    assert "not saved" in view.notice
    controls.next_agent(view)
    assert view.source == known[2 % len(known)]
    assert controls.online_learner(view) is None


def test_a_saved_agent_plays_again(view: View) -> None:
    controls.toggle_learning(view)
    play(view, 1100)
    controls.save(view)
    assert view.notice.startswith("saved in")
    newest = players.all_trained_in(V1, view.runs_dir)[0]
    assert str(newest) in view.notice
    again: Any = players.load(newest)
    obs = view.session.obs[None]
    now: Any = view.session.policy
    assert np.allclose(again.q_values(obs), now.q_values(obs))
    assert json.loads((newest / "config.json").read_text())["agent"] == "d3qn"


def test_a_random_policy_is_replaced_by_a_new_agent_that_learns() -> None:
    view = view_of(session_in(CARTPOLE, Known((0.0, 1.0))), CARTPOLE)
    controls.toggle_learning(view)
    learner = controls.online_learner(view)
    assert learner is not None
    assert (learner.name, learner.learning) == ("d3qn", True)
    play(view, 30)
    drawn(view)


def test_a_new_agent_learns_in_the_environment_that_was_typed(tmp_path: Path) -> None:
    words = ["FrozenLake-v1", "--env-kwargs", "map_name=8x8", "--learn", "auto", "--runs-dir", str(tmp_path)]
    assert main([*words, "--record", str(tmp_path / "lake.png"), "--steps", "3"]) == 0
    with closing(envs.make("FrozenLake-v1", render_mode="rgb_array", env_kwargs={"map_name": "8x8"})) as env:
        session = Session(env, Known(Q4), action_names=envs.action_names(env), seed=3)
        view = view_of(session, "FrozenLake-v1")
        view.env_kwargs = ("map_name=8x8",)
        controls.toggle_learning(view)
        assert controls.learning(view), view.notice
        play(view, 5)


def test_an_agent_that_can_not_learn_is_rejected_with_the_reason(view: View) -> None:
    view.source = PRETRAINED / "reinforcejs_wateragent.json"
    before = view.session.policy
    controls.toggle_learning(view)
    assert view.session.policy is before
    assert view.notice
    assert "\n" not in view.notice


def test_a_damaged_agent_is_reported_and_the_old_one_stays(view: View, tmp_path: Path) -> None:
    damaged = tmp_path / "runs" / "new__20300101-000000"
    shutil.copytree(players.DEFAULT_AGENT, damaged)
    (damaged / "agent" / "network.safetensors").write_bytes(b"nothing")
    before = view.session.policy
    controls.load(view, damaged)
    assert view.session.policy is before
    assert "network.safetensors" in view.notice
    play(view, 3)


def test_an_agent_for_another_environment_is_rejected(view: View) -> None:
    before, source = view.session.policy, view.source
    controls.load(view, PRETRAINED / "convnetjs_rldemo_net.json")
    assert (view.session.policy, view.source) == (before, source)
    assert "does not fit" in view.notice
    assert view.session.truth is not None


def test_epsilon_is_that_of_playing_or_of_learning(view: View) -> None:
    controls.set_epsilon(view, 0.3)
    assert (view.session.epsilon, controls.epsilon(view)) == (0.3, 0.3)
    controls.toggle_learning(view)
    learner = controls.online_learner(view)
    assert learner is not None
    scheduled = learner.epsilon
    assert controls.epsilon(view) == scheduled
    controls.set_epsilon(view, 0.75)
    assert learner.epsilon == 0.75
    assert view.session.epsilon == 0.3
    controls.set_learning_rate(view, 0.002)
    assert controls.learning_rate(view) == 0.002
    controls.toggle_learning(view)
    assert controls.epsilon(view) == 0.3


# an attached run


class Trained(Known):
    """A run in another process that receives requests."""

    def __init__(self, q: Any) -> None:
        super().__init__(q)
        self.requests: list[tuple[str, Any]] = []
        self.in_force: dict[str, str] = {}
        self.rejects = False

    def status(self) -> Any:
        metrics = {"epsilon": 0.4, "learning_rate": 1e-4, "agent_steps": 1234.0, "sps": 700.0}
        return SimpleNamespace(
            text="live", is_training=True, agent_steps=1, metrics=metrics, in_force=self.in_force, rejected=""
        )

    def request(self, name: str, value: Any) -> bool:
        if self.rejects:
            from common.errors import UserError

            raise UserError("out of range")
        self.requests.append((name, value))
        return True


@pytest.fixture
def attached() -> View:
    view = view_of(session_in(policy=Trained(Q4)))
    view.live = view.session.policy  # type: ignore[assignment]
    return view


def trainer(view: View) -> Trained:
    run: Any = view.live
    return run  # type: ignore[no-any-return]


def test_sliders_of_a_run_are_requests_and_not_one_a_frame(attached: View, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(pending, "time", SimpleNamespace(monotonic=lambda: now[0]))
    assert controls.epsilon(attached) == 0.4
    for step in range(60):  # a second of dragging
        controls.set_epsilon(attached, step / 100)
        assert controls.epsilon(attached) == step / 100  # the knob stays below the mouse
        now[0] += 1 / 60
        attached.tick(1 / 60)
    now[0] += 1.0
    attached.tick(1.0)
    requests = trainer(attached).requests
    assert 3 <= len(requests) <= 6
    assert requests[-1] == ("epsilon", 0.59)
    now[0] += 60.0
    assert controls.epsilon(attached) == 0.4  # the trainer did not apply it
    trainer(attached).in_force["epsilon"] = "0.59"
    assert controls.epsilon(attached) == 0.59


def test_learning_of_a_run_is_stopped_by_a_request(attached: View) -> None:
    assert controls.learning(attached)
    controls.toggle_learning(attached)
    attached.tick(0.1)
    assert trainer(attached).requests == [("learning", False)]
    assert not controls.learning(attached)
    assert not controls.can_change(attached)


def test_a_rejected_request_is_reported(attached: View) -> None:
    trainer(attached).rejects = True
    controls.set_learning_rate(attached, 5.0)
    attached.tick(0.1)
    assert attached.notice == "out of range"
    assert controls.learning_rate(attached) == 1e-4


# the panel


@pytest.mark.parametrize(
    "make", [lambda: view_of(session_in(policy=Known(Q4))), lambda: view_of(session_in(), locked=True)]
)
def test_the_panel_has_room_for_all_its_contents(make: Callable[[], View]) -> None:
    view = make()
    panel = LearningPanel()
    if view.session.policy is None:
        assert panel.height(view) == 0
        return
    from viewer.drawing.canvas import Area

    for _ in range(2):
        area = Area(0, 0, 340, panel.height(view))
        last = panel.sliders(area, view)[-1].track
        assert last.bottom < area.bottom
        assert panel.sliders(area, view)[0].track.y > 60
        view.source = players.DEFAULT_AGENT
        controls.toggle_learning(view)
        play(view, 3)
        drawn(view)
    assert {place.name for place in panel.sliders(area, view)} == {"epsilon", "learning_rate"}


def test_the_button_does_what_the_key_does(view: View) -> None:
    panel = LearningPanel()
    from viewer.drawing.canvas import Area

    area = Area(10, 20, 340, panel.height(view))
    place = panel.button(area)
    assert panel.press(view, area, place.x + 5, place.y + 5) is None
    assert controls.learning(view)
    command = commands.find(view, "l", "l")
    assert command is not None
    command.run(view)
    assert not controls.learning(view)


def test_an_agent_that_learnt_is_saved_when_the_window_is_closed(
    view: View, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    controls.toggle_learning(view)
    play(view, 1100)
    learner = controls.online_learner(view)
    assert learner is not None
    assert learner.unsaved
    monkeypatch.chdir(view.runs_dir.parent)
    view.open = False  # as Esc does
    show(Options(), view)
    line = capsys.readouterr().out.strip()
    assert line.startswith("the agent that learnt here is saved: python play.py ")
    saved = players.load(Path(line.rpartition(" ")[2]))
    obs = np.zeros((1, *learner.space.shape), np.float32)
    np.testing.assert_array_equal(saved.q_values(obs), learner.q_values(obs))
    assert controls.keep(view) == ""  # it is saved now
    learner.reinitialise()
    assert controls.keep(view) == ""  # nothing was learnt since


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGUSR1", "SIGINT"])
def test_a_signal_closes_the_window_and_an_agent_that_learnt_is_saved(
    name: str, view: View, capsys: pytest.CaptureFixture[str]
) -> None:
    if not hasattr(signal, name):
        pytest.skip(f"no {name} on this system")
    number = getattr(signal, name)
    controls.toggle_learning(view)
    play(view, 1100)
    before, tick = signal.getsignal(number), view.tick

    def tick_and_end(seconds: float) -> None:
        tick(seconds)
        signal.raise_signal(number)

    view.tick = tick_and_end  # type: ignore[method-assign]
    assert show(Options(), view) == 128 + number
    assert capsys.readouterr().out.startswith("the agent that learnt here is saved: python play.py ")
    assert signal.getsignal(number) is before


def test_an_agent_that_learns_in_a_film_is_saved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--env-id", "RLDemo-v0", "--learn", "dqn", "--steps", "1500", "--speed", "50", "--seed", "1"]
    place = ["--record", str(tmp_path / "a.gif"), "--runs-dir", str(tmp_path / "runs")]
    assert main([*words, *place]) == 0
    line = capsys.readouterr().out.splitlines()[-2]  # the last one is of the film
    assert line.startswith("the agent that learnt here is saved: python play.py ")
    assert players.load(Path(line.rpartition(" ")[2])).env_id == "tidepool/RLDemo-v0"


def test_an_agent_that_cannot_be_saved_at_the_end_is_one_line(view: View) -> None:
    controls.toggle_learning(view)
    play(view, 1100)
    (view.runs_dir.parent / "file").write_text("")
    view.runs_dir = view.runs_dir.parent / "file"
    line = controls.keep(view)
    assert line.startswith("the agent that learnt here could not be saved: ")
    assert "\n" not in line


def test_an_agent_that_only_played_is_not_saved(view: View) -> None:
    play(view, 50)
    assert controls.keep(view) == ""
    controls.toggle_learning(view)
    play(view, 50)  # before its first update
    assert controls.keep(view) == ""
