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
        state, expected = world.get_state(), recorded(golden, motion, t + 1)
        assert not terminated
        assert not truncated
        assert reward == pytest.approx(golden["reward"][t], abs=1e-9)
        assert state["clock"] == expected["clock"]
        np.testing.assert_allclose(state["pos"], expected["pos"], rtol=0, atol=1e-9)
        np.testing.assert_allclose(state[motion], expected[motion], rtol=0, atol=1e-9)
        if not golden["random_event"][t]:
            assert state["items"].shape == expected["items"].shape
            np.testing.assert_allclose(state["items"], expected["items"], rtol=0, atol=1e-9)


@pytest.mark.parametrize(("env_id", "file", "motion"), WORLDS)
def test_a_deterministic_stretch_is_followed_for_many_ticks(env_id: str, file: str, motion: str) -> None:
    """Ticks are chained, without setting the state between them, so that errors would accumulate."""
    golden = dict(np.load(GOLDEN / file))
    world: Any = envs.make(env_id).unwrapped
    events = np.flatnonzero(golden["random_event"])
    gaps = np.diff(events)
    start, length = int(events[gaps.argmax()]) + 1, int(gaps.max()) - 1
    assert length >= 20
    world.set_state(recorded(golden, motion, start))
    for t in range(start, start + length):
        world.step(golden["action"][t])
    state, expected = world.get_state(), recorded(golden, motion, start + length)
    np.testing.assert_allclose(state["items"], expected["items"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(state["pos"], expected["pos"], rtol=0, atol=1e-9)


def test_temporal_window_1_is_the_input_of_the_original_demo() -> None:
    """Its inputs: 27 current eyes, 27 previous eyes, and the previous action one-hot (5), times 27."""
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
