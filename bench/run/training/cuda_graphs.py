"""CUDA graphs, for steps that cost the host more to launch than the device to run.

A step is recorded once and replayed with new contents in the same memory. torch does not recover
from a recording that fails, so none begins before a step has run without waiting for the device.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor, nn

Gradient = Callable[[Tensor, Tensor], Tensor]
"""Returns the detached loss of images and targets; leaves gradients in the parameters."""
Prepare = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Returns images and targets of ``(B,)`` int64 rows at an int64 scalar step, on the device."""

_WARM_UP = 3  # rounds; cuDNN tries its algorithms in the first, which cannot be recorded


def capture_gradient(
    gradient: Gradient, network: nn.Module, images: Tensor, targets: Tensor
) -> Gradient:
    """Record a gradient computation and return its replay.

    Recording runs it a few times, so the network's buffers, such as BatchNorm's running statistics,
    and the device's random state are restored afterwards.

    Args:
        gradient: Computes the gradient of the network's parameters.
        network: The network, on a CUDA device and in training mode.
        images: A batch with the shape, type and memory format of every later batch.
        targets: Its targets.

    Raises:
        RuntimeError: Some operation cannot be recorded.
        torch.OutOfMemoryError: The device lacks the memory.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    images, targets = images.clone(), targets.clone()
    buffers = [buffer.clone() for buffer in network.buffers()]
    random = torch.cuda.get_rng_state(images.device)
    before = torch.cuda.current_stream(images.device)
    stream = _stream_after_this(images.device, "training")
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP - 1):
                _clear_gradients(parameters)
                gradient(images, targets)
            _clear_gradients(parameters)
            with _waiting_refused():
                gradient(images, targets)
        _clear_gradients(parameters)
        with _recording(graph, stream):
            loss = gradient(images, targets)
    finally:
        torch.cuda.set_stream(before)  # a recording that fails leaves its own stream current
        before.wait_stream(stream)
        with torch.no_grad():
            for buffer, kept in zip(network.buffers(), buffers, strict=True):
                buffer.copy_(kept)
        torch.cuda.set_rng_state(random, images.device)
    gradients = [parameter.grad for parameter in parameters]

    def replay(new_images: Tensor, new_targets: Tensor) -> Tensor:
        images.copy_(new_images)
        targets.copy_(new_targets)
        graph.replay()
        for parameter, gradient_buffer in zip(parameters, gradients, strict=True):
            parameter.grad = gradient_buffer
        return loss.clone()  # the next replay overwrites it

    return replay


def prefetch(
    prepare: Prepare, order: Tensor, batch: int, first: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches that a second stream prepares one step ahead of the training step.

    Args:
        prepare: Prepares a batch without waiting for the device.
        order: ``(n · batch,)`` int64 rows, on the device.
        batch: Number of images per batch.
        first: Number of the first step.

    Yields:
        Images and targets, which later steps do not overwrite.

    Raises:
        RuntimeError: Some operation cannot be recorded.
    """
    device, count = order.device, len(order) // batch
    if not count:
        return
    steps = torch.arange(first, first + count, device=device)
    index, step = order[:batch].clone(), steps[0].clone()
    main_stream = torch.cuda.current_stream(device)
    side_stream = _stream_after_this(device, "ahead")
    with torch.cuda.stream(side_stream):
        prepare(index, step)  # loads kernels, which cannot be done while recording
        with _waiting_refused():
            prepare(index, step)
    graph = torch.cuda.CUDAGraph()
    try:
        with _recording(graph, side_stream):
            prepared = prepare(index, step)
    finally:
        torch.cuda.set_stream(main_stream)  # a recording that fails leaves its own stream current

    def launch(number: int) -> None:
        with torch.cuda.stream(side_stream):
            index.copy_(order[number * batch : (number + 1) * batch])
            step.copy_(steps[number])
            graph.replay()

    try:
        launch(0)
        for number in range(count):
            main_stream.wait_stream(side_stream)
            images, targets = prepared[0].clone(), prepared[1].clone()
            side_stream.wait_stream(main_stream)  # copied: the buffers may be overwritten
            if number + 1 < count:
                launch(number + 1)
            yield images, targets
    finally:  # closed early, memory that a replay still reads must not be reused
        main_stream.wait_stream(side_stream)


def _recording(graph: torch.cuda.CUDAGraph, stream: torch.cuda.Stream) -> torch.cuda.graph:
    """Return the context that records a graph.

    The threads that read streamed batches may meanwhile allocate device memory. By default, this
    would fail, and end the recording; in this mode, only calls of the recording thread do.
    """
    return torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local")


@contextmanager
def _waiting_refused() -> Iterator[None]:
    """Raise a RuntimeError at an operation that waits for the device, which cannot be recorded.

    Found while recording, it would leave torch's allocator in capture until the process ends, with
    torch 2.11 and 2.12 (pytorch #180395), and the device's random generator too.
    """
    before = torch.cuda.get_sync_debug_mode()
    _set_sync_debug_mode("error")
    try:
        yield
    finally:
        _set_sync_debug_mode(before)


def _set_sync_debug_mode(mode: int | str) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Synchronization debug mode is a prototype")
        torch.cuda.set_sync_debug_mode(mode)


def _stream_after_this(device: torch.device, purpose: str) -> torch.cuda.Stream:
    """Return a side stream that waits for the work now queued on the current stream."""
    stream = _stream(device, purpose)
    stream.wait_stream(torch.cuda.current_stream(device))
    return stream


@cache
def _stream(device: torch.device, purpose: str) -> torch.cuda.Stream:
    """Return one stream per process and purpose: cuBLAS keeps 32 MB for each stream it used."""
    stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    return stream


def _clear_gradients(parameters: list[nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.grad = None
