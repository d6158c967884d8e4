"""Share an agent with anybody, by the Hugging Face Hub: python share.py push RUN OWNER/NAME

It sends agent, settings and scores, with a card that is made from them: score, protocol, learning curve and film.
"hf auth login" logs in once. Whoever has the name plays it: python play.py hf:OWNER/NAME
"""

from __future__ import annotations

from common.program import end_imports, run  # first: from here on Ctrl-C ends it with one line

# isort: split
from collections.abc import Sequence

from common import cli
from common.waiting import waiting


def main(argv: Sequence[str]) -> int:
    """Share what the command line names; return 0."""
    with waiting("loading"):
        from experiments import sharing  # with PyTorch
    end_imports()
    sharing.share(cli.parse(sharing.Options, argv, prog="share.py", description=__doc__))
    return 0


if __name__ == "__main__":
    run(main)
