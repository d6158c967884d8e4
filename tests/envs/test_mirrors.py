"""Mirror images: they are what a mirrored world looks like, and a canonical network expects the same of all of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces

import envs
from agents import recipe
from agents.loading import load_policy
from envs.geometry import HEIGHT, VX, VY, WIDTH, X, Y
from envs.waterworld import Waterworld, mirrors
from learning.checkpoint import save_agent
from learning.learner import Learner
from learning.plan import Plan
from learning.preflight import preflight

IMAGES = range(4)


def mirrored(image: int) -> Waterworld:
    """Return two worlds after some time, the second one in a mirror: bit 0 swaps left and right, bit 1 up and down."""
    worlds = Waterworld(2, exact=True)
    worlds.reset(np.ones(2, np.bool_), [7, 7])
    rng = np.random.default_rng(0)
    for _ in range(200):
        worlds.step(np.full(2, rng.integers(4)))
    for bit, place, speed, size in ((1, X, VX, WIDTH), (2, Y, VY, HEIGHT)):
        if image & bit:
            worlds.pos[1, place] = size - worlds.pos[1, place]
            worlds.vel[1, place] *= -1
            worlds.items[1, :, place] = size - worlds.items[1, :, place]
            worlds.items[1, :, speed] *= -1
    worlds.sense()
    return worlds


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_is_what_a_mirrored_world_looks_like(image: int) -> None:
    worlds, found = mirrored(image), mirrors()
    own, other = worlds.obs
    shown = found.sign[image] * own[found.order[image]]
    # an eye looks where another one does, but for 1.5 degrees: at an item's edge it may miss that
    assert np.mean(np.abs(shown - other) < 0.05) > 0.97
    assert image == 0 or np.mean(np.abs(own - other) < 0.05) < 0.97
    np.testing.assert_array_equal(shown[-2:], other[-2:])
    for action in range(4):
        worlds = mirrored(image)
        before = worlds.pos.copy()
        worlds.step(np.array([action, found.action[image][action]]))
        moved = worlds.pos - before
        np.testing.assert_allclose(moved[1], moved[0] * np.where([image & 1, image & 2], -1, 1), atol=1e-12)


@pytest.mark.parametrize("image", IMAGES)
def test_twice_the_same_image_is_the_observation(image: int) -> None:
    found = mirrors()
    obs = np.random.default_rng(1).normal(size=152).astype(np.float32)
    once = found.sign[image] * obs[found.order[image]]
    np.testing.assert_array_equal(found.sign[image] * once[found.order[image]], obs)
    np.testing.assert_array_equal(found.action[image][found.action[image]], np.arange(4))


@pytest.mark.parametrize("name", ["d3qn", "qr_dqn", "iqn"])
def test_a_canonical_agent_expects_the_same_of_all_images_saved_too(name: str, tmp_path: Path) -> None:
    made = recipe(name)
    config = made.config(**made.presets["best"].settings)
    vec = envs.make_vec("Waterworld-v1", 1)
    space = vec.single_observation_space
    vec.close()
    assert isinstance(space, spaces.Box)
    learner = Learner(made, config, space, 4, seed=3)
    found, obs = mirrors(), np.random.default_rng(2).uniform(-1, 1, (50, 152)).astype(np.float32)
    q_values = learner.noisy_q_values(obs)
    assert np.ptp(q_values, 0).min() > 0
    for image in IMAGES:
        seen = learner.noisy_q_values(found.sign[image] * obs[:, found.order[image]])
        np.testing.assert_allclose(seen[:, found.action[image]], q_values, atol=1e-6)
    save_agent(tmp_path, learner, "tidepool/Waterworld-v1", space, agent_steps=0)
    loaded = load_policy(tmp_path)
    found_q = loaded.q_values(obs)
    assert found_q is not None
    with torch.inference_mode():
        np.testing.assert_allclose(found_q, learner.online(torch.from_numpy(obs)).q_values, atol=1e-6)


def test_other_worlds_have_none() -> None:
    for env_id in ("Waterworld-v0", "RLDemo-v0"):
        vec = envs.make_vec(env_id, 1)
        assert envs.mirrors_of(vec.single_observation_space) is None
        vec.close()


def test_a_run_where_there_are_none_says_so() -> None:
    found = recipe("d3qn")
    config = found.config(**{**found.switches, "canonical": True, "hidden": (8,), "num_envs": 2})
    said: list[str] = []
    for env_id in ("tidepool/RLDemo-v0", "tidepool/Waterworld-v1"):
        preflight(Plan(env_id, found, config, 1), "cpu", 1, 0.05, said.append)
    notes = [line for line in said if "mirror" in line]
    assert notes == ["note: tidepool/RLDemo-v0 has no mirror images that are known here: --canonical changes nothing"]
