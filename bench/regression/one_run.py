"""Run cases in a fresh process with the code of the first folder in ``PYTHONPATH``.

Run as a file: ``python -P one_run.py REQUEST.json``. It imports from the harness only what old
commits have too, so that the same file runs a baseline's commit and tonight's.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def main(request_file: Path) -> int:
    """Run the cases of a request and append a line for each to its answer file.

    A line is a record, or the reason why there is none, because nobody reads what is printed here.
    The first one has the files that the cases depend on.
    """
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    request = json.loads(request_file.read_text())
    with Path(request["answer"]).open("a", encoding="utf-8") as answers:
        try:
            for line in _run(request["cases"], request["settings"]):
                print(line, file=answers, flush=True)
        except Exception as error:
            print(
                json.dumps({"problem": f"{type(error).__name__}: {error}"}),
                file=answers,
                flush=True,
            )
    return 0


def _run(cases: list[dict[str, Any]], options: dict[str, Any]) -> Iterator[str]:
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
    names = {field.name for field in fields(Case)}
    wanted = [Case(**_known(case, names)) for case in cases]
    finder = Finder(settings, available_datasets(settings.data_dirs), tapped_layers(wanted))
    jobs = [finder.job(case) for case in wanted]
    yield json.dumps({"files": sorted({file for job in jobs for file in job.code.files})})
    from bench.run.inline import InlineRunner

    runner = InlineRunner()
    for job in jobs:
        yield runner.run(job, lambda *_: None).to_json()


def _known(values: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """Return the values for which the commit's class has fields, with lists and paths restored."""
    restored: dict[str, Any] = {}
    for name, value in values.items():
        if name in names:
            if name.endswith(("_dir", "_dirs")) or name == "plugins":
                value = Path(value) if isinstance(value, str) else tuple(map(Path, value))
            restored[name] = tuple(value) if isinstance(value, list) else value
    return restored


def _end_with_parent(parent: int) -> None:
    """Exit when the parent process is killed, so that no run continues beside its successor's."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
