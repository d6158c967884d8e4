"""Where agents live: importing this registers the worlds with Gymnasium."""

from envs.factory import DEFAULT_ENV, action_names, make, make_vec, protocol, register, resolve

register()

__all__ = ["DEFAULT_ENV", "action_names", "make", "make_vec", "protocol", "resolve"]
