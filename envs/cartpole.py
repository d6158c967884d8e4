"""N CartPoles as one batch: Gymnasium's own environments bit for bit, in a tenth of their time.

Gymnasium's vector environment of it (`CartPoleVectorEnv`) resets itself and draws from one generator for all, so that
an episode has no seed of its own. The formulas are those of Barto, Sutton and Anderson 1983,
doi:10.1109/TSMC.1983.6313077.
"""

# numba's decorator has no types: kernels are typed by hand and checked by their tests
# mypy: allow-untyped-decorators
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleEnv
from gymnasium.utils.seeding import np_random
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from common.kernels import cached_njit

# no fast mathematics: each rounding is Gymnasium's
kernel = cached_njit(nogil=True, error_model="numpy")


@kernel
def tick(state, cosine, sine, actions, physics, obs, terminated):  # type: ignore[no-untyped-def]
    """Move all states (N, 4) by one step of Euler's method, in place; the operations in Gymnasium's order.

    Fills obs (N, 4) float32 and terminated (N,).
    """
    gravity, pole_mass, total_mass, length, pole_moment, strength, tau, farthest, steepest = physics
    for i in range(state.shape[0]):
        x, x_dot, theta, theta_dot = state[i]
        force = strength if actions[i] == 1 else -strength
        temp = (force + pole_moment * (theta_dot * theta_dot) * sine[i]) / total_mass
        theta_acc = (gravity * sine[i] - cosine[i] * temp) / (
            length * (4.0 / 3.0 - pole_mass * (cosine[i] * cosine[i]) / total_mass)
        )
        x_acc = temp - pole_moment * theta_acc * cosine[i] / total_mass
        state[i, 0] = x + tau * x_dot
        state[i, 1] = x_dot + tau * x_acc
        state[i, 2] = theta + tau * theta_dot
        state[i, 3] = theta_dot + tau * theta_acc
        obs[i] = state[i]
        terminated[i] = abs(state[i, 0]) > farthest or abs(state[i, 2]) > steepest


class CartPoles(VectorEnv[NDArray[np.float32], NDArray[np.int64], NDArray[Any]]):
    """N CartPoles stepped together; each equals ``gymnasium.make("CartPole-v1")`` with the same seeds.

    Nothing is reset behind the caller's back (`AutoresetMode.DISABLED`): a pole that fell has to be reset before the
    next step, by ``reset(seed=[...], options={"reset_mask": mask})``, ``mask`` (N,) bool.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": [],
        "autoreset_mode": AutoresetMode.DISABLED,
    }

    def __init__(self, num_envs: int, max_episode_steps: int) -> None:
        self.num_envs, self.max_episode_steps = num_envs, max_episode_steps
        one = CartPoleEnv()
        self.single_observation_space, self.single_action_space = one.observation_space, one.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._physics = (
            *(one.gravity, one.masspole, one.total_mass, one.length, one.polemass_length, one.force_mag, one.tau),
            *(one.x_threshold, one.theta_threshold_radians),
        )
        self._state = np.zeros((num_envs, 4))
        self._elapsed = np.zeros(num_envs, np.int64)
        self._over = np.ones(num_envs, np.bool_)  # before the first reset
        self._draws = [np_random()[0] for _ in range(num_envs)]

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin episodes: everywhere, or where ``options["reset_mask"]`` holds; an int seed s means s + i."""
        count = self.num_envs
        if seed is None or isinstance(seed, int | np.integer):
            seed = [None if seed is None else int(seed) + i for i in range(count)]
        mask = np.asarray((options or {}).get("reset_mask", np.ones(count, np.bool_)))
        if len(seed) != count or mask.shape != (count,) or mask.dtype != np.bool_:
            raise ValueError(f"{len(seed)} seeds and a mask {mask.dtype} {mask.shape} for {count} environments")
        for i in np.flatnonzero(mask).tolist():
            if (own := seed[i]) is not None:
                self._draws[i] = np_random(int(own))[0]
            self._state[i] = self._draws[i].uniform(-0.05, 0.05, 4)
        self._elapsed[mask], self._over[mask] = 0, False
        return self._state.astype(np.float32), {}

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Push all carts, 0 to the left and 1 to the right; what is returned is the caller's."""
        assert not self._over.any(), "an environment whose episode is over has to be reset first"
        if actions.shape != (self.num_envs,):  # kernels don't look at bounds
            raise ValueError(f"actions of shape {actions.shape} for {self.num_envs} environments")
        angle = self._state[:, 2]
        obs, terminated = np.empty((self.num_envs, 4), np.float32), np.empty(self.num_envs, np.bool_)
        # NumPy's cosine and sine, whose last bits may be its own
        tick(self._state, np.cos(angle), np.sin(angle), actions, self._physics, obs, terminated)
        self._elapsed += 1
        truncated = self._elapsed >= self.max_episode_steps
        self._over = terminated | truncated
        return obs, np.ones(self.num_envs), terminated, truncated, {}
