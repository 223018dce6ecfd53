"""One network that is trained beside others: its parameters, its optimiser, perhaps its running average."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Generic, TypeVar, final

import torch
from torch import Tensor, nn

from ...gan.averaging import blend_parameters

Network = TypeVar("Network", bound=nn.Module)


@final
class Player(Generic[Network]):
    """A network in training mode, and Adam."""

    def __init__(self, network: Network, name: str, betas: tuple[float, float], averaged: str | None = None) -> None:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network, self.name, self.betas = network.train(), name, betas
        # What is frozen when training begins stays so.
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(self.parameters, betas=betas, fused=True)  # its rate is set before each step
        self.averaged_name = averaged
        self.averaged = deepcopy(network).requires_grad_(False) if averaged else None

    @property
    def learning_rate(self) -> float:
        """Adam's step in the last update."""
        return float(self.optimizer.param_groups[0]["lr"])

    def set(self, learning_rate: float, betas: tuple[float, float]) -> None:
        """How Adam steps from now on."""
        for group in self.optimizer.param_groups:
            group["lr"], group["betas"] = learning_rate, betas

    def let_learn(self, wanted: bool) -> None:
        """Whether gradients are computed for the parameters; they pass through to images all the same."""
        for parameter in self.parameters:
            parameter.requires_grad_(wanted)

    def average(self, keep: float) -> None:
        """The average stays what it was by this share, and becomes what the network is by the rest."""
        if self.averaged is not None:
            blend_parameters(self.averaged, self.network, keep)

    def is_finite(self) -> bool:
        """Whether every number still is one; infinite and NaN never heal."""
        parts = [self.network] if self.averaged is None else [self.network, self.averaged]
        tensors = [t for part in parts for t in part.state_dict().values() if t.is_floating_point()]
        return all(bool(t.isfinite().all()) for t in tensors)

    def parts(self) -> dict[str, Any]:
        """All that has a state, by the names it has in checkpoints."""
        parts: dict[str, Any] = {self.name: self.network, f"{self.name}_optimizer": self.optimizer}
        return parts | ({self.averaged_name: self.averaged} if self.averaged_name else {})


def descend(loss: Tensor, players: Sequence[Player[Any]]) -> None:
    """One update of these players together."""
    parameters = [parameter for player in players for parameter in player.parameters]
    # Not every layer has its part in every loss: D's bias has none in a loss of differences of logits.
    grads = torch.autograd.grad(loss, parameters, allow_unused=True)
    for parameter, grad in zip(parameters, grads, strict=True):
        parameter.grad = grad
    for player in players:
        player.optimizer.step()
        player.optimizer.zero_grad(set_to_none=True)
