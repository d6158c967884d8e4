"""What play.py can do: watch an agent, play a scored episode, play beside an agent, make a film."""

from __future__ import annotations

import getpass
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import envs
from common import imports
from common.errors import UserError
from common.kernels import unless_compiling
from common.program import end_imports, outlive_output
from common.signals import ALL, on_signal
from common.text import number_of
from common.waiting import waiting
from viewer.opening import epsilon_of, make_env, open_player, open_session, open_view, seed_of
from viewer.options import Options, check_film
from viewer.playing import players

if TYPE_CHECKING:  # these load pygame and torch; a mistyped option is reported before
    from envs.emulator import Soundtrack
    from learning.policy import Policy
    from viewer.playing.session import Score, Session
    from viewer.playing.speaker import Speaker
    from viewer.view import View

NEXT = "compare with the agents: python compare.py"


def check_pygame() -> None:
    """Raise `UserError` if an environment's package brought pygame, which overwrites files of pygame-ce and crashes."""
    with suppress(metadata.PackageNotFoundError):
        version = metadata.version("pygame")
        cure = "pip uninstall -y pygame pygame-ce && pip install pygame-ce"
        raise UserError(f"pygame {version} was installed over pygame-ce, and the two together crash; run {cure}")


def play(options: Options) -> int:
    """Do what the options ask for; return 0, or 128 + the number of the signal that ended it: 130 for Ctrl-C."""
    if options.list:
        return list_agents()
    outlive_output()
    check_pygame()
    imports.load(options.imports)
    with ExitStack() as stack:
        if options.film is not None:
            end_imports()
            return film_training(options, stack)
        with waiting(unless_compiling("loading the agent")):
            agent, source, named = open_player(options, stack)
        end_imports()  # all that is slow to import is there
        env_id = envs.resolve(named or (agent.env_id if agent else None) or envs.DEFAULT_ENV)
        rules = players.rules_for(env_id, agent, options.env_kwargs)
        if options.export_html is not None:
            return export_page(options, agent, rules, source, stack)
        if options.versus:
            return play_versus(options, agent, rules, stack)
        with waiting(unless_compiling("loading the world")):
            session = open_session(options, None if options.human else agent, rules)
            stack.callback(session.env.close)
            view = open_view(options, session, rules, source)
        if options.human:
            return play_scored(options, view, rules)
        if options.record is not None:
            return film_window(options, view, rules)
        return watch(options, view, rules)


def list_agents() -> int:
    """Print the agents that ship, with their scores."""
    from scores import shipped

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print(shipped.text(shipped.agents(), width))
    return 0


# ------------------------------------------------------------------ in the window


def watch(options: Options, view: View, rules: players.Rules) -> int:
    """Open the window on an agent."""
    session = view.session
    print(_title(session, rules))
    code = show(options, view)
    if session.results:
        returns = [score.episode_return for score in session.results]
        count = number_of(len(returns), "full episode") + (", return" if len(returns) == 1 else ", mean return")
        print(f"{count} {np.mean(returns):.1f}; {NEXT}")
    return code


def play_versus(options: Options, agent: Policy | None, rules: players.Rules, stack: ExitStack) -> int:
    """Open the window on a human beside the agent, in two worlds of the same seed."""
    from viewer.playing.human_control import HumanControl
    from viewer.playing.keys import keys_for
    from viewer.playing.versus import Versus

    if agent is None:
        raise UserError(f"no agent has been trained in {rules.env_id} yet; train one: python train.py {rules.env_id}")
    both = [make_env(rules), make_env(rules, options.sound)]  # only the human's world is heard
    versus = Versus(
        iter(both).__next__,
        agent,
        seed=seed_of(options),
        epsilon=epsilon_of(options, agent),
        speed=options.speed,
        action_names=envs.action_names(both[0]),
    )
    stack.callback(versus.close)
    view = open_view(options, versus.agent, rules)
    view.versus, view.human_control = versus, HumanControl(versus.human, keys_for(versus.human.action_names))
    print(f"you against {_title(versus.agent, rules)}")
    code = show(options, view)
    for number, pair in enumerate(versus.results, start=1):
        print(f"episode {number}: you {pair.human.episode_return:g}, the agent {pair.agent.episode_return:g}")
    return code


def play_scored(options: Options, view: View, rules: players.Rules) -> int:
    """Let a human play scored episodes; each full one is recorded the moment it ends."""
    from viewer.playing import human_scores
    from viewer.playing.scored_play import ScoredPlay

    human_scores.check(options.runs_dir)
    view.scored_play = ScoredPlay(view.session, options.episodes or 1, _recorder(options, rules, view))
    code = show(replace(options, episodes=None), view)
    for number, score in enumerate(view.scored_play.finished, start=1):
        eaten = f" ({number_of(score.apples, 'apple')}, {score.poison} poison)" if score.apples is not None else ""
        frames = f" ({number_of(score.frames, 'frame')})" if score.frames is not None else ""
        print(f"episode {number}: return {score.episode_return:g}{eaten} in {number_of(score.steps, 'step')}{frames}")
    if view.scored_play.finished:
        print(f"recorded in {options.runs_dir / human_scores.FILE_NAME}; {NEXT}")
    else:
        print("no episode was played to its end, so none was recorded")
    return code


def _recorder(options: Options, rules: players.Rules, view: View) -> Callable[[Score], None]:
    """Return the function that adds a full episode to the human scores."""
    from viewer.playing import human_scores

    name = options.name or _login()

    def write(score: Score) -> None:
        entry = human_scores.Entry(
            name=name,
            date=human_scores.now(),
            env_id=rules.env_id,
            protocol=rules.protocol,
            seed=score.seed,
            episode_return=score.episode_return,
            episode_length=score.steps,
            apples=score.apples,
            poison=score.poison,
        )
        view.note = f"recorded for {name} in {human_scores.append(options.runs_dir, entry)}"

    return write


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # no such user: some containers
        return "player"


def show(options: Options, view: View) -> int:
    """Open the window until it is closed, and save how it was left; return 0, or 128 + the signal that closed it."""
    from viewer import commands, settings
    from viewer.layout import kind_of
    from viewer.learning import controls
    from viewer.playing.tour import Tour
    from viewer.window import Window

    signals: list[int] = []

    def close(number: int) -> None:
        if signals:  # it does not come to an end
            raise KeyboardInterrupt
        signals.append(number)
        view.open = False

    speaker, found, kind = _speaker(view), settings.load(), kind_of(view)
    if view.scored_play is None and not os.environ.get("SDL_VIDEODRIVER"):
        pause = "Space" if commands.space_is_free(view) else "P"
        view.tour = Tour(view.session, found.hints, commands.without_hints(view), pause)
    window = Window(
        view, max_steps=options.steps, max_episodes=options.episodes, size=found.sizes.get(kind), speaker=speaker
    )
    with on_signal(close, ALL):
        try:
            window.run()
        finally:
            if speaker is not None:
                speaker.close()
            settings.save(view, kind, window.chosen, panels=options.panels is None)
            if line := controls.keep(view):
                print(line)
    return 128 + signals[0] if signals else 0


def _speaker(view: View) -> Speaker | None:
    """Return the speaker of the game under human control, which may be beside the agent's; None if it has no sound."""
    track: Soundtrack | None = getattr(view.human_control.session.env.unwrapped, "soundtrack", None)
    if track is None:
        return None
    from envs.emulator import SAMPLE_RATE
    from viewer.playing.speaker import Speaker

    view.muted = False
    return Speaker(track.take, SAMPLE_RATE)


# ------------------------------------------------------------------ films


def film_window(options: Options, view: View, rules: players.Rules) -> int:
    """Write what the window would show; an episode that does not end is cut as in an evaluation."""
    from learning.evaluate import longest_episode
    from viewer.learning import controls
    from viewer.video import progress, record

    assert options.record is not None
    session, steps, notes = view.session, options.steps, list[str]()
    if steps is None and options.episodes is not None:
        longest = longest_episode(rules.env_id, rules.env_options, getattr(session.policy, "eval_max_steps", None))
        steps = longest * options.episodes
    print(_title(session, rules))
    try:
        total = steps or record.DEFAULT_STEPS[options.record.suffix.lower()]
        with progress.bar(f"filming {options.record.name}", total) as tell:
            frames = record.record(
                view,
                options.record,
                steps=steps,
                episodes=options.episodes,
                fps=options.fps,
                notes=notes,
                tell=tell,
            )
    except KeyboardInterrupt:
        print(f"stopped at step {session.total_steps:,}; {options.record} is complete up to there")
        return 130
    finally:
        if line := controls.keep(view):
            print(line)
    print(
        f"{options.record}: {number_of(session.total_steps, 'step')}, {number_of(frames, 'frame')},"
        f" {_size(options.record)}"
    )
    for note in notes:
        print(note)
    if options.steps is None and len(session.results) < (options.episodes or 0):
        print(f"cut at {number_of(session.total_steps, 'step')}, before the episode ended; --steps sets how many")
    return 0


def export_page(
    options: Options, agent: Policy | None, rules: players.Rules, source: Path | None, stack: ExitStack
) -> int:
    """Write a page in which the agent plays, or recorded episodes of it."""
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # some environments open a display to render
    from viewer.web.export import export

    print(export(options, agent, rules, source, stack))
    return 0


def film_training(options: Options, stack: ExitStack) -> int:
    """Film a run's agents side by side, from the start, on the way and at the end of its training."""
    from viewer.drawing.theme import LIGHT, Theme
    from viewer.playing.attach import find_run
    from viewer.video import film, progress, record

    assert options.film is not None
    Theme.use(options.theme or LIGHT)
    run = find_run(options.film, options.runs_dir)
    found, missing = film.find_milestones(run)
    path = options.record or film.default_path(run)
    if options.record is None:
        check_film(path, options)
    agents = [players.load(milestone.folder) for milestone in found]
    rules = players.rules_for(agents[-1].env_id or envs.DEFAULT_ENV, agents[-1])
    options = replace(options, seed=seed_of(options))
    sessions = [open_session(options, agent, rules) for agent in agents]
    for session in sessions:
        stack.callback(session.env.close)
    titles = ", ".join(milestone.title for milestone in found)
    print(f"{titles} of {run}, seed {options.seed}, epsilon {sessions[0].epsilon:g}")
    if missing:
        print(f"without {', '.join(missing)}: the run has not got there yet, or is older than films are")
    frames_per_step = envs.protocol(rules.env_id, rules.protocol).frames_per_step
    notes = list[str]()
    shown = film.SideBySide(found, sessions, rules.env_id, rules.label, frames_per_step)
    try:
        total = options.steps or record.DEFAULT_STEPS[path.suffix.lower()]
        with progress.bar(f"filming {path.name}", total) as tell:
            frames = film.make(shown, path, steps=options.steps, fps=options.fps, notes=notes, tell=tell)
    except KeyboardInterrupt:
        print(f"stopped; {path} is complete up to there")
        return 130
    print(f"{path}: {number_of(frames, 'frame')}, {_size(path)}; {shown.returns_text()}")
    for note in notes:
        print(note)
    return 0


def _title(session: Session, rules: players.Rules) -> str:
    assert session.policy is not None
    where = rules.env_id + (f" ({rules.label})" if rules.label else "")
    return f"{session.policy.name} in {where}, seed {session.seed}, epsilon {session.epsilon:g}"


def _size(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f} MB"
