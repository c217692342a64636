"""Transformer backbones against timm's own networks, and against the layouts of weights files."""

import re

import pytest
import timm
import torch
from torch.nn import functional as F

from models.catalog import WEIGHTS, WeightsEntry
from models.components.transformer_backbone import TransformerBackbone, timm_transformer_state
from models.components.weights import IncompleteWeightsError, load_state, resolve
from models.components.weights_file import read_tensors

DEIT = WEIGHTS["deit_tiny_patch16_224.fb_in1k"]
DINO = WEIGHTS["vit_small_patch14_reg4_dinov2.lvd142m"]
CAIT = WeightsEntry("cait_xxs24_224.fb_dist_in1k", "cait_xxs24_224", "https://x.y/cait", ("c",))


def pictures(side, count=2, width=None):
    generator = torch.Generator().manual_seed(side)
    return torch.rand(count, 3, side, width or side, generator=generator)


def network(architecture, **options):
    """A network of timm's whose every tensor matters, LayerScale and embeddings included."""
    torch.manual_seed(4)
    model = timm.create_model(architecture, **options).eval()
    for name, tensor in model.state_dict().items():
        if "gamma" in name or name.endswith(("norm1.weight", "norm2.weight")):
            tensor.uniform_(0.5, 1.5)
        elif tensor.ndim == 3 or name.endswith("bias"):
            tensor.normal_(0, 0.2)
    return model


@pytest.fixture(scope="module")
def deit():
    return network("deit_tiny_patch16_224")


@pytest.fixture(scope="module")
def dinov2():
    return network("vit_small_patch14_reg4_dinov2", dynamic_img_size=True)


def block_outputs(model, images, layers):
    """Collect blocks' outputs ``(B, N, C)`` in a whole forward pass of timm's."""
    outputs, handles = {}, []
    for layer in layers:
        handle = model.blocks[layer].register_forward_hook(
            lambda module, inputs, output, layer=layer: outputs.update({layer: output})
        )
        handles.append(handle)
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    with torch.no_grad():
        model((images - mean) / std)
    for handle in handles:
        handle.remove()
    return [outputs[layer] for layer in layers]


def assert_close(found, wanted):
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_grids_are_the_patch_tokens_row_by_row(deit):
    backbone = TransformerBackbone(DEIT, deit.state_dict(), (2, 7))
    features = backbone(pictures(224))
    assert len(backbone.backbone.blocks) == 8  # later ones are not kept
    assert backbone.channels == [192, 192]
    assert backbone.patch_size == 16
    for found, tokens in zip(features, block_outputs(deit, pictures(224), (2, 7)), strict=True):
        assert found.shape == (2, 192, 14, 14)
        assert_close(found[:, :, 3, 5], tokens[:, 1 + 3 * 14 + 5])
        assert_close(found.flatten(2).transpose(1, 2), tokens[:, 1:])


def test_prefix_tokens_come_first_in_a_column(dinov2):
    backbone = TransformerBackbone(DINO, dinov2.state_dict(), (1, 3), with_prefix=True)
    assert backbone.prefix_tokens == 5
    features = backbone(pictures(56))
    for found, tokens in zip(features, block_outputs(dinov2, pictures(56), (1, 3)), strict=True):
        assert found.shape == (2, 384, 5 + 16, 1)
        assert_close(found[..., 0].transpose(1, 2), tokens)


@pytest.mark.parametrize(("side", "width"), [(224, 224), (392, 392), (448, 448), (98, 224)])
def test_position_embeddings_follow_the_image_size(side, width):
    """The first block sees patches + positions: undo the block by leaving its branches at zero."""
    with torch.device("meta"):
        state = timm.create_model("vit_small_patch14_reg4_dinov2").state_dict()
    generator = torch.Generator().manual_seed(1)
    state = {
        name: torch.zeros(tensor.shape)
        if name.endswith(("gamma", "proj.weight", "proj.bias"))
        else torch.randn(tensor.shape, generator=generator)
        for name, tensor in state.items()
    }
    found = TransformerBackbone(DINO, state, (0,))(pictures(side, 1, width))[0]
    grid = state["pos_embed"].reshape(1, 37, 37, 384).permute(0, 3, 1, 2)
    wanted = F.interpolate(grid, (side // 14, width // 14), mode="bicubic", antialias=True)
    assert_close(found, wanted)


def hub_layout(state):
    """Rearrange timm's tensors as DINOv2's hub files have them, with their own positions."""
    hub = dict(state)
    share = torch.randn(
        1, 1, hub["cls_token"].shape[-1], generator=torch.Generator().manual_seed(2)
    )
    hub["register_tokens"] = hub.pop("reg_token")
    hub["cls_token"] = hub["cls_token"] - share
    hub["pos_embed"] = torch.cat([share, hub["pos_embed"]], dim=1)
    hub["mask_token"] = torch.zeros(1, hub["cls_token"].shape[-1])
    return hub


def test_hub_file_and_timm_file_give_the_same_features(dinov2, tmp_path):
    torch.save(hub_layout(dinov2.state_dict()), tmp_path / "dinov2_vits14_reg4_pretrain.pth")
    hub = TransformerBackbone(DINO, load_state(resolve(DINO.tag, [tmp_path])), (5,))
    torch.save(dinov2.state_dict(), tmp_path / f"{DINO.tag}.pth")
    own = TransformerBackbone(DINO, load_state(resolve(DINO.tag, [tmp_path])), (5,))
    assert_close(hub(pictures(70)), own(pictures(70)))


def test_hub_names_are_mapped_as_timm_maps_them(dinov2):
    from timm.models.vision_transformer import checkpoint_filter_fn

    hub = hub_layout(dinov2.state_dict())
    wanted = checkpoint_filter_fn(dict(hub), dinov2)
    found = timm_transformer_state(hub)
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("side", [224, 160])
def test_distilled_deits_file_has_two_tokens_before_the_patches(side, tmp_path):
    """Its publisher's file holds ``{"model": …}`` with a head for each of both tokens."""
    name = "deit_tiny_distilled_patch16_224"
    published = network(name)
    torch.save({"model": published.state_dict()}, tmp_path / "deit.pth")
    entry = WeightsEntry(f"{name}.fb_in1k", name, "https://x.y/deit", ("deit",))
    backbone = TransformerBackbone(entry, read_tensors(tmp_path / "deit.pth"), (1, 4))
    patches = side // 16
    positions = published.pos_embed.detach()
    grid = positions[:, 2:].reshape(1, 14, 14, -1).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, (patches, patches), mode="bicubic", antialias=True)
    resized = network(name, img_size=side)
    resized.load_state_dict(
        published.state_dict()
        | {"pos_embed": torch.cat([positions[:, :2], grid.flatten(2).transpose(1, 2)], dim=1)}
    )
    images = pictures(side, 1)
    for found, tokens in zip(backbone(images), block_outputs(resized, images, (1, 4)), strict=True):
        assert found.shape == (1, 192, patches, patches)
        assert_close(found.flatten(2).transpose(1, 2), tokens[:, 2:])


def test_cait_is_resampled_once_to_its_size():
    cait = network("cait_xxs24_224")
    published = {f"module.{name}": tensor for name, tensor in cait.state_dict().items()}
    backbone = TransformerBackbone(CAIT, published, (1, 3))
    features = backbone(pictures(224, 1))
    for found, tokens in zip(features, block_outputs(cait, pictures(224, 1), (1, 3)), strict=True):
        assert_close(found.flatten(2).transpose(1, 2), tokens)
    larger = TransformerBackbone(CAIT, published, (1,), image_size=256)
    grid = cait.pos_embed.detach().reshape(1, 14, 14, -1).permute(0, 3, 1, 2)
    wanted = F.interpolate(grid, (16, 16), mode="bicubic", antialias=True)
    assert_close(larger.backbone.pos_embed.reshape(1, 16, 16, -1).permute(0, 3, 1, 2), wanted)
    assert larger(pictures(256, 1))[0].shape == (1, 192, 16, 16)
    assert larger(pictures(224, 1))[0].shape == (1, 192, 16, 16)  # resized: its size is fixed
    wide = TransformerBackbone(CAIT, published, (1,), image_size=(98, 252))
    wanted = F.interpolate(grid, (6, 16), mode="bicubic", antialias=True)
    assert_close(wide.backbone.pos_embed.reshape(1, 6, 16, -1).permute(0, 3, 1, 2), wanted)
    assert wide(pictures(98, 1, 252))[0].shape == (1, 192, 6, 16)


def test_images_of_partial_patches_are_resized(deit):
    backbone = TransformerBackbone(DEIT, deit.state_dict(), (0,))
    assert backbone(torch.rand(1, 3, 32, 48))[0].shape == (1, 192, 2, 3)
    odd = torch.rand(1, 3, 34, 90)
    assert backbone.grid((34, 90)) == (2, 6)
    resized = F.interpolate(odd, (32, 96), mode="bilinear", antialias=True)
    assert torch.equal(backbone(odd)[0], backbone(resized)[0])


def test_backbone_stays_frozen_in_float32(deit):
    backbone = TransformerBackbone(DEIT, deit.state_dict(), (1,)).train()
    assert not any(module.training for module in backbone.modules())
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    plain = backbone(pictures(32))
    with torch.autocast("cpu", torch.bfloat16):
        cast = backbone(pictures(32))
    assert torch.equal(plain[0], cast[0])
    assert plain[0].dtype == torch.float32


def test_digests_cover_what_features_depend_on(deit):
    state = {name: tensor.clone() for name, tensor in deit.state_dict().items()}
    original = TransformerBackbone(DEIT, state, (1, 3)).digests()
    assert list(original) == [1, 3]
    state["blocks.5.mlp.fc1.bias"] += 1  # after the last tapped block
    assert TransformerBackbone(DEIT, state, (1, 3)).digests() == original
    state["blocks.3.mlp.fc1.bias"] += 1
    deeper = TransformerBackbone(DEIT, state, (1, 3)).digests()
    assert deeper[1] == original[1]
    assert deeper[3] != original[3]
    state["pos_embed"] += 1
    assert TransformerBackbone(DEIT, state, (1, 3)).digests()[1] != original[1]
    prefixed = TransformerBackbone(DEIT, deit.state_dict(), (1, 3), with_prefix=True)
    assert set(prefixed.digests().values()).isdisjoint(original.values())


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ("missing", IncompleteWeightsError, "incomplete"),
        ("reshaped", ValueError, "have another shape"),
        ("unknown", ValueError, "belong to no layer"),
        ("odd positions", ValueError, "pos_embed"),
        ("positions of another size", ValueError, "pos_embed"),
    ],
)
def test_foreign_weights_are_refused(deit, change, error, words):
    state = dict(deit.state_dict())
    if change == "missing":
        del state["blocks.1.attn.qkv.weight"]
    elif change == "reshaped":
        state["patch_embed.proj.weight"] = torch.zeros(192, 3, 14, 14)
    elif change == "unknown":
        state["blocks.0.ls1.gamma"] = torch.zeros(192)
    else:
        count = 150 if change == "odd positions" else 1 + 24 * 24
        state["pos_embed"] = torch.zeros(1, count, 192)
    with pytest.raises(error, match=words) as caught:
        TransformerBackbone(DEIT, state, (0, 1))
    assert DEIT.url in str(caught.value)


def test_a_cait_of_another_size_is_refused():
    state = network("cait_xxs24_224", img_size=384).state_dict()
    with pytest.raises(ValueError, match="pos_embed"):
        TransformerBackbone(CAIT, state, (1,))


@pytest.mark.parametrize(
    "tag", ["resnet18.tv_in1k", "convnext_tiny.tv_in1k", "pdn_small.distilled"]
)
def test_weights_of_another_kind_are_refused(tag):
    with pytest.raises(ValueError, match=rf"{re.escape(tag)}.*vision transformer.*found.*Choose"):
        TransformerBackbone(WEIGHTS[tag], None, (1,))


@pytest.mark.parametrize("layers", [(), (-1, 2), (2, 12)])
def test_missing_blocks_are_refused(layers):
    with pytest.raises(ValueError, match=rf"{re.escape(DEIT.tag)}.*from 0 to 11.*found \["):
        TransformerBackbone(DEIT, None, layers)


@pytest.mark.real_data
def test_real_weights_give_timms_features(real_data):
    state = load_state(resolve(DEIT.tag, [real_data / "weights"]))
    whole = timm.create_model("deit_tiny_patch16_224").eval()
    whole.load_state_dict(state)
    found = TransformerBackbone(DEIT, state, (9,))(pictures(224))[0]
    wanted = block_outputs(whole, pictures(224), (9,))[0][:, 1:]
    assert_close(found.flatten(2).transpose(1, 2), wanted)


@pytest.mark.parametrize("prefix", ["module.", "backbone.", "teacher.backbone."])
def test_a_wrappers_prefix_is_ignored(deit, prefix):
    state = deit.state_dict()
    wrapped = {f"{prefix}{name}": tensor for name, tensor in state.items()}
    image = pictures(224, 1)
    plain, found = (TransformerBackbone(DEIT, each, (1,))(image) for each in (state, wrapped))
    assert all(torch.equal(one, other) for one, other in zip(plain, found, strict=True))
