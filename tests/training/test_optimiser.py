import pytest
import torch
from torch import nn

from latentfill.training.optimiser import TrainedNetwork, descend


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_gradient_moves_its_own_weights_however_it_lies_in_memory(layout: torch.memory_format) -> None:
    player = TrainedNetwork(nn.Conv2d(3, 4, 5), "player", (0.5, 0.9))
    player.set_rate(0.1, (0.5, 0.9))
    weight = player.network.weight
    before = weight.detach().clone()
    gradient = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)).contiguous(memory_format=layout)
    descend((weight * gradient).sum(), player)  # the gradient comes as its factor lies
    torch.testing.assert_close(weight.detach() - before, -0.1 * gradient.sign())  # Adam's first step
