"""One network that is trained beside others: its parameters, its optimiser, perhaps its running average."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, Generic, TypeVar, final

import torch
from torch import Tensor, nn

from ...gan.averaging import blend_parameters
from ...gan.layers.across import averaged
from .improved import History

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
        self.history: History | None = None
        self.pull = 0.0
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

    def hold_back(self, weight: float) -> None:
        """From now on weights are pulled towards the mean of all they will have been."""
        self.history, self.pull = (History(self.parameters) if weight else None), weight

    def update(self, gradients: Sequence[Tensor | None]) -> None:
        """One step along these gradients, one for each parameter."""
        for parameter, grad in zip(self.parameters, gradients, strict=True):
            absent = torch.zeros_like(parameter) if self.history else None
            parameter.grad = absent if grad is None else as_laid_out(grad, parameter)
        if self.history:
            self.history.pull(self.parameters, [p.grad for p in self.parameters if p.grad is not None], self.pull)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.history:
            self.history.remember(self.parameters)

    def load(self, state: Mapping[str, Any]) -> None:
        """Take all parts from a checkpoint; a history that it has not begins now. Raises KeyError and others."""
        for name, part in self.parts().items():
            if part is not self.history or name in state:
                part.load_state_dict(state[name])
            else:
                self.hold_back(self.pull)

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
        parts |= {self.averaged_name: self.averaged} if self.averaged_name else {}
        return parts | ({f"{self.name}_history": self.history} if self.history else {})


def as_laid_out(grad: Tensor | None, parameter: Tensor) -> Tensor | None:
    """The same gradient in the memory layout of the parameter: fused Adam walks through both side by side, whatever."""
    if grad is None or grad.stride() == parameter.stride():
        return grad
    return torch.empty_like(parameter).copy_(grad)


def descend(loss: Tensor, players: Sequence[Player[Any]]) -> None:
    """One update of these players together."""
    parameters = [parameter for player in players for parameter in player.parameters]
    # Not every layer has its part in every loss: D's bias has none in a loss of differences of logits.
    grads = averaged(torch.autograd.grad(loss, parameters, allow_unused=True), parameters)
    for player in players:
        own, grads = grads[: len(player.parameters)], grads[len(player.parameters) :]
        player.update(own)
