"""CUDA graphs: small steps cost the host more to launch than the device to run.

What a step does is recorded once and replayed with new contents in the same memory.
"""

from collections.abc import Callable, Iterator
from functools import cache

import torch
from torch import Tensor, nn

Gradient = Callable[[Tensor, Tensor], Tensor]
"""The detached loss of images and targets; its gradient is in the parameters' ``grad``."""
Prepare = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Images and targets of int64 indices ``(B,)`` at a step, an int64 scalar, all on the device."""

_WARM_UP = 3  # rounds; cuDNN tries its algorithms in the first, which cannot be recorded


def capture_gradient(
    gradient: Gradient, network: nn.Module, images: Tensor, targets: Tensor
) -> Gradient:
    """The same gradient, replayed.

    Recording computes it a few times: the network's buffers, such as BatchNorm's running
    statistics, and the device's random numbers are put back afterwards.

    Args:
        gradient: Of the network's parameters.
        network: On a CUDA device, in training mode.
        images: As every later batch: shape, type and memory format.
        targets: Likewise.

    Raises:
        RuntimeError: Something in it cannot be recorded.
        torch.OutOfMemoryError: There is no room for it.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    images, targets = images.clone(), targets.clone()
    buffers = [buffer.clone() for buffer in network.buffers()]
    random = torch.cuda.get_rng_state(images.device)
    stream = _stream_after_this(images.device, "training")
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):
                _forget(parameters)
                gradient(images, targets)
        _forget(parameters)
        with torch.cuda.graph(graph, stream=stream):
            loss = gradient(images, targets)
    finally:
        torch.cuda.current_stream(images.device).wait_stream(stream)
        with torch.no_grad():
            for buffer, before in zip(network.buffers(), buffers, strict=True):
                buffer.copy_(before)
        torch.cuda.set_rng_state(random, images.device)
    gradients = [parameter.grad for parameter in parameters]

    def replay(new_images: Tensor, new_targets: Tensor) -> Tensor:
        images.copy_(new_images)
        targets.copy_(new_targets)
        graph.replay()
        for parameter, own in zip(parameters, gradients, strict=True):
            parameter.grad = own
        return loss.clone()  # the next step's will lie in the same place

    return replay


def prefetch(
    prepare: Prepare, order: Tensor, batch: int, first: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches made one step ahead, replayed on a stream of their own beside the loop's work.

    Args:
        prepare: What makes a batch, without waiting for the device.
        order: int64 ``(n · batch,)`` on the device.
        batch: Images a batch.
        first: Number of the first step.

    Yields:
        Images and targets, which stay as they are.

    Raises:
        RuntimeError: Something in it cannot be recorded.
    """
    device, count = order.device, len(order) // batch
    if not count:
        return
    steps = torch.arange(first, first + count, device=device)
    index, step = order[:batch].clone(), steps[0].clone()
    loop, beside = torch.cuda.current_stream(device), _stream_after_this(device, "ahead")
    with torch.cuda.stream(beside):
        prepare(index, step)  # loads kernels, which cannot be done while recording
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=beside):
        made = prepare(index, step)

    def make(number: int) -> None:
        with torch.cuda.stream(beside):
            index.copy_(order[number * batch : (number + 1) * batch])
            step.copy_(steps[number])
            graph.replay()

    make(0)
    for number in range(count):
        loop.wait_stream(beside)
        images, targets = made[0].clone(), made[1].clone()
        beside.wait_stream(loop)  # what was made may be overwritten once it is copied
        if number + 1 < count:
            make(number + 1)
        yield images, targets


def _stream_after_this(device: torch.device, purpose: str) -> torch.cuda.Stream:
    """A stream that begins when what is on the current one now is done."""
    stream = _stream(device, purpose)
    stream.wait_stream(torch.cuda.current_stream(device))
    return stream


@cache
def _stream(device: torch.device, purpose: str) -> torch.cuda.Stream:
    """One a process: cuBLAS keeps 32 MB for every stream that it was ever used on."""
    stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    return stream


def _forget(parameters: list[nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.grad = None
