"""U-Flow against its paper: published numbers of parameters, shapes, and the two transformers."""

from contextlib import nullcontext
from dataclasses import replace

import model_driver as driver
import pytest
import timm
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from bench.run.training.optimization import learning_rate_factor
from models.catalog import MODELS, WEIGHTS
from models.components.weights import ResolvedWeights, load_state, resolve
from models.flows.uflow import u_shaped_flow


def on_meta(name, weights=None, image_size=448):
    entry = MODELS[name]
    with torch.device("meta"):
        return entry.load_build()(
            weights=weights or entry.weights, state=None, image_size=image_size
        )


@pytest.mark.parametrize(
    ("name", "weights", "millions"),
    [
        ("uflow", None, 34.8),
        ("uflow_resnet50", None, 34.8),
        ("uflow", "resnet18.tv_in1k", 4.3),
        ("uflow_mcait", None, 12.2),
    ],
)
def test_number_of_parameters_is_the_published_one(name, weights, millions):
    # Tailanian et al., at 448 pixels: 34.8 M (wide_resnet50_2), 4.3 M (resnet18), 12.2 M (MS-CaiT).
    parameters = on_meta(name, weights).trainable_parameters()
    assert sum(p.numel() for p in parameters) / 1e6 == pytest.approx(millions, abs=0.05)


def test_latents_have_half_of_a_stages_channels_and_all_dimensions():
    shapes = [(4, 8, 8), (7, 4, 4), (8, 2, 2)]
    flow = u_shaped_flow(shapes)
    latents, _ = flow([torch.randn(2, *shape) for shape in shapes])
    # 8 channels are halved to 4, which are 1 at twice the sides: 7 + 1 = 8, and so on.
    assert [tuple(z.shape[1:]) for z in latents] == [(5, 8, 8), (4, 4, 4), (4, 2, 2)]
    assert sum(z[0].numel() for z in latents) == sum(a * b * c for a, b, c in shapes)


def test_fine_latents_depend_on_coarse_features_and_not_the_other_way():
    shapes = [(4, 4, 4), (8, 2, 2)]
    torch.manual_seed(0)
    flow = u_shaped_flow(shapes)
    features = [torch.randn(1, *shape) for shape in shapes]
    (fine, coarse), _ = flow(features)
    (fine_after, coarse_after), _ = flow([features[0] + 1, features[1]])
    assert torch.equal(coarse, coarse_after)
    assert not torch.equal(fine, fine_after)
    (fine_after, _), _ = flow([features[0], features[1] + 1])
    assert not torch.equal(fine, fine_after)


class Devices(TorchDispatchMode):
    """Collects the types of the devices of all results."""

    def __init__(self):
        super().__init__()
        self.types = set()

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        if isinstance(result, torch.Tensor):
            self.types.add(result.device.type)
        return result


def test_nothing_is_made_on_the_host_for_the_device(monkeypatch):
    model = on_meta("uflow", "resnet18.tv_in1k", 64)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # meta has none
    features = [torch.empty(2, *shape, device="meta") for shape in model._shapes]
    with Devices() as devices:
        model.transform(features)
    assert devices.types == {"meta"}


def test_sides_that_do_not_double_are_refused():
    with pytest.raises(ValueError, match="multiple of 32"):
        u_shaped_flow([(4, 5, 5), (8, 3, 3)])


def test_learning_rate_falls_over_25_000_steps_however_long_the_training_is():
    recipe = MODELS["uflow"].paper_recipe
    steps = 200 * 209 // recipe.batch_size  # MVTec AD's bottle: 209 images
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.4, total_iters=25_000)
    for step in range(0, steps, 1_000):
        assert learning_rate_factor(step, steps, recipe) == pytest.approx(theirs.get_last_lr()[0])
        for _ in range(1_000):
            optimizer.step()
            theirs.step()
    assert learning_rate_factor(steps, steps, recipe) == pytest.approx(0.8746)
    assert learning_rate_factor(30_000, 40_000, recipe) == pytest.approx(0.4)


def test_sources_say_that_rates_and_batches_are_not_those_of_the_authors():
    for name in ("uflow", "uflow_resnet50", "uflow_mcait"):
        assert "anomalib's rate" in MODELS[name].recipes["baseline"].source
        assert "where theirs vary" in MODELS[name].paper_recipe.source


def test_multi_scale_transformer_is_timms_two(tmp_path):
    torch.manual_seed(0)
    networks = [timm.create_model("cait_xxs24_224", img_size=side).eval() for side in (64, 32)]
    parts = []
    for number, network in enumerate(networks):
        path = tmp_path / f"{number}.pth"
        torch.save({"model": network.state_dict()}, path)
        parts.append(ResolvedWeights(path, ""))
    state = load_state(ResolvedWeights(parts[0].path, "", tuple(parts)))
    model = driver.make("uflow_mcait", state=state)
    images = driver.pictures(2, 1)
    half = F.interpolate(images, (32, 32), mode="bilinear", antialias=True)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    found = model.backbone(images)
    with torch.no_grad():
        for ours, network, inputs, block in zip(
            found, networks, (images, half), (3, 1), strict=True
        ):
            (wanted,) = network.forward_intermediates(
                (inputs - mean[:, None, None]) / std[:, None, None],
                indices=[block],
                norm=True,
                intermediates_only=True,
            )
            torch.testing.assert_close(ours, wanted, rtol=1e-4, atol=1e-5)


def test_weights_of_parts_are_found_together(tmp_path):
    entry = WEIGHTS["mcait.fb_dist_in1k"]
    for n, part in enumerate(entry.parts):
        torch.save({"model": {"weight": torch.full((2,), float(n))}}, tmp_path / f"{part}.pth")
    resolved = resolve("mcait.fb_dist_in1k", [tmp_path])
    assert [part.path.stem for part in resolved.parts] == list(entry.parts)
    assert load_state(resolved).keys() == {"0.weight", "1.weight"}
    (tmp_path / f"{entry.parts[1]}.pth").unlink()
    with pytest.raises(Exception, match="cait_s24_224"):
        resolve("mcait.fb_dist_in1k", [tmp_path])
    assert replace(entry, parts=()) != entry
