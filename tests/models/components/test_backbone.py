import re
from dataclasses import replace

import pytest
import timm
import torch
import torchvision
from timm.models.convnext import checkpoint_filter_fn

from models.catalog import WEIGHTS
from models.components.backbone import Backbone, timm_feature_state, trainable_network
from models.components.weights import load_state, resolve

IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))


def randomized(architecture):
    """A torchvision model whose every tensor matters: no identity norms, no vanishing scales."""
    with torch.device("meta"):
        model = torchvision.models.get_model(architecture)
    model.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(5)
    for name, tensor in model.state_dict().items():
        if name.endswith(("running_mean", "bias")):
            tensor.normal_(0, 0.2, generator=generator)
        elif tensor.ndim > 1 and not name.endswith("layer_scale"):
            bound = (6 / tensor[0].numel()) ** 0.5
            tensor.uniform_(-bound, bound, generator=generator)
        elif tensor.is_floating_point():
            tensor.uniform_(0.3, 0.9, generator=generator)
    return model.eval()


def normalized(images):
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    return (images - mean) / std


@pytest.fixture(scope="module")
def convnext():
    return randomized("convnext_tiny")


@pytest.fixture(scope="module")
def resnet18():
    return randomized("resnet18")


def resnet_stages(model, x):
    x = model.maxpool(model.relu(model.bn1(model.conv1(x))))
    for layer in (model.layer1, model.layer2, model.layer3):
        x = layer(x)
        yield x


def assert_close(features, expected):
    for ours, theirs in zip(features, expected, strict=True):
        scale = theirs.abs().max().item()
        torch.testing.assert_close(ours / scale, theirs / scale, atol=1e-5, rtol=0)


def test_folded_resnet_gives_torchvisions_stages(resnet18):
    teacher = Backbone(WEIGHTS["resnet18.tv_in1k"], resnet18.state_dict())
    assert not [m for m in teacher.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        assert_close(teacher(IMAGES), resnet_stages(resnet18, normalized(IMAGES)))


def test_folded_bottleneck_resnet_gives_torchvisions_stages():
    resnet50 = randomized("resnet50")
    teacher = Backbone(WEIGHTS["resnet50.tv_in1k"], resnet50.state_dict())
    with torch.no_grad():
        assert_close(teacher(IMAGES), resnet_stages(resnet50, normalized(IMAGES)))


def test_efficientnet_gives_torchvisions_stages():
    efficientnet = randomized("efficientnet_b5")
    weights = replace(WEIGHTS["resnet18.tv_in1k"], architecture="efficientnet_b5")
    teacher = Backbone(weights, efficientnet.state_dict(), (1, 4, 6))
    assert not [m for m in teacher.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        stages, x = [], normalized(IMAGES)
        for place, layer in enumerate(efficientnet.features[:7]):
            x = layer(x)
            if place in (1, 4, 6):
                stages.append(x)
        assert teacher.channels == [stage.shape[1] for stage in stages]
        assert_close(teacher(IMAGES), stages)


def test_efficientnet_loads_timms_names():
    torch.manual_seed(0)
    efficientnet = timm.create_model("efficientnet_b0", bn_eps=1e-3).eval()
    weights = replace(WEIGHTS["resnet18.tv_in1k"], architecture="efficientnet_b0")
    with torch.no_grad():
        x = efficientnet.bn1(efficientnet.conv_stem(normalized(IMAGES)))
        expected = efficientnet.blocks[:6](x)
        assert_close(Backbone(weights, efficientnet.state_dict(), (6,))(IMAGES), [expected])


def test_convnext_gives_torchvisions_stages(convnext):
    teacher = Backbone(WEIGHTS["convnext_tiny.tv_in1k"], convnext.state_dict())
    with torch.no_grad():
        stages, x = [], normalized(IMAGES)
        for place, layer in enumerate(convnext.features):
            x = layer(x)
            if place in (1, 3, 5):
                stages.append(x)
        assert_close(teacher(IMAGES), stages)


def test_authors_convnext_names_as_timm_maps_them():
    with torch.device("meta"):
        full = timm.create_model("convnext_tiny")
        wanted = timm.create_model("convnext_tiny", features_only=True, out_indices=(0, 1, 2))
    theirs = {}
    for name, tensor in full.state_dict().items():
        renamed = re.sub(r"^stem\.", "downsample_layers.0.", name)
        renamed = re.sub(r"^stages\.(\d)\.downsample\.", r"downsample_layers.\1.", renamed)
        renamed = re.sub(r"\.blocks\.(\d+)\.", r".\1.", renamed)
        renamed = renamed.replace("conv_dw", "dwconv").replace("mlp.fc", "pwconv")
        theirs[renamed.replace("head.norm", "norm").replace("head.fc", "head")] = torch.empty(
            1
        ).expand(tensor.shape)  # identified by its address
    by_timm = checkpoint_filter_fn(dict(theirs), full)
    ours = timm_feature_state(theirs, "convnext_tiny")
    for name in wanted.state_dict():
        full_name = re.sub(r"^(stem|stages)_", r"\1.", name)
        assert ours[name].data_ptr() == by_timm[full_name].data_ptr(), name


def test_random_teacher_has_live_residual_branches():
    torch.manual_seed(0)
    teacher = Backbone(WEIGHTS["resnet18.tv_in1k"], None)
    assert teacher.backbone["layer1"][0].conv2.weight.abs().max() > 0


def test_teacher_stays_in_evaluation_mode_and_has_no_gradient():
    teacher = Backbone(WEIGHTS["resnet18.tv_in1k"], None)
    teacher.train()
    assert not any(module.training for module in teacher.modules())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert not any(feature.requires_grad for feature in teacher(IMAGES))


def test_tapped_layers_are_enough(resnet18):
    state = {
        name: tensor
        for name, tensor in resnet18.state_dict().items()
        if not name.startswith(("layer4", "fc"))
    }
    Backbone(WEIGHTS["resnet18.tv_in1k"], state)


def test_missing_tapped_tensor_is_named(resnet18):
    state = resnet18.state_dict()
    del state["layer2.1.conv2.weight"]
    with pytest.raises(ValueError, match=r"layer2\.1\.conv2\.weight.*incomplete.*Get the file"):
        Backbone(WEIGHTS["resnet18.tv_in1k"], state)


@pytest.mark.parametrize("architecture", ["resnet34", "resnet50", "vgg11", "convnext_tiny"])
def test_weights_of_another_architecture_are_refused(architecture):
    with torch.device("meta"):
        state = torchvision.models.get_model(architecture).state_dict()
    with pytest.raises(ValueError, match="another architecture"):
        Backbone(WEIGHTS["resnet18.tv_in1k"], state)


def test_a_deeper_convnext_is_refused():
    with torch.device("meta"):
        state = torchvision.models.convnext_small().state_dict()
    with pytest.raises(ValueError, match="another architecture"):
        Backbone(WEIGHTS["convnext_tiny.tv_in1k"], state)


@pytest.mark.parametrize(
    "tag", ["deit_tiny_patch16_224.fb_in1k", "vit_small_patch14_reg4_dinov2.lvd142m"]
)
@pytest.mark.parametrize("make", [Backbone, trainable_network])
def test_weights_of_another_kind_are_refused(tag, make):
    with pytest.raises(ValueError, match=rf"{tag}.*convolutional network.*found.*Choose other"):
        make(WEIGHTS[tag], None, (1,))


@pytest.mark.parametrize(
    ("tag", "layers", "last"),
    [
        ("resnet18.tv_in1k", (6,), 4),
        ("resnet18.tv_in1k", (0, 1), 4),
        ("convnext_tiny.tv_in1k", (4, 5), 4),
        ("efficientnet_b5.tv_in1k", (8,), 7),
    ],
)
def test_missing_stages_are_refused(tag, layers, last):
    with pytest.raises(ValueError, match=rf"{tag}.*from 1 to {last}.*found \["):
        Backbone(WEIGHTS[tag], None, layers)


@pytest.mark.parametrize(
    "entry",
    [
        WEIGHTS["resnet18.tv_in1k"],
        WEIGHTS["convnext_tiny.tv_in1k"],
        replace(WEIGHTS["efficientnet_b5.tv_in1k"], architecture="efficientnet_b0"),
    ],
    ids=lambda entry: entry.architecture,
)
def test_shapes_are_those_of_the_features(entry):
    backbone = Backbone(entry, None, (1, 2, 3, 4))
    for size in ((64, 64), (66, 66), (70, 94), (33, 95)):
        features = backbone(torch.rand(1, 3, *size))
        assert backbone.shapes(size) == [layer.shape[1:] for layer in features]


@pytest.mark.real_data
def test_real_weights_load_and_matter(real_data):
    weights = resolve("resnet18.tv_in1k", [real_data / "weights"])
    real = Backbone(WEIGHTS["resnet18.tv_in1k"], load_state(weights))
    torch.manual_seed(0)
    random = Backbone(WEIGHTS["resnet18.tv_in1k"], None)
    for learned, drawn in zip(real(IMAGES), random(IMAGES), strict=True):
        assert torch.isfinite(learned).all()
        cosine = torch.nn.functional.cosine_similarity(learned.flatten(1), drawn.flatten(1))
        assert (cosine < 0.8).all()


@pytest.mark.parametrize("prefix", ["module.", "backbone.", "model.backbone.", "anything."])
def test_a_wrappers_prefix_is_ignored(resnet18, prefix):
    state = resnet18.state_dict()
    wrapped = {f"{prefix}{name}": tensor for name, tensor in state.items()}
    wrapped["decode_head.weight"] = torch.ones(3)
    plain, found = (Backbone(WEIGHTS["resnet18.tv_in1k"], s, (1, 2)) for s in (state, wrapped))
    assert plain.digests() == found.digests()


def test_a_wrappers_prefix_is_ignored_under_a_publishers_names(convnext):
    state = convnext.state_dict()
    wrapped = {f"module.{name}": tensor for name, tensor in state.items()}
    tag = "convnext_tiny.tv_in1k"
    plain, found = (Backbone(WEIGHTS[tag], each, (1,)) for each in (state, wrapped))
    assert plain.digests() == found.digests()
