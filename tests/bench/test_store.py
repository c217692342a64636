"""The store loses nothing: torn lines, several writers, full disks."""

import json
import multiprocessing

import pytest
from full_disk import lift_limit, limit_file_size

from bench.case import Case
from bench.provenance.fingerprint import Fingerprint
from bench.record import Key, Record, RecordError, from_json
from bench.store import Store, StoreError, read_records


def record(name="a-b-c-scratch-s0", status="ok", **fields):
    return Record(
        key=Key(name, "smoke", "recipe", "data", "random"),
        case=Case("a", "baseline", "b", None, "default", False, 0),
        status=status,
        outcome="ok" if status == "ok" else "crash",
        **fields,
    )


def test_a_record_survives_the_disk(tmp_path):
    written = record(metrics={"single": {"image_auroc": 0.5}}, curve=[[8, 1.5]], seed=111)
    Store(tmp_path).append(written)
    assert Store(tmp_path).records() == [written]


def test_nan_and_infinity_are_written_as_null(tmp_path):
    written = record(metrics={"single": {"image_auroc": float("nan")}}, samples={"x": [1e999]})
    line = written.to_json()
    assert json.loads(line)["metrics"] == {"single": {"image_auroc": None}}
    assert json.loads(line)["samples"] == {"x": [None]}


@pytest.mark.parametrize("line", ["", "{", "[1]", '{"schema": 99}', '{"schema": 1}', "null"])
def test_other_lines_are_refused(line):
    with pytest.raises(RecordError):
        from_json(line)


@pytest.mark.parametrize("cut", [1, 20, -1])
def test_a_torn_line_costs_only_itself(tmp_path, cut):
    store = Store(tmp_path)
    for name in ("first", "torn"):
        store.append(record(name))
    whole = store.path.read_bytes()
    start = whole.index(b"\n") + 1
    torn = whole[start:]
    store.path.write_bytes(whole[:start] + torn[:cut])
    lost = [] if cut == -1 else ["first"]
    assert [r.key.id for r in store.records()][: len(lost) or 2] == (lost or ["first", "torn"])
    store.append(record("after"))
    expected = ["first", "after"] if lost else ["first", "torn", "after"]
    assert [r.key.id for r in store.records()] == expected


def test_finished_has_the_ok_records_of_a_key_oldest_first(tmp_path):
    store = Store(tmp_path)
    store.append(record(seed=1))
    store.append(record(seed=2))
    store.append(record(status="failed", seed=3))
    store.append(record("other", status="failed"))
    finished = {key.id: [r.seed for r in records] for key, records in store.finished().items()}
    assert finished == {"a-b-c-scratch-s0": [1, 2]}


def test_hashes_by_file_are_kept_once_and_read_again(tmp_path):
    store = Store(tmp_path)
    assert store.code_files("0a") is None
    store.keep_code(Fingerprint("0a", {"models/padim.py": "1"}))
    store.keep_code(Fingerprint("0a", {"models/padim.py": "2"}))
    assert store.code_files("0a") == {"models/padim.py": "1"}
    assert store.code_files(None) is None
    assert store.records() == []


def _append_many(folder, writer):
    for number in range(25):
        Store(folder).append(record(f"w{writer}n{number}", curve=[[1.0, 2.0]] * 200))


def test_several_writers_lose_and_tear_nothing(tmp_path):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append_many, args=(tmp_path, w)) for w in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    names = {r.key.id for r in Store(tmp_path).records()}
    assert names == {f"w{w}n{n}" for w in range(3) for n in range(25)}
    assert len(Store(tmp_path).records()) == 75


def _append_on_a_full_disk(folder, outcome):
    store = Store(folder)
    store.append(record("before"))
    size = store.path.stat().st_size
    limit_file_size(size + 40)
    try:
        store.append(record("too big"))
    except StoreError as error:
        outcome.put(str(error))
    lift_limit()
    store.append(record("after"))


def test_a_full_disk_is_reported_and_leaves_the_file_as_it_was(tmp_path):
    context = multiprocessing.get_context("spawn")
    outcome = context.Queue()
    child = context.Process(target=_append_on_a_full_disk, args=(tmp_path, outcome))
    child.start()
    message = outcome.get(timeout=60)
    child.join()
    assert child.exitcode == 0
    assert "--results-dir" in message
    assert "Earlier records are safe" in message
    assert [r.key.id for r in Store(tmp_path).records()] == ["before", "after"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_byte_order_mark_loses_no_record(tmp_path, encoding):
    records = [record(name) for name in ("first", "second")]
    text = "".join(f"{each.to_json()}\n" for each in records)
    (tmp_path / "edited.jsonl").write_bytes(text.encode(encoding))
    assert read_records([tmp_path / "edited.jsonl"]) == records
    joined = "".join(f"\ufeff{each.to_json()}\r\n" for each in records)
    (tmp_path / "joined.jsonl").write_text(joined, encoding="utf-8", newline="")
    assert read_records([tmp_path / "joined.jsonl"]) == records
