import pytest
import torch
from torch.nn import functional as F

from models.catalog import MODELS
from models.reverse_distillation.convnext_student import (
    ConvNeXtBlockDecoder,
    ConvNeXtBottleneck,
    ConvNeXtDecoder,
)
from models.reverse_distillation.model import build
from models.reverse_distillation.resnet_student import SHAPES, ResNetBottleneck, ResNetDecoder


def count(parameters):
    return sum(parameter.numel() for parameter in parameters)


def on_meta(name):
    entry = MODELS[name]
    with torch.device("meta"):
        return build(
            weights=entry.weights,
            state=None,
            loss="per_pixel",
            gradient_checkpointing=False,
            **entry.options,
        )


@pytest.mark.parametrize(
    ("name", "trainable", "parts"),
    [
        ("rd_resnet50", 55_044_096, None),
        ("rd_wide_resnet50_2", 92_195_328, None),
        ("rd_resnet18", 15_908_480, (12_205_312, 3_703_168)),
        ("rd_convnext", 8_727_456, (5_240_448, 3_487_008)),
    ],
)
def test_trainable_parameters_are_the_studys(name, trainable, parts):
    model = on_meta(name)
    assert count(model.trainable_parameters()) == trainable
    if parts:
        found = count(model.bottleneck.parameters()), count(model.decoder.parameters())
        assert found == parts


def test_adapted_student_is_rd_resnet50s_and_its_adapters():
    adapted, original = on_meta("rd_convnext_adapted"), on_meta("rd_resnet50")
    inner = adapted.bottleneck.bottleneck, adapted.decoder.decoder
    for theirs, ours in zip((original.bottleneck, original.decoder), inner, strict=True):
        assert {k: v.shape for k, v in theirs.state_dict().items()} == {
            k: v.shape for k, v in ours.state_dict().items()
        }
    pairs = list(zip((96, 192, 384), (256, 512, 1024), strict=True))
    adapters = sum(a * b + 2 * b for a, b in pairs) + sum(b * a + a for a, b in pairs)
    assert count(adapted.trainable_parameters()) == 55_044_096 + adapters


def test_cnblock_decoder_holds_two_convnext_blocks_a_stage():
    names = dict(on_meta("rd_convnext_cnblock").decoder.named_parameters())
    for stage, (channels, out) in enumerate(((768, 384), (384, 192), (192, 96)), start=1):
        assert names[f"up{stage}.1.weight"].shape == (channels, out, 2, 2)
        for block in (2, 3):
            assert names[f"up{stage}.{block}.conv_dw.weight"].shape == (out, 1, 7, 7)
            assert names[f"up{stage}.{block}.mlp.fc1.weight"].shape == (4 * out, out)
            assert names[f"up{stage}.{block}.gamma"].shape == (out,)
        assert f"up{stage}.4.gamma" not in names


def norm_names(prefix):
    ends = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    return {f"{prefix}.{end}" for end in ends}


def official_names(blocks, convolutions, resample, first):
    """Names in an official stage: its first block alone has a resampling shortcut."""
    names = set()
    for block in range(blocks):
        for number in range(1, convolutions + 1):
            names |= {f"{first}.{block}.conv{number}.weight"}
            names |= norm_names(f"{first}.{block}.bn{number}")
    return names | {f"{first}.0.{resample}.0.weight"} | norm_names(f"{first}.0.{resample}.1")


@pytest.mark.parametrize(
    ("architecture", "convolutions", "embedding", "decoder"),
    [("resnet18", 2, 2, (2, 2, 2)), ("wide_resnet50_2", 3, 3, (3, 4, 6))],
)
def test_resnet_names_are_the_official_checkpoints(architecture, convolutions, embedding, decoder):
    with torch.device("meta"):
        bottleneck = ResNetBottleneck(SHAPES[architecture]).state_dict()
        mirrored = ResNetDecoder(SHAPES[architecture]).state_dict()
    wanted = official_names(embedding, convolutions, "downsample", "bn_layer")
    for number in range(1, 5):
        wanted |= {f"conv{number}.weight"} | norm_names(f"bn{number}")
    assert set(bottleneck) == wanted
    stages = zip(("layer1", "layer2", "layer3"), decoder, strict=True)
    assert set(mirrored) == set().union(
        *(official_names(blocks, convolutions, "upsample", stage) for stage, blocks in stages)
    )


def test_wide_resnet_shapes_are_the_official_checkpoints():
    with torch.device("meta"):
        bottleneck = ResNetBottleneck(SHAPES["wide_resnet50_2"]).state_dict()
        decoder = ResNetDecoder(SHAPES["wide_resnet50_2"]).state_dict()
    assert bottleneck["bn_layer.0.conv1.weight"].shape == (1024, 3072, 1, 1)
    assert bottleneck["bn_layer.0.conv2.weight"].shape == (1024, 1024, 3, 3)
    assert bottleneck["bn_layer.0.downsample.0.weight"].shape == (2048, 3072, 1, 1)
    assert bottleneck["conv1.weight"].shape == (512, 256, 3, 3)
    assert bottleneck["conv4.weight"].shape == (2048, 4096, 1, 1)
    assert decoder["layer1.0.conv2.weight"].shape == (512, 512, 2, 2)
    assert decoder["layer1.0.upsample.0.weight"].shape == (2048, 1024, 2, 2)
    assert decoder["layer3.5.conv3.weight"].shape == (256, 128, 1, 1)


class Functional:
    """A network evaluated from its state dict with plain functions, in evaluation mode."""

    def __init__(self, module):
        self.state = {name: tensor.double() for name, tensor in module.state_dict().items()}

    def conv(self, x, name, stride=1):
        weight = self.state[f"{name}.weight"]
        return F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)

    def double_size(self, x, name):
        return F.conv_transpose2d(
            x, self.state[f"{name}.weight"], self.state.get(f"{name}.bias"), stride=2
        )

    def norm(self, x, name):
        mean, var, weight, bias = (
            self.state[f"{name}.{end}"][:, None, None]
            for end in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / torch.sqrt(var + 1e-5) * weight + bias

    def group_norm_gelu(self, x, name):
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        return F.gelu(F.group_norm(x, 32, weight, bias))

    def basic_block(self, x, name, resample):
        if resample == "upsample":
            out, shortcut = (
                self.double_size(x, f"{name}.conv1"),
                self.double_size(x, f"{name}.upsample.0"),
            )
        elif resample:
            out = self.conv(x, f"{name}.conv1", 2)
            shortcut = self.conv(x, f"{name}.downsample.0", 2)
        else:
            out, shortcut = self.conv(x, f"{name}.conv1"), x
        if resample:
            shortcut = self.norm(shortcut, f"{name}.{resample}.1")
        out = self.conv(self.norm(out, f"{name}.bn1").relu(), f"{name}.conv2")
        return (self.norm(out, f"{name}.bn2") + shortcut).relu()


def perturb(*modules):
    generator = torch.Generator().manual_seed(4)
    for module in modules:
        for tensor in module.state_dict().values():
            if tensor.ndim == 1:
                tensor.uniform_(0.5, 1.5, generator=generator)
        module.eval()


def features_of(channels, side=16):
    generator = torch.Generator().manual_seed(9)
    return [
        torch.rand(2, width, side // 2**n, side // 2**n, generator=generator)
        for n, width in enumerate(channels)
    ]


def assert_same(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.double(), theirs, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_resnet_student_computes_what_the_paper_draws():
    torch.manual_seed(0)
    bottleneck, decoder = ResNetBottleneck(SHAPES["resnet18"]), ResNetDecoder(SHAPES["resnet18"])
    perturb(bottleneck, decoder)
    features = features_of((64, 128, 256))
    plain, x = Functional(bottleneck), [f.double() for f in features]
    low = plain.norm(plain.conv(x[0], "conv1", 2), "bn1").relu()
    low = plain.norm(plain.conv(low, "conv2", 2), "bn2").relu()
    middle = plain.norm(plain.conv(x[1], "conv3", 2), "bn3").relu()
    fused = torch.cat([low, middle, x[2]], 1)
    embedding = plain.basic_block(fused, "bn_layer.0", "downsample")
    embedding = plain.basic_block(embedding, "bn_layer.1", None)
    assert_same([bottleneck(features)], [embedding])
    plain, out, expected = Functional(decoder), embedding, []
    for stage in ("layer1", "layer2", "layer3"):
        out = plain.basic_block(out, f"{stage}.0", "upsample")
        out = plain.basic_block(out, f"{stage}.1", None)
        expected.insert(0, out)
    assert_same(decoder(embedding.float()), expected)


@torch.no_grad()
def test_convnext_student_computes_its_layout():
    torch.manual_seed(0)
    channels = (96, 192, 384)
    bottleneck, decoder = ConvNeXtBottleneck(channels), ConvNeXtDecoder(channels)
    perturb(bottleneck, decoder)
    features = features_of(channels)
    plain, x = Functional(bottleneck), [f.double() for f in features]

    def halve(x, name, place):
        x = F.conv2d(x, plain.state[f"{name}.{place}.weight"], stride=2)
        return plain.group_norm_gelu(x, f"{name}.{place + 1}")

    low = halve(halve(x[0], "process1", 0), "process1", 3)
    middle = halve(x[1], "process2", 0)
    high = plain.group_norm_gelu(plain.conv(x[2], "process3.0"), "process3.1")
    fused = plain.conv(torch.cat([low, middle, high], 1), "fusion.0")
    embedding = halve(plain.group_norm_gelu(fused, "fusion.1"), "fusion", 3)
    assert_same([bottleneck(features)], [embedding])
    plain, out, expected = Functional(decoder), embedding, []
    for stage in ("up1", "up2", "up3"):
        out = plain.group_norm_gelu(plain.double_size(out, f"{stage}.0"), f"{stage}.1")
        out = plain.group_norm_gelu(plain.conv(out, f"{stage}.3"), f"{stage}.4")
        expected.insert(0, out)
    for scale, head in enumerate(("out1", "out2", "out3")):
        bias = plain.state[f"{head}.bias"][:, None, None]
        expected[scale] = plain.conv(expected[scale], head) + bias
    assert_same(decoder(embedding.float()), expected)


def test_cnblock_decoder_gives_every_scale_and_trains_every_parameter():
    torch.manual_seed(0)
    decoder = ConvNeXtBlockDecoder((96, 192, 384))
    outputs = decoder(torch.randn(1, 768, 2, 2))
    assert [tuple(out.shape) for out in outputs] == [
        (1, 96, 16, 16),
        (1, 192, 8, 8),
        (1, 384, 4, 4),
    ]
    sum(out.square().sum() for out in outputs).backward()
    still = [name for name, p in decoder.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []
