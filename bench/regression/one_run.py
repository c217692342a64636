"""One case in a fresh process, from the code of the folder that ``PYTHONPATH`` names first.

Run as a file: ``python -P one_run.py REQUEST.json``. It imports from the harness only what commits
of long ago have too, so that the same file runs a baseline's commit and tonight's.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any


def main(request_file: Path) -> int:
    """Run the case of a request and write its record, or why there is none, to its answer file."""
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    request = json.loads(request_file.read_text())
    try:
        answer = _run(request["case"], request["settings"])
    except Exception as error:  # the asking process reports it: here is nobody to read
        answer = json.dumps({"problem": f"{type(error).__name__}: {error}"})
    place = Path(request["answer"])
    temporary = place.with_suffix(".part")
    temporary.write_text(answer)
    temporary.replace(place)
    return 0


def _run(case: dict[str, Any], options: dict[str, Any]) -> str:
    from dataclasses import fields

    from bench.case import Case
    from bench.extensions import load_extensions
    from bench.run.inputs import Finder, tapped_layers
    from bench.settings import Settings
    from bench.threads import spin_briefly
    from datasets_lib.discover import available_datasets

    spin_briefly(options["device"])
    settings = Settings(**_known(options, {field.name for field in fields(Settings)}))
    load_extensions(settings.plugins)
    wanted = Case(**_known(case, {field.name for field in fields(Case)}))
    datasets = available_datasets(settings.data_dirs)
    job = Finder(settings, datasets, tapped_layers([wanted])).job(wanted)
    from bench.run.inline import InlineRunner

    return InlineRunner().run(job, lambda *_: None).to_json()


def _known(values: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """Return the values that a class of that time has fields for, lists as tuples of paths."""
    restored: dict[str, Any] = {}
    for name, value in values.items():
        if name in names:
            if name.endswith(("_dir", "_dirs")) or name == "plugins":
                value = Path(value) if isinstance(value, str) else tuple(map(Path, value))
            restored[name] = tuple(value) if isinstance(value, list) else value
    return restored


def _end_with_parent(parent: int) -> None:
    """Exit when the asking process is killed, so that no run goes on beside its successor's."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
