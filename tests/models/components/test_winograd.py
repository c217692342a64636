"""Convolutions by minimal filtering against torch's in float64."""

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.run.measure.flops import count_flops
from models.components import winograd
from models.components.minimal_filtering import convolve, weight_gradient
from models.components.winograd import WinogradConv2d, use_winograd

SIZES = {3: 48, 4: 60, 5: 48}
"""Side of an image with at least 144 tiles, by kernel."""


@pytest.fixture(autouse=True)
def avx2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")


@pytest.fixture(autouse=True)
def generator() -> Iterator[None]:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        yield


def layer_of(
    kernel: int = 4, channels: int = 128, after: int = 136, **options: object
) -> nn.Module:
    layer = nn.Conv2d(channels, after, kernel, **options)  # type: ignore[arg-type]
    use_winograd(layer)
    return layer


def largest_difference(found: Tensor, wanted: Tensor) -> float:
    """Return the largest difference relative to the largest wanted value."""
    found, wanted = found.detach(), wanted.detach()
    return float((found - wanted).abs().max() / wanted.abs().max())


@pytest.mark.parametrize(
    ("kernel", "padding"), [(3, 0), (3, 1), (3, 2), (4, 0), (4, 3), (5, 0), (5, 2), (5, 4)]
)
@pytest.mark.parametrize("size", [(5, 5), (17, 70), (90, 23)])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_convolves_as_torch(kernel, padding, size, memory_format):
    images = torch.randn(3, 7, *size).contiguous(memory_format=memory_format)
    weight = torch.randn(5, 7, kernel, kernel)
    found = convolve(images, weight, padding)
    wanted = F.conv2d(images.double(), weight.double(), padding=padding)
    assert found.shape == wanted.shape
    assert found.dtype == torch.float32
    assert largest_difference(found, wanted) < 3e-5


@pytest.mark.parametrize(
    ("kernel", "padding", "size"), [(3, 1, (17, 70)), (4, 3, (9, 13)), (5, 0, (90, 23))]
)
def test_the_gradient_of_kernels_is_torchs(kernel, padding, size):
    """Of several images in a part of the work, and several parts."""
    images, weight = torch.randn(70, 3, *size), torch.randn(5, 3, kernel, kernel).double()
    outputs = F.conv2d(images.double(), weight.requires_grad_(), padding=padding)
    cotangent = torch.randn(outputs.shape)
    (wanted,) = torch.autograd.grad(outputs, weight, cotangent.double())
    found = weight_gradient(images, cotangent, kernel, padding)
    assert found.shape == wanted.shape
    assert largest_difference(found, wanted) < 2e-4  # sums of up to 114,000 products


@pytest.mark.parametrize("kernel", [3, 4, 5])
@pytest.mark.parametrize("padding", [0, 2])
@pytest.mark.parametrize("bias", [True, False])
def test_outputs_and_gradients_are_torchs(kernel, padding, bias):
    layer = layer_of(kernel, padding=padding, bias=bias)
    assert isinstance(layer, WinogradConv2d)
    exact = copy.deepcopy(layer).double()
    images = torch.randn(2, 128, SIZES[kernel], SIZES[kernel] + 3, requires_grad=True)
    exact_images = images.detach().double().requires_grad_()
    found, wanted = layer(images), exact(exact_images)
    cotangent = torch.randn_like(found)
    found.backward(cotangent)
    wanted.backward(cotangent.double())
    assert "_Convolution" in name_of_graph(layer, images)
    assert largest_difference(found, wanted) < 3e-5
    assert largest_difference(images.grad, exact_images.grad) < 3e-5
    for ours, theirs in zip(layer.parameters(), exact.parameters(), strict=True):
        assert ours.grad.shape == theirs.grad.shape
        assert largest_difference(ours.grad, theirs.grad) < 3e-5


def name_of_graph(layer: nn.Module, images: Tensor) -> str:
    """Return the names of the last two functions that compute the output."""
    function = layer(images).grad_fn
    return f"{function} {[each for each, _ in function.next_functions]}"


def test_trains_frozen_inputs_and_frozen_kernels():
    images = torch.randn(1, 128, 60, 60)
    trained = layer_of(bias=False)
    trained(images).sum().backward()
    wanted = torch.autograd.grad(F.conv2d(images, trained.weight).sum(), trained.weight)[0]
    assert largest_difference(trained.weight.grad, wanted) < 3e-5
    frozen = layer_of(bias=False).requires_grad_(False)
    frozen(images.requires_grad_()).sum().backward()
    assert frozen.weight.grad is None
    wanted = torch.autograd.grad(F.conv2d(images, frozen.weight).sum(), images)[0]
    assert largest_difference(images.grad, wanted) < 3e-5


def test_outputs_may_be_changed_in_place():
    images = torch.randn(1, 128, 60, 60, requires_grad=True)
    layer = layer_of(bias=False)
    found = torch.autograd.grad(F.relu_(layer(images)).square().sum(), images)[0]
    plain = F.relu(F.conv2d(images, layer.weight)).square().sum()
    assert largest_difference(found, torch.autograd.grad(plain, images)[0]) < 1e-4


@pytest.mark.parametrize("side", [63, 61])
def test_outputs_are_dense_with_channels_last(side):
    """Else BatchNorm would take its slow path."""
    images = torch.randn(1, 128, side, side, requires_grad=True)
    found = layer_of(bias=False)(images)
    assert found.is_contiguous(memory_format=torch.channels_last)
    (gradient,) = torch.autograd.grad(found.square().sum(), images)
    assert gradient.is_contiguous(memory_format=torch.channels_last)


def test_an_empty_batch_has_empty_outputs():
    with torch.no_grad():
        assert layer_of()(torch.empty(0, 128, 60, 60)).shape == (0, 136, 57, 57)


@pytest.mark.parametrize("side", [1, 2, 6])
def test_small_maps_of_many_images_are_torchs_own(side):
    """Most outputs of their tiles would be beyond the image."""
    layer = layer_of(3, padding=1)
    images = torch.randn(256, 128, side, side)
    assert layer(images).equal(F.conv2d(images, layer.weight, layer.bias, padding=1))


def test_a_result_does_not_depend_on_the_batch():
    layer = layer_of()
    images = torch.randn(3, 128, 60, 60)
    with torch.inference_mode():
        together = layer(images)
        apart = torch.cat([layer(image[None]) for image in images])
    assert together.equal(apart)
    assert not together.equal(F.conv2d(images, layer.weight, layer.bias))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(128, 128, 4, stride=2),
        nn.Conv2d(128, 128, 3, dilation=2),
        nn.Conv2d(128, 128, 3, groups=128),
        nn.Conv2d(128, 128, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(128, 128, 3, padding="same"),
        nn.Conv2d(128, 128, 3, padding=3),
        nn.Conv2d(128, 128, (3, 5)),
        nn.Conv2d(128, 128, 1),
        nn.Conv2d(128, 64, 3),
        nn.ConvTranspose2d(128, 128, 3),
    ],
    ids=str,
)
def test_other_layers_stay(layer):
    before = type(layer)
    use_winograd(nn.Sequential(layer))
    assert type(layer) is before


@pytest.mark.parametrize(
    ("capability", "intel", "changes"),
    [
        ("AVX2", False, True),
        ("AVX2", True, True),
        ("AVX512", True, True),
        ("AVX512", False, False),
        ("DEFAULT", True, False),
    ],
)
def test_layers_change_on_cpus_where_it_is_faster(capability, intel, changes, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(winograd, "is_intel", lambda: intel)
    assert (type(layer_of()) is WinogradConv2d) is changes


def test_names_and_tensors_stay():
    network = nn.Sequential(nn.Conv2d(128, 128, 3), nn.ReLU(), nn.Conv2d(128, 3, 3))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    use_winograd(network)
    assert [type(layer) for layer in network] == [WinogradConv2d, nn.ReLU, nn.Conv2d]
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(before[name].equal(after[name]) for name in before)


@pytest.mark.parametrize("kind", ["small", "double", "one image", "autocast", "meta"])
def test_is_torchs_own_otherwise(kind):
    layer = layer_of()
    side = 30 if kind == "small" else 60
    shape = (128, side, side) if kind == "one image" else (1, 128, side, side)
    images = torch.randn(shape)
    if kind == "double":
        layer, images = layer.double(), images.double()
    if kind == "meta":
        layer, images = layer.to("meta"), images.to("meta")
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=kind == "autocast"):
        found = layer(images)
        wanted = F.conv2d(images, layer.weight, layer.bias)
    assert found.shape == wanted.shape
    assert found.dtype == wanted.dtype
    assert kind == "meta" or found.equal(wanted)


def test_exported_graphs_hold_torchs_convolution():
    layer, images = layer_of().eval(), torch.randn(1, 128, 60, 60)
    program = torch.export.export(layer, (images,))
    assert "aten.conv2d" in str(program.graph)
    with torch.no_grad():
        assert program.module()(images).equal(F.conv2d(images, layer.weight, layer.bias))


def test_operations_count_as_torchs():
    images = torch.randn(2, 128, 60, 60, requires_grad=True)

    def step_of(layer: nn.Module) -> int:
        return count_flops(lambda: layer(images).sum().backward())

    plain, ours = nn.Conv2d(128, 136, 4), layer_of()
    assert step_of(ours) == step_of(plain)
    assert step_of(plain) == 3 * 2 * 2 * 128 * 136 * 16 * 57 * 57
