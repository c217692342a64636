"""What a session writes: tables, the page, and pages of only its own runs."""

import errno
import re
from pathlib import Path
from threading import Thread

import pytest
from fake_records import make

from bench.page import after_session
from bench.page.after_session import write_results
from bench.store import Store


def run(model, seed=0, **fields):
    return make(model, "parts.bottle", seed, profile="standard", **fields)


def leave(folder, *records):
    """Append records to a store and write the results; return the times of the pages of runs."""
    store = Store(folder / "runs")
    for record in records:
        store.append(record)
    paths = write_results(store, folder)
    assert [path.name for path in paths] == ["LEADERBOARD.md", "LEADERBOARD.csv", "index.html"]
    return {path: path.stat().st_mtime_ns for path in (folder / "cases").iterdir()}


def test_pages_of_new_runs_are_written_and_of_their_replicates(tmp_path):
    first = leave(tmp_path, run("padim_resnet18"), run("cfa_resnet18"))
    assert len(first) == 2
    for path in first:
        path.write_bytes(b"old")
    second = leave(tmp_path, run("cfa_resnet18", seed=1))
    assert len(second) == 3
    old = [path for path in second if path.read_bytes() == b"old"]
    assert [path.name.partition("-")[0] for path in old] == ["padim_resnet18"]
    assert "cfa_resnet18" in (tmp_path / "index.html").read_text()


def test_the_page_of_a_run_that_was_repeated_goes(tmp_path):
    (first,) = leave(tmp_path, run("padim_resnet18"))
    (second,) = leave(tmp_path, run("padim_resnet18", finished="2026-02-01T00:00:00+00:00"))
    assert first != second
    assert not first.exists()


def test_no_page_links_to_a_run_that_was_repeated_on_another_machine(tmp_path):
    crashed = [run("padim_resnet18", s, status="failed", environment=None) for s in range(2)]
    leave(tmp_path, run("cfa_resnet18"), *crashed)
    pages = leave(tmp_path, run("padim_resnet18", finished="2026-02-01T00:00:00+00:00"))
    assert len(pages) == 3
    for page in pages:
        links = re.findall(r'href="([^"/]+\.html)"', page.read_text())
        assert [link for link in links if not (page.parent / link).exists()] == []


def test_a_session_that_ends_meanwhile_keeps_its_page_and_row(tmp_path, monkeypatch):
    leave(tmp_path, run("padim_resnet18"))
    write, sessions = after_session.write_pages, []

    def interrupted(*arguments):
        """Let another session end after this one has read the store."""
        monkeypatch.setattr(after_session, "write_pages", write)
        sessions.append(Thread(target=leave, args=(tmp_path, run("cfa_resnet18"))))
        sessions[0].start()
        sessions[0].join(0.5)  # it waits for this one, or ends
        return write(*arguments)

    monkeypatch.setattr(after_session, "write_pages", interrupted)
    store = Store(tmp_path / "runs")
    store.append(run("dfm_resnet18"))
    write_results(store, tmp_path)
    sessions[0].join(60)
    pages = {page.name.partition("-")[0] for page in (tmp_path / "cases").iterdir()}
    assert pages == {"padim_resnet18", "cfa_resnet18", "dfm_resnet18"}
    for name in ("index.html", "LEADERBOARD.md", "LEADERBOARD.csv"):
        assert "cfa_resnet18" in (tmp_path / name).read_text()


def test_a_page_that_could_not_be_written_whole_is_written_by_the_next_session(
    tmp_path, monkeypatch
):
    write_bytes = Path.write_bytes

    def full(path, content):
        write_bytes(path, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space"):
            leave(tmp_path, run("padim_resnet18"))
    assert not list((tmp_path / "cases").iterdir())
    (page,) = leave(tmp_path)
    assert page.read_text().endswith("</html>\n")


def test_without_a_finished_run_nothing_is_written(tmp_path):
    store = Store(tmp_path / "runs")
    assert write_results(store, tmp_path) == []
    store.append(run("padim_resnet18", status="failed"))
    assert write_results(store, tmp_path) == []
    assert not (tmp_path / "index.html").exists()
