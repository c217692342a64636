"""Parts of models have as many parameters, and images cost as much, as in anomalib 2.7.0."""

import inspect

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.run.batch import make_batch
from models.catalog import MODELS

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


def build(name, device="meta"):
    """Return an entry's model as it is trained at 256 pixels."""
    entry = MODELS[name]
    recipe = entry.recipes["baseline"]
    options = {**entry.options, **recipe.options}
    if recipe.loss is not None:
        options["loss"] = recipe.loss
    if "image_size" in inspect.signature(entry.load_build()).parameters:
        options["image_size"] = (256, 256)
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


@pytest.mark.parametrize(
    ("name", "gflop"),
    [
        ("stfpm", 17.125343232),
        ("stfpm_resnet18", 7.327449088),
        ("fre", 8.620343296),
        # Its 24 blocks permute channels without the product that FrEIA's have.
        ("fastflow_resnet18", 9.904848896 - 24 * 0.033554432),
        ("cflow_resnet18", 9.334423552),
    ],
)
def test_an_image_costs_as_many_operations_as_in_anomalib(name, gflop):
    model = build(name, "cpu").eval()
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model.predict(make_batch(model, torch.zeros(1, 3, 256, 256), torch.device("cpu")))
    assert counter.get_total_flops() == round(1e9 * gflop)


@pytest.mark.parametrize(("name", "theirs"), [("cfa", 6_429_696), ("cfa_resnet18", 403_200)])
def test_cfas_descriptor_has_the_convolution_that_anomalib_calls(name, theirs):
    """Its layer inherits a second one, two channels narrower, which it never calls."""
    model = build(name)
    (convolution,) = (each for each in model.descriptor.modules() if hasattr(each, "weight"))
    out, into = convolution.weight.shape[:2]
    idle = out * (into - 2) + out
    assert convolution.weight.numel() + convolution.bias.numel() + idle == theirs
