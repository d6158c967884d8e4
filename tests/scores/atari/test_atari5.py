"""The estimate of the 57-game median from five games."""

from __future__ import annotations

import numpy as np
import pytest

from scores.atari import atari5, normalization
from scores.atari.atari5 import GAMES, estimate, fit
from scores.atari.published import load


def test_the_error_of_the_fit() -> None:
    found = fit()
    assert (found.agents, found.lineages) == (26, 14)
    assert found.error == pytest.approx(1.22, abs=0.01)  # Aitchison et al. say within 10 % of many agents
    assert found.median_error == pytest.approx(1.14, abs=0.01)
    assert found.fresh_error == pytest.approx(1.58, abs=0.01)
    assert (found.coefficients > 0).all(), "a higher score in a game never lowers the estimate"


def test_a_lineage_that_is_left_out_does_not_help_to_predict_itself() -> None:
    """An added outlier must be predicted by the other agents alone."""
    examples = atari5._examples(None)
    assert len(examples.y) == 26
    extended = atari5._Examples(
        np.vstack([examples.x, np.full((1, 5), 1.0)]), np.append(examples.y, 9.0), [*examples.lineages, "outlier"]
    )
    errors = atari5._left_out(extended, extended)
    by_others = float(np.full(5, 1.0) @ fit().coefficients)
    assert errors[-1] == pytest.approx(by_others - 9.0)
    dopamine = atari5._left_out(examples, examples)[[lineage == "dopamine" for lineage in examples.lineages]]
    others = np.array([lineage != "dopamine" for lineage in examples.lineages])
    assert len(dopamine) == 11
    coefficients = atari5._solve(examples.x[others], examples.y[others])
    assert dopamine == pytest.approx(examples.x[~others] @ coefficients - examples.y[~others])


def test_an_estimate_by_hand() -> None:
    # all five games at 300 % of human: log10(301) times the sum of the coefficients
    found = estimate(dict.fromkeys(GAMES, 3.0))
    assert found is not None
    expected = (301 ** fit().coefficients.sum() - 1) / 100
    assert found.median == pytest.approx(expected)
    assert (1 + 100 * found.high) / (1 + 100 * found.median) == pytest.approx(fit().error)
    assert found.low < found.median < found.high


def test_estimates_are_near_known_medians() -> None:
    for agent in ("dqn", "c51", "iqn", "muzero"):
        scores = load().scores[agent]
        found = estimate({game: normalization.human_normalised(scores[game], game) for game in GAMES})
        known = np.median([normalization.human_normalised(score, game) for game, score in scores.items()])
        assert found is not None
        assert found.median == pytest.approx(known, rel=0.4), agent


def test_scores_below_random_count_as_random_and_fewer_games_give_no_estimate() -> None:
    zero = estimate(dict.fromkeys(GAMES, -0.5))
    assert zero is not None
    assert (zero.median, zero.low) == (0, 0)
    assert estimate(dict.fromkeys(GAMES[:4], 1.0)) is None
