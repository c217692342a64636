"""The patch description networks, their files, and what is made of their features' channels."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from models.catalog import WEIGHTS
from models.components.moments import ChannelStatistics
from models.efficientad.pdn import FEATURES, PATCH, PatchDescriptionNetwork, teacher

# The appendix' tables: output channels, kernel, padding, then whether average pooling follows.
TABLES = {
    "small": [(128, 4, 3, True), (256, 4, 3, True), (256, 3, 1, False), (384, 4, 0, False)],
    "medium": [
        *((256, 4, 3, True), (512, 4, 3, True), (512, 1, 0, False), (512, 3, 1, False)),
        *((384, 4, 0, False), (384, 1, 0, False)),
    ],
}


def numbered(size, padding=False):
    """The network as github.com/nelson1425/EfficientAD numbers its layers."""
    layers, before = [], 3
    for channels, kernel, border, pooled in TABLES[size]:
        layers += [nn.Conv2d(before, channels, kernel, padding=border * padding), nn.ReLU()]
        if pooled:
            layers.append(nn.AvgPool2d(2, 2, padding=int(padding)))
        before = channels
    return nn.Sequential(*layers[:-1])


def images(side=64, count=2):
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(3))


def by_number(state, size):
    """A state dict with the numbers of `numbered`, from one with names such as ``conv1``."""
    places = dict.fromkeys(name.partition(".")[0] for name in numbered(size).state_dict())
    return {
        f"{place}.{part}": state[f"conv{number}.{part}"]
        for number, place in enumerate(places, 1)
        for part in ("weight", "bias")
    }


@pytest.mark.parametrize("size", TABLES)
@pytest.mark.parametrize("padding", [False, True])
def test_network_matches_the_papers_table(size, padding):
    network, reference = PatchDescriptionNetwork(size, padding=padding), numbered(size, padding)
    reference.load_state_dict(by_number(network.state_dict(), size))
    found = network(images())
    assert found.shape == (2, FEATURES, *((16, 16) if padding else (8, 8)))
    torch.testing.assert_close(found, reference(images()))


@pytest.mark.parametrize(("size", "millions"), [("small", 2.7), ("medium", 8.0)])
def test_parameters_are_those_of_the_table(size, millions):
    # Figures 2.7 and 8.0 M are the table's own sum, which anomalib's module has too.
    wanted = before = 0
    for channels, kernel, *_ in TABLES[size]:
        wanted += channels * ((before or 3) * kernel**2 + 1)
        before = channels
    count = sum(parameter.numel() for parameter in PatchDescriptionNetwork(size).parameters())
    assert count == wanted
    assert round(count / 1e6, 1) == millions


def test_256_pixels_give_56_positions_and_64_with_padding():
    with torch.device("meta"):
        image = torch.empty(1, 3, 256, 256)
        for size in TABLES:
            for padding, side in ((False, 56), (True, 64)):
                network = PatchDescriptionNetwork(size, padding=padding)
                assert network(image).shape[-2:] == (side, side)


@pytest.mark.parametrize("size", TABLES)
def test_an_output_sees_its_patch_and_nothing_else(size):
    network = PatchDescriptionNetwork(size)
    assert network(images(PATCH)).shape[-2:] == (1, 1)
    image = images(64, 1).requires_grad_()
    network(image)[0, :, 3, 5].sum().backward()
    seen = image.grad.abs().sum(dim=(0, 1)).nonzero()
    assert (seen.amax(0) - seen.amin(0) + 1).tolist() == [PATCH, PATCH]
    assert seen.amin(0).tolist() == [3 * 4, 5 * 4]


def test_head_computes_a_slice_of_the_channels():
    network = PatchDescriptionNetwork("small", 2 * FEATURES)
    whole = network(images())
    hidden = network.trunk(images())
    for half in (slice(None, FEATURES), slice(FEATURES, None)):
        torch.testing.assert_close(network.head(hidden, half), whole[:, half])


@pytest.mark.parametrize("size", TABLES)
def test_files_of_both_layouts_load(size):
    published = numbered(size)
    entry = WEIGHTS[f"pdn_{size}.distilled"]
    by_place = teacher(size, entry, published.state_dict())
    torch.testing.assert_close(by_place(images()), published(images()))
    by_name = teacher(size, entry, by_place.state_dict())
    assert torch.equal(by_name(images()), by_place(images()))
    assert not any(parameter.requires_grad for parameter in by_name.parameters())
    # The file's own tensors are not shared.
    published[0].weight.data.zero_()
    assert by_place.conv1.weight.abs().sum() > 0


def test_half_precision_files_load_as_float32():
    state = {name: tensor.half() for name, tensor in numbered("small").state_dict().items()}
    network = teacher("small", WEIGHTS["pdn_small.distilled"], state)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("3.bias"), "1 are missing, such as conv2.bias"),
        (
            lambda state: state.update(other=torch.ones(2)),
            "1 belong to no layer of it, such as oth",
        ),
        (
            lambda state: state.update({"8.weight": torch.ones(5, 256, 4, 4)}),
            "conv4.weight is (5, 256, 4, 4) where (384, 256, 4, 4) is wanted",
        ),
    ],
)
def test_wrong_files_are_refused(change, words):
    state = numbered("small").state_dict()
    change(state)
    with pytest.raises(ValueError, match=re.escape(words)) as refusal:
        teacher("small", WEIGHTS["pdn_small.distilled"], state)
    for part in ("pdn_small.distilled", "wanted the 8 tensors", "python -m bench distill small"):
        assert part in str(refusal.value)


def test_another_size_is_refused():
    for size, other in (("small", "medium"), ("medium", "small")):
        with pytest.raises(ValueError, match=f"wanted the .* tensors of a {size} patch"):
            teacher(size, WEIGHTS[f"pdn_{size}.distilled"], numbered(other).state_dict())


@pytest.mark.parametrize("cuts", [[7], [1, 6], [2, 3, 2], [1] * 7])
def test_statistics_are_numpys_however_they_are_cut(cuts):
    # Far from zero, where a difference of float32 sums of squares would have no digit left.
    draw = np.random.default_rng(1).normal(1000, [[[[0.5]], [[2]], [[1]]]], (7, 3, 5, 4))
    features = torch.from_numpy(draw).float()
    statistics = ChannelStatistics()
    for part in features.split(cuts):
        statistics.update(part)
    exact = features.double().numpy()
    mean, std = statistics.mean_and_std().numpy()
    np.testing.assert_allclose(mean, exact.mean(axis=(0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(std, exact.std(axis=(0, 2, 3)), rtol=1e-4)


def test_statistics_of_a_constant_channel_can_be_divided_by():
    statistics = ChannelStatistics()
    statistics.update(torch.zeros(1, 2, 4, 4))
    assert (statistics.mean_and_std()[1] > 0).all()


def test_statistics_of_nothing_are_an_error():
    with pytest.raises(ValueError, match="found 0"):
        ChannelStatistics().mean_and_std()
