"""The training loop on a tiny convolutional autoencoder that really trains; no checkpoints."""

import math
from collections import Counter
from dataclasses import replace

import pytest
import torch
from tiny_training import TinyAutoencoder, protocol, run
from torch import nn

from bench.protocol import PROFILES, resolve
from bench.run.features.store import FeatureStore, Split
from bench.run.training import loop
from bench.run.training.objective import AnomalyObjective
from bench.run.training.optimization import learning_rate_factor, order
from bench.run.training.precision import to_float
from models.catalog import MODELS, Recipe


def test_the_loss_falls_and_the_budget_is_met(tmp_path):
    _, trained = run(tmp_path, protocol(images_seen=402))
    assert trained.images_seen == 404  # to within one batch
    assert trained.steps == len(trained.losses) == len(trained.step_seconds) == 101
    assert sum(trained.losses[-10:]) < 0.5 * sum(trained.losses[:10])
    points = trained.curve()
    assert points[-1][0] == 404
    assert points[0] == [4, trained.losses[0]]


def test_long_curves_are_thinned_without_losing_a_step(tmp_path):
    fit = loop.TrainingResult(
        steps=1001, images_seen=8008, losses=[float(i) for i in range(1001)], step_seconds=[]
    )
    points = fit.curve()
    assert len(points) <= 200
    assert points[0] == [6 * 8, sum(range(6)) / 6]
    assert points[-1][0] == 8008


def test_one_seed_gives_bit_equal_models_and_another_does_not(tmp_path):
    first, second, other = (run(tmp_path, protocol(), seed=s)[0] for s in (3, 3, 4))
    states = [torch.cat([p.flatten() for p in m.state_dict().values()]) for m in (first, second)]
    assert torch.equal(*states)
    assert not torch.equal(first.net[0].weight, other.net[0].weight)


def test_a_loss_that_is_not_finite_stops_training(tmp_path):
    seen = []
    with pytest.raises(loop.NonFiniteLossError, match="not finite by step"):
        run(
            tmp_path,
            protocol(optimizer="sgd", lr=1e30, images_seen=4000),
            report=lambda _, info: seen.append(info["step"]),
        )
    assert len(seen) < 100


def test_order_shows_every_image_once_a_pass():
    stream = order(10, 58, seed=0).tolist()
    assert len(stream) == 58
    stream = order(10, 60, seed=0).tolist()
    passes = [stream[i : i + 10] for i in range(0, 60, 10)]
    assert all(Counter(p) == Counter(range(10)) for p in passes)
    assert len({tuple(p) for p in passes}) == 6


def test_a_set_smaller_than_a_batch_is_one_batch(tmp_path):
    images = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8)
    _, trained = run(tmp_path, protocol(images_seen=None, epochs=5), images=images)
    assert (trained.steps, trained.images_seen) == (5, 15)


def test_fewer_images_than_a_batch_leave_a_recipes_own_steps_as_they_are(tmp_path):
    plan = protocol(images_seen=None, images=80, batch_size=16)
    images = torch.randint(0, 256, (1, 3, 16, 16), dtype=torch.uint8)
    reports = []
    _, trained = run(tmp_path, plan, images=images, report=lambda _, info: reports.append(info))
    assert (trained.steps, trained.images_seen) == (5, 5)
    assert {info["steps"] for info in reports} == {5}


@pytest.mark.parametrize(
    ("options", "count", "wanted"),
    [
        ({}, 1, 5_000),
        ({}, 16, 5_000),
        ({}, 209, 5_000),
        ({"changes": {"images": 808}}, 4, 51),
        ({"images_seen": 80}, 1, 80),
        ({"changes": {"epochs": 100}}, 4, 100),
    ],
)
def test_a_users_budget_in_images_or_epochs_is_met_in_images(options, count, wanted):
    plan = resolve(MODELS["dinomaly_base_392"], "baseline", PROFILES["paper"], **options)
    assert loop.planned_steps(plan, count) == wanted


def scheduled(schedule, **fields):
    return Recipe(optimizer="adam", lr=1.0, schedule=schedule, source="test", **fields)


@pytest.mark.parametrize("final", [0.0, 0.4])
def test_linear_schedule_ends_at_its_final_factor_and_agrees_with_torch(final):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, final, total_iters=50)
    recipe = scheduled("linear", final_factor=final)
    for step in range(50):
        assert math.isclose(
            learning_rate_factor(step, 50, recipe), theirs.get_last_lr()[0], abs_tol=1e-9
        )
        optimizer.step()
        theirs.step()


def test_milestones_are_shares_of_the_steps_and_agree_with_torch():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.MultiStepLR(optimizer, [40, 45], 0.2)
    recipe = scheduled("milestones", milestones=(0.8, 0.9), gamma=0.2)
    for step in range(50):
        assert learning_rate_factor(step, 50, recipe) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


def test_warm_up_in_steps_is_shortened_with_a_short_training():
    recipe = scheduled("cosine", warmup_steps=100, final_factor=0.1)
    whole = [learning_rate_factor(step, 5_000, recipe) for step in range(5_000)]
    short = [learning_rate_factor(step, 50, recipe) for step in range(50)]
    assert whole.index(1.0) == 100
    assert short.index(1.0) == 5
    assert min(whole[100:]) == pytest.approx(0.1, abs=1e-4)


@pytest.mark.parametrize("epochs", [1, 2, 5, 10])
def test_warm_up_in_epochs_is_shortened_with_a_short_training(epochs):
    entry = MODELS["rd_convnext_cnblock"]
    plan = resolve(entry, "baseline", PROFILES["standard"], changes={"epochs": epochs})
    steps = 40 * epochs
    rates = [learning_rate_factor(step, steps, plan.recipe) for step in range(steps)]
    assert rates.index(1.0) == 4 * epochs


def test_the_schedule_of_milestones_wants_some():
    with pytest.raises(ValueError, match="milestones"):
        scheduled("milestones")


def test_schedules_count_steps_and_agree_with_torch():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50)
    for step in range(50):
        assert math.isclose(
            learning_rate_factor(step, 50, scheduled("cosine")),
            theirs.get_last_lr()[0],
            abs_tol=1e-9,
        )
        optimizer.step()
        theirs.step()
    warming = scheduled("cosine", warmup_epochs=5, epochs=50)
    warm = [learning_rate_factor(step, 100, warming) for step in range(100)]
    assert warm[:10] == pytest.approx([(i + 1) / 11 for i in range(10)])
    assert warm[10] == 1.0
    assert warm[-1] == pytest.approx(0.5 * (1 + math.cos(math.pi * 89 / 90)))
    assert {learning_rate_factor(s, 9, scheduled("constant")) for s in range(9)} == {1.0}


def test_gradients_are_clipped_to_the_recipes_norm(tmp_path):
    plan = protocol(optimizer="sgd", lr=1.0, betas=(0.0, 0.0), grad_clip=1e-3, images_seen=4)
    torch.manual_seed(3)
    before = torch.nn.utils.parameters_to_vector(TinyAutoencoder().parameters())
    model, _ = run(tmp_path, plan)
    after = torch.nn.utils.parameters_to_vector(model.parameters())
    assert (after - before).norm().item() == pytest.approx(1e-3, rel=1e-2)


def test_images_become_unit_floats_channels_last():
    images = torch.tensor([0, 128, 255], dtype=torch.uint8).repeat_interleave(16).view(1, 3, 4, 4)
    out = to_float(images, torch.device("cpu"))
    assert out[0, :, 0, 0].tolist() == pytest.approx([0, 128 / 255, 1])
    assert out.is_contiguous(memory_format=torch.channels_last)


def reverse_distillation():
    """A real Reverse Distillation model with a random teacher."""
    from models.reverse_distillation.model import build

    torch.manual_seed(0)
    return build(
        weights="resnet18.tv_in1k", state=None, loss="flattened", gradient_checkpointing=False
    )


def test_features_computed_beforehand_train_as_those_of_every_step(tmp_path):
    images = torch.randint(
        0, 256, (6, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    plan = protocol(images_seen=24, lr=1e-3)
    device = torch.device("cpu")
    losses = []
    for beforehand in (True, False):
        model = reverse_distillation()
        features = None
        if beforehand:
            split = Split(images, "these", device)
            features = FeatureStore().features(model.backbone, (), split, lambda *_: None)
        trained = loop.fit(
            model,
            AnomalyObjective(model, images, plan, device, 3, features),
            plan,
            seed=3,
            device=device,
            report=lambda *_: None,
            checkpoint=tmp_path / "training.pth",
        )
        losses.append(trained.losses)
    assert losses[0] == pytest.approx(losses[1], rel=2e-4)


def test_the_drop_comes_at_95_percent_of_the_steps_not_of_the_epochs():
    factors = [learning_rate_factor(step, 1000, scheduled("drop")) for step in range(1000)]
    assert factors == [1.0] * 950 + [0.1] * 50


def test_an_augmentation_alters_the_training_images():
    images = torch.randint(
        0, 256, (6, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    plan = replace(protocol(images_seen=12, lr=1e-3), augmentation="flips")
    objective = AnomalyObjective(reverse_distillation(), images, plan, torch.device("cpu"), 3)
    index = torch.arange(6)
    first, again, later = (objective._augmented(index, step)[0] for step in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, later)  # the second pass
    halves = [objective._augmented(half, step)[0] for step, half in enumerate(index.split(3))]
    assert torch.equal(first, torch.cat(halves))  # of one pass, however it is split
    plain = to_float(images, torch.device("cpu"))
    for image, original in zip(first, plain, strict=True):
        assert any(torch.equal(image, original.flip(axes)) for axes in ((), (1,), (2,), (1, 2)))


def drawn(objective, batch, passes=2):
    """Numbers that a model draws for each image of two passes, by image and pass."""
    numbers = {}
    shuffled = order(objective.count, passes * objective.count, seed=5)
    for step, index in enumerate(objective.batches(shuffled, batch, 0)):
        values = objective._batch(index, step).get_draws().fold_in("noise").uniform(2)
        for image, pair in zip(index.tolist(), values.tolist(), strict=True):
            numbers.setdefault(image, []).append(pair)
    return numbers


def test_what_a_model_draws_depends_on_image_and_pass_and_not_on_the_batch():
    images = torch.zeros(12, 3, 16, 16, dtype=torch.uint8)
    objective = AnomalyObjective(TinyAutoencoder(), images, protocol(), torch.device("cpu"), 3)
    numbers = drawn(objective, 4)
    assert numbers == drawn(objective, 6)
    assert len({tuple(pair) for pairs in numbers.values() for pair in pairs}) == 24
    other = AnomalyObjective(TinyAutoencoder(), images, protocol(), torch.device("cpu"), 4)
    assert drawn(other, 4) != numbers
