"""The page of `compare.py --report`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import compare
from common.errors import UserError
from scores import report, selection
from scores.atari.compare import AtariSelection
from scores.report import Player
from tests.scores.helpers import V1, atari_run, human, make_run, write_human_scores

ADDRESS = re.compile(r"(?<!xmlns=\")(?<!xlink=\")https?://")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    for seed, score in ((1, 26.0), (2, 28.0), (3, 25.0)):
        make_run(folder, [score - 1, score, score + 1], seed=seed, earlier=(5.0, 6.0))
    write_human_scores(folder, human("Anna", 18.0), human("Anna", 23.0))
    return folder


def page_of(runs: Path, players: dict[str, Player] | None = None) -> str:
    selected = selection.select(runs, (), None, AtariSelection())
    return report.make(selected, players or {}, runs.parent / "report.html")


def test_it_has_the_table_chart_curves_and_notes(runs: Path) -> None:
    text = page_of(runs)
    for cell in ("Anna", "dqn, mean of 3 seeds", "26.33", "apple_chaser", "waterworld-1000"):
        assert f">{cell}</td>" in text, cell
    assert len(re.findall(r'<img alt="scores in tidepool/Waterworld-v1" src="data:image/svg', text)) == 1
    assert len(re.findall(r'<img alt="mean return over training', text)) == 1
    assert "Fewer than 5 seeds of dqn" in text
    assert "stable-baselines3 2.9.2 DQN" in text, "notes"
    assert not ADDRESS.search(re.sub(r'base64,[^"]*', "", text))
    assert "default-src 'none'" in text
    assert str(runs) not in text, "where the runs lie is nobody's business"
    assert "@media print" in text


def test_atari_has_its_own_section(tmp_path: Path) -> None:
    atari_run(tmp_path / "runs", "Pong", [19.0, 20.0])
    text = page_of(tmp_path / "runs")
    assert "Atari: score and percentage of human, " in text
    assert re.search(r'<td class="left who">Pong</td><td class="">19\.5  \d+ %</td>', text)
    assert '<tr class="total"><td class="left who">median</td>' in text
    assert "human-normalised scores" in text


def test_a_player_and_films_are_put_in(runs: Path) -> None:
    run = next(runs.glob("*__dqn__1__*"))
    (run / "videos").mkdir()
    (run / "videos" / "small.gif").write_bytes(b"GIF89a")
    (run / "videos" / "large.mp4").write_bytes(bytes(report.FILM_BYTES + 1))
    (run / "videos" / "notes.txt").write_text("no film")
    text = page_of(runs, {V1: Player("dqn plays", '<p title="it">&</p>')})
    assert 'srcdoc="&lt;p title=&quot;it&quot;&gt;&amp;&lt;/p&gt;"' in text
    assert 'src="data:image/gif;base64,R0lGODlh"' in text
    assert f'<a href="runs/{run.name}/videos/large.mp4">' in text
    assert "notes.txt" not in text


def test_names_are_text(tmp_path: Path) -> None:
    write_human_scores(tmp_path / "runs", human("<img src=x>", 18.0))
    make_run(tmp_path / "runs", [1.0])
    text = page_of(tmp_path / "runs")
    assert "<img src=x>" not in text
    assert "&lt;img src=x&gt;" in text


def test_errors_of_one_line(tmp_path: Path) -> None:
    for words, message in (
        (["--report", "a.pdf"], r"--report a\.pdf: unknown kind '\.pdf'; allowed: \.html"),
        (["--report", "a.html", "--versus", "b"], "--report shows all runs; leave --versus out"),
        (["--report", str(tmp_path / "f" / "a.html")], "can't be written"),
    ):
        (tmp_path / "f").write_text("")
        with pytest.raises(UserError, match=message):
            compare.main(words)
