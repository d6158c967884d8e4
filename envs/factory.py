"""The one way to an environment: ids are resolved, checked and made here."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache, partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import DependencyNotInstalled
from gymnasium.vector import VectorEnv

from common import imports
from common.errors import Note, UserError, unknown
from envs import atari, atari_variants, classics, foreign, masks, protocols, rldemo, waterworld  # noqa: F401, the worlds register themselves
from envs.cartpole import CartPoles
from envs.hanging import WATCHDOG
from envs.pictures import Pictures
from envs.processes import PROCESSES, ForeignProcesses, Maker
from envs.protocols import Protocol
from envs.randomness import FAULTS
from envs.world_env import WorldEnv

NAMESPACE = "tidepool"
DEFAULT_ENV = f"{NAMESPACE}/Waterworld-v1"
# Ticks of an episode. Waterworld: 30 s at normal speed. RLDemo: the length of the golden recording; its
# published references are means over long runs, so its episodes are long too.
EPISODE_STEPS = {"Waterworld-v0": 1000, "Waterworld-v1": 1000, "RLDemo-v0": 5000}
CARTPOLE = "gymnasium.envs.classic_control.cartpole:CartPoleEnv"
OF_GAMES = ("sticky", "noops", "frame_cap", "fire")
# What ale-py's own environments call otherwise, or take where a protocol decides.
OTHERWISE = {
    "frameskip": "a step of an Atari game is four frames in every protocol here",
    "repeat_action_probability": "it is called sticky here, and --protocol decides it",
    "max_num_frames_per_episode": "it is called frame_cap here, and --protocol decides it",
    "obs_type": "ALE/<Game>-ram-v5 has the memory as observations; pictures are grey here",
    "full_action_space": "give --full-action-space",
    "mode": "give --mode",
    "difficulty": "give --difficulty",
}
# Gymnasium's own advice does not install it where there is no wheel: swig is not found in an isolated build
BOX2D = (
    'Box2D is not installed: pip install "gymnasium[box2d]"; Python 3.14 has no wheel of it and needs a C++ compiler: '
    'pip install swig setuptools, then pip install --no-build-isolation "gymnasium[box2d]"'
)
# Between these the discounted returns of good and bad swimmers lie, for discounts up to 0.98.
RETURNS = {"Waterworld-v0": (-4.0, 8.0), "Waterworld-v1": (-4.0, 8.0)}


def register() -> None:
    """Make the worlds and the Atari games known to Gymnasium."""
    for world in EPISODE_STEPS:
        gymnasium.register(
            id=f"{NAMESPACE}/{world}",
            entry_point="envs.world_env:WorldEnv",
            vector_entry_point="envs.worlds:WorldVectorEnv",
            max_episode_steps=EPISODE_STEPS[world],
            # Gymnasium's run-time checker would reject -1, a human player's "no key"
            disable_env_checker=True,
            kwargs={"world": world},
        )
    atari.register()


def resolve(env_id: str) -> str:
    """Return the registered id that is meant: ``Waterworld-v1`` is ``tidepool/Waterworld-v1``.

    Raises:
        UserError: no such environment; the message names the nearest ones.
    """
    known = gymnasium.registry
    if env_id.startswith(f"{atari.NAMESPACE}/") and not atari.games():
        raise UserError(f"{env_id} needs the Atari emulator: pip install ale-py")
    for candidate in (env_id, f"{NAMESPACE}/{env_id}", f"{atari.NAMESPACE}/{env_id}"):
        if candidate in known and not _old_atari(candidate):
            return candidate
    # plain names win over namespaced ones, late versions over early ones
    by_preference = sorted((name for name in known if not _old_atari(name)), key=lambda name: ("/" not in name, name))
    bare = {_bare(name).lower(): name for name in by_preference}
    meant = re.sub(r"noframeskip|deterministic", "", _bare(env_id).lower())
    if meant in bare:  # a name without its version, or with an old one
        raise UserError(f"unknown environment '{env_id}'; did you mean {bare[meant]}?")
    ours = [f"{NAMESPACE}/{world}" for world in EPISODE_STEPS] + list(EPISODE_STEPS)
    error = unknown("environment", env_id, [*ours, *by_preference])
    raise UserError(f"{error} One of your own needs --import MODULE, which registers it")


def resolve_typed(text: str) -> str:
    """Return the registered id that a person's command line means; of ``module:Id`` the module is imported first.

    Ids in files go through `resolve`, which imports nothing.

    Raises:
        UserError: no such module or environment.
    """
    module, colon, env_id = text.rpartition(":")
    if colon:
        imports.load([module])
    return resolve(env_id)


def _bare(env_id: str) -> str:
    """Return an id without namespace and version."""
    return re.sub(r"-v\d+$", "", env_id.split("/")[-1])


def _old_atari(env_id: str) -> bool:
    """Whether this is one of the ids of before 2021 (``PongNoFrameskip-v4``), whose rules are other ones."""
    spec = gymnasium.registry[env_id]
    return str(spec.entry_point).startswith("ale_py") and spec.namespace is None


def is_atari(env_id: str) -> bool:
    """Whether a resolved id is an Atari game's."""
    return env_id.startswith(f"{atari.NAMESPACE}/")


def is_ram(env_id: str) -> bool:
    """Whether a resolved id is an Atari game's whose observations are the machine's memory."""
    return is_atari(env_id) and atari_variants.RAM in env_id


def is_world(env_id: str) -> bool:
    """Whether a resolved id is one of this project's worlds."""
    return env_id.removeprefix(f"{NAMESPACE}/") in EPISODE_STEPS


@cache
def gives_pictures(env_id: str, env_kwargs: tuple[str, ...] = ()) -> bool:
    """Whether a resolved id is an environment's, not an Atari game's, whose observations are pictures."""
    if is_atari(env_id) or is_world(env_id):
        return False
    env = make(env_id, env_kwargs=keywords(env_kwargs))
    try:
        return env.observation_space.dtype == np.uint8
    finally:
        env.close()


def returns(env_id: str) -> tuple[float, float] | None:
    """Return what discounted returns lie between, where that is known."""
    return RETURNS.get(env_id.removeprefix(f"{NAMESPACE}/"))


def protocol(env_id: str, name: str = protocols.DEFAULT, variant: Sequence[str] = ()) -> Protocol:
    """Return the rules under which an episode is played and evaluated.

    Args:
        env_id: resolved.
        name: of the protocol.
        variant: what makes the environment another one than that id alone, as is_slippery=False: it is a part of the
            protocol's name, since scores can't be compared without it.

    Raises:
        UserError: the environment has no protocol of that name.
    """
    plain, _, _ = name.partition(" ")  # with a variant, as in a score
    rules = _protocol(env_id, plain)
    if not variant:
        variant = name.split(" ")[1:]
    return replace(rules, name=" ".join([rules.name, *variant])) if variant else rules


def _protocol(env_id: str, name: str) -> Protocol:
    if is_atari(env_id):
        return protocols.atari(name)
    world = env_id.removeprefix(f"{NAMESPACE}/")
    if world in EPISODE_STEPS:
        own = f"{world.split('-')[0].lower()}-{EPISODE_STEPS[world]}"
        return protocols.only_default(name, env_id, Protocol(own, "this project"))
    return protocols.only_default(name, env_id, Protocol("gymnasium-default", "the environment's own registration"))


def options(
    env_id: str, name: str = protocols.DEFAULT, evaluation: bool = True, **preprocessing: Any
) -> dict[str, Any]:
    """Return the options with which `make` and `make_vec` follow a protocol.

    ``preprocessing`` (frame_size, frame_stack) is for Atari's frames and ignored elsewhere.
    """
    rules = protocol(env_id, name)
    return {**(rules.evaluation if evaluation else rules.training), **(preprocessing if is_atari(env_id) else {})}


def arguments(env_id: str, words: Sequence[str]) -> dict[str, Any]:
    """Return KEY=VALUE, arguments of an environment, among the options of `make` and `make_vec`.

    Those of an environment from elsewhere are kept apart: it may call one as an option here is called.

    Raises:
        UserError: as `keywords`, or an Atari game takes no such argument.
    """
    given = keywords(words)
    for name in given if is_atari(env_id) else ():
        if name not in OF_GAMES:
            hint = OTHERWISE.get(name, f"a game takes {', '.join(OF_GAMES)}")
            raise UserError(f"--env-kwargs {name}: {hint}")
    return given if not given or is_atari(env_id) or is_world(env_id) else {"env_kwargs": given}


def keywords(words: Sequence[str]) -> dict[str, Any]:
    """Return ``["is_slippery=False", "map_name=8x8"]`` as arguments: Python's literals, else texts.

    Raises:
        UserError: a word is no KEY=VALUE.
    """
    found: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key.isidentifier():
            raise UserError(f"--env-kwargs {word}: KEY=VALUE is needed, as is_slippery=False")
        try:
            with warnings.catch_warnings(action="ignore"):  # of odd escapes in a text
                found[key] = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # the last: nested too deeply
            found[key] = text
    return found


def action_names(env: gymnasium.Env[Any, Any]) -> tuple[str, ...]:
    """Return the name of each action of an environment; numbers where it has no names."""
    if isinstance(env.unwrapped, WorldEnv | atari.Atari):
        return env.unwrapped.action_names
    assert isinstance(env.action_space, spaces.Discrete)  # `make` rejects all others
    wrapper = foreign.foreign(env)
    first = wrapper.first_action if wrapper is not None else 0
    if env.spec is not None and (names := classics.action_names(env.spec.id, int(env.action_space.n))):
        return names
    return tuple(str(first + action) for action in range(int(env.action_space.n)))


def make(
    env_id: str, render_mode: str | None = None, lane: int = 0, lanes: int = 1, **options: Any
) -> gymnasium.Env[Any, Any]:
    """Return one environment that gives the same observations as `make_vec`'s; it may be one of a batch.

    ``options`` are those of `options`, and the environment's own; the latter may also be a dict, ``env_kwargs``.

    Raises:
        UserError: an unknown id, an environment whose packages are missing, or whose actions are not discrete.
    """
    name = resolve(env_id)
    if is_atari(name):
        rules = _rules(name, options)
        if not _is_variant(name, options):
            return atari.Atari(name, render_mode, **rules)
        return foreign.Foreign(atari_variants.make(name, render_mode, **rules), name, lane, lanes)
    pictures = _pictures(options)
    if render_mode is not None:  # not every environment knows the word
        options["render_mode"] = render_mode
    mask, repeat = options.pop("action_mask", True), options.pop("action_repeat", 1)
    options |= options.pop("env_kwargs", {})
    try:
        with _less_advice():
            # what Gymnasium's checker would warn of, in every environment anew, `foreign` checks in each step
            env = gymnasium.make(name, disable_env_checker=True, **options)
    except FAULTS as error:  # of the environment's own constructor: anything
        needs_box2d = isinstance(error, DependencyNotInstalled) and "box2d" in str(error).lower()
        reason = BOX2D if needs_box2d else " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{name} can't be made{_with(options)}: {reason}") from error
    if is_world(name):
        return env
    try:
        env = foreign.converted(env, name, pictures, repeat, lane, lanes)
        return masks.masked(env, name) if mask else env
    except UserError:
        with suppress(*FAULTS):
            env.close()
        raise


def _pictures(options: dict[str, Any]) -> Pictures:
    """Take from the options what is done to pictures."""
    known = ("size", "grayscale", "stack")
    return Pictures(**{name: options.pop(f"picture_{name}") for name in known if f"picture_{name}" in options})


def _arguments(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that are the environment's own."""
    ours = ("picture_", "action_mask")
    own = {name: value for name, value in options.items() if not name.startswith(ours)}
    return {**own, **own.pop("env_kwargs", {})}


def _with(options: Mapping[str, Any]) -> str:
    given = [f"{key}={value!r}" for key, value in options.items() if key != "render_mode"]
    return f" with {', '.join(given)}" if given else ""


def make_vec(env_id: str, num_envs: int, seed: int | None = None, **options: Any) -> VectorEnv[Any, Any, Any]:
    """Return N environments that never reset themselves; with a seed, already reset with seed + i.

    Observations are flat float32 vectors (N, D), of Atari games stacks of frames (N, 4, 84, 84) uint8, of pictures in
    colour (N, 12, H, W). Any Gymnasium id with discrete actions will do; see `envs.foreign`.

    Raises:
        UserError: as `make`.
    """
    name = resolve(env_id)
    if num_envs < 1:
        raise UserError(f"--num-envs {num_envs} is out of range; at least 1 is needed")
    envs: VectorEnv[Any, Any, Any]
    if is_atari(name) and not _is_variant(name, options):
        envs = atari.AtariVector(name, num_envs, **_rules(name, options))
        if WATCHDOG.seconds is not None:
            for method in ("recv", "reset"):
                setattr(envs, method, WATCHDOG.guarded(getattr(envs, method)))
    elif gymnasium.spec(name).vector_entry_point == "envs.worlds:WorldVectorEnv":
        try:
            with _less_advice():
                envs = gymnasium.make_vec(name, num_envs, **options)
        except TypeError as error:
            raise UserError(f"{name} can't be made{_with(options)}: {error}") from error
    elif (spec := gymnasium.spec(name)).entry_point == CARTPOLE and not spec.kwargs and not _arguments(options):
        assert spec.max_episode_steps is not None
        envs = CartPoles(num_envs, spec.max_episode_steps)
    else:
        one = partial(make, name, lanes=num_envs, **options)
        stack = options.get("frame_stack", 4) if is_atari(name) else options.get("picture_stack", 1)
        envs = _batch(name, [partial(one, lane=i) for i in range(num_envs)], stack, options.get("action_repeat", 1))
    if seed is not None:
        envs.reset(seed=seed)
    return envs


def _batch(env_id: str, makers: Sequence[Maker], stack: int, repeat: int) -> VectorEnv[Any, Any, Any]:
    """Return environments as a batch, in processes of their own where `PROCESSES` says so."""
    if PROCESSES.wanted != "no":
        first = makers[0]()
        layer = foreign.foreign(first)
        first.close()
        assert layer is not None
        if PROCESSES.take(len(makers), repeat * layer.trial.step_seconds):
            try:
                return ForeignProcesses(makers, gymnasium.spec(env_id), stack, layer.notes)
            except Exception as error:  # what can't be sent to a process, or can't be made in one: anything
                reason = " ".join(f"{type(error).__name__} {error}".split())
                if PROCESSES.wanted == "yes":
                    raise UserError(f"{env_id} can't have processes of its own (--env-processes): {reason}") from error
                warnings.warn(f"{env_id} steps in this process; others can't be started: {reason}", Note, stacklevel=2)
                PROCESSES.wanted = "no"
    return foreign.ForeignVector(makers, stack)


def _is_variant(env_id: str, options: Mapping[str, Any]) -> bool:
    """Whether these are options of a game that `envs.atari_variants` has to make."""
    return is_ram(env_id) or any(options.get(name) is not None for name in ("mode", "difficulty"))


def _rules(env_id: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a game: those given, the rest from the default protocol's evaluation."""
    return {**protocol(env_id).evaluation, **options}


@contextmanager
def _less_advice() -> Iterator[None]:
    """Silence two pieces of Gymnasium's advice.

    To leave a v0 that has a v1: ours is the original, and stays. And of a render mode that an environment does not
    list: some draw all the same, and of the others whoever asks for a picture says that there is none.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*out of date.*", DeprecationWarning)
        warnings.filterwarnings("ignore", ".*not in the possible render_modes.*", UserWarning)
        yield
