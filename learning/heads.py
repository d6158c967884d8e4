"""What a network's outputs mean: one expectation an action, or a distribution of returns in one of four forms.

Every head does three things: `forward` turns the network's outputs into expectations (and the distribution they are
the mean of), `td_target` computes what the network should have predicted, from the reward and the next observation,
and `loss` measures how far its prediction is from that. `HEADS`, at the end, names all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from learning.config import FamilyConfig


class QOutput(NamedTuple):
    """What every network returns; acting needs the expectations only, the rest is the distribution behind them."""

    q_values: Tensor
    """(B, A) expected discounted return of each action."""
    returns: Tensor | None = None
    """(B, A, N) support of each action's return distribution, or (N,) when it is the same for all."""
    logits: Tensor | None = None
    """(B, A, N) log-probabilities of these returns, up to a constant; None: they are equally likely."""
    fractions: Tensor | None = None
    """(B, N) or (1, N) the quantile fractions that the returns belong to."""


FORBIDDEN = -1e30  # expected of actions that are not allowed: no maximum, and 0 where its probability is 0


def allow(output: QOutput, allowed: Tensor) -> QOutput:
    """Return an output that expects nothing of actions that are not allowed; ``allowed`` (B, A) is 1 where they are."""
    return output._replace(q_values=output.q_values.masked_fill(allowed < 0.5, FORBIDDEN))


def not_forbidden(q_values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return of which actions something is expected, (B, A); NaN counts."""
    return ~(q_values <= FORBIDDEN / 2)


class NextPolicy(NamedTuple):
    """The policy followed from the next observation on, and its entropy bonus."""

    probability: Tensor  # (B, A) of each action
    bonus: Tensor  # (B, A) added to each action's return: its entropy


def greedy(q_values: Tensor) -> NextPolicy:
    """Return the policy that takes the best action, (B, A)."""
    # not `one_hot`, which looks at the numbers, and so waits for them
    best = torch.zeros_like(q_values).scatter_(1, q_values.argmax(1, keepdim=True), 1.0)
    return NextPolicy(best, q_values.new_zeros(()).expand_as(q_values))


def soft(q_values: Tensor, temperature: float) -> NextPolicy:
    """Return the softmax policy, each action with the bonus -temperature * log(probability), (B, A)."""
    log_probability = functional.log_softmax(q_values / temperature, dim=1)
    return NextPolicy(log_probability.exp(), -temperature * log_probability)


def select(values: Tensor, action: Tensor) -> Tensor:
    """Return the entry of each row's action: (B, A, ...), (B,) -> (B, ...)."""
    index = action.view(-1, *[1] * (values.dim() - 1)).expand(-1, 1, *values.shape[2:])
    return values.gather(1, index).squeeze(1)


def expected_value(next_q: QOutput, policy: NextPolicy) -> Tensor:
    """Return the value of the next observations, (B,): the policy's mean over actions, bonus included."""
    return (policy.probability * (next_q.q_values + policy.bonus)).sum(1)


# ------------------------------------------------------------------ regression losses


def huber(error: Tensor) -> Tensor:
    """Return error^2 / 2 within one unit of zero and |error| - 1/2 beyond. Huber 1964; Mnih et al. 2015."""
    return functional.huber_loss(error, torch.zeros_like(error), reduction="none")


def squared(error: Tensor) -> Tensor:
    """Return error^2 / 2."""
    return error.square() / 2


REGRESSION_LOSSES: dict[str, Callable[[Tensor], Tensor]] = {"huber": huber, "mse": squared}


# ------------------------------------------------------------------ the heads


class Head(nn.Module):
    """The meaning of a network's outputs."""

    outputs_per_action: int
    """K."""
    implicit: ClassVar[bool] = False
    """Whether the network takes quantile fractions as an input."""
    num_fractions: int = 0
    """How many of these are sampled in learning."""
    acting_fractions: int = 0
    """Of how many the mean is taken otherwise."""

    def __init__(self, config: FamilyConfig | None = None) -> None:
        super().__init__()

    def forward(self, outputs: Tensor, fractions: Tensor | None) -> QOutput:
        """Return the expectations for outputs (B, A, K), or (B, N, A, K) for N fractions."""
        raise NotImplementedError

    @staticmethod
    def td_target(
        next_q: QOutput, policy: NextPolicy, reward: Tensor, discount: Tensor, config: FamilyConfig
    ) -> Tensor:
        """Return the temporal difference target, from the next observation's output, (B,) rewards and discounts."""
        raise NotImplementedError

    @staticmethod
    def cut_off(expected: Tensor, td_target: Tensor, next_q: QOutput) -> Tensor | None:
        """Return the share of targets, (), that a limited range of returns cuts off; None: there is no range.

        Args:
            expected: (B,) what the targets' means would be without it.
            td_target: as `td_target` returned it.
            next_q: the output that it was made of.
        """
        return None

    @staticmethod
    def loss(prediction: QOutput, action: Tensor, td_target: Tensor, config: FamilyConfig) -> tuple[Tensor, Tensor]:
        """Return the loss of the prediction for the actions (B,), and the priority (B,), without gradient."""
        raise NotImplementedError


class Expected(Head):
    """One output an action: its expected return. Mnih et al. 2015, doi:10.1038/nature14236."""

    outputs_per_action = 1

    def forward(self, outputs: Tensor, fractions: Tensor | None) -> QOutput:
        """Return the expectations, (B, A), of outputs (B, A, 1)."""
        return QOutput(outputs.squeeze(-1))

    @staticmethod
    def td_target(
        next_q: QOutput, policy: NextPolicy, reward: Tensor, discount: Tensor, config: FamilyConfig
    ) -> Tensor:
        """Return reward + discount * value of the next observation, (B,)."""
        return reward + discount * expected_value(next_q, policy)

    @staticmethod
    def loss(prediction: QOutput, action: Tensor, td_target: Tensor, config: FamilyConfig) -> tuple[Tensor, Tensor]:
        """Return the Huber or squared TD error, (B,), and its absolute value."""
        td_error = td_target - select(prediction.q_values, action)
        return REGRESSION_LOSSES[config.loss](td_error), td_error.detach().abs()


class Categorical(Head):
    """C51: probabilities of fixed returns. Bellemare et al. 2017, arXiv:1707.06887.

    The network outputs, for each action, how likely each of N evenly spaced returns ("atoms") is. A reward moves
    all atoms, a discount draws them together; where they come to lie between two atoms, their probability is
    shared by both, the nearer one taking more. The loss is the cross-entropy to the distribution that results.
    """

    atoms: Tensor

    def __init__(self, config: FamilyConfig) -> None:
        super().__init__(config)
        self.outputs_per_action = config.num_atoms
        self.register_buffer("atoms", self._returns(config), persistent=False)

    @staticmethod
    def _returns(config: FamilyConfig) -> Tensor:
        """Return the returns that get a probability, (N,)."""
        return torch.linspace(*config.support, config.num_atoms)

    def forward(self, outputs: Tensor, fractions: Tensor | None) -> QOutput:
        """Return the means, (B, A), of distributions with logits (B, A, N)."""
        return QOutput(functional.softmax(outputs, -1) @ self.atoms, self.atoms, outputs)

    @staticmethod
    def td_target(
        next_q: QOutput, policy: NextPolicy, reward: Tensor, discount: Tensor, config: FamilyConfig
    ) -> Tensor:
        """Return the probabilities, (B, N), of the mixture of the next actions' distributions, moved onto the atoms."""
        assert next_q.returns is not None
        assert next_q.logits is not None
        returns = next_q.returns + policy.bonus.unsqueeze(-1)  # (B, A, N)
        moved = reward.view(-1, 1, 1) + discount.view(-1, 1, 1) * returns
        probability = policy.probability.unsqueeze(-1) * functional.softmax(next_q.logits, -1)
        return project(moved.flatten(1), probability.flatten(1), next_q.returns)

    @staticmethod
    def cut_off(expected: Tensor, td_target: Tensor, next_q: QOutput) -> Tensor | None:
        """Return the share of targets, (), whose mean the ends of the atoms have moved; nothing else moves it."""
        assert next_q.returns is not None
        return moved_share(expected, td_target @ next_q.returns, next_q.returns)

    @staticmethod
    def loss(prediction: QOutput, action: Tensor, td_target: Tensor, config: FamilyConfig) -> tuple[Tensor, Tensor]:
        """Return the divergence of the prediction from the target, (B,)."""
        assert prediction.logits is not None
        loss = divergence(select(prediction.logits, action), td_target)
        return loss, loss.detach()


def project(returns: Tensor, probabilities: Tensor, atoms: Tensor) -> Tensor:
    """Return probabilities (B, N) of the atoms (N,) for returns (B, M) with probabilities (B, M); the mean is kept.

    A return beyond the atoms' ends counts as the end.
    """
    spacing = (atoms[-1] - atoms[0]) / (len(atoms) - 1)
    place = ((returns - atoms[0]) / spacing).clamp(0, len(atoms) - 1)  # in units of atoms
    below = place.floor().clamp(max=len(atoms) - 2)
    above_share = place - below
    index = below.nan_to_num().long()  # NaN stays NaN in its share, and the trainer reports it
    out = probabilities.new_zeros(len(returns), len(atoms))
    out.scatter_add_(1, index, probabilities * (1 - above_share))
    out.scatter_add_(1, index + 1, probabilities * above_share)
    return out


def moved_share(expected: Tensor, mean: Tensor, atoms: Tensor) -> Tensor:
    """Return the share of means (B,) that are not the expected ones, (), but for rounding; of atoms (N,)."""
    spacing = (atoms[-1] - atoms[0]) / (len(atoms) - 1)
    return ((expected - mean).abs() > 0.02 * spacing).float().mean()


def divergence(logits: Tensor, td_target: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence of softmax(logits) from the target, both (B, N), as (B,).

    It is the papers' cross-entropy less the target's own entropy: the same gradient, and 0 for a perfect
    prediction, which is what a priority should be.
    """
    return functional.kl_div(functional.log_softmax(logits, -1), td_target, reduction="none").sum(-1).clamp(min=0)


class Histogram(Categorical):
    """HL-Gauss: regression as classification. Farebrother et al. 2024, arXiv:2403.03950; Imani and White 2018.

    The network outputs the probabilities of N bins around the returns v_min to v_max, and its expectation is their
    mean, but the distribution is not that of the return: the target is *one number*, reward + discount * value,
    smeared over the neighbouring bins by a Gaussian. Cross-entropy has gradients of even size whatever the scale of
    the returns. The outer edges of the outer bins are v_min and v_max, as in the paper's appendix A.
    """

    @staticmethod
    def _returns(config: FamilyConfig) -> Tensor:
        """Return the bins' centres, (N,)."""
        low, high = config.support
        inset = (high - low) / config.num_atoms / 2 if config.bin_range == "edges" else 0.0
        return torch.linspace(low + inset, high - inset, config.num_atoms)

    @staticmethod
    def td_target(
        next_q: QOutput, policy: NextPolicy, reward: Tensor, discount: Tensor, config: FamilyConfig
    ) -> Tensor:
        """Return the probabilities of the bins, (B, N), of a Gaussian around the expected target."""
        assert next_q.returns is not None
        target = reward + discount * expected_value(next_q, policy)
        return smear(target.clamp(*config.support), next_q.returns, config.bin_sigma)

    @staticmethod
    def cut_off(expected: Tensor, td_target: Tensor, next_q: QOutput) -> Tensor | None:
        """Return the share of targets, (), beyond the outer bins' centres, which no mean reaches."""
        assert next_q.returns is not None
        atoms = next_q.returns
        return moved_share(expected, expected.clamp(atoms[0], atoms[-1]), atoms)


def smear(target: Tensor, centres: Tensor, sigma: float) -> Tensor:
    """Return how much of a Gaussian around each target (B,) lies in each bin, (B, N), as a share of all bins.

    Args:
        target: beyond the outer edges it counts as them, so that some of its mass lies in the bins.
        centres: (N,) evenly spaced; the bins reach half a spacing to both sides.
        sigma: of the Gaussian, bins.
    """
    width = (centres[-1] - centres[0]) / (len(centres) - 1)
    edges = torch.cat([centres - width / 2, centres[-1:] + width / 2])  # (N + 1,)
    target = target.clamp(edges[0], edges[-1])
    below = 0.5 * (1 + torch.erf((edges - target.unsqueeze(1)) / (math.sqrt(2) * sigma * width)))  # (B, N + 1)
    mass = below[:, 1:] - below[:, :-1]
    return mass / mass.sum(1, keepdim=True)


class Quantile(Head):
    """QR-DQN: the returns at fixed quantiles. Dabney et al. 2017, arXiv:1710.10044.

    The network outputs, for each action, returns such that a given fraction of the distribution lies below each: for
    N fixed fractions here, for sampled ones in `ImplicitQuantile`. Errors to samples of the target are weighted: an
    overestimate of a low quantile costs more than an underestimate, and the other way round for a high one.
    """

    midpoints: Tensor

    def __init__(self, config: FamilyConfig) -> None:
        super().__init__(config)
        self.outputs_per_action = config.num_quantiles
        midpoints = (torch.arange(config.num_quantiles) + 0.5) / config.num_quantiles
        self.register_buffer("midpoints", midpoints.unsqueeze(0), persistent=False)

    def forward(self, outputs: Tensor, fractions: Tensor | None) -> QOutput:
        """Return the means, (B, A), of quantiles (B, A, N)."""
        return QOutput(outputs.mean(-1), outputs, None, self.midpoints)

    @staticmethod
    def td_target(
        next_q: QOutput, policy: NextPolicy, reward: Tensor, discount: Tensor, config: FamilyConfig
    ) -> Tensor:
        """Return samples of the return, (B, N): quantile by quantile the policy's mean over actions.

        As Vieillard et al. 2020, arXiv:2007.14430, do it for IQN.
        """
        assert next_q.returns is not None
        returns = next_q.returns + policy.bonus.unsqueeze(-1)  # (B, A, N)
        value = (policy.probability.unsqueeze(-1) * returns).sum(1)
        return reward.unsqueeze(1) + discount.unsqueeze(1) * value

    @staticmethod
    def loss(prediction: QOutput, action: Tensor, td_target: Tensor, config: FamilyConfig) -> tuple[Tensor, Tensor]:
        """Return the quantile Huber loss, (B,), and the absolute error of the mean, or what `pairwise_error` is."""
        assert prediction.returns is not None
        assert prediction.fractions is not None
        returns = select(prediction.returns, action)  # (B, N)
        loss, found = quantile_huber(returns, prediction.fractions, td_target), returns.detach()
        if config.priority == "pairwise":
            return loss, pairwise_error(found, td_target)
        return loss, (td_target.mean(1) - found.mean(1)).abs()


class ImplicitQuantile(Quantile):
    """IQN: the return at the fraction that the network was given. Dabney et al. 2018, arXiv:1806.06923."""

    implicit = True

    def __init__(self, config: FamilyConfig) -> None:
        Head.__init__(self, config)
        self.outputs_per_action = 1
        self.num_fractions, self.acting_fractions = config.num_quantiles, config.acting_quantiles

    def forward(self, outputs: Tensor, fractions: Tensor | None) -> QOutput:
        """Return the means, (B, A), of outputs (B, N, A, 1) for fractions (B, N) or (1, N)."""
        returns = outputs.squeeze(-1).transpose(1, 2)  # (B, A, N)
        return QOutput(returns.mean(-1), returns, None, fractions)


def quantile_huber(returns: Tensor, fractions: Tensor, td_target: Tensor) -> Tensor:
    """Return |fraction - (error < 0)| * huber(error), summed over returns, averaged over targets, (B,).

    Args:
        returns: (B, N) at the fractions.
        fractions: (B, N) or (1, N).
        td_target: (B, M) samples of the target distribution.
    """
    error = td_target.unsqueeze(1) - returns.unsqueeze(2)  # (B, N, M)
    weight = (fractions.unsqueeze(2) - (error.detach() < 0).to(error.dtype)).abs()
    return (weight * huber(error)).mean(2).sum(1)


def pairwise_error(returns: Tensor, td_target: Tensor) -> Tensor:
    """Return the absolute errors of returns (B, N) to targets (B, M), averaged over targets, summed over returns, (B,).

    So BTR's code sets priorities, Clark et al. 2024, arXiv:2411.03820: unlike the error of the means, this is not 0
    where a distribution is wrong and its mean is right.
    """
    return (td_target.unsqueeze(1) - returns.unsqueeze(2)).abs().mean(2).sum(1)


HEADS: dict[str, type[Head]] = {
    "expected": Expected,
    "categorical": Categorical,
    "quantile": Quantile,
    "implicit_quantile": ImplicitQuantile,
    "histogram": Histogram,
}
