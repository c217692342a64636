"""Parts of models have as many parameters, and images cost as much, as in anomalib 2.7.0."""

import importlib
import inspect
from contextlib import nullcontext

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.run.batch import make_batch
from bench.run.measure.flops import count_flops
from models.catalog import MODELS

aten = torch.ops.aten
CPU = torch.device("cpu")

COUNTS = {
    "stfpm": {"student": 8_543_296},
    "stfpm_resnet18": {"student": 2_782_784},
    "fre": {"autoencoder": 14_483_676},
    "rd_resnet18": {"decoder": 3_703_168, "bottleneck": 12_205_312},
    "rd_resnet50": {"decoder": 15_821_824, "bottleneck": 39_222_272},
    # Its bottleneck stays 64 wide for a wide teacher; ours, as in the official code, does not.
    "rd_wide_resnet50_2": {"decoder": 24_917_504},
    "fastflow": {"norms": 3_670_016, "flows": 63_357_952},
    "fastflow_resnet18": {"norms": 917_504, "flows": 6_033_664},  # conv3x3_only, as published
    "cflow": {"flows": 169_728_000},
    "cflow_resnet18": {"flows": 14_125_056},
    "draem": {"reconstruction": 54_629_763, "segmentation": 28_374_146},
    "draem_plain": {"reconstruction": 69_048_579, "segmentation": 28_374_146},
    "efficientad_small": {"teacher": 2_694_144, "student": 4_267_392, "autoencoder": 1_096_320},
    "efficientad_medium": {"teacher": 8_026_624, "student": 11_615_488, "autoencoder": 1_096_320},
    "supersimplenet": {"adaptor": 2_360_832, "heads": 6_496_003},
    "supersimplenet_resnet18": {"adaptor": 147_840, "heads": 1_629_955},
    # The same is true of UniNet's.
    "uninet": {"target": 24_862_528, "student": 24_917_504},
}


def build(name, size=256, device="meta"):
    """Return an entry's model as it is trained."""
    entry = MODELS[name]
    recipe = entry.recipes["baseline"]
    options = {**entry.options, **recipe.options}
    if recipe.loss is not None:
        options["loss"] = recipe.loss
    if "image_size" in inspect.signature(entry.load_build()).parameters:
        options["image_size"] = (size, size)
    with torch.device(device):
        return entry.load_build()(weights=entry.weights, state=None, **options)


@pytest.mark.parametrize("name", COUNTS)
def test_parts_have_as_many_parameters_as_anomalibs(name):
    model = build(name)
    found = {
        part: sum(parameter.numel() for parameter in getattr(model, part).parameters())
        for part in COUNTS[name]
    }
    assert found == COUNTS[name]


def product(positions, inputs, outputs):
    """Operations of a linear layer, or of a 1 × 1 convolution, at some positions."""
    return 2 * positions * inputs * outputs


def permutations(steps, *shapes):
    """The permutations of a flow's blocks, which are products in FrEIA, and none in ours."""
    return steps * sum(product(side**2, channels, channels) for channels, side in shapes)


def aligned_later(channels):
    """What SuperSimpleNet's adaptor saves by its product before the layers are enlarged."""
    each = product(64**2, sum(channels), sum(channels))
    return each - sum(
        product(side**2, c, sum(channels)) for c, side in zip(channels, (32, 16), strict=True)
    )


def dinomaly(total, width, attention, blocks, unused):
    """Dinomaly without the encoder's blocks behind the last one that is tapped.

    Our decoder sums keys by a product, and our blur is two convolutions of 5 pixels.
    """
    tokens = 28**2 + 5
    block = product(tokens, width, 12 * width) + attention / blocks
    return total - unused * block + 8 * product(tokens, width, 1) - WINDOW_5 + 2 * BLUR_5


BLUR_5, WINDOW_5, WINDOW_25, WINDOW_33 = (2 * 256**2 * taps for taps in (5, 5**2, 25**2, 33**2))
"""Blurs of a map, by the number of pixels that they weigh."""

RESNET18_SHAPES = (64, 64), (128, 32), (256, 16)
WIDE_SHAPES = (256, 64), (512, 32), (1024, 16)

OPERATIONS = {
    "stfpm": 17_125_343_232,
    "stfpm_resnet18": 7_327_449_088,
    "fre": 8_620_343_296,
    "rd_resnet18": 8_789_295_104 - WINDOW_33,
    "rd_resnet50": 28_770_959_360 - WINDOW_33,
    "fastflow_resnet18": 9_904_848_896 - permutations(8, *RESNET18_SHAPES),
    "fastflow": 85_200_994_304 - permutations(8, *WIDE_SHAPES),
    # With the paper's 20 blocks and ratio of .16, which the peer's options give.
    "fastflow_deit": 96_031_113_216 - permutations(20, (768, 24)),
    "fastflow_cait": 588_686_508_032 - permutations(20, (768, 28)),
    "cflow_resnet18": 9_334_423_552,
    "cflow_resnet50": 51_109_691_392,
    "cflow": 70_202_163_200,
    "csflow_768": 190_755_925_632,
    "uflow": 67_712_319_488 - permutations(4, (1024, 16), (640, 32), (336, 64)),
    # The peer takes a block more of both transformers than the first 40 and 20.
    "uflow_mcait": 596_234_283_008
    - permutations(4, (384, 14), (816, 28))
    - sum(
        product(side**2, width, 12 * width)
        + 2 * product(side**4, width, 1)
        + 2 * product(side**4, heads, heads)
        for side, width, heads in ((28, 768, 16), (14, 384, 8))
    ),
    "efficientad_small": 75_894_579_200,
    "efficientad_medium": 235_410_210_816,
    "ganomaly": 16_427_778_048,  # padded by 1, as in the official code; the peer pads by 4
    "draem": 388_393_074_688,
    "draem_plain": 395_908_743_168,
    # The peer looks codes up by a product, twice. Ours enlarges the coarse ones again for the
    # general picture, by a transposed convolution of 4 × 4 pixels.
    "dsr": 266_271_195_136
    - 2 * product(64**2 + 32**2, 4096, 128)
    + product(32**2, 128, 128 * 4**2),
    "dinomaly_small_392": dinomaly(70_158_141_440, 384, 11_474_307_072, blocks=12, unused=2),
    "dinomaly_base_392": dinomaly(255_725_047_808, 768, 22_948_614_144, blocks=12, unused=2),
    "dinomaly_large_392": dinomaly(712_422_293_504, 1024, 61_196_304_384, blocks=24, unused=5),
    "supersimplenet_resnet18": 18_275_762_692 - WINDOW_25 - aligned_later((128, 256)),
    "supersimplenet": 96_591_806_980 - WINDOW_25 - aligned_later((512, 1024)),
}
"""Floating-point operations of an image in anomalib, less or more what it is known to differ by."""

SIZES = {
    "fastflow_deit": 384,
    "fastflow_cait": 448,
    "csflow_768": 768,
    "uflow_mcait": 448,
    **{f"dinomaly_{size}_392": 392 for size in ("small", "base", "large")},
}
"""Sides of images other than 256 pixels."""

RESIZES = {"rd_resnet18", "rd_resnet50", "csflow_768", "supersimplenet", "supersimplenet_resnet18"}
"""Models whose only products of matrices blur maps and resize maps or images."""


@pytest.fixture
def no_autocast(monkeypatch):
    """The meta device computes nothing, and does not know autocast."""
    importlib.import_module("torch._dynamo")  # reads autocast when timm first imports it
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.usefixtures("no_autocast")
def test_an_image_costs_as_many_operations_as_in_anomalib(name):
    size = SIZES.get(name, 256)
    model = build(name, size=size).eval()
    if name.startswith("efficientad"):
        model.statistics = torch.ones(2, 384, device="meta")
        model.quantiles = torch.ones(2, 2, device="meta")
    images = torch.zeros(1, 3, size, size, device="meta")
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model.predict(make_batch(model, images, images.device))
    counts = counter.get_flop_counts()["Global"]
    if name in RESIZES:
        counts = {op: n for op, n in counts.items() if op not in {aten.mm, aten.bmm}}
    assert sum(counts.values()) == OPERATIONS[name]


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("padim_resnet18", 3_806_461_952 - WINDOW_33),
        ("patchcore_resnet18", 3_806_461_952 - WINDOW_33),
        ("dfm_resnet18", 3_663_724_544),
        ("dfkde_resnet18", 4_737_466_368),
    ],
)
@pytest.mark.usefixtures("no_autocast")
def test_convolutions_before_statistics_cost_as_many_operations_as_in_anomalib(name, theirs):
    """What follows depends on the training images; it is compared below."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        build(name).backbone(torch.zeros(1, 3, 256, 256, device="meta"))
    counts = counter.get_flop_counts()["Global"]
    assert counts == {aten.convolution: theirs}


def enlarged(side):
    """Operations that enlarge and blur a map for images of 64 pixels; the peer counts none."""
    return product(side**2, 1, 64) + product(64, side, 64)


def gaussians(model):
    return product(16**2, *model.gaussians.whitening.shape[1:]) + enlarged(16)


def nearest_patches(model):
    """Without weights of scores by 9 neighbors, 2 (M + 9) C more, an option of our recipe.

    Ours averages neighboring positions by convolutions, the peer by pooling, which does not count.
    """
    averages = product(8**2 + 4**2, 512, 3**2)
    return product(8**2, *model.memory_bank.patches.shape) + averages + enlarged(8)


def reconstruction(model):
    return 2 * product(1, *model.pca.components.shape)


def density(model):
    """Ours counts the distances to the samples as well, the peer their exponents alone."""
    parts = model.pca.components, model.kde.whitening, model.kde.samples
    return sum(product(1, *part.shape) for part in parts)


@pytest.mark.parametrize(
    ("name", "images", "theirs"),
    [
        ("padim_resnet18", 101, gaussians),
        ("patchcore_resnet18", 8, nearest_patches),
        ("dfm_resnet18", 20, reconstruction),
        ("dfkde_resnet18", 20, density),
    ],
)
def test_statistics_of_an_image_cost_as_many_operations_as_in_anomalib(name, images, theirs):
    """By the formulas of what torch counts in anomalib after 40 images of 256 pixels.

    PaDiM 2 · 4,096 · 100² = 81,920,000; PatchCore 2 · 1,024 · 384 M + 2 · 384 (M + 9) with M = 40;
    DFM 4 · 4,096 k = 589,824 with k = 36; DFKDE 2 · 512 · 16 + 2 · 16² = 16,896.
    """
    model = build(name, size=64, device="cpu").eval()
    generator = torch.Generator().manual_seed(0)
    batch = make_batch(model, torch.rand(images, 3, 64, 64, generator=generator), CPU)
    with torch.no_grad():
        model.update(batch)
        model.compute()
        one = make_batch(model, batch.get_images()[:1], CPU)
        model.predict(one)  # prepares the matrices that enlarge maps
        assert count_flops(lambda: model.predict(one)) == theirs(model)


@pytest.mark.parametrize(("name", "theirs"), [("cfa", 6_429_696), ("cfa_resnet18", 403_200)])
def test_cfas_descriptor_has_the_convolution_that_anomalib_calls(name, theirs):
    """Its layer inherits a second one, two channels narrower, which it never calls."""
    model = build(name)
    (convolution,) = (each for each in model.descriptor.modules() if hasattr(each, "weight"))
    out, into = convolution.weight.shape[:2]
    idle = out * (into - 2) + out
    assert convolution.weight.numel() + convolution.bias.numel() + idle == theirs
