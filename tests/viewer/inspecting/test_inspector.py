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
    return players.load(players.DEFAULT_AGENT)


@pytest.fixture
def session(agent: Any) -> Session:
    return session_in(V1, agent)


def play(session: Session, steps: int) -> None:
    for _ in range(steps):
        session.step()


def test_insight_is_always_of_the_moment_at_the_cursor(session: Session) -> None:
    inspector = Inspector(session)
    for _ in range(5):
        insight = inspector.insight()
        assert insight is not None
        assert np.allclose(insight.q_values, session.q_values())  # type: ignore[arg-type]
        session.step()
    play(session, 20)
    session.timeline.to(7)
    insight = inspector.insight()
    assert insight is not None
    assert np.allclose(insight.q_values, session.timeline[7].q_values)  # type: ignore[arg-type]
    assert np.allclose(inspector.q_values(), insight.q_values)  # type: ignore[arg-type]


def test_an_explanation_stays_for_a_tenth_of_a_second_of_play(session: Session) -> None:
    inspector, shown = Inspector(session), []
    for _ in range(12):  # of 0.03 s
        session.step()
        found = inspector.explanation()
        assert found is not None
        shown.append(found.moment.step)
    assert shown == [0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8]
    session.paused = True
    found = inspector.explanation()
    assert found is not None
    assert found.moment.step == 11
    session.paused, session.speed = False, 4.0
    play(session, 1)
    found = inspector.explanation()  # the clock depends on the speed
    play(session, 4)  # no longer a tenth of a second
    assert inspector.explanation() is found
    play(session, 12)
    assert inspector.explanation() is not found


def test_at_unlimited_speed_it_is_a_tenth_of_a_second_of_real_time(session: Session, monkeypatch: Any) -> None:
    now = [5.0]
    monkeypatch.setattr("viewer.inspecting.inspector.time.perf_counter", lambda: now[0])
    session.speed = math.inf
    inspector = Inspector(session)
    play(session, 1)
    first = inspector.explanation()
    play(session, 50)
    assert inspector.explanation() is first
    now[0] += 0.11
    assert inspector.explanation() is not first


def test_the_step_explained_is_that_at_the_cursor_or_the_last_one(session: Session) -> None:
    inspector = Inspector(session)
    assert inspector.step is None
    assert inspector.explanation() is None
    play(session, 5)
    assert inspector.step == 4
    session.timeline.to(2)
    assert inspector.step == 2
    session.timeline.to_live()
    session.next_episode()
    assert inspector.step is None or session.timeline[inspector.step].action is not None


def test_new_weights_are_evaluated_again(session: Session) -> None:
    inspector = Inspector(session)
    before = inspector.insight()
    assert inspector.insight() is before
    session.policy.weights_version = 1  # type: ignore[union-attr]
    assert inspector.insight() is not before
    del session.policy.weights_version  # type: ignore[union-attr]


def test_players_without_a_network_have_no_insight() -> None:
    session = session_in(policy=Known(Q4))
    play(session, 3)
    inspector = Inspector(session)
    assert (inspector.insight(), inspector.saliency(), inspector.explanation()) == (None, None, None)
    assert inspector.q_values() is session.q_values()
    assert inspector.inputs() is not None


def test_bars_are_those_of_the_moment_at_the_cursor(agent: Any) -> None:
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

    play(session, 3)
    session.q_values()
    before = bars()
    play(session, 1)
    after = bars()
    assert not np.array_equal(before, after)
    session.timeline.back()
    back = bars()
    assert (back != before).mean() < 0.5 * (back != after).mean()  # except for the axis, which has widened


def test_the_frames_are_those_of_the_moment_at_the_cursor() -> None:
    pytest.importorskip("ale_py")
    from tests.viewer.helpers import view_of
    from viewer.panels.seen import SeenPanel

    session = session_in("ALE/Pong-v5", Known(np.eye(6)[2].tolist()))
    view = view_of(session, "ALE/Pong-v5")
    past = session.obs.copy()
    play(session, 40)
    assert not np.array_equal(SeenPanel().stack(view), past)  # type: ignore[arg-type]
    session.timeline.to(0)
    assert np.array_equal(SeenPanel().stack(view), past)  # type: ignore[arg-type]
