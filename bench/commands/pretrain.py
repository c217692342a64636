"""``python -m bench pretrain``: train the VQ-VAE of DSR."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.commands.command import CommandError
from bench.commands.making_weights import (
    add_options,
    check_numbers,
    device_of,
    output_file,
    training_images,
)
from bench.commands.output import ProgressBar

if TYPE_CHECKING:
    from bench.run.distillation.vqvae import Pretrained

_TAG = "dsr_vqvae.pretrained"


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "pretrain",
        help="train DSR's VQ-VAE on general images",
        description="Train the VQ-VAE of DSR to reconstruct general images, as its authors did "
        "on ImageNet. The same command resumes a killed run.",
    )
    add_options(command, "dsr_vqvae.pth", "side of the images in pixels")
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    out = output_file(options)
    check_numbers(options)
    from bench.atomic import save_tensors
    from bench.run.distillation.distill import DistillationError
    from bench.run.distillation.vqvae import VQVAEPlan, pretrain
    from models.dsr.vqvae import CODES, WIDTH

    device = device_of(options)
    source = training_images(options, options.size)
    plan = VQVAEPlan(
        images=f"{len(source.images)} of {source.name}",
        side=options.size,
        steps=options.steps,
        batch=options.batch,
        width=WIDTH,
        codes=CODES,
    )
    unfinished = out.with_name(f".{out.name}.unfinished")
    try:
        with ProgressBar("training DSR's VQ-VAE", "steps") as progress:

            def report(_phase: str, info: dict[str, Any]) -> None:
                progress(info["step"], info["steps"])

            pretrained = pretrain(plan, source.images, device, unfinished, report)
    except DistillationError as error:
        raise CommandError(str(error)) from None
    save_tensors(pretrained.state, out)
    unfinished.unlink(missing_ok=True)
    print("\n".join(_report(pretrained, out)))
    return 0


def _report(pretrained: "Pretrained", out: Path) -> list[str]:
    from models.catalog import WEIGHTS

    lines = [
        f"loss      {pretrained.first:.4f} at the beginning, {pretrained.last:.4f} at the end",
        f"held out  {pretrained.held_out:.5f}, predicting the mean color: "
        f"{pretrained.trivial:.5f}; {pretrained.explained:.1%} of the variance explained",
        f"codes     {pretrained.used:.1%} of them occur in held-out images",
        f"saved     {out}",
    ]
    if pretrained.resumed_at:
        lines.insert(0, f"resumed   at step {pretrained.resumed_at:,}")
    stems = WEIGHTS[_TAG].file_stems
    rename = "" if out.stem in stems else f"rename it to {stems[0]}{out.suffix}, then "
    lines.append(f"use it    {rename}--weights-dir {out.parent}")
    return lines
