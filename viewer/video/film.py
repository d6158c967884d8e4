"""A film of a whole training run: its agents at 0, 1, 10 and 100 %, side by side in the same world."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pygame

from agents.registry import recipe
from common.errors import UserError
from common.text import number_of
from envs import drawing
from learning.checkpoint import MANIFEST, config_from, read_manifest
from learning.display import steps_text
from learning.runfolder import MILESTONES, RunFolder
from viewer.drawing import water
from viewer.drawing.canvas import LARGEST, Area, Canvas, Fonts
from viewer.drawing.theme import Theme
from viewer.panels import View, world
from viewer.panels.q_bars import HEAD as BARS_HEAD
from viewer.panels.q_bars import QBarsPanel
from viewer.panels.score import number_text
from viewer.panels.score import steps_text as episode_text
from viewer.playing.human_control import HumanControl
from viewer.playing.keys import keys_for
from viewer.playing.session import Session
from viewer.video import record
from viewer.video.progress import Tell, nobody

WIDEST, WIDEST_CARD, TALLEST = 1440, 480, 480  # logical pixels of the film, of a card, of a picture
MARGIN, GAP, PAD = 24, 16, 12
HEAD, TOP, BOTTOM = 68, 62, 66  # of the film; of a card above and below its picture
BARS_TOP = 10  # between picture and bars
FINISH_SECONDS = 1.0  # of scores over the pictures at the end
FINAL = 56  # pixels of type of these


class Milestone(NamedTuple):
    """One of a run's agents."""

    title: str  # "10 %"
    agent_steps: int
    folder: Path


def find_milestones(run: Path) -> tuple[list[Milestone], list[str]]:
    """Return a run's agents, the earliest first, and the titles of those that are missing.

    The last one is the run's newest; its title is 100 % if the run has been trained to its end.

    Raises:
        UserError: there is no run, a manifest is damaged, or there is no agent at all.
    """
    folder = RunFolder(run)
    found, missing, done = [], [], False
    for percent in MILESTONES:
        place = folder.milestone(percent)
        if (place / MANIFEST).is_file():
            found.append(Milestone(f"{percent} %", read_manifest(place)["agent_steps"], place))
        else:
            missing.append(f"{percent} %")
    if (folder.agent / MANIFEST).is_file():
        manifest = read_manifest(folder.agent)
        config = config_from(recipe(manifest["agent"]).config, manifest["config"], folder.agent / MANIFEST)
        steps, total = manifest["agent_steps"], config.total_timesteps
        done = steps >= total
        if done or not found or steps > found[-1].agent_steps:
            found.append(Milestone("100 %" if done else _percent(steps / total), steps, folder.agent))
    if not done:
        missing.append("100 %")
    if not found:
        raise UserError(f"{run}: no agent here yet (a run saves its first one before its first step)")
    return found, missing


def default_path(run: Path) -> Path:
    """Return the default file of a run's film: mp4, or gif if mp4 can't be written."""
    kind = "gif" if importlib.util.find_spec("imageio_ffmpeg") is None else "mp4"
    return run / "videos" / f"training.{kind}"


def _percent(share: float) -> str:
    """Return a share below 1 as text, rounded down, so that only the end is 100 %."""
    return f"{math.floor(100 * share)} %" if share >= 0.01 else f"{100 * share:.1g} %"


@dataclass(frozen=True)
class SideBySide:
    """All that the film shows: agents, each in its own environment, all with the same seed."""

    milestones: Sequence[Milestone]
    sessions: Sequence[Session]
    env_id: str
    protocol: str  # of Atari games; else empty
    frames_per_step: int = 1  # of the emulator

    def returns_text(self) -> str:
        """Return the scores in one line."""
        pairs = zip(self.milestones, self.sessions, strict=True)
        return "returns: " + ", ".join(f"{one.title} {session.score.episode_return:g}" for one, session in pairs)

    def views(self) -> list[View]:
        """Return a view of each world."""
        return [View(one, HumanControl(one, keys_for(one.action_names)), self.env_id) for one in self.sessions]


class Renderer:
    """Draws the agents side by side, each on a card: its world, what it expects of each action, its return."""

    def __init__(self, shown: SideBySide) -> None:
        self.shown, self.views, self.panel = shown, shown.views(), QBarsPanel()
        count, shape = len(shown.milestones), _shape(self.views[0])
        wide = min(WIDEST_CARD, (WIDEST - 2 * MARGIN - (count - 1) * GAP) / count)
        picture = (wide - 2 * PAD, min(TALLEST, (wide - 2 * PAD) * shape[1] / shape[0]))
        has_bars = all(view.session.q_values() is not None for view in self.views)
        self.bars = self.panel.height(self.views[0]) - BARS_HEAD if has_bars else 0.0
        high = TOP + picture[1] + BOTTOM + self.bars
        self.cards = [Area(MARGIN + number * (wide + GAP), HEAD, wide, high) for number in range(count)]
        self.places = [Area(card.x + PAD, card.y + TOP, *picture) for card in self.cards]
        width, height = self.cards[-1].right + MARGIN, HEAD + high + MARGIN
        self.size = (2 * math.ceil(width / 2), 2 * math.ceil(height / 2))  # even, as video encoders need it
        self.surface, self.fonts = pygame.Surface(self.size, depth=24), Fonts()

    def draw(self, final: bool = False) -> record.Frame:
        """Return the picture of this moment, (H, W, 3); ``final``: with the scores over the worlds."""
        self.surface.fill(Theme.background)
        canvas = Canvas(self.surface, self.fonts, self.size)
        session, right = self.shown.sessions[0], self.size[0] - MARGIN
        protocol = f"{self.shown.protocol} · " if self.shown.protocol else ""
        about = f"{protocol}seed {session.score.seed} · {session.epsilon:.0%} random actions"
        width = canvas.text(MARGIN, 36, self.shown.env_id.split("/")[-1], LARGEST, bold=True)
        canvas.text(right, 38, about, 12.5, Theme.soft, align=1, width=max(right - MARGIN - width - 20, 50))
        for number in range(len(self.cards)):
            self._draw_card(canvas, number, final)
        return drawing.picture(self.surface)

    def _draw_card(self, canvas: Canvas, number: int, final: bool) -> None:
        card, place = self.cards[number], self.places[number]
        milestone, score = self.shown.milestones[number], self.shown.sessions[number].score
        canvas.card(card)
        canvas.text(card.x + PAD, card.y + 22, milestone.title, LARGEST, bold=True)
        canvas.text(card.right - PAD, card.y + 24, "of the training", 11.5, Theme.soft, align=1)
        trained = steps_text(milestone.agent_steps, self.shown.frames_per_step)
        canvas.text(card.x + PAD, card.y + 45, trained, 11.5, Theme.soft, width=card.w - 2 * PAD)
        world.draw(canvas, place, self.views[number])
        if self.bars:  # what it expects of each action, as in the window but for the heading
            bars = Area(card.x, place.bottom + BARS_TOP - BARS_HEAD, card.w, self.bars + BARS_HEAD)
            self.panel.draw_bars(canvas, bars, self.views[number])
        low = place.bottom + self.bars + BOTTOM / 2
        canvas.text(card.x + PAD, low - 10, "return", 13, bold=True)
        canvas.text(card.x + PAD, low + 10, episode_text(self.shown.sessions[number]), 11.5, Theme.soft)
        canvas.text(card.right - PAD, low, number_text(score.episode_return), LARGEST, Theme.agent, bold=True, align=1)
        if final:
            canvas.darken(place)
            middle, number_y = place.x + place.w / 2, place.y + place.h / 2 - 8
            figure = number_text(score.episode_return)
            canvas.text(middle, number_y, figure, FINAL, Theme.on_color, bold=True, align=0.5, display=True)
            ended = "final return" if score.finished else "return so far"
            text = f"{ended}, {number_of(score.steps, 'step')}"
            canvas.text(middle, place.y + place.h / 2 + 38, text, 13, Theme.on_color, align=0.5, width=place.w - 16)


def _shape(view: View) -> tuple[float, float]:
    """Return the aspect ratio of a world's picture as width and height, in any unit."""
    if world.is_world(view.session):
        return view.session.env.unwrapped.size  # type: ignore[attr-defined, no-any-return]
    picture = view.session.picture()
    return world.TELEVISION if picture is None else world.shape(picture, view.env_id)


def make(
    shown: SideBySide,
    path: Path,
    *,
    steps: int | None = None,
    fps: float | None = None,
    notes: list[str] | None = None,
    tell: Tell = nobody,
) -> int:
    """Play one episode each, at most ``steps`` steps, and film them together; return the number of frames.

    A world that has finished stays as it was. At the end the scores stand over the worlds for a second. ``notes`` takes
    what a person should know of the film; ``tell`` receives the steps so far.

    Raises:
        UserError: the file can't be written.
        KeyboardInterrupt: it was stopped early; the film is complete up to there.
    """
    kind, sessions, renderer = path.suffix.lower(), shown.sessions, Renderer(shown)
    steps = steps or record.DEFAULT_STEPS[kind]
    asked, fps = fps, fps or record.default_fps(kind, sessions[0].tick_seconds)
    frames, sound = 0, record.sound_of(sessions[-1], kind)  # of the trained one, the last
    for session in sessions:
        session.auto_next = False
    with (
        record.stop_flag() as stop,
        water.flat(kind == ".gif"),
        record.film(path, kind, renderer.size, fps, sound, notes, asked is not None, tell) as add,
    ):
        while True:
            tell(max(one.score.steps for one in sessions))
            over = stop.is_set() or all(one.finished or one.score.steps >= steps for one in sessions)
            if kind != ".png" or over:  # a png is the last picture
                add(renderer.draw(final=over and kind == ".png"))
                frames += 1
            if over:
                break
            for session in sessions:
                session.advance(1.0 / fps, limit=steps - session.score.steps)
            if sound is not None:
                sound.until(frames / fps)
        if kind != ".png":
            last = renderer.draw(final=True)
            for _ in range(round(FINISH_SECONDS * fps)):
                add(last)
                frames += 1
        stopped = stop.is_set()
        stop.set()  # what follows, making it smaller, the first signal ends
    if stopped:
        raise KeyboardInterrupt
    return frames
