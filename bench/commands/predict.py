"""``python -m bench predict``: predict images with a saved model."""

import argparse
import csv
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from bench.arguments import positive, seconds
from bench.commands.case_runs import model_file
from bench.commands.command import CommandError
from bench.commands.predict_summary import PredictSummary, rough_threshold, what_next
from bench.error_text import first_line
from bench.next_steps import export_command
from bench.printable import printable
from models.catalog import MODELS

if TYPE_CHECKING:
    from bench.predict.decision import Rule, Sensitivity
    from bench.predict.pictures import Pictures
    from bench.predict.stream import Frame, Scored, Scorer

FIELDS = ("image", "score", "score01", "label", "threshold", "regions", "ms")
CLASS_FIELDS = ("image", "label", "probability", "probabilities", "ms")
_TOP = 5
_ANOMALY_OPTIONS = ("maps", "contours", "threshold", "sensitivity", "head", "category")

_EPILOG = """\
Each image is a line. score is the model's raw score, higher is more anomalous; score01 the share of
held-out normal images that score below; label is defective where the score is above the threshold,
else normal; regions are the parts of the map above its threshold, in pixels of the image. A
classifier's lines have label, probability and the probabilities of the likeliest classes. An image
that cannot be read has a line with its error. Exit code: 0 all images predicted, 1 some were not, 2
nothing could be done."""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "predict", help="predict images with a model that --save-models saved", epilog=_EPILOG
    )
    command.add_argument(
        "checkpoint",
        type=Path,
        help="file that --save-models wrote, or export as ONNX; or a case's id or a part of it, "
        "for the newest saved model in results",
    )
    command.add_argument(
        "source",
        nargs="*",
        help="image files, folders, patterns such as 'parts/**/*.png', or - for standard input: "
        "one path per line, or concatenated image files",
    )
    command.add_argument(
        "--watch", type=Path, metavar="DIR", help="predict images put into a folder, until Ctrl-C"
    )
    command.add_argument(
        "--idle", type=seconds, metavar="S", help="with --watch: stop after S s without an image"
    )
    command.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:N")
    command.add_argument("--batch-size", type=positive, default=32, metavar="N")
    command.add_argument("--head", help="scoring head (default: the one that ranks)")
    command.add_argument("--category", help="category, for a model of several categories")
    rule = command.add_mutually_exclusive_group()
    rule.add_argument(
        "--threshold",
        metavar="T",
        help="a number, or the name of a threshold in the checkpoint (default calibrated_p95)",
    )
    rule.add_argument(
        "--sensitivity",
        type=_sensitivity,
        metavar="Q[xM]",
        help="quantile of held-out normal images, such as 0.99, and a factor on its distance from "
        "their median, such as 0.99x1.2",
    )
    command.add_argument("--format", choices=("jsonl", "csv"), default="jsonl")
    command.add_argument("--out", type=Path, metavar="FILE", help="write to FILE, not the screen")
    command.add_argument(
        "--maps", type=Path, metavar="DIR", help="write heat maps and overlays, in one color scale"
    )
    command.add_argument(
        "--contours", action="store_true", help="outline the regions in the overlays"
    )
    command.add_argument("--max-megapixels", type=positive, metavar="N")
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    if not options.source and options.watch is None:
        raise CommandError("predict needs images: files, folders, patterns, - or --watch DIR.")
    if options.contours and options.maps is None:
        raise CommandError("--contours outlines regions in overlays: name a folder with --maps.")
    options.checkpoint = model_file(options.checkpoint)
    scorer = load_scorer(options.checkpoint, options.device)
    _check_sources(options)
    if scorer.metadata.task == "classification":
        _check_no_anomaly_option(options, scorer.metadata.model)
        return _predict(options, scorer, CLASS_FIELDS, lambda result: _class_line(scorer, result))
    return _predict(options, scorer, FIELDS, _anomaly_lines(options, scorer))


def _check_no_anomaly_option(options: argparse.Namespace, model: str) -> None:
    """Raise `CommandError` if an option is set that does nothing for a classifier."""
    for name in _ANOMALY_OPTIONS:
        if getattr(options, name) not in (None, False):
            raise CommandError(f"--{name} is for anomaly models; {model} is a classifier.")


def load_scorer(path: Path, device: str) -> "Scorer":
    """Return the model of a checkpoint.

    Raises:
        CommandError: The file or the device cannot be used.
    """
    from bench.checkpoint.metadata import CheckpointError

    if path.suffix == ".pt2":
        raise CommandError(
            f"{printable(path)} is a program of torch.export for other software: wanted the "
            "model.pth that it was exported from, or its export as ONNX."
        )
    try:
        if path.suffix == ".onnx":
            from bench.export.onnx_file import load_onnx

            return load_onnx(path, device)
        from bench.ensemble.saved import is_ensemble, load_ensemble
        from bench.predict.predictor import load_checkpoint
        from bench.run.device import DeviceError
    except CheckpointError as error:
        raise CommandError(str(error)) from None
    try:
        return load_ensemble(path, device) if is_ensemble(path) else load_checkpoint(path, device)
    except (CheckpointError, DeviceError) as error:
        raise CommandError(str(error)) from None
    except RuntimeError as error:  # torch's error for a device that does not exist
        raise CommandError(f"--device {device}: {first_line(error)}") from None


def _predict(
    options: argparse.Namespace,
    scorer: "Scorer",
    fields: tuple[str, ...],
    line_of: "Callable[[Scored], dict[str, Any]]",
) -> int:
    from bench.predict.stream import predict_stream
    from datasets_lib.images.decode import set_pixel_limit

    set_pixel_limit(options.max_megapixels)
    summary = PredictSummary()
    with ExitStack() as stack:
        out: TextIO = sys.stdout
        if options.out is not None:
            options.out.parent.mkdir(parents=True, exist_ok=True)
            opened = options.out.open("w", newline="", encoding="utf-8", errors="backslashreplace")
            out = stack.enter_context(opened)
        write = _writer(out, options.format, fields)
        results = predict_stream(
            scorer, _frames(options), options.batch_size, keep_data=options.maps is not None
        )
        for result in _within_memory(results):
            if result.error:
                line = {"image": printable(result.frame.name), "error": printable(result.error)}
            else:
                line = line_of(result)
            write(line)
            summary.add(line)
    for text in (*summary.lines(), *_next(options, scorer, summary)):
        print(text, file=sys.stderr)
    return 1 if summary.failed else 0


def _next(
    options: argparse.Namespace, scorer: "Scorer", summary: PredictSummary
) -> "Iterator[str]":
    from bench.predict.decision import calibration_of

    if summary.count == summary.failed or scorer.metadata.task == "classification":
        return
    calibrations = scorer.metadata.calibrations.values()
    drawn = any(own.map_range for heads in calibrations for own in heads.values())
    export = ""
    if options.checkpoint.suffix == ".pth" and scorer.metadata.model in MODELS:
        own, words = scorer.metadata.preprocessing, _images_to_check_on(options)
        export = export_command(options.checkpoint, *words, fit=own.fit, tiles=own.tiles)
    yield from what_next(options.maps, drawn=drawn, export=export)
    if options.threshold is None and options.sensitivity is None:
        calibration = calibration_of(scorer.metadata, options.head, options.category)
        yield from rough_threshold(len(calibration.scores))


def _images_to_check_on(options: argparse.Namespace) -> list[str]:
    """Return options of ``export``: the same folders of images, if there are some."""
    folders = [source for source in options.source if Path(source).is_dir()]
    words = ["--images", *folders] if folders else ["--data-dir", "DATA"]
    if options.max_megapixels is not None:
        words += ["--max-megapixels", str(options.max_megapixels)]
    return words


def _within_memory(results: "Iterator[Scored]") -> "Iterator[Scored]":
    """Yield results; say what to do if a batch does not fit in memory.

    Raises:
        CommandError: A batch does not fit in memory.
    """
    try:
        yield from results
    except (MemoryError, RuntimeError) as error:
        # torch's errors of a device and of the host are both RuntimeErrors.
        if not isinstance(error, MemoryError) and "memory" not in str(error):
            raise
        raise CommandError(
            f"Out of memory: {first_line(error)} Choose a smaller --batch-size."
        ) from None


def _check_sources(options: argparse.Namespace) -> None:
    """Look for images, and for the folder of pictures, before anything is written.

    Raises:
        CommandError: The pictures would join the images of a folder, to be predicted themselves.
        DatasetError: A folder or a pattern has no image.
    """
    from bench.predict.sources import named_frames

    folders = [] if options.watch is None else [options.watch]
    for source in options.source:
        if source == "-":
            continue
        first = next(named_frames(source))
        if not Path(source).is_file():
            folders.append(Path(source) if Path(source).is_dir() else first.path.parent)
    if options.maps is not None and options.maps.resolve() in {f.resolve() for f in folders}:
        raise CommandError(
            f"--maps {options.maps}: wanted a folder for the pictures, found that of the images, "
            "where a later run would predict them. Name another, such as maps."
        )


def _frames(options: argparse.Namespace) -> "Iterator[Frame | None]":
    from bench.predict.sources import named_frames, piped_frames, watched_frames

    def of(source: str) -> "Iterable[Frame | None]":
        if source == "-":
            return piped_frames(sys.stdin.buffer)
        frames = named_frames(source)
        if options.maps is None or Path(source).is_file():
            return frames
        from bench.predict.pictures import is_picture

        # Folders and patterns may hold the pictures of an earlier run.
        pictures = options.maps.resolve()
        return (frame for frame in frames if not is_picture(frame.path.resolve(), pictures))

    yield from chain.from_iterable(map(of, options.source))
    if options.watch is not None:
        yield None
        yield from watched_frames(options.watch, options.idle)


def _writer(out: TextIO, kind: str, fields: tuple[str, ...]) -> Callable[[dict[str, Any]], None]:
    """Return a function that writes each line immediately, for readers that wait for it."""
    if kind == "csv":
        table = csv.DictWriter(out, (*fields, "error"))
        table.writeheader()

        def write(line: dict[str, Any]) -> None:
            table.writerow(
                {
                    name: json.dumps(value) if isinstance(value, list | dict) else value
                    for name, value in line.items()
                }
            )
            out.flush()

        return write
    return lambda line: print(json.dumps(line, ensure_ascii=False), file=out, flush=True)


def _anomaly_lines(
    options: argparse.Namespace, scorer: "Scorer"
) -> "Callable[[Scored], dict[str, Any]]":
    """Return a function that makes the lines of an anomaly model, and draws its pictures."""
    from bench.predict.decision import RuleError, calibration_of, choose_rule, regions, score01

    metadata = scorer.metadata
    head = options.head or metadata.heads[0]
    try:
        own = calibration_of(metadata, head, options.category)
        rule = choose_rule(own, options.threshold, options.sensitivity)
    except RuleError as error:
        raise CommandError(str(error)) from None
    _say(metadata.case, rule)
    pictures = _pictures(options, scorer, own, rule)
    taken: dict[str, str] = {}

    def line(result: "Scored") -> dict[str, Any]:
        score, values = result.scores[head], result.maps.get(head)
        if pictures is not None and values is not None:
            stem = _picture_stem(result.frame, taken)
            pictures.draw(result.data, result.frame.path, values, stem)
        defects = None
        if values is not None and rule.map_threshold is not None:
            defects = regions(values, rule.map_threshold, metadata.preprocessing, result.size)
        return {
            "image": printable(result.frame.name),
            "score": score if math.isfinite(score) else None,
            "score01": score01(own, score),
            "label": rule.label(score),
            "threshold": rule.threshold,
            "regions": defects,
            "ms": round(result.ms, 3),
        }

    return line


def _picture_stem(frame: "Frame", taken: dict[str, str]) -> str:
    """Return the path of an image's pictures, numbered if another image has the same name."""
    stem, number = frame.picture_stem, 1
    while taken.setdefault(stem, frame.name) != frame.name:
        number += 1
        stem = f"{frame.picture_stem}-{number}"
    return stem


def _pictures(
    options: argparse.Namespace, scorer: "Scorer", own: Any, rule: "Rule"
) -> "Pictures | None":
    """Return the object that draws the maps, or None where no picture is wanted.

    Raises:
        CommandError: The head has no maps, or no threshold to outline.
    """
    from bench.predict.pictures import Pictures

    if options.maps is None:
        return None
    if own.map_range is None:
        raise CommandError("--maps: this head gives only scores, no maps. Leave it out.")
    if options.contours and rule.map_threshold is None:
        raise CommandError(
            f"--contours needs a threshold for maps, found none ({rule.about}). Leave it out."
        )
    contour = rule.map_threshold if options.contours else None
    pictures = Pictures(options.maps, own, scorer.metadata.preprocessing, contour)
    pictures.draw_scale()
    return pictures


def _class_line(scorer: "Scorer", result: "Scored") -> dict[str, Any]:
    assert result.probabilities is not None
    order = (-result.probabilities).argsort(kind="stable")[:_TOP].tolist()
    shares = {scorer.metadata.classes[each]: float(result.probabilities[each]) for each in order}
    label, probability = next(iter(shares.items()))
    return {
        "image": printable(result.frame.name),
        "label": label,
        "probability": probability,
        "probabilities": shares,
        "ms": round(result.ms, 3),
    }


def _say(case: str, rule: "Rule") -> None:
    if rule.threshold is None:
        print(f"{case}: {rule.about}", file=sys.stderr)
    else:
        print(f"{case}: defective above {rule.threshold:.6g} ({rule.about})", file=sys.stderr)


def _sensitivity(text: str) -> "Sensitivity":
    """Parse ``0.99`` or ``0.99x1.2``."""
    from bench.predict.decision import Sensitivity

    quantile, _, margin = text.partition("x")
    try:
        sensitivity = Sensitivity(float(quantile), float(margin or 1))
    except ValueError:
        sensitivity = Sensitivity(math.nan)
    if not (0 < sensitivity.quantile < 1 and 0 < sensitivity.margin < math.inf):
        raise argparse.ArgumentTypeError(
            f"wanted a quantile between 0 and 1, optionally a margin above 0, such as 0.99 or "
            f"0.99x1.2, found '{text}'"
        )
    return sensitivity
