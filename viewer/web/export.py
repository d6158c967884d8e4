"""`play.py --export-html`: the page of an agent, live where the browser can compute it, else recorded."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

import envs
from common.errors import UserError
from common.output import write_output
from common.waiting import waiting
from learning.policy import Policy
from viewer.opening import epsilon_of, open_session, seed_of
from viewer.options import Options
from viewer.playing.players import Rules
from viewer.web import live, recording
from viewer.web.weights import network_of


def export(options: Options, policy: Policy | None, rules: Rules, source: Path | None, stack: ExitStack) -> str:
    """Write the page that the options ask for; return a line on what it is.

    Raises:
        UserError: nothing to show, a page that would be too large, a file that can't be written.
    """
    assert options.export_html is not None
    reason = why_recorded(options, policy, rules)
    if reason is None:
        assert policy is not None
        text = live.make(policy, rules, seed=seed_of(options), epsilon=epsilon_of(options, policy), source=source)
        kind = "it plays and learns in the page"
    else:
        if reason:
            print(reason, file=sys.stderr)
        session = open_session(options, policy, rules)
        stack.callback(session.env.close)
        steps = options.steps or recording.DEFAULT_STEPS
        about = live.about(session.policy, rules, source)  # type: ignore[arg-type]
        then: list[str] = []

        def doing() -> str:
            return then[-1] if then else f"playing, step {session.total_steps:,} of at most {steps:,}"

        with waiting(doing):
            text = recording.make(session, rules, about, episodes=options.episodes or 1, steps=steps, tell=then.append)
        kind = f"{session.total_steps:,} recorded steps"
        if not session.results:
            kind += ", cut before the episode ended (--steps sets how many)"
    size = write_output("--export-html", options.export_html, text)
    return f"{options.export_html}: {kind}, {size / 1e6:.1f} MB; it opens in any browser, without a network"


def why_recorded(options: Options, policy: Policy | None, rules: Rules) -> str | None:
    """Return why the page shows recorded episodes, empty if that is plain; None: the agent plays in the page."""
    if options.recorded or not envs.is_world(rules.env_id):
        return ""
    if policy is None:
        return ""
    try:
        network_of(policy)
    except UserError as error:
        return str(error).replace("--recorded shows", "the page shows")
    return None
