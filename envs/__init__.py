"""Where agents live: importing this registers the worlds and the Atari games with Gymnasium."""

from envs.factory import (
    DEFAULT_ENV,
    action_names,
    arguments,
    gives_pictures,
    is_atari,
    is_ram,
    is_world,
    keywords,
    make,
    make_vec,
    options,
    protocol,
    register,
    resolve,
    resolve_typed,
    returns,
)
from envs.flattening import telling
from envs.foreign import EnvironmentFault, colours
from envs.hanging import WATCHDOG
from envs.masks import MaskedBox, allowed, idle
from envs.mirrors import Mirrors, mirrors_of, with_mirrors
from envs.processes import PROCESSES, in_processes
from envs.protocols import Protocol
from envs.tabular import is_tabular

register()

__all__ = [
    "DEFAULT_ENV",
    "PROCESSES",
    "WATCHDOG",
    "EnvironmentFault",
    "MaskedBox",
    "Mirrors",
    "Protocol",
    "action_names",
    "allowed",
    "arguments",
    "colours",
    "gives_pictures",
    "idle",
    "in_processes",
    "is_atari",
    "is_ram",
    "is_tabular",
    "is_world",
    "keywords",
    "make",
    "make_vec",
    "mirrors_of",
    "options",
    "protocol",
    "resolve",
    "resolve_typed",
    "returns",
    "telling",
    "with_mirrors",
]
