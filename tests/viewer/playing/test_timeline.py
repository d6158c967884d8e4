from __future__ import annotations

import functools
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import envs
from tests.viewer.helpers import CARTPOLE, Q4, V1, EpsilonGreedy, Known, NoQValues, session_in
from viewer.playing.session import Session
from viewer.playing.timeline import MINUTES, OVERHEAD, Moment, Timeline, pack


def line(count: int, capacity: int = 100, max_bytes: int = 10**9) -> Timeline:
    """Return a timeline of so many moments; the observation of each is its number."""
    timeline = Timeline(capacity, max_bytes)
    timeline.begin()
    for number in range(count):
        timeline.arrive(np.array([float(number)]), episode=0, step=number)
        if number < count - 1:
            timeline.act(0, reward=float(number))
    return timeline


def seen(moment: Moment) -> float:
    return float(moment.obs[0])


def test_the_panels_sources_need_neither_pygame_nor_torch() -> None:
    modules = (
        "viewer.playing.timeline, viewer.playing.calibration, viewer.inspecting.explain, viewer.inspecting.neurons"
    )
    code = f"import sys, {modules}; sys.exit('pygame' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# moments


def test_a_moment_is_a_state_and_the_action_taken_in_it() -> None:
    timeline = Timeline(10)
    timeline.begin()
    timeline.arrive(np.array([1.0, 2.0]), episode=4, step=0, lives=3)
    assert timeline.current.action is None
    assert timeline.current.expectation is None
    q = np.array([0.5, 2.5])
    timeline.act(1, -1.0, q_values=q, greedy=True, life_lost=True)
    timeline.arrive(np.array([3.0, 4.0]), episode=4, step=1, lives=2)
    first, second = timeline
    assert (first.number, first.episode, first.step, first.lives, first.action, first.reward) == (0, 4, 0, 3, 1, -1.0)
    assert (first.expectation, first.greedy, first.life_lost) == (2.5, True, True)
    assert (second.number, second.action, second.lives) == (1, None, 2)
    np.testing.assert_array_equal(first.obs, [1, 2])


def test_no_key_has_no_expectation() -> None:
    """-1 must not be used as an index: it would give the last action's expectation."""
    timeline = line(1)
    timeline.act(-1, 0.0, q_values=np.array([1.0, 9.0]), by_human=True)
    assert timeline[0].expectation is None


def test_observations_are_copies() -> None:
    timeline, obs = Timeline(10), np.array([1.0])
    timeline.begin()
    timeline.arrive(obs, episode=0, step=0)
    obs[0] = 7.0
    assert seen(timeline[0]) == 1.0


def test_bytes_are_compressed_and_restored() -> None:
    frames = np.zeros((4, 84, 84), np.uint8)
    frames[:, 10:20, 30:35] = 200
    assert len(pack(frames).data) < frames.nbytes / 50
    timeline = Timeline(10)
    timeline.begin()
    timeline.arrive(frames, episode=0, step=0)
    assert timeline.nbytes < frames.nbytes / 10
    np.testing.assert_array_equal(timeline[0].obs, frames)
    timeline[0].obs[0, 0, 0] = 1  # a copy: what is stored does not change
    np.testing.assert_array_equal(timeline[0].obs, frames)
    assert timeline[0].obs.dtype == np.uint8


def test_the_oldest_moments_are_dropped() -> None:
    timeline = line(7, capacity=3)
    assert (len(timeline), timeline.first, timeline.last) == (3, 4, 6)
    assert [seen(moment) for moment in timeline] == [4, 5, 6]
    assert seen(timeline[5]) == 5
    for number in (3, 7, -1):
        with pytest.raises(IndexError, match="4 to 6"):
            timeline[number]


def test_memory_is_bounded_too() -> None:
    each = OVERHEAD + 8
    timeline = line(50, max_bytes=10 * each)
    assert len(timeline) == 10
    assert timeline.nbytes == sum(moment.nbytes for moment in timeline) == 10 * each
    # pictures count: noise can't be compressed
    noise = np.random.default_rng(0).integers(0, 256, (10, 10, 40), np.uint8)
    timeline.add_picture(noise)
    assert timeline.nbytes <= 10 * each
    assert len(timeline) == 6  # 4000 bytes, as much as 4 others
    timeline.act(0, 0.0)
    timeline.arrive(np.array([50.0]), episode=0, step=50)
    assert timeline.last == 50


def test_the_present_stays_however_large() -> None:
    timeline = line(3, max_bytes=1)
    assert [seen(moment) for moment in timeline] == [2]


def test_following_ends_with_the_round() -> None:
    timeline = line(3)
    timeline.begin()  # interrupted and restarted
    timeline.arrive(np.array([9.0]), episode=0, step=0)
    assert [moment.number for moment in timeline.following(1)] == [1, 2]
    assert [moment.number for moment in timeline.following(3)] == [3]


def test_the_latest_picture_before_replaces_a_missing_one() -> None:
    timeline = line(2)
    assert timeline.picture_at(1) is None
    timeline.add_picture(np.full((2, 2, 3), 7, np.uint8))
    timeline.add_picture(np.zeros((2, 2, 3), np.uint8))  # the first one counts
    timeline.act(0, 0.0)
    timeline.arrive(np.array([2.0]), episode=0, step=2)
    found = timeline.picture_at(2)
    assert found is not None
    assert (found[0], int(found[1].max())) == (1, 7)
    timeline.begin()
    timeline.arrive(np.array([0.0]), episode=1, step=0)
    assert timeline.picture_at(3) is None  # another episode's is none


# the cursor


def test_the_cursor_follows_the_present_or_stays_where_it_is() -> None:
    timeline = line(5)
    assert (timeline.live, timeline.cursor) == (True, 4)
    timeline.back()
    timeline.back(2)
    assert (timeline.live, timeline.cursor, seen(timeline.current)) == (False, 1, 1.0)
    timeline.act(0, 0.0)
    timeline.arrive(np.array([5.0]), episode=0, step=5)
    assert seen(timeline.current) == 1.0
    timeline.forward()
    assert timeline.cursor == 2
    timeline.to_live()
    assert (timeline.live, timeline.cursor) == (True, 5)


def test_the_cursor_stops_at_both_ends() -> None:
    timeline = line(9, capacity=4)  # 5 to 8
    timeline.back(100)
    assert timeline.cursor == 5
    timeline.to(7)
    assert not timeline.live
    timeline.forward()
    assert timeline.live  # at the present it is live again
    timeline.to(0)
    assert timeline.cursor == 5
    timeline.to(1000)
    assert timeline.live


def test_a_dropped_moment_moves_the_cursor_to_the_oldest() -> None:
    timeline = line(4, capacity=4)
    timeline.to(1)
    for number in range(4, 8):
        timeline.act(0, 0.0)
        timeline.arrive(np.array([float(number)]), episode=0, step=number)
        assert timeline.cursor == max(1, timeline.first)
    assert seen(timeline.current) == 4.0


# what a session records


def test_four_minutes_of_steps_are_kept() -> None:
    assert MINUTES == 4.0
    assert session_in(policy=Known(Q4)).timeline.capacity == 8000  # of 30 ms
    assert session_in(CARTPOLE).timeline.capacity == 12_000  # 50 a second


def test_a_session_records_every_step() -> None:
    session = session_in(policy=Known(Q4))
    observations, states = [session.obs], [session.env.unwrapped.get_state()]  # type: ignore[attr-defined]
    for _ in range(5):
        session.step()
        observations.append(session.obs)
        states.append(session.env.unwrapped.get_state())  # type: ignore[attr-defined]
    assert len(session.timeline) == 6
    for moment, obs, state in zip(session.timeline, observations, states, strict=True):
        np.testing.assert_array_equal(moment.obs, obs)
        assert moment.state is not None
        np.testing.assert_array_equal(moment.state["pos"], state["pos"])
        assert moment.picture is None
    done = list(session.timeline)[:-1]
    assert [moment.action for moment in done] == [1] * 5
    assert all(moment.greedy and not moment.by_human for moment in done)
    assert [moment.reward for moment in done] == [step.reward for step in session.history]
    assert [moment.step for moment in session.timeline] == list(range(6))


def test_a_past_world_can_be_restored() -> None:
    session = session_in(policy=EpsilonGreedy(Q4), epsilon=0.5)
    for _ in range(30):
        session.step()
    moment = session.timeline[12]
    assert moment.state is not None
    again = envs.make(V1)
    again.reset(seed=0)
    np.testing.assert_array_equal(again.unwrapped.set_state(moment.state), moment.obs)  # type: ignore[attr-defined]
    # and continues as it did
    assert moment.action is not None
    np.testing.assert_array_equal(again.step(np.int64(moment.action))[0], session.timeline[13].obs)


def test_moments_record_who_acted() -> None:
    """The agent prefers 1; a human takes the same action, then none; a random action does not count as greedy."""
    session = session_in(policy=EpsilonGreedy(Q4))
    session.step()
    session.take_over()
    session.human_action = 1  # the best action, but not the agent's
    session.step()
    session.human_action = None
    session.step()
    session.hand_back()
    session.epsilon = 1.0
    session.step()
    while session.timeline[session.timeline.last - 1].action == 1:
        session.step()
    recorded = [(moment.action, moment.by_human, moment.greedy) for moment in session.timeline]
    assert recorded[:3] == [(1, False, True), (1, True, False), (-1, True, False)]
    assert recorded[-2][1:] == (False, False)
    np.testing.assert_array_equal(session.timeline[1].q_values, Q4)  # of a human's steps, too


def test_moments_record_ends_and_rounds() -> None:
    session = session_in(CARTPOLE, Known((0.0, 1.0)))
    while not session.finished:
        session.step()
    last = session.timeline.last
    assert session.timeline[last - 1].terminated
    assert session.timeline[last].action is None  # the final state
    session.step()  # the next episode begins
    session.step()
    session.restart()
    assert [session.timeline[number].round for number in range(last, last + 4)] == [0, 1, 1, 2]
    assert [session.timeline[number].episode for number in range(last, last + 4)] == [0, 1, 1, 1]


def test_pictures_are_kept_of_the_states_that_were_drawn() -> None:
    session = session_in(CARTPOLE, Known((0.0, 1.0)))
    picture = session.picture()
    session.step()
    session.step()
    found = session.timeline.picture_at(2)
    assert found is not None
    assert found[0] == 0
    np.testing.assert_array_equal(found[1], picture)


def test_players_without_q_values_are_recorded() -> None:
    session = session_in(policy=NoQValues(Q4))
    session.step()
    moment = session.timeline[0]
    assert (moment.q_values, moment.greedy, moment.expectation) == (None, False, None)
    assert session.truth is None
    assert session.reader is None


def test_a_policy_with_choose_computes_its_q_values_once() -> None:
    calls = 0

    class Choosing(Known):
        def q_values(self, obs: NDArray[Any]) -> NDArray[np.float64] | None:
            nonlocal calls
            calls += 1
            return super().q_values(obs)

        def choose(self, q_values: NDArray[np.float64], epsilon: float, rng: np.random.Generator) -> NDArray[np.int64]:
            assert q_values.shape == (1, 4)
            return np.array([3])

    session = session_in(policy=Choosing(Q4))
    calls = 0
    for _ in range(10):
        session.q_values()  # as the window does
        session.step()
    assert calls == 9  # those of the first state were known already
    assert {moment.action for moment in session.timeline} == {3, None}


@functools.cache
def pong() -> Any:
    pytest.importorskip("ale_py")
    return envs.make("ALE/Breakout-v5", render_mode="rgb_array", sticky=0.0)


def test_minutes_of_atari_fit() -> None:
    """3600 moments of at most 10 KB: 36 MB."""
    env = pong()
    session = Session(env, EpsilonGreedy((0.0,) * 4), seed=1, epsilon=1.0, action_names=envs.action_names(env))
    assert session.timeline.capacity == 3600
    for _ in range(60):
        session.picture()
        session.step()
    assert session.timeline.nbytes / len(session.timeline) < 10_000
    moment = session.timeline[30]
    assert moment.picture is not None
    assert moment.picture.unpack().shape == (210, 160, 3)
    assert moment.obs.shape == (4, 84, 84)
    assert moment.lives == 5
