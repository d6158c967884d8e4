"""What all heads share: what a network returns, what is done next, and the three things that a head does."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from learning.config import FamilyConfig


class QOutput(NamedTuple):
    """What every network returns; acting needs the expectations only, the rest is the distribution behind them."""

    q_values: Tensor
    """(B, A) expected discounted return of each action."""
    returns: Tensor | None = None
    """(B, A, N) returns that each action may bring, or (N,) when they are the same for all."""
    logits: Tensor | None = None
    """(B, A, N) log-probabilities of these returns, up to a constant; None: they are equally likely."""
    fractions: Tensor | None = None
    """(B, N) or (1, N) the quantile fractions that the returns stand for."""


class NextPolicy(NamedTuple):
    """What is done in the next observation, and what that is worth beside the return."""

    probability: Tensor  # (B, A) of each action
    bonus: Tensor  # (B, A) added to each action's return: its entropy


def greedy(q_values: Tensor) -> NextPolicy:
    """Return the policy that takes the best action, (B, A)."""
    best = functional.one_hot(q_values.argmax(1), q_values.shape[1]).to(q_values.dtype)
    return NextPolicy(best, q_values.new_zeros(()).expand_as(q_values))


def soft(q_values: Tensor, temperature: float) -> NextPolicy:
    """Return the softmax policy, each action with its surprise -temperature * log(probability) as a bonus, (B, A)."""
    log_probability = functional.log_softmax(q_values / temperature, dim=1)
    return NextPolicy(log_probability.exp(), -temperature * log_probability)


def select(values: Tensor, action: Tensor) -> Tensor:
    """Return the entry of each row's action: (B, A, ...), (B,) -> (B, ...)."""
    index = action.view(-1, *[1] * (values.dim() - 1)).expand(-1, 1, *values.shape[2:])
    return values.gather(1, index).squeeze(1)


class Head(nn.Module):
    """The meaning of a network's numbers."""

    numbers: int
    """K: how many of them there are for each action."""
    implicit: ClassVar[bool] = False
    """Whether the network is asked about quantile fractions, one by one."""
    samples: int = 0
    """Of these fractions, in learning."""

    def __init__(self, config: FamilyConfig | None = None) -> None:
        super().__init__()

    def forward(self, numbers: Tensor, fractions: Tensor | None) -> QOutput:
        """Return the expectations of numbers (B, A, K), or (B, N, A, K) for N fractions."""
        raise NotImplementedError

    @staticmethod
    def backup(
        following: QOutput, policy: NextPolicy, reward: Tensor, discount: Tensor, config: FamilyConfig
    ) -> Tensor:
        """Return what should have been said: from the next observation's output, (B,) rewards and discounts."""
        raise NotImplementedError

    @staticmethod
    def regress(said: QOutput, action: Tensor, goal: Tensor, config: FamilyConfig) -> tuple[Tensor, Tensor]:
        """Return the loss of what was said of the actions (B,), and the surprise (B,) without gradient."""
        raise NotImplementedError


def expected_value(following: QOutput, policy: NextPolicy) -> Tensor:
    """Return the value of the next observations, (B,): the policy's mean over actions, bonus included."""
    return (policy.probability * (following.q_values + policy.bonus)).sum(1)
