"""The v0 worlds against recordings of the original JavaScript, tick by tick (tests/golden/README.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import envs

GOLDEN = Path(__file__).parent.parent / "golden"
WORLDS = [("tidepool/Waterworld-v0", "waterworld_v0.npz", "vel"), ("tidepool/RLDemo-v0", "rldemo_v0.npz", "angle")]


def recorded(golden: Any, motion: str, t: int) -> dict[str, Any]:
    """Return row t of a recording as a state."""
    items = golden["items"][t, : golden["item_count"][t]]
    return {"clock": golden["clock"][t], "pos": golden["pos"][t], motion: golden[motion][t], "items": items}


@pytest.mark.parametrize(("env_id", "file", "motion"), WORLDS)
def test_every_tick_equals_the_original(env_id: str, file: str, motion: str) -> None:
    golden = dict(np.load(GOLDEN / file))
    world: Any = envs.make(env_id).unwrapped
    ticks = len(golden["action"])
    assert ticks >= 1000
    for t in range(ticks):
        obs = world.set_state(recorded(golden, motion, t))
        # float32 holds 24 bits: half a unit in the last place of the largest value, 19
        np.testing.assert_allclose(obs, golden["obs"][t], rtol=2**-24, atol=1e-9)
        _, reward, terminated, truncated, _ = world.step(golden["action"][t])
        state, wanted = world.get_state(), recorded(golden, motion, t + 1)
        assert not terminated
        assert not truncated
        assert reward == pytest.approx(golden["reward"][t], abs=1e-9)
        assert state["clock"] == wanted["clock"]
        np.testing.assert_allclose(state["pos"], wanted["pos"], rtol=0, atol=1e-9)
        np.testing.assert_allclose(state[motion], wanted[motion], rtol=0, atol=1e-9)
        if not golden["random_event"][t]:
            assert state["items"].shape == wanted["items"].shape
            np.testing.assert_allclose(state["items"], wanted["items"], rtol=0, atol=1e-9)


@pytest.mark.parametrize(("env_id", "file", "motion"), WORLDS)
def test_a_run_without_chance_is_followed_for_many_ticks(env_id: str, file: str, motion: str) -> None:
    """Ticks are chained, not set up one by one, so that no error of one tick can hide in the next set-up."""
    golden = dict(np.load(GOLDEN / file))
    world: Any = envs.make(env_id).unwrapped
    events = np.flatnonzero(golden["random_event"])
    gaps = np.diff(events)
    start, length = int(events[gaps.argmax()]) + 1, int(gaps.max()) - 1
    assert length >= 20
    world.set_state(recorded(golden, motion, start))
    for t in range(start, start + length):
        world.step(golden["action"][t])
    state, wanted = world.get_state(), recorded(golden, motion, start + length)
    np.testing.assert_allclose(state["items"], wanted["items"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(state["pos"], wanted["pos"], rtol=0, atol=1e-9)


def test_the_demos_own_input_is_the_observation_with_a_temporal_window_of_one() -> None:
    """Current eyes, previous eyes, previous action one-hot times 27: the first 27 + 27 + 5 inputs."""
    golden = dict(np.load(GOLDEN / "rldemo_v0.npz"))
    world: Any = envs.make("tidepool/RLDemo-v0", temporal_window=1).unwrapped
    obs = world.set_state(recorded(golden, "angle", 0))
    assert obs.shape == (59,)
    np.testing.assert_allclose(obs[27:54], obs[:27])  # no past yet
    assert not obs[54:].any()
    for t in range(10):
        action = golden["action"][t]
        obs = world.step(action)[0]
        np.testing.assert_allclose(obs[:27], golden["obs"][t + 1], rtol=1e-6)
        np.testing.assert_allclose(obs[27:54], golden["obs"][t], rtol=1e-6)
        np.testing.assert_allclose(obs[54:], 27.0 * np.eye(5)[action])
        if golden["random_event"][t]:
            break
