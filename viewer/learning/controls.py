"""Learning in the window: start and stop it, epsilon and learning rate, another agent, a fresh one. No pygame here.

Whoever learns is the agent in the window (`viewer.learning.online_learner`), or a run in another process that the
window is attached to (`viewer.playing.attach`): then everything is a request, which the
trainer applies within a second or rejects.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from common.errors import UserError
from viewer.playing import players

if TYPE_CHECKING:
    from viewer.learning.online_learner import OnlineLearner
    from viewer.view import View

EPSILON, LEARNING_RATE = "epsilon", "learning_rate"
EPSILONS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)  # that the keys go through
SURE_SECONDS = 4.0  # within which the key that forgets has to come again


def learns(view: View) -> bool:
    """Return whether an agent of this window can learn, or has."""
    return online_learner(view) is not None


def online_learner(view: View) -> OnlineLearner | None:
    """Return the agent that learns in this window; None as long as there is none."""
    found: Any = view.session.online_learner
    return cast("OnlineLearner | None", found)  # nothing else learns in a window


def can_change(view: View) -> bool:
    """Return whether the agent that plays may be another one."""
    alone = view.scored_play is None and view.versus is None
    return alone and view.live is None and view.session.policy is not None


# ------------------------------------------------------------------ learning


def learning(view: View) -> bool:
    """Return whether somebody learns now, here or in the run that is watched."""
    if view.live is not None:
        status, request = view.live.status(), view.pending.get("learning")
        return status.trains and (status.in_force.get("learning") != "false" if request is None else bool(request))
    learner = online_learner(view)
    return learner is not None and learner.learning


def toggle_learning(view: View) -> None:
    """Start or stop learning; the agent that plays becomes one that can learn, if it is none yet."""
    if view.live is not None:
        view.pending.put("learning", not learning(view))
        return
    if not can_change(view):
        return
    learner = online_learner(view) or _as_online_learner(view)
    if learner is None:
        return
    learner.learning = not learner.learning
    view.say("it learns from what it lives and you show it" if learner.learning else "it learns no more")


def _as_online_learner(view: View) -> OnlineLearner | None:
    """Return the agent that plays as one that can learn; where chance plays, a new one. None, and why: it can't."""
    from viewer.learning.online_learner import OnlineLearner

    try:
        if view.source is None:
            learner = OnlineLearner.fresh("auto", view.env_id, seed=view.session.seed)
        else:
            learner = OnlineLearner.of_agent(view.source, seed=view.session.seed)
        view.session.change_policy(learner)
    except UserError as error:
        view.say(str(error))
        return None
    return learner


def reinitialise(view: View) -> None:
    """Let the agent forget everything, if asked twice: its network is drawn anew, its experience emptied."""
    if not _sure(view, "X again to let it forget all it has learnt (files stay as they are)"):
        return
    learner = online_learner(view) or _as_online_learner(view)
    if learner is None:
        return
    learner.reinitialise()
    view.session.change_policy(learner)
    view.say("a new network, drawn by chance" + ("" if learner.learning else "; L lets it learn"))


def _sure(view: View, question: str) -> bool:
    """Return whether the same was asked for a moment ago already; if not, ask."""
    asked, at = view.asked
    sure = asked == question and time.monotonic() - at <= SURE_SECONDS
    view.asked = ("", 0.0) if sure else (question, time.monotonic())
    if not sure:
        view.say(question, SURE_SECONDS)
    return sure


def next_agent(view: View) -> None:
    """Load the next of the agents that were trained here, those that ship last."""
    known = players.all_trained_in(view.env_id, view.runs_dir)
    if not known:
        view.say(f"no other agent was trained in {view.env_id} yet")
        return
    learner = online_learner(view)
    unsaved = learner is not None and learner.age > 0
    if unsaved and not _sure(view, "O again to load another: this one is not saved (S)"):
        return
    place = known.index(view.source) + 1 if view.source in known else 0
    load(view, known[place % len(known)])


def load(view: View, path: Path) -> None:
    """Let the agent in a folder play on."""
    try:
        policy = players.load(path)
        view.session.change_policy(policy)
    except UserError as error:
        view.say(str(error))
        return
    view.source = path
    view.say(f"{policy.name} from {path.name}")


def save(view: View) -> None:
    """Write what the agent has learnt as a run of its own, which play.py then finds."""
    learner = online_learner(view)
    if learner is None:
        return
    try:
        view.say(f"saved in {learner.save_run(view.runs_dir)}")
    except (UserError, OSError) as error:
        view.say(f"can't be saved: {error}")


# ------------------------------------------------------------------ numbers


def epsilon(view: View) -> float:
    """Return the share of random actions: of the training, where one is watched or goes on here, else of playing."""
    learner = online_learner(view)
    if view.live is not None:
        return _of_training(view, EPSILON, view.session.epsilon)
    return learner.epsilon if learner is not None and learner.learning else view.session.epsilon


def set_epsilon(view: View, value: float) -> None:
    """Ask for another share of random actions, 0 to 1."""
    learner, value = online_learner(view), round(min(max(value, 0.0), 1.0), 3)
    if view.live is not None:
        view.pending.put(EPSILON, value)
    elif learner is not None and learner.learning:
        learner.override(EPSILON, value)
    else:
        view.session.epsilon = value


def nudge_epsilon(view: View, sign: int) -> None:
    """Go to the next smaller or larger of the usual shares."""
    now = epsilon(view)
    ahead = [value for value in EPSILONS if (value > now + 1e-9 if sign > 0 else value < now - 1e-9)]
    if ahead:
        set_epsilon(view, ahead[0] if sign > 0 else ahead[-1])
        view.say(f"{epsilon(view):.0%} random actions")


def learning_rate(view: View) -> float | None:
    """Return the optimiser's step size; None where nobody learns."""
    if view.live is not None:
        found = _of_training(view, LEARNING_RATE, 0.0)
        return found or None
    learner = online_learner(view)
    return None if learner is None else learner.learning_rate


def set_learning_rate(view: View, value: float) -> None:
    """Ask for another step size."""
    learner, value = online_learner(view), float(f"{value:.2g}")
    if view.live is not None:
        view.pending.put(LEARNING_RATE, value)
    elif learner is not None:
        learner.override(LEARNING_RATE, value)


def _of_training(view: View, name: str, default: float) -> float:
    """Return a number of the run that is watched: as last requested, else in force, else by its schedule."""
    assert view.live is not None
    request = view.pending.get(name)
    if request is not None:
        return float(request)
    status = view.live.status()
    return float(status.in_force.get(name, status.metrics.get(name, default)))
