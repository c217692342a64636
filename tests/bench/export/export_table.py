"""Try to export every model of the catalog; not a test, because it takes minutes.

    uv run python tests/bench/export/export_table.py

It writes bench/export/MODELS.md. Models are small and barely trained, as in
`tests/models/test_contract.py`; larger siblings of a class are left out as there. With --rows FILE,
a second run resumes where the first one ended.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "models"))

import model_driver as driver
import onnxruntime
import test_contract as contract
import torch

from bench.aggregate.markdown import table
from bench.checkpoint.metadata import Preprocessing
from bench.export.check import _difference, _largest
from bench.export.description import TOLERANCE
from bench.export.errors import ExportError
from bench.export.graph import ExportedModel
from bench.export.write import example, quiet, to_onnx, trace
from datasets_lib.atomic import atomic_path
from models.catalog import MODELS

TABLE = Path(__file__).parents[3] / "bench" / "export" / "MODELS.md"
BATCHES = (1, 6)
OPSET = 18


def attempt(name, folder):
    """Export a model both ways; return the largest differences, and why any is missing."""
    begin = time.process_time()
    side = contract.SIDES.get(name, driver.SIDE)
    fitted = contract.fit(driver.make(name), name)
    model = ExportedModel(fitted, Preprocessing(side, side), MODELS[name].heads[0], True).eval()
    images = (driver.pictures(6, 2, (side, side)) * 255).to(torch.uint8).permute(0, 2, 3, 1)
    images = images.contiguous()
    with torch.no_grad():
        wanted = [each.numpy() for each in model(images)]
    row = {"model": name, "family": MODELS[name].family, "torch": None, "onnx": None, "why": ""}
    try:
        program = trace(model, example(side, side, True))
        module = program.module()
        with torch.no_grad():
            row["torch"] = difference(lambda x: [y.numpy() for y in module(x)], images, wanted)
        written = to_onnx(program, OPSET, len(wanted))
        path = folder / f"{name}.onnx"
        with quiet():
            written.save(str(path))
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        row["onnx"] = difference(lambda x: session.run(None, {"images": x.numpy()}), images, wanted)
    except ExportError as error:
        row["why"] = str(error)
    except Exception as error:
        row["why"] = f"onnxruntime refuses it: {str(error).splitlines()[0]}"
    row["cpu_seconds"] = round(time.process_time() - begin, 1)
    return row


def difference(run, images, wanted):
    """Return the largest difference in units of the largest output, see `ExportCheck`."""
    return _largest(_difference(run(images[:count]), wanted, 0) for count in BATCHES)


def markdown(rows):
    """Return the table."""
    ok = [row for row in rows if row["onnx"] is not None and row["onnx"] <= TOLERANCE]
    lines = [
        [
            row["model"],
            row["family"],
            *(f"{row[form]:.0e}" if row[form] is not None else "no" for form in ("torch", "onnx")),
            row["why"],
        ]
        for row in sorted(rows, key=lambda row: (row["family"], row["model"]))
    ]
    headers = ["Model", "Family", "torch.export", "ONNX", "Why not"]
    return "\n\n".join(
        [
            "# Which models export",
            f"{len(ok)} of {len(rows)} models export to ONNX (opset {OPSET}, torch "
            f"{torch.__version__.partition('+')[0]}, onnxruntime {onnxruntime.__version__}) within "
            f"{TOLERANCE:g}. The numbers are the largest difference of scores and map pixels from "
            f"the model itself, in batches of {BATCHES[0]} and {BATCHES[1]}, in units of the "
            "largest score or map pixel. Models are small, barely trained, at 64 pixels; larger "
            "siblings of a class are not tried. `python -m bench export` compares every export "
            "with its own checkpoint, on real images. Written by "
            "`uv run python tests/bench/export/export_table.py`.",
            table(headers, lines, words=(0, 1, 4)),
        ]
    )


def main(kept):
    """Try the models that were not tried before, and write the table.

    Args:
        kept: File of the results so far, one per line; None for none.
    """
    rows = []
    if kept is not None and kept.is_file():
        rows = [json.loads(line) for line in kept.read_text().splitlines()]
    with tempfile.TemporaryDirectory() as folder:
        for name, entry in MODELS.items():
            tried = name in {row["model"] for row in rows}
            if tried or entry.task != "anomaly" or name in contract.HEAVY:
                continue
            rows.append(attempt(name, Path(folder)))
            print(rows[-1], file=sys.stderr)
            if kept is not None:
                with kept.open("a") as file:
                    print(json.dumps(rows[-1]), file=file)
    with atomic_path(TABLE) as temporary:
        temporary.write_text(markdown(rows) + "\n", encoding="utf-8")
    print(f"{TABLE}: {time.process_time():.0f} s of processor time", file=sys.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=Path, metavar="FILE", help="what was tried, a line each")
    main(parser.parse_args().rows)
