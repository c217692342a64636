"""Dinomaly on real DeiT weights learns stripes, trained as its recipe says."""

import model_driver as driver
import pytest
import torch
from sklearn.metrics import roc_auc_score

from bench.run.training.optimization import build_optimizer, learning_rate_factor
from models.catalog import MODELS, WEIGHTS
from models.components.base import Batch
from models.components.weights import load_state, resolve

NAME = "dinomaly_deit_tiny"
SIDE, STEPS = 112, 40


def stripes(count, seed):
    """Return images of noisy vertical stripes with random phases."""
    generator = torch.Generator().manual_seed(seed)
    phases = 6.3 * torch.rand(count, 1, 1, 1, generator=generator)
    waves = torch.sin(torch.arange(SIDE) * 0.36 + phases).expand(count, 3, SIDE, SIDE)
    return 0.5 + 0.3 * waves + 0.03 * torch.randn(waves.shape, generator=generator)


def train(model, images):
    recipe, features = MODELS[NAME].recipes["baseline"], model.backbone(images)
    optimizer = build_optimizer(recipe, model.parameter_groups())
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, STEPS, recipe)
    )
    model.train()
    for step in range(STEPS):
        rows = torch.randperm(len(images))[:4]
        batch = Batch(None, [layer[rows] for layer in features], image_size=(SIDE, SIDE), step=step)
        optimizer.zero_grad()
        model.loss(batch).backward()
        torch.nn.utils.clip_grad_norm_(model.trainable_parameters(), recipe.grad_clip)
        optimizer.step()
        schedule.step()


@pytest.mark.slow
@pytest.mark.real_data
def test_stripes_rotated_by_a_right_angle_are_found(real_data):
    weights = WEIGHTS[MODELS[NAME].weights]
    state = load_state(resolve(weights.tag, [real_data / "weights"]))
    model = driver.make(NAME, state=state)
    images, square = stripes(6, 9), (slice(32, 64), slice(48, 80))
    images[3:, :, *square] = images[3:, :, *square].transpose(-1, -2)
    masks = torch.zeros(6, SIDE, SIDE, dtype=torch.bool)
    masks[3:, *square] = True
    untrained = driver.predict(model, images)["score"]
    torch.manual_seed(1)
    train(model, stripes(16, 1))
    trained = driver.predict(model, images)["score"]
    assert roc_auc_score(masks.flatten(), untrained.maps.flatten()) < 0.9
    assert roc_auc_score(masks.flatten(), trained.maps.flatten()) > 0.98
    assert trained.scores[3:].min() > 2 * trained.scores[:3].max()
