"""Learning controls: start and stop, epsilon and learning rate, load, save and reset an agent. No pygame here.

They control the agent in the window (`viewer.learning.online_learner`), or a run in another process that the window is
attached to (`viewer.playing.attach`): then every change is a request, which the trainer applies within a second or
rejects.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from common.commands import command
from common.errors import UserError
from viewer.playing import players

if TYPE_CHECKING:
    from viewer.learning.online_learner import OnlineLearner
    from viewer.view import View

EPSILON, LEARNING_RATE = "epsilon", "learning_rate"
EPSILONS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)  # that the keys step through
NOTHING_TRAINS = "nothing trains this run now"
LEARN_ON = "play.py without --attach lets its agent learn on"
CONFIRM_SECONDS = 4.0  # within which a key has to be pressed again to confirm


def has_online_learner(view: View) -> bool:
    """Return whether the agent of this window is an online learner."""
    return online_learner(view) is not None


def online_learner(view: View) -> OnlineLearner | None:
    """Return the online learner of this window; None while there is none."""
    found: Any = view.session.online_learner
    return cast("OnlineLearner | None", found)  # the only `LearningPolicy` in a window


def can_change(view: View) -> bool:
    """Return whether the agent may be replaced by another one."""
    alone = view.scored_play is None and view.versus is None
    return alone and view.live is None and view.session.policy is not None


def is_trained(view: View) -> bool:
    """Return whether the window is attached to a run that a process trains now, and that so takes requests."""
    return view.live is not None and view.live.status().is_training


def can_learn(view: View) -> bool:
    """Return whether learning can be started and stopped here."""
    return can_change(view) or is_trained(view)


# ------------------------------------------------------------------ learning


def learning(view: View) -> bool:
    """Return whether an agent is learning now, here or in the attached run."""
    if view.live is not None:
        status, request = view.live.status(), view.pending.get("learning")
        return status.is_training and (status.in_force.get("learning") != "false" if request is None else bool(request))
    learner = online_learner(view)
    return learner is not None and learner.learning


def toggle_learning(view: View) -> None:
    """Start or stop learning; an agent that is not an online learner yet is turned into one."""
    if is_trained(view):
        view.pending.put("learning", not learning(view))
        return
    if view.live is not None:
        view.show_notice(f"{NOTHING_TRAINS}; {LEARN_ON}")
        return
    if not can_change(view):
        return
    learner = online_learner(view) or _as_online_learner(view)
    if learner is None:
        return
    learner.learning = not learner.learning
    view.show_notice("learning from its own actions and yours" if learner.learning else "learning stopped")


def _as_online_learner(view: View) -> OnlineLearner | None:
    """Turn the agent into an online learner, a random policy into a new one; None, with a notice, if it can't be."""
    from viewer.learning.online_learner import OnlineLearner

    try:
        if view.source is None:
            learner = OnlineLearner.fresh("auto", view.env_id, seed=view.session.seed, env_kwargs=view.env_kwargs)
        else:
            learner = OnlineLearner.of_agent(view.source, seed=view.session.seed)
        view.session.change_policy(learner)
    except UserError as error:
        view.show_notice(str(error))
        return None
    return learner


def reinitialise(view: View) -> None:
    """Reset the agent, if confirmed: draw new random weights and empty its replay."""
    if not _confirmed(view, "press X again to reset the agent to random weights (saved files are kept)"):
        return
    learner = online_learner(view) or _as_online_learner(view)
    if learner is None:
        return
    learner.reinitialise()
    view.session.change_policy(learner)
    view.show_notice("a new network with random weights" + ("" if learner.learning else "; L starts learning"))


def _confirmed(view: View, question: str) -> bool:
    """Return whether the same question was asked a moment ago already; if not, ask it."""
    asked, at = view.to_confirm
    confirmed = asked == question and time.monotonic() - at <= CONFIRM_SECONDS
    view.to_confirm = ("", 0.0) if confirmed else (question, time.monotonic())
    if not confirmed:
        view.show_notice(question, CONFIRM_SECONDS)
    return confirmed


def next_agent(view: View) -> None:
    """Load the next agent that was trained in this environment, the pretrained ones last."""
    known = players.all_trained_in(view.env_id, view.runs_dir)
    if not known:
        view.show_notice(f"there is no trained agent for {view.env_id} yet")
        return
    learner = online_learner(view)
    unsaved = learner is not None and learner.steps_learnt > 0
    if unsaved and not _confirmed(view, "press O again to load another agent; this one is not saved (S saves it)"):
        return
    place = known.index(view.source) + 1 if view.source in known else 0
    load(view, known[place % len(known)])


def has_another(view: View) -> bool:
    """Return whether there is another trained agent for this environment; looked up every ten seconds."""

    def found() -> bool:
        return any(path != view.source for path in players.all_trained_in(view.env_id, view.runs_dir))

    return view.cached("another agent", (view.source, time.monotonic() // 10), found)


def load(view: View, path: Path) -> None:
    """Load the agent in a folder and continue with it."""
    try:
        policy = players.load(path)
        view.session.change_policy(policy)
    except UserError as error:
        view.show_notice(str(error))
        return
    view.source = path
    view.show_notice(f"loaded {policy.name} from {path.name}")


def save(view: View) -> None:
    """Save the online learner as a run of its own, which play.py then finds."""
    learner = online_learner(view)
    if learner is None:
        return
    try:
        view.show_notice(f"saved in {learner.save_run(view.runs_dir)}")
    except (UserError, OSError) as error:
        view.show_notice(f"the agent can't be saved: {error}")


def keep(view: View) -> str:
    """Save an agent that learnt here and was not saved, when the window is closed; return what to print of it."""
    learner = online_learner(view)
    if learner is None or not learner.unsaved:
        return ""
    try:
        return f"the agent that learnt here is saved: {command('play.py', learner.save_run(view.runs_dir))}"
    except (UserError, OSError) as error:
        return f"the agent that learnt here could not be saved: {error}"


# ------------------------------------------------------------------ numbers


def epsilon(view: View) -> float:
    """Return the probability of a random action: the training's while an agent is learning, else the player's."""
    learner = online_learner(view)
    if is_trained(view):
        return _of_training(view, EPSILON, view.session.epsilon)
    return learner.epsilon if learner is not None and learner.learning else view.session.epsilon


def set_epsilon(view: View, value: float) -> None:
    """Set the probability of a random action, 0 to 1."""
    learner, value = online_learner(view), round(min(max(value, 0.0), 1.0), 3)
    if is_trained(view):
        view.pending.put(EPSILON, value)
    elif learner is not None and learner.learning:
        learner.override(EPSILON, value)
    else:
        view.session.epsilon = value


def nudge_epsilon(view: View, sign: int) -> None:
    """Set epsilon to the next larger (``sign`` above 0) or smaller entry of EPSILONS."""
    now = epsilon(view)
    ahead = [value for value in EPSILONS if (value > now + 1e-9 if sign > 0 else value < now - 1e-9)]
    if ahead:
        set_epsilon(view, ahead[0] if sign > 0 else ahead[-1])
        view.show_notice(f"{epsilon(view):.0%} random actions")


def learning_rate(view: View) -> float | None:
    """Return the optimiser's learning rate; None where no agent learns."""
    if is_trained(view):
        found = _of_training(view, LEARNING_RATE, 0.0)
        return found or None
    learner = online_learner(view)
    return None if learner is None else learner.learning_rate


def set_learning_rate(view: View, value: float) -> None:
    """Set the learning rate."""
    learner, value = online_learner(view), float(f"{value:.2g}")
    if is_trained(view):
        view.pending.put(LEARNING_RATE, value)
    elif learner is not None:
        learner.override(LEARNING_RATE, value)


def _of_training(view: View, name: str, default: float) -> float:
    """Return a setting of the attached run: as last requested, else in force, else by its schedule."""
    assert view.live is not None
    request = view.pending.get(name)
    if request is not None:
        return float(request)
    status = view.live.status()
    return float(status.in_force.get(name, status.metrics.get(name, default)))
