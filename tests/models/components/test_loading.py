"""Modules whose tensors will be loaded are built without storage and draw nothing."""

import pytest
import torch
from timm.layers.weight_init import trunc_normal_
from torch import nn

from models.components.loading import undrawn

INITIALIZERS = [
    nn.init.normal_,
    nn.init.uniform_,
    nn.init.kaiming_normal_,
    nn.init.kaiming_uniform_,
    nn.init.xavier_uniform_,
    nn.init.trunc_normal_,
    trunc_normal_,
    nn.init.orthogonal_,
    lambda weight: weight.bernoulli_(0.5),
]


@pytest.mark.parametrize("initialize", INITIALIZERS)
def test_tensors_to_be_loaded_are_not_drawn(initialize):
    before = torch.get_rng_state()
    with undrawn({}), torch.no_grad():
        layer = nn.Linear(3, 4)
        initialize(layer.weight)
    assert layer.weight.is_meta
    assert layer.weight.shape == (4, 3)
    assert torch.equal(torch.get_rng_state(), before)


def test_tensors_elsewhere_are_drawn_as_ever():
    torch.manual_seed(0)
    expected = torch.empty(5).normal_()
    torch.manual_seed(0)
    with undrawn({}):
        drawn = torch.empty(5, device="cpu").normal_()
    assert torch.equal(drawn, expected)


def test_without_a_state_modules_draw_their_own():
    torch.manual_seed(0)
    expected = nn.Linear(3, 4)
    torch.manual_seed(0)
    with undrawn(None):
        layer = nn.Linear(3, 4)
    assert torch.equal(layer.weight, expected.weight)
