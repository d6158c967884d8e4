"""Atari 2600 games through ale-py: N games at once for training, one that can be drawn for watching.

Both are the same C++ emulator and preprocessing, so they see the same, frame for frame: screens of the
last two of four frames pooled by their maximum, grey, resized, the newest four stacked (Mnih et al.
2015, doi:10.1038/nature14236). Rewards are the game's own, never clipped. Nothing is ever reset behind
the caller's back, and no game ends when a life is lost: ``info["life_lost"]`` reports that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from common.errors import UserError
from envs import emulator
from envs.protocols import FRAME_SKIP

if TYPE_CHECKING:
    from ale_py.vector_env import AtariVectorEnv as Emulators

U8 = NDArray[np.uint8]
NAMESPACE = "ALE"
FRAMES_PER_SECOND = 60 // FRAME_SKIP
StepResult = tuple[U8, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]


def register() -> None:
    """Let Gymnasium know the games, where ale-py is installed."""
    try:
        import ale_py
    except ImportError:
        return  # `emulators` reports what is missing when a game is needed
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)  # no banner for each of N emulators
    gymnasium.register_envs(ale_py)
    for name in games():  # their memory, which `envs.atari_variants` makes
        spec = gymnasium.spec(name)
        gymnasium.register(name.replace("-v5", "-ram-v5"), spec.entry_point, kwargs={"game": spec.kwargs["game"]})


def games() -> list[str]:
    """Return the ids of all games, ``ALE/<Game>-v5``."""
    return sorted(name for name in gymnasium.registry if name.startswith(f"{NAMESPACE}/") and "-ram-" not in name)


def _emulators(env_id: str, num_envs: int, **settings: Any) -> Emulators:
    try:
        from ale_py.vector_env import AtariVectorEnv as Emulators
    except ImportError:
        raise UserError(f"{env_id} needs the Atari emulator: pip install ale-py") from None
    rom = gymnasium.spec(env_id).kwargs["game"]
    return Emulators(rom, num_envs, frameskip=FRAME_SKIP, reward_clipping=False, **settings)


class AtariVector(VectorEnv[U8, NDArray[np.int64], NDArray[Any]]):
    """N games of one kind, stepped by threads of their own.

    Observations are (N, stack, size, size) uint8; frames from before the start of a game are black. A
    step may be split into `send` and `recv`, between which the emulators work and the caller is free.
    Finished games are reset by ``reset(seed=[...], options={"reset_mask": mask})``, ``mask`` (N,) bool.

    Args:
        env_id: ``ALE/<Game>-v5``.
        num_envs: how many.
        sticky: probability per emulator frame of repeating the last action. Machado et al. 2018, arXiv:1709.06009.
        noops: fewer idle frames than this begin a game, drawn from its seed.
        fire: in the first of them FIRE is pressed, in games that know it.
        frame_cap: a game is truncated after this many emulator frames.
        frame_size: height and width of a frame, pixels.
        frame_stack: frames an observation has.
        full_action_space: all 18 actions in place of those that the game uses.
        num_threads: of the emulators; 0: as many as there are cores.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": [], "autoreset_mode": AutoresetMode.DISABLED}  # type: ignore[misc]

    def __init__(
        self,
        env_id: str,
        num_envs: int,
        *,
        sticky: float,
        noops: int,
        frame_cap: int,
        fire: bool = False,
        frame_size: int = 84,
        frame_stack: int = 4,
        full_action_space: bool = False,
        num_threads: int = 0,
    ) -> None:
        self.num_envs, self.frame_stack = num_envs, frame_stack
        # agent steps that outweigh a seeded reset. It loads the ROM anew: 0.1 to 0.25 s, for which all others wait,
        # where a plain one takes 0.006 s. After 2,000 steps each, 64 games on 16 cores lost two thirds of their pace.
        self.reseed_after = max(5_000, 500 * num_envs)
        self._emulators = _emulators(
            env_id,
            num_envs,
            repeat_action_probability=sticky,
            noop_max=noops,
            use_fire_reset=fire,
            max_num_frames_per_episode=frame_cap,
            img_height=frame_size,
            img_width=frame_size,
            stack_num=frame_stack,
            full_action_space=full_action_space,
            num_threads=num_threads,
        )
        self.single_observation_space = spaces.Box(0, 255, (frame_stack, frame_size, frame_size), np.uint8)
        self.single_action_space = spaces.Discrete(len(self._emulators.ale.get_action_set()))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._lives = np.zeros(num_envs, np.int32)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[U8, dict[str, Any]]:
        """Begin new games: all, or those in ``options["reset_mask"]``; an int seed s means s + i."""
        mask = np.asarray((options or {}).get("reset_mask", np.ones(self.num_envs, np.bool_)))
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_:
            raise ValueError(f"reset_mask must be bool of shape ({self.num_envs},), not {mask.dtype} {mask.shape}")
        seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int | np.integer) else seed
        if seeds is None:
            seeds = [None] * self.num_envs
        if len(seeds) != self.num_envs:
            raise ValueError(f"{len(seeds)} seeds were given for {self.num_envs} environments")
        # the emulator takes 31 bits; -1 continues the game's own random stream
        wanted = [-1 if one is None else int(one) & 0x7FFFFFFF for one in seeds]
        obs, info = self._emulators.reset(seed=np.array(wanted)[mask], options={"reset_mask": mask})
        self._lives = info["lives"].copy()
        return obs, self._info(info, np.zeros(self.num_envs, np.bool_))

    def step(self, actions: NDArray[np.int64]) -> StepResult:
        """Play one action in every game."""
        self.send(actions)
        return self.recv()

    def send(self, actions: NDArray[np.int64]) -> None:
        """Hand over the actions (N,) and return at once."""
        self._emulators.send(np.ascontiguousarray(actions, np.int64))

    def recv(self) -> StepResult:
        """Wait for what `send`'s actions brought."""
        obs, reward, terminated, truncated, info = self._emulators.recv()
        lost = (info["lives"] < self._lives) & ~terminated
        self._lives = info["lives"].copy()
        return obs, reward.astype(np.float64), terminated, truncated, self._info(info, lost)

    @staticmethod
    def _info(info: Mapping[str, NDArray[Any]], life_lost: NDArray[np.bool_]) -> dict[str, Any]:
        return {"lives": info["lives"], "life_lost": life_lost, "frames": info["episode_frame_number"]}


class Atari(gymnasium.Env[U8, np.int64]):
    """One game that can be drawn; sees exactly what `AtariVector` with the same options sees.

    ``render()`` returns the screen in colour, (height, 160, 3) uint8, the last two frames pooled (so
    nothing flickers). It comes from a second emulator in lockstep: same seed, same actions, same game.
    With ``sound`` a third one is listened to: ``soundtrack``.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": FRAMES_PER_SECOND}  # type: ignore[misc]

    def __init__(self, env_id: str, render_mode: str | None = None, *, sound: bool = False, **options: Any) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode '{render_mode}' is not known; allowed: rgb_array (play.py has a window)")
        self.render_mode, self.env_id = render_mode, env_id
        self._full = bool(options.get("full_action_space", False))
        self._vector = AtariVector(env_id, 1, num_threads=1, **options)
        self._screen: Emulators | None = None
        if render_mode:
            height, width = emulator.screen_size(env_id)
            self._screen = _emulators(
                env_id,
                1,
                repeat_action_probability=options["sticky"],
                noop_max=options["noops"],
                use_fire_reset=options.get("fire", False),
                max_num_frames_per_episode=options["frame_cap"],
                img_height=height,
                img_width=width,
                stack_num=1,
                grayscale=False,
                full_action_space=self._full,
                num_threads=1,
            )
        rules = options["sticky"], self._full, options.get("fire", False)
        self.soundtrack = emulator.Soundtrack(env_id, *rules) if sound else None
        self._picture: U8 | None = None
        self.observation_space = self._vector.single_observation_space
        self.action_space = self._vector.single_action_space

    def reset(self, *, seed: int | None = None, options: Mapping[str, Any] | None = None) -> tuple[U8, dict[str, Any]]:
        """Begin a game; one seed always gives the same one."""
        super().reset(seed=seed)
        # never without a seed: the two emulators must not drift apart
        drawn = int(self.np_random.integers(2**31)) if seed is None else seed
        obs, info = self._vector.reset(seed=drawn)
        if self._screen is not None:
            screen, _ = self._screen.reset(seed=np.array([drawn & 0x7FFFFFFF]))
            self._picture = screen[0, 0]
        if self.soundtrack is not None:
            self.soundtrack.reset(drawn & 0x7FFFFFFF, int(info["frames"][0]))
        return obs[0], _first(info)

    def step(self, action: Any) -> tuple[U8, float, bool, bool, dict[str, Any]]:
        """Play one action."""
        actions = np.array([action], np.int64).reshape(1)
        obs, reward, terminated, truncated, info = self._vector.step(actions)
        if self._screen is not None:
            self._picture = self._screen.step(actions)[0][0, 0]
        if self.soundtrack is not None:
            self.soundtrack.step(int(actions[0]))
        return obs[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), _first(info)

    def render(self) -> U8 | None:
        """Return the screen as it is now."""
        return None if self._picture is None else self._picture.copy()

    @property
    def action_names(self) -> tuple[str, ...]:
        """What each action does with the joystick: ``noop``, ``fire``, ``up`` ..."""
        return emulator.action_names(self.env_id, self._full)


def _first(info: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    return {key: value[0].item() for key, value in info.items()}
