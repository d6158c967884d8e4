"""Where agents live: importing this registers the worlds and the Atari games with Gymnasium."""

from envs.factory import (
    DEFAULT_ENV,
    action_names,
    is_atari,
    is_world,
    make,
    make_vec,
    options,
    protocol,
    register,
    resolve,
    returns,
)
from envs.masks import MaskedBox, allowed, idle
from envs.protocols import Protocol

register()

__all__ = [
    "DEFAULT_ENV",
    "MaskedBox",
    "Protocol",
    "action_names",
    "allowed",
    "idle",
    "is_atari",
    "is_world",
    "make",
    "make_vec",
    "options",
    "protocol",
    "resolve",
    "returns",
]
