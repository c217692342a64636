"""A tiny convolutional autoencoder that really trains, in milliseconds."""

from dataclasses import replace

import torch
from torch import nn

from bench.protocol import PROFILES, resolve
from bench.run.training import loop
from bench.run.training.objective import AnomalyObjective
from models.catalog import MODELS, Recipe
from models.components.base import AnomalyModel


class TinyAutoencoder(AnomalyModel):
    """Small enough for milliseconds, with BatchNorm and dropout so that state matters."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, 4, 3, 2, 1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.ConvTranspose2d(4, 3, 2, 2),
        )

    def loss(self, batch):
        return (self.net(batch.images) - batch.images).square().mean()


def protocol(images_seen=64, **recipe):
    base = resolve(MODELS["rd_resnet18"], "baseline", PROFILES["standard"])
    fields = {"optimizer": "adam", "lr": 0.01, "batch_size": 4, "source": "test"} | recipe
    return replace(base, recipe=Recipe(**fields), images_seen=images_seen)


def run(
    tmp_path,
    plan,
    seed=3,
    report=lambda *_: None,
    images=None,
    memory_format=torch.contiguous_format,
    **options,
):
    torch.manual_seed(seed)
    model = TinyAutoencoder().to(memory_format=memory_format)
    if images is None:
        images = torch.randint(
            0, 256, (10, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
        )
    trained = loop.fit(
        model,
        AnomalyObjective(model, images, plan, torch.device("cpu"), seed),
        plan,
        seed=seed,
        device=torch.device("cpu"),
        report=report,
        checkpoint=tmp_path / "run" / "training.pth",
        **options,
    )
    return model, trained
