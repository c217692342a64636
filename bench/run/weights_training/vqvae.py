"""Train DSR's VQ-VAE to reconstruct images (Zavrtanik et al., ECCV 2022, section 3.1).

As in VQ-VAE-2 (Razavi et al., NeurIPS 2019): the codes follow the mean of the features that they
replace, and a commitment loss keeps features near their codes. Training is the harness's own loop.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Parameter
from torch.nn import functional as F

from bench.run.job import ProgressCallback
from bench.run.weights_training.common import (
    SEED,
    TrainedWeights,
    check_plan,
    protocol_of,
    split_indices,
    train_weights,
)
from datasets_lib.augment.rows import select
from models.catalog import Recipe
from models.components.winograd import use_winograd
from models.dsr.vqvae import VQVAE, Codebook

RECIPE = Recipe("adam", "van den Oord et al., VQ-VAE, NeurIPS 2017, section 4", lr=2e-4)

COMMITMENT = 0.25
"""Weight of the commitment loss, as in DSR's code and both papers."""

DECAY = 0.99
"""Decay of the running means that define the codes, as in DSR's code."""

_SMOOTHING = 1e-5


@dataclass(frozen=True)
class VQVAEPlan:
    """What to train; a killed training is resumed only under the same plan.

    Attributes:
        images: Number and source of the images.
        side: Side of the images in pixels.
        steps: Number of optimizer steps.
        batch: Batch size.
        width: Dimension of a code.
        codes: Number of codes of each resolution.
    """

    images: str
    side: int
    steps: int
    batch: int
    width: int
    codes: int


@dataclass(frozen=True)
class Pretrained(TrainedWeights):
    """The result of a training, whose losses on held-out images are squared errors.

    Attributes:
        used: Share of the codes, of both resolutions, that occur in these images.
    """

    used: float


def pretrain(
    plan: VQVAEPlan,
    images: Tensor,
    device: torch.device,
    checkpoint: Path,
    report: ProgressCallback,
) -> Pretrained:
    """Train a VQ-VAE; a tenth of the images, at most 200, is held out for evaluation.

    Args:
        plan: What to train.
        images: uint8 ``(N, 3, S, S)``, at least two, on the host.
        device: Where to compute.
        checkpoint: File for the state of a long training; resumed from if it exists. The caller
            removes it once the result is safe.
        report: Called by the training loop.

    Raises:
        WeightsTrainingError: The loss became infinite or NaN, or the checkpoint is damaged or
            belongs to another plan.
    """
    training, held_out = split_indices(len(images))
    trained = _TrainedVQVAE(plan, device, checkpoint)
    objective = _Objective(trained, images, training, device)
    protocol = protocol_of(RECIPE, plan.side, plan.steps, min(plan.batch, len(training)))
    fitted = train_weights(trained, objective, protocol, device, report, checkpoint)
    return Pretrained(**fitted, **objective.evaluate(held_out, plan.batch))


class _TrainedVQVAE(nn.Module):
    """The VQ-VAE in training, with the running sums that its codes are made of.

    Attributes:
        sizes: ``(2, K)`` running number of features of each code, of low and high resolution.
        sums: ``(2, K, D)`` running sums of these features.
    """

    def __init__(self, plan: VQVAEPlan, device: torch.device, checkpoint: Path) -> None:
        super().__init__()
        self._plan, self._checkpoint = plan, checkpoint
        torch.manual_seed(SEED)
        self.network = VQVAE(plan.width, plan.codes).to(device)
        use_winograd(self.network)
        self._books = (self.network.codes_lo, self.network.codes_hi)
        for book in self._books:
            book.requires_grad_(False)
        self.sizes = torch.zeros(2, plan.codes, device=device)
        self.sums = torch.zeros(2, plan.codes, plan.width, device=device)

    def loss(self, images: Tensor, *, begin: bool = False) -> Tensor:
        """Return the squared error plus the commitment loss; codes follow their features.

        Args:
            images: ``(B, 3, S, S)`` in [0, 1].
            begin: Whether codes are drawn from these images' features first, without repeats where
                there are enough. Drawn from a normal distribution, all but a few are too far from
                features to ever be used.
        """
        encoded = self.network.encoder_hi(images)
        features_lo = self.network.features_lo(encoded)
        quantized_lo = self._quantized(0, features_lo, begin)
        features_hi = self.network.features_hi(encoded, quantized_lo)
        quantized_hi = self._quantized(1, features_hi, begin)
        commitment = F.mse_loss(features_lo, quantized_lo.detach())
        commitment = commitment + F.mse_loss(features_hi, quantized_hi.detach())
        rebuilt = self.network.decode(quantized_lo, quantized_hi)
        return F.mse_loss(rebuilt, images) + COMMITMENT * commitment

    def trainable_parameters(self) -> list[Parameter]:
        """Return all parameters but the codes."""
        return [p for p in self.network.parameters() if p.requires_grad]

    def parameter_groups(self) -> list[tuple[float, list[Parameter]]]:
        """Return the trainable parameters as one group."""
        return [(1.0, self.trainable_parameters())]

    def checkpoint(self) -> dict[str, Any]:
        """Return the network's state, the running sums and the plan."""
        return {
            "plan": asdict(self._plan),
            "network": self.network.state_dict(),
            "sizes": self.sizes,
            "sums": self.sums,
        }

    def load_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Load what `checkpoint` returned.

        Raises:
            WeightsTrainingError: The state was saved under another plan.
        """
        check_plan(asdict(self._plan), state["plan"], self._checkpoint)
        self.network.load_state_dict(state["network"])
        self.sizes, self.sums = state["sizes"], state["sums"]

    def _quantized(self, level: int, features: Tensor, begin: bool) -> Tensor:
        book = self._books[level]
        if begin:
            self._begin(level, features.detach().movedim(1, -1).flatten(0, -2))
        quantized, index = book.quantize(features)
        follow(book, features, index, self.sizes[level], self.sums[level])
        return quantized

    def _begin(self, level: int, rows: Tensor) -> None:
        """Draw codes from features ``(N, D)``, and count each as one that it has replaced."""
        codes = self._books[level].vectors.data
        if len(rows) >= len(codes):
            drawn = torch.randperm(len(rows), device=rows.device)[: len(codes)]
        else:
            drawn = torch.randint(len(rows), (len(codes),), device=rows.device)
        codes.copy_(rows[drawn])
        self.sizes[level] = 1 - DECAY
        self.sums[level] = (1 - DECAY) * codes


@torch.no_grad()
def follow(book: Codebook, features: Tensor, index: Tensor, sizes: Tensor, sums: Tensor) -> None:
    """Move codes to the running mean of the features that they replaced (VQ-VAE, appendix A.1).

    Args:
        book: The codes, changed in place.
        features: ``(B, D, h, w)``.
        index: ``(B h w,)`` nearest code of each feature.
        sizes: ``(K,)`` running number of features of each code, updated in place.
        sums: ``(K, D)`` running sums of these features, updated in place.
    """
    rows = features.movedim(1, -1).flatten(0, -2)
    count = torch.zeros_like(sizes).index_add_(0, index, rows.new_ones(len(rows)))
    total = torch.zeros_like(sums).index_add_(0, index, rows)
    sizes.lerp_(count, 1 - DECAY)
    sums.lerp_(total, 1 - DECAY)
    # Laplace smoothing keeps sizes from zero. A code without features keeps its place within 2 %
    # for 300 steps; after 690, it is halfway to zero.
    whole = sizes.sum()
    smoothed = (sizes + _SMOOTHING) / (whole + len(sizes) * _SMOOTHING) * whole
    book.vectors.copy_(sums / smoothed[:, None])


class _Objective:
    """The VQ-VAE's loss, as the training loop asks for it.

    Attributes:
        count: Number of images to train on.
    """

    def __init__(
        self, trained: _TrainedVQVAE, images: Tensor, training: Tensor, device: torch.device
    ) -> None:
        self.count = len(training)
        self._trained, self._images = trained, images
        self._training, self._device = training, device

    def batches(self, order: Tensor, batch: int, first: int) -> Iterator[Tensor]:
        """Yield the indices of each batch."""
        yield from torch.split(self._training[order], batch)

    def gradient(self, index: Tensor, step: int) -> Tensor:
        """Return the detached loss of a batch; its gradient is left in the parameters."""
        loss = self._trained.loss(self._batch(index), begin=step == 0)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def maybe_compile(self, step_seconds: float, steps_left: int) -> None:
        """Compile nothing."""

    @torch.no_grad()
    def evaluate(self, index: Tensor, batch: int) -> dict[str, float]:
        """Return errors and the share of used codes on images that were not trained on."""
        network = self._trained.network
        everything = torch.cat([self._batch(part) for part in torch.split(index, batch)])
        color = everything.mean(dim=(0, 2, 3), keepdim=True)
        error, used = 0.0, [set[int](), set[int]()]
        for images in torch.split(everything, batch):
            encoded = network.encoder_hi(images)
            lo, index_lo = network.codes_lo.quantize(network.features_lo(encoded))
            hi, index_hi = network.codes_hi.quantize(network.features_hi(encoded, lo))
            error += (network.decode(lo, hi) - images).square().sum().item()
            for seen, found in zip(used, (index_lo, index_hi), strict=True):
                seen.update(found.tolist())
        return {
            "held_out": error / everything.numel(),
            "trivial": (everything - color).square().mean().item(),
            "used": sum(map(len, used)) / (2 * len(network.codes_lo.vectors)),
        }

    def _batch(self, index: Tensor) -> Tensor:
        """Return images ``(B, 3, S, S)`` in [0, 1], on the device."""
        return select(self._images, index).to(self._device).float() / 255
