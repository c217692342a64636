"""Parts of models have as many parameters as the same configuration of anomalib 2.7.0."""

import inspect

import pytest
import torch

from models.catalog import MODELS

COUNTS = {
    "stfpm": {"student": 8_543_296},
    "stfpm_resnet18": {"student": 2_782_784},
    "fre": {"autoencoder": 14_483_676},
    "rd_resnet18": {"decoder": 3_703_168, "bottleneck": 12_205_312},
    "rd_resnet50": {"decoder": 15_821_824, "bottleneck": 39_222_272},
    "rd_wide_resnet50_2": {"decoder": 24_917_504, "bottleneck": 39_222_272},
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
    # Its bottleneck is as wide for every teacher there; ours has the teacher's width, as in the
    # official code.
    "uninet": {"target": 24_862_528, "student": 24_917_504},
    "uninet_resnet18": {"target": 2_782_784, "student": 3_703_168},
}


def build(name):
    """Return an entry's model as it is trained at 256 pixels, without memory for its tensors."""
    entry = MODELS[name]
    recipe = entry.recipes["baseline"]
    options = {**entry.options, **recipe.options}
    if recipe.loss is not None:
        options["loss"] = recipe.loss
    if "image_size" in inspect.signature(entry.load_build()).parameters:
        options["image_size"] = (256, 256)
    with torch.device("meta"):
        return entry.load_build()(weights=entry.weights, state=None, **options)


@pytest.mark.parametrize("name", COUNTS)
def test_parts_have_as_many_parameters_as_anomalibs(name):
    model = build(name)
    found = {
        part: sum(parameter.numel() for parameter in getattr(model, part).parameters())
        for part in COUNTS[name]
    }
    assert found == COUNTS[name]


@pytest.mark.parametrize(("name", "theirs"), [("cfa", 6_429_696), ("cfa_resnet18", 403_200)])
def test_cfas_descriptor_has_the_convolution_that_anomalib_calls(name, theirs):
    """Its layer inherits a second one, two channels narrower, which it never calls."""
    model = build(name)
    (convolution,) = (each for each in model.descriptor.modules() if hasattr(each, "weight"))
    out, into = convolution.weight.shape[:2]
    idle = out * (into - 2) + out
    assert convolution.weight.numel() + convolution.bias.numel() + idle == theirs
