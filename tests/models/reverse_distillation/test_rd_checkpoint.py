import copy

import pytest
import torch
from torch import nn

from models.reverse_distillation import checkpoint as rd_checkpoint
from models.reverse_distillation.convnext_student import ConvNeXtBottleneck, ConvNeXtDecoder
from models.reverse_distillation.resnet_student import SHAPES, ResNetBottleneck, ResNetDecoder


@pytest.fixture(scope="module")
def resnet():
    torch.manual_seed(1)
    return ResNetBottleneck(SHAPES["resnet18"]), ResNetDecoder(SHAPES["resnet18"])


@pytest.fixture(scope="module")
def convnext():
    torch.manual_seed(1)
    return ConvNeXtBottleneck((96, 192, 384)), ConvNeXtDecoder((96, 192, 384))


def official(parts, key="bn"):
    return {key: parts[0].state_dict(), "decoder": parts[1].state_dict()}


def assert_loads(checkpoint, layout, parts):
    fresh = copy.deepcopy(parts)
    for parameter in (p for part in fresh for p in part.parameters()):
        nn.init.zeros_(parameter)
    rd_checkpoint.load(checkpoint, layout, *fresh)
    for part, loaded in zip(parts, fresh, strict=True):
        for name, tensor in part.state_dict().items():
            assert torch.equal(loaded.state_dict()[name], tensor), name


def test_memory_entries_are_dropped(resnet):
    checkpoint = official(resnet)
    checkpoint["bn"] = {**checkpoint["bn"], "memory0.units": torch.rand(3)}
    checkpoint["memory"] = torch.rand(2)
    assert_loads(checkpoint, "bn", resnet)


def test_convnext_layout_loads_bare_and_wrapped(convnext):
    checkpoint = official(convnext, "bn_layer")
    assert "process1.0.weight" in checkpoint["bn_layer"]
    assert {"up1.0.weight", "out1.weight", "out1.bias"} <= set(checkpoint["decoder"])
    assert_loads(checkpoint, "bn_layer", convnext)
    wrapped = {"epoch": 100, "model_state_dict": checkpoint, "loss": 0.1}
    assert_loads(wrapped, "bn_layer", convnext)


def test_flat_convnext_state_dict_loads(convnext):
    flat = nn.ModuleDict({"bn_layer": convnext[0], "decoder": convnext[1]}).state_dict()
    assert "bn_layer.process1.0.weight" in flat
    assert_loads({"model_state_dict": flat}, "bn_layer", convnext)


@pytest.mark.parametrize("flat", [False, True])
def test_layouts_are_told_apart_though_bn_holds_names_of_bn_layer(resnet, convnext, flat):
    theirs = official(resnet)
    if flat:  # a file of the bn dictionary alone
        theirs = theirs["bn"]
        assert any(name.startswith("bn_layer.") for name in theirs)
    with pytest.raises(ValueError, match="wanted the top-level keys 'bn_layer' and 'decoder'"):
        rd_checkpoint.load(theirs, "bn_layer", *convnext)
    with pytest.raises(ValueError, match=r"'bn' and 'decoder'.*found 'bn_layer', 'decoder'"):
        rd_checkpoint.load(official(convnext, "bn_layer"), "bn", *resnet)


def test_another_models_checkpoint_is_named_and_changes_nothing(resnet):
    with torch.device("meta"):
        shape = SHAPES["resnet50"]
        other = ResNetBottleneck(shape), ResNetDecoder(shape)
    before = {name: tensor.clone() for name, tensor in resnet[0].state_dict().items()}
    message = r"checkpoint of another model.*bn_layer\.0\.conv3\.weight"
    with pytest.raises(ValueError, match=message):
        rd_checkpoint.load(official(other), "bn", *resnet)
    half = {"bn": resnet[0].state_dict(), "decoder": other[1].state_dict()}
    half["bn"] = {name: tensor + 1 for name, tensor in half["bn"].items()}
    with pytest.raises(ValueError, match="another model"):
        rd_checkpoint.load(half, "bn", *resnet)
    for name, tensor in resnet[0].state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_shape_mismatch_is_named(resnet):
    checkpoint = official(resnet)
    checkpoint["decoder"] = {**checkpoint["decoder"], "layer1.0.bn1.bias": torch.zeros(3)}
    message = r"layer1\.0\.bn1\.bias is \(3,\) where \(256,\) is wanted"
    with pytest.raises(ValueError, match=message):
        rd_checkpoint.load(checkpoint, "bn", *resnet)


@pytest.mark.parametrize("damaged", [{}, {"bn": 3, "decoder": {}}, {"model_state_dict": None}])
def test_malformed_checkpoint_is_refused(resnet, damaged):
    with pytest.raises(ValueError, match=r"This checkpoint"):
        rd_checkpoint.load(damaged, "bn", *resnet)
