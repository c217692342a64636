"""FLOPs by the formula, a multiply-add counting as two; parameters by hand."""

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from bench.run.measure.flops import ParameterCounts, count_flops, parameter_counts


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.inference_mode])
@pytest.mark.parametrize("groups", [1, 3])
def test_convolution(mode, groups):
    convolution = nn.Conv2d(3, 6, 5, stride=2, padding=2, groups=groups)
    images = torch.randn(4, 3, 16, 12)
    by_hand = 2 * 4 * 6 * 8 * 6 * (3 // groups) * 5 * 5  # 2 · B · C_out · H · W · C_in · k²
    with mode():
        assert count_flops(lambda: convolution(images)) == by_hand


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.inference_mode])
def test_matrix_product(mode):
    left, right = torch.randn(7, 5), torch.randn(5, 11)
    with mode():
        assert count_flops(lambda: left @ right) == 2 * 7 * 5 * 11


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.inference_mode])
def test_attention_counts_on_the_cpu_too(mode):
    tokens = torch.randn(2, 3, 10, 8)  # batch, heads, tokens, width
    with mode():
        flops = count_flops(lambda: scaled_dot_product_attention(tokens, tokens, tokens))
    assert flops == 2 * 2 * (2 * 3 * 10 * 10 * 8)  # q kᵀ and weights v


def test_backward_is_twice_the_forward():
    linear = nn.Linear(6, 4, bias=False)
    inputs = torch.randn(3, 6, requires_grad=True)
    forward = count_flops(lambda: linear(inputs))
    assert forward == 2 * 3 * 6 * 4
    assert count_flops(lambda: linear(inputs).sum().backward()) == 3 * forward


def test_parameters_all_and_trainable_shared_ones_once():
    frozen, head = nn.Linear(4, 5), nn.Linear(5, 2)
    frozen.requires_grad_(False)
    assert parameter_counts(nn.Sequential(frozen, head, head)) == ParameterCounts(
        all=4 * 5 + 5 + 5 * 2 + 2, trainable=5 * 2 + 2
    )


def test_parameter_as_a_modules_input_in_inference_mode():
    scale, activation = nn.Parameter(torch.ones(5, 1)), nn.Softplus()
    matrix = torch.ones(3, 5)

    def step():
        with torch.inference_mode():
            return matrix @ activation(scale)

    assert count_flops(step) == 2 * 3 * 5
