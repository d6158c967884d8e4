from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from common.errors import UserError
from tests.viewer.helpers import CARTPOLE, Q4, RLDEMO, V1, EpsilonGreedy, Known, NoQValues, session_in
from viewer.playing.clock import REST_SECONDS, SPEEDS
from viewer.playing.human_control import HAND_BACK_SECONDS, HumanControl
from viewer.playing.keys import Keys, keys_for
from viewer.playing.scored_play import DONE, PLAYING, READY, SUMMARY, ScoredPlay
from viewer.playing.session import AGENT, HUMAN, Score

WATER_KEYS = keys_for(("left", "right", "up", "down"))
WHEEL_NAMES = ("straight", "bear left", "bear right", "turn right", "turn left")
WHEELS = keys_for(WHEEL_NAMES)


def test_session_needs_no_pygame() -> None:
    names = ("session", "human_control", "keys", "players", "scored_play", "human_scores")
    modules = ", ".join(f"viewer.playing.{name}" for name in names)
    code = f"import sys, {modules}; sys.exit('pygame' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_agent_plays_its_best_action_and_the_score_counts() -> None:
    session = session_in(policy=Known(Q4))
    assert session.control == AGENT
    for _ in range(40):
        session.step()
    assert [step.action for step in session.history] == [1] * 40
    score = session.score
    assert (score.steps, score.human_steps, score.seed) == (40, 0, 3)
    assert score.apples is not None
    assert score.poison is not None
    assert score.episode_return == score.apples - score.poison  # Waterworld's reward
    assert sum(step.reward for step in session.history) == score.episode_return


def test_same_seed_same_episode_other_seed_another() -> None:
    def first_steps(seed: int) -> list[np.ndarray]:
        session = session_in(policy=EpsilonGreedy(Q4), seed=seed, epsilon=0.5)
        states = []
        for _ in range(30):
            session.step()
            states.append(session.obs.copy())
        return states

    assert np.array_equal(first_steps(3), first_steps(3))
    assert not np.array_equal(first_steps(3), first_steps(4))


def test_restart_is_the_same_episode_and_next_counts_the_seed_up() -> None:
    session = session_in(policy=EpsilonGreedy(Q4), epsilon=0.5)
    start = session.obs.copy()
    for _ in range(20):
        session.step()
    after = session.obs.copy()
    session.restart()
    assert np.array_equal(session.obs, start)
    assert session.score == Score(0, 3, apples=0, poison=0)
    for _ in range(20):
        session.step()
    assert np.array_equal(session.obs, after)  # the exploration too
    session.next_episode()
    assert session.score.seed == 4
    assert not np.array_equal(session.obs, start)


def test_take_over_and_hand_back_within_an_episode() -> None:
    session = session_in(policy=Known(Q4))
    for _ in range(6):
        session.step()
    session.take_over()
    session.step()  # no key: coast
    session.human_action = 0
    session.step()
    session.hand_back()
    session.step()
    session.step()
    assert [step.action for step in session.history][6:] == [-1, 0, 1, 1]
    assert [step.by_human for step in session.history] == [False] * 6 + [True] * 2 + [False] * 2
    assert session.score.human_share == pytest.approx(0.2)  # 2 of 10


def test_without_an_agent_control_stays_with_the_human() -> None:
    session = session_in()
    session.hand_back()
    assert session.control == HUMAN
    assert session.q_values() is None
    assert session.best_action() is None


def test_no_key_repeats_the_last_action_without_coasting() -> None:
    session = session_in(CARTPOLE)
    assert session.human_choice() == 0
    session.human_action = 1
    session.step()
    session.human_action = None
    assert session.human_choice() == 1


@pytest.mark.parametrize(("speed", "ticks"), [(0.25, 8), (1.0, 33), (2.0, 66), (50.0, 1666)])
def test_a_second_has_so_many_ticks(speed: float, ticks: int) -> None:
    session = session_in(policy=Known(Q4), speed=speed, auto_next=True)
    made = sum(session.advance(1 / 60) for _ in range(60))
    # at 50x one episode ends within the second and rests for a few frames
    resting = 0 if speed < 50 else round(REST_SECONDS / 50 * 60) + 1
    assert ticks - resting * 50 * 1000 / 30 / 60 - 1 <= made <= ticks + 1


def test_speeds_are_a_list_with_two_ends() -> None:
    session = session_in(policy=Known(Q4))
    seen = []
    for _ in range(len(SPEEDS)):
        session.change_speed(+1)
        seen.append(session.speed)
    assert seen == [2, 5, 10, 20, 50, math.inf, math.inf, math.inf, math.inf]
    for _ in range(9):
        session.change_speed(-1)
    assert session.speed == 0.25
    session.speed = 3.0  # from the command line: continues from the nearest entry
    session.change_speed(+1)
    assert session.speed == 5.0


def test_pause_and_single_step() -> None:
    session = session_in(policy=Known(Q4))
    session.paused = True
    assert session.advance(10.0) == 0
    session.step()
    assert session.score.steps == 1


def test_a_slow_machine_drops_time_instead_of_accumulating_it() -> None:
    now = iter(range(10**6))  # every reading of the clock is a second later
    session = session_in(policy=Known(Q4), speed=50.0)
    assert session.advance(1.0, budget=3.0, clock=lambda: float(next(now))) == 4
    assert session.advance(0.0, clock=lambda: 0.0) <= 1  # the other 1662 ticks are not made up for


def test_limit_is_exact() -> None:
    session = session_in(policy=Known(Q4), speed=50.0)
    assert session.advance(1.0, limit=7) == 7


def test_a_finished_episode_rests_then_the_next_starts_with_the_next_seed() -> None:
    session = session_in(policy=Known(Q4))
    while not session.finished:
        session.step()
    assert session.score.steps == 1000
    assert [score.seed for score in session.results] == [3]
    session.advance(REST_SECONDS / 2)
    assert session.finished
    session.advance(REST_SECONDS)
    assert not session.finished
    assert session.score.seed == 4
    assert session.total_steps == 1000


def test_a_frame_that_took_no_time_does_not_hold_the_next_episode_back() -> None:
    session = session_in(policy=Known(Q4), speed=math.inf)
    while not session.finished:
        session.step()
    session.advance(0.0)
    assert session.finished
    session.advance(1 / 60)
    assert session.score.seed == 4


def test_termination_ends_an_episode_too() -> None:
    session = session_in(CARTPOLE, Known((0.0, 1.0)))
    while not session.finished:
        session.step()
    assert session.score.steps < 20  # pushing one way only
    assert session.score.apples is None


def test_wrong_sizes_are_reported_at_once() -> None:
    with pytest.raises(UserError, match=r"'known'.*does not fit CartPole-v1: 4 observations, 2 actions"):
        session_in(CARTPOLE, Known(Q4))


def test_the_axis_includes_zero_and_narrows_slowly_after_outliers() -> None:
    policy = Known(Q4)
    session = session_in(policy=policy)
    session.q_values()
    assert session.q_axis() == (-1.0, 2.0)
    policy.q = np.array([1.0, 1.5, 1.2, np.nan])
    session.step()
    assert session.best_action() == 1
    low, high = session.q_axis()
    assert -1.0 < low < 0.0
    assert 1.5 < high < 2.0


def test_q_values_are_computed_once_per_state() -> None:
    calls = 0

    class Counting(Known):
        def q_values(self, obs: np.ndarray) -> np.ndarray:
            nonlocal calls
            calls += 1
            return super().q_values(obs)  # type: ignore[return-value]

    session = session_in(policy=Counting(Q4))
    for _ in range(5):
        session.q_values()
    assert calls == 1


# keys


@pytest.mark.parametrize(
    ("held", "name"),
    [
        (["up"], "straight"),
        (["left"], "bear left"),
        (["right"], "bear right"),
        (["down", "left"], "turn left"),
        (["right", "down"], "turn right"),
        (["shift", "left"], "turn left"),
        (["up", "left"], "bear left"),
        (["down"], None),
        ([], None),
    ],
)
def test_wheel_keys(held: list[str], name: str | None) -> None:
    assert WHEELS.action(held) == (None if name is None else WHEEL_NAMES.index(name))


@pytest.mark.parametrize(("keys", "turn"), [(["left"], +0.2), (["right"], -0.2), (["down", "left"], +0.5), (["up"], 0)])
def test_wheel_keys_turn_the_creature_that_way(keys: list[str], turn: float) -> None:
    # y grows downwards and a heading h looks along (sin h, cos h): a larger h is a turn to one's left
    session = session_in(RLDEMO)
    world = session.env.unwrapped
    world.set_state({"clock": 0, "pos": (350.0, 450.0), "angle": np.pi / 2, "items": np.zeros((0, 4))})  # type: ignore[attr-defined]
    session.human_action = WHEELS.action(keys)
    session.step()
    state = world.get_state()  # type: ignore[attr-defined]
    assert state["angle"] - np.pi / 2 == pytest.approx(turn)
    assert state["pos"][0] > 350.0  # looks right, goes right
    assert np.sign(450.0 - state["pos"][1]) == np.sign(turn)  # its left is up on the screen


def test_of_two_arrows_the_later_one_wins() -> None:
    assert WATER_KEYS.action(["left", "up"]) == 2
    assert WATER_KEYS.action(["up", "left"]) == 0


def test_unknown_environments_get_digits_and_two_actions_get_arrows_too() -> None:
    assert keys_for(("0", "1", "2")).action(["2"]) == 2
    assert keys_for(("0", "1", "2")).action(["left"]) is None
    assert keys_for(("0", "1")).action(["right"]) == 1
    assert len(keys_for(tuple(map(str, range(18)))).known) == 10


def control_of(policy: Known | None = None, keys: Keys = WATER_KEYS) -> HumanControl:
    return HumanControl(session_in(policy=policy), keys)


def test_a_key_takes_over_and_two_seconds_without_keys_hand_back() -> None:
    control = control_of(Known(Q4))
    session = control.session
    assert control.press("up")
    assert (session.control, session.human_action) == (HUMAN, 2)
    control.update(10.0)  # as long as the key is held, it stays
    assert control.hands_back_in is None
    session.step()
    control.release("up")
    assert session.human_action is None
    control.update(HAND_BACK_SECONDS - 0.5)
    assert session.control == HUMAN
    assert control.hands_back_in == pytest.approx(0.5)
    control.press("left")
    control.release("left")
    control.update(HAND_BACK_SECONDS - 0.5)  # the time started again
    assert session.control == HUMAN
    control.update(0.6)
    assert session.control == AGENT
    assert control.hands_back_in is None


def test_a_tap_counts_until_a_step_has_used_it() -> None:
    control = control_of(Known(Q4))
    session = control.session
    control.press("up")
    control.release("up")
    assert (control.held, session.human_action) == ([], 2)
    control.update(0.01)
    session.step()
    assert session.history[-1].action == 2
    control.update(0.01)
    session.step()
    assert session.history[-1].action == -1


def test_a_tap_before_a_held_key_gives_way_and_one_after_it_wins() -> None:
    control = control_of(Known(Q4))
    control.press("up")
    control.press("left")
    control.release("up")
    assert control.session.human_action == 0
    control.press("up")
    control.release("up")
    assert control.session.human_action == 2
    control.session.step()
    control.update(0.0)
    assert control.session.human_action == 0


def test_enter_hands_back_now_and_a_pause_stops_the_clock() -> None:
    control = control_of(Known(Q4))
    control.press("up")
    control.release("up")
    control.session.paused = True
    control.update(60.0)
    assert control.session.control == HUMAN
    control.hand_back()
    assert control.session.control == AGENT


def test_unknown_keys_and_shift_alone_do_not_take_over() -> None:
    control = control_of(Known(Q4))
    assert not control.press("7")
    assert not control.press("shift")
    assert control.session.control == AGENT


def test_losing_the_keyboard_focus_releases_all_keys() -> None:
    control = control_of(Known(Q4))
    control.press("up")
    control.release_all()
    assert control.session.human_action is None


def test_a_locked_human_keeps_control() -> None:
    session = session_in(policy=Known(Q4))
    alone = HumanControl(session, WATER_KEYS, locked=True)
    assert session.control == HUMAN
    alone.update(100.0)
    alone.hand_back()
    assert session.control == HUMAN


# scored episodes


def scored_play(episodes: int = 1) -> tuple[ScoredPlay, list[Score]]:
    recorded: list[Score] = []
    return ScoredPlay(session_in(), episodes, recorded.append), recorded


def play_through(game: ScoredPlay) -> None:
    while game.phase in (READY, PLAYING):
        game.advance(0.25)


def test_countdown_then_play_in_real_time_then_record() -> None:
    game, recorded = scored_play()
    numbers = []
    while game.phase == READY:
        numbers.append(game.countdown)
        game.advance(0.5)
    assert numbers == [3, 3, 2, 2, 1, 1]
    game.advance(0.3)
    assert game.session.score.steps == 10
    assert recorded == []
    play_through(game)
    assert game.phase == SUMMARY
    assert [score.steps for score in recorded] == [1000]
    assert recorded[0].human_share == 1.0
    game.advance(60.0)  # the summary waits for a key
    assert game.phase == SUMMARY
    game.confirm()
    assert game.phase == DONE
    assert len(recorded) == 1


def test_several_episodes_have_consecutive_seeds() -> None:
    game, recorded = scored_play(2)
    play_through(game)
    assert game.number == 1
    game.confirm()
    assert (game.phase, game.number) == (READY, 2)
    play_through(game)
    assert [score.seed for score in recorded] == [3, 4]


def test_an_aborted_episode_is_not_recorded_and_its_seed_is_not_reused() -> None:
    game, recorded = scored_play()
    game.advance(3.0)
    game.advance(0.3)
    game.restart()
    assert (game.phase, recorded) == (READY, [])
    assert game.session.score.seed == 4


def test_after_a_pause_it_counts_down_again() -> None:
    game, _ = scored_play()
    game.advance(3.0)
    game.advance(0.3)
    game.toggle_pause()
    game.advance(100.0)
    assert game.session.score.steps == 10
    game.toggle_pause()
    assert game.countdown == 3
    game.advance(2.0)
    assert game.session.score.steps == 10


def test_players_without_q_values_play() -> None:
    session = session_in(V1, NoQValues(Q4))
    session.step()
    assert session.history[0].action == 1
    assert session.q_values() is None
