"""Couplings of flows scale by at most the exponential of their clamp: 1.9 in CFlow, 2 in others.

CS-Flow's couplings are not FrEIA's: test_csflow.py has their clamp.
"""

import pytest
import torch
from FrEIA.modules import AllInOneBlock

from models.flows.blocks import convolutional_flow
from models.flows.cflow import CONDITION, conditional_flow
from models.flows.uflow import u_shaped_flow

HUGE = 1e4


def cflow():
    return conditional_flow(6)


def fastflow():
    return convolutional_flow((6, 4, 4), 4, 1.0)


def uflow():
    return u_shaped_flow([(4, 4, 4), (8, 2, 2)])


def couplings(flow):
    return [block for block in flow.modules() if isinstance(block, AllInOneBlock)]


def log_scales(block, output):
    """Return the mean log-scale of each of two images where the subnet has one output everywhere.

    The global affine of a new block is neutral, so that the log-determinant is the coupling's own.
    """
    with torch.no_grad():
        block.subnet[-1].weight.zero_()
        block.subnet[-1].bias.fill_(output)
        scale = block.global_scale_activation(block.global_scale)
        torch.testing.assert_close(scale, torch.ones_like(scale))
        values = torch.randn(2, *block.dims_in[0])
        condition = [torch.rand(2, CONDITION)] if block.conditional else []
        _, log_determinant = block([values], condition)
    scaled = block.splits[1] * values[0, 0].numel()  # half of the channels, at every position
    return log_determinant / scaled


@pytest.mark.parametrize("output", [HUGE, -HUGE])
@pytest.mark.parametrize(
    ("build", "clamp"),
    [(cflow, 1.9), (fastflow, 2.0), (uflow, 2.0)],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_however_large_a_subnets_output_the_log_scale_reaches_the_clamp_and_not_more(
    build, clamp, output
):
    blocks = couplings(build())
    assert len(blocks) >= 4
    for block in blocks:
        found = log_scales(block, output)
        assert torch.equal(found.sign(), torch.full((2,), output).sign())
        assert found.abs().max() <= clamp * (1 + 1e-5)
        assert found.abs().min() > 0.99 * clamp
