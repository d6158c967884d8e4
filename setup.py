"""Only what pyproject.toml can't say: a wheel of this application would be an accident."""

from typing import NoReturn

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel


class NoWheel(bdist_wheel):
    """Rejects every install but an editable one, which does not run this command."""

    def run(self) -> NoReturn:
        """Stop with one line."""
        raise SystemExit(
            "error: Tidepool is an application that runs from its checkout, not a library:"
            " clone it and install it with  pip install -e ."
        )


setup(cmdclass={"bdist_wheel": NoWheel})
