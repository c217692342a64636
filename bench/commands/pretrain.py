"""``python -m bench pretrain``: train the VQ-VAE of DSR."""

import argparse
from functools import partial

from bench.commands.making_weights import (
    add_options,
    check_numbers,
    device_of,
    output_file,
    report_lines,
    train_and_save,
    training_images,
)

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
    from bench.run.weights_training.vqvae import VQVAEPlan, pretrain
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
    pretrained = train_and_save(
        "training DSR's VQ-VAE", partial(pretrain, plan, source.images, device), out
    )
    held_out = (
        f"held out  {pretrained.held_out:.5f}, predicting the mean color: "
        f"{pretrained.trivial:.5f}; {pretrained.explained:.1%} of the variance explained"
    )
    codes = f"codes     {pretrained.used:.1%} of them occur in held-out images"
    print("\n".join(report_lines(pretrained, [held_out, codes], out, _TAG)))
    return 0
