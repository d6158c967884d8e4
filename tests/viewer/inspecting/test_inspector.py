from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests.viewer.helpers import Q4, V1, Known, session_in
from viewer.inspecting.inspector import Inspector
from viewer.playing import players
from viewer.playing.session import Session


@pytest.fixture(scope="module")
def agent() -> Any:
    return players.load(players.SHIPPED)


@pytest.fixture
def session(agent: Any) -> Session:
    return session_in(V1, agent)


def live(session: Session, steps: int) -> None:
    for _ in range(steps):
        session.step()


def test_what_the_network_says_is_always_of_the_moment_looked_at(session: Session) -> None:
    looking = Inspector(session)
    for _ in range(5):
        said = looking.insight()
        assert said is not None
        assert np.allclose(said.q_values, session.q_values())  # type: ignore[arg-type]
        session.step()
    live(session, 20)
    session.timeline.to(7)
    said = looking.insight()
    assert said is not None
    assert np.allclose(said.q_values, session.timeline[7].q_values)  # type: ignore[arg-type]
    assert np.allclose(looking.q_values(), said.q_values)  # type: ignore[arg-type]


def test_an_explanation_stays_for_a_tenth_of_a_second_of_play(session: Session) -> None:
    looking, shown = Inspector(session), []
    for _ in range(12):  # of 0.03 s
        session.step()
        found = looking.explanation()
        assert found is not None
        shown.append(found.moment.step)
    assert shown == [0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8]
    session.paused = True
    found = looking.explanation()
    assert found is not None
    assert found.moment.step == 11
    session.paused, session.speed = False, 4.0
    live(session, 1)
    found = looking.explanation()  # another speed, another clock
    live(session, 4)  # no longer a tenth of a second
    assert looking.explanation() is found
    live(session, 12)
    assert looking.explanation() is not found


def test_at_unlimited_speed_it_is_a_tenth_of_a_second_of_real_time(session: Session, monkeypatch: Any) -> None:
    now = [5.0]
    monkeypatch.setattr("viewer.inspecting.inspector.time.perf_counter", lambda: now[0])
    session.speed = math.inf
    looking = Inspector(session)
    live(session, 1)
    first = looking.explanation()
    live(session, 50)
    assert looking.explanation() is first
    now[0] += 0.11
    assert looking.explanation() is not first


def test_the_step_explained_is_the_one_looked_at_and_of_the_present_the_last_one(session: Session) -> None:
    looking = Inspector(session)
    assert looking.step is None
    assert looking.explanation() is None
    live(session, 5)
    assert looking.step == 4
    session.timeline.to(2)
    assert looking.step == 2
    session.timeline.to_live()
    session.next_episode()
    assert looking.step is None or session.timeline[looking.step].action is not None


def test_a_network_that_has_learnt_is_asked_again(session: Session) -> None:
    looking = Inspector(session)
    before = looking.insight()
    assert looking.insight() is before
    session.policy.weights_version = 1  # type: ignore[union-attr]
    assert looking.insight() is not before
    del session.policy.weights_version  # type: ignore[union-attr]


def test_players_without_a_network_say_nothing() -> None:
    session = session_in(policy=Known(Q4))
    live(session, 3)
    looking = Inspector(session)
    assert (looking.insight(), looking.saliency(), looking.explanation()) == (None, None, None)
    assert looking.q_values() is session.q_values()
    assert looking.inputs() is not None


def test_bars_and_frames_are_those_of_the_moment_looked_at(agent: Any) -> None:
    from envs.drawing import picture
    from tests.viewer.helpers import drawn, view_of
    from viewer import screen

    session = session_in(V1, agent)
    view = view_of(session)

    def bars() -> np.ndarray[Any, Any]:
        found = screen.place_of(view, "actions")
        assert found is not None
        _, area = found
        return picture(drawn(view))[round(area.y) : round(area.bottom), round(area.x) : round(area.right)].copy()

    live(session, 3)
    session.q_values()
    before = bars()
    live(session, 1)
    after = bars()
    assert not np.array_equal(before, after)
    session.timeline.back()
    back = bars()
    assert (back != before).mean() < 0.5 * (back != after).mean()  # but for the axis, which has got wider


def test_the_frames_seen_are_those_of_the_moment_looked_at() -> None:
    pytest.importorskip("ale_py")
    from tests.viewer.helpers import view_of
    from viewer.panels.seen import SeenPanel

    session = session_in("ALE/Pong-v5", Known(np.eye(6)[2].tolist()))
    view = view_of(session, "ALE/Pong-v5")
    past = session.obs.copy()
    live(session, 40)
    assert not np.array_equal(SeenPanel().stack(view), past)  # type: ignore[arg-type]
    session.timeline.to(0)
    assert np.array_equal(SeenPanel().stack(view), past)  # type: ignore[arg-type]
