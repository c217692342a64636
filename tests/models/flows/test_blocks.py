"""Flows against autograd's Jacobian, SciPy's normal distribution, and their own inverses."""

import numpy as np
import pytest
import torch
from FrEIA.modules import AllInOneBlock
from scipy.ndimage import zoom
from scipy.stats import norm
from torch.nn import functional as F

from models.flows.blocks import (
    FeatureNorms,
    check_shapes,
    convolutional_flow,
    likelihood_map,
    negative_log_likelihood,
    permuted,
    rotation,
    set_permutation,
)
from models.flows.cflow import CONDITION, conditional_flow
from models.flows.csflow import cross_scale_flow
from models.flows.uflow import u_shaped_flow

PYRAMID = [(4, 4, 4), (4, 2, 2), (4, 1, 1)]
U_SHAPES = [(4, 4, 4), (8, 2, 2)]


def fastflow():
    flow = convolutional_flow((4, 3, 3), 3, 1.0)
    return lambda inputs: flow(*inputs), [(4, 3, 3)], flow


def cflow():
    flow = conditional_flow(6)
    torch.manual_seed(2)
    condition = torch.rand(1, CONDITION)
    return lambda inputs: flow(*inputs, [condition.to(inputs[0])]), [(6,)], flow


def csflow():
    flow = cross_scale_flow(PYRAMID, hidden=5)
    return lambda inputs: flow(*inputs), [(4, 21)], flow


def uflow():
    flow = u_shaped_flow(U_SHAPES)
    return flow, U_SHAPES, flow


@pytest.fixture(params=[fastflow, cflow, csflow, uflow], ids=lambda build: build.__name__)
def built(request):
    """A flow as a function of a list of tensors, their shapes, and its module, all of it random."""
    torch.manual_seed(1)
    call, shapes, module = request.param()
    for name, parameter in module.named_parameters():
        if name.endswith(("gamma", "global_scale", "global_offset", "bias")):
            parameter.data += 0.5 * torch.randn_like(parameter)
    return call, shapes, module


def joined(tensors):
    return torch.cat([tensor.flatten(1) for tensor in tensors], dim=1)


def test_log_determinant_is_that_of_autograds_jacobian(built):
    call, shapes, module = built
    module.double()
    for block in module.modules():
        # A rotation is orthogonal to float32's rounding.
        if isinstance(block, AllInOneBlock) and block.permute_function is not permuted:
            set_permutation(block, torch.linalg.qr(block.w_perm.flatten(1))[0])
    inputs = [torch.randn(1, *shape, dtype=torch.float64) for shape in shapes]

    def flat(vector):
        parts = vector.split([tensor.numel() for tensor in inputs])
        latents, _ = call([part.view_as(own) for part, own in zip(parts, inputs, strict=True)])
        return joined([latents] if torch.is_tensor(latents) else latents)[0]

    jacobian = torch.autograd.functional.jacobian(flat, joined(inputs)[0])
    _, wanted = torch.linalg.slogdet(jacobian)
    _, found = call(inputs)
    assert abs(wanted) > 1e-2  # not the identity
    torch.testing.assert_close(found, wanted[None], atol=1e-8, rtol=0)


def test_inverse_gives_back_the_input(built):
    _, shapes, module = built
    torch.manual_seed(3)
    inputs = [torch.randn(3, *shape) for shape in shapes]
    arguments = [[torch.rand(3, CONDITION)]] if shapes == [(6,)] else []
    forward = inputs if len(inputs) > 1 else inputs[0]
    with torch.no_grad():
        latents, determinant = module(forward, *arguments)
        found, inverse_determinant = module(latents, *arguments, rev=True)
    found = found if len(inputs) > 1 else [found]
    for ours, wanted in zip(found, inputs, strict=True):
        torch.testing.assert_close(ours, wanted, atol=1e-5, rtol=0)
    torch.testing.assert_close(inverse_determinant, -determinant, atol=1e-4, rtol=0)


@pytest.mark.parametrize("build", [fastflow, cflow, csflow, uflow], ids=lambda each: each.__name__)
def test_torchs_seed_alone_decides_the_initialization(build):
    states = []
    for numpy_seed in (1, 2):
        np.random.seed(numpy_seed)  # noqa: NPY002 - FrEIA draws from it
        torch.manual_seed(0)
        states.append(build()[2].state_dict())
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name


def test_channels_are_permuted_as_by_a_product_with_the_matrix():
    block = convolutional_flow((20, 4, 4), 1, 1.0)[0]
    matrix = block.w_perm.flatten(1)
    assert torch.equal(matrix.sum(0), torch.ones(20))
    assert torch.equal(matrix @ matrix.T, torch.eye(20))
    assert not torch.equal(matrix, torch.eye(20))
    values = torch.randn(2, 20, 4, 4)
    for each in (block.w_perm, block.w_perm_inv):
        assert torch.equal(block.permute_function(values, each), F.conv2d(values, each))


def test_a_rotation_is_orthogonal():
    torch.manual_seed(0)
    turned = rotation(20)
    torch.testing.assert_close(turned @ turned.T, torch.eye(20), atol=1e-6, rtol=0)


def test_rotations_have_no_preferred_direction():
    torch.manual_seed(0)
    firsts = torch.stack([rotation(3) for _ in range(2000)])
    # Each entry of a rotation by Haar measure has mean 0 and variance 1/3.
    assert firsts.mean(0).abs().max() < 5 * (1 / 3 / 2000) ** 0.5
    torch.testing.assert_close(
        firsts.square().mean(0), torch.full((3, 3), 1 / 3), atol=0.04, rtol=0
    )


def test_negative_log_likelihood_is_the_normal_distributions():
    torch.manual_seed(0)
    latents = [torch.randn(3, 2, 4, 4), torch.randn(3, 5, 2, 2)]
    determinant = torch.tensor([1.0, -2.0, 0.5])
    logs = sum(norm.logpdf(z.double().numpy()).reshape(3, -1).sum(1) for z in latents)
    constant = 52 * np.log(2 * np.pi) / 2
    wanted = -logs - constant - determinant.numpy()
    found = negative_log_likelihood(latents, determinant)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-5)


def test_likelihood_map_is_minus_the_log_of_the_mean_of_upsampled_likelihoods():
    torch.manual_seed(0)
    latents = [torch.randn(2, 3, 8, 8), torch.randn(2, 6, 4, 4)]
    wanted = np.zeros((2, 16, 16))
    for z in latents:
        likelihood = np.exp(-0.5 * (z.double().numpy() ** 2).mean(1))
        factor = 16 // z.shape[-1]
        for row, image in enumerate(likelihood):
            wanted[row] += zoom(image, factor, order=1, mode="nearest", grid_mode=True) / 2
    found = likelihood_map(latents, (16, 16)).numpy()
    np.testing.assert_allclose(found, -np.log(wanted), atol=1e-6)


@pytest.mark.parametrize("size", [(16, 16), (13, 22), (5, 3), (1, 1)])
def test_likelihood_maps_are_interpolated_as_by_torch(size):
    torch.manual_seed(0)
    latents = [torch.randn(2, 3, 5, 6), torch.randn(2, 6, 1, 2)]
    maps = [(-0.5 * z.double().square().mean(1, keepdim=True)).exp() for z in latents]
    mean = sum(F.interpolate(each, size, mode="bilinear")[:, 0] for each in maps) / 2
    torch.testing.assert_close(likelihood_map(latents, size), -mean.log().float())


def test_likelihood_maps_of_strong_defects_do_not_tie():
    latents = torch.tensor([1.0, 15.0, 20.0, 200.0]).view(-1, 1, 1, 1)
    maps = likelihood_map([latents.expand(4, 5, 4, 4), latents.expand(4, 7, 2, 2)], (16, 16))
    wanted = (latents.square() / 2).view(-1, 1, 1).expand_as(maps)
    torch.testing.assert_close(maps, wanted)


def test_features_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"found \[\(3, 5, 5\)\].*image size"):
        check_shapes([torch.zeros(2, 3, 5, 5)], [(3, 4, 4)])


@pytest.mark.parametrize("counted", [True, False])
def test_scales_of_norms_count_as_their_jacobian(counted):
    torch.manual_seed(0)
    norms = FeatureNorms([(2, 2, 2)], counted=counted).double()
    norms.norms[0].weight.data.normal_()
    jacobian = torch.autograd.functional.jacobian(
        lambda vector: vector * norms.norms[0].weight.flatten(), torch.zeros(8).double()
    )
    wanted = torch.linalg.slogdet(jacobian)[1] if counted else torch.tensor(0.0).double()
    (normed,), found = norms([torch.randn(3, 2, 2, 2).double()])
    torch.testing.assert_close(found, wanted)
    assert normed.shape == (3, 2, 2, 2)
