"""The named, weighted sum of loss terms."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor, nn

Views = TypeVar("Views")


@dataclass(frozen=True)
class LossValues:
    """What a `LossSum` gives.

    Attributes:
        total: Scalar with gradients, the weighted sum.
        terms: Detached scalars by term, before weighting; the loop logs them one by one.
    """

    total: Tensor
    terms: Mapping[str, Tensor]


class LossSum(nn.Module, Generic[Views]):
    """Adds up terms of one dataclass of tensors.

    A term of weight 0 is left out altogether: neither computed nor logged.
    """

    def __init__(
        self,
        terms: Mapping[str, Callable[[Views], Tensor]],
        weights: Mapping[str, float],
    ) -> None:
        """Pairs terms and weights.

        Args:
            terms: Term by name; a term that is a module is registered, so that it moves along.
            weights: Weight by name, finite and not negative; exactly the names of `terms`.

        Raises:
            ValueError: Names that don't match, a bad weight, or nothing left to add.
        """
        super().__init__()
        if set(terms) != set(weights):
            raise ValueError(
                f"terms and weights must have the same names: terms {sorted(terms)}, weights "
                f"{sorted(weights)}"
            )
        bad = {name: value for name, value in weights.items() if not 0 <= value < float("inf")}
        if bad:
            raise ValueError(f"loss weights must be finite and not negative, not {bad}")
        self.weights = {name: float(value) for name, value in weights.items() if value > 0}
        if not self.weights:
            raise ValueError("every loss weight is 0; at least one term must count")
        self.terms = {name: terms[name] for name in self.weights}
        for name, term in self.terms.items():
            if isinstance(term, nn.Module):
                self.add_module(name, term)

    def forward(self, views: Views) -> LossValues:
        """Computes all terms.

        Args:
            views: What the terms read.

        Returns:
            The sum and its parts.
        """
        values = {name: term(views) for name, term in self.terms.items()}
        total = sum(self.weights[name] * value for name, value in values.items())
        return LossValues(total, {name: value.detach() for name, value in values.items()})
