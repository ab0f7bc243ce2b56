"""The benchmarks run and find what was sent. How fast is never asserted."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from benchmarks.__main__ import main
from benchmarks.cases import CASES, Case, Measure
from benchmarks.clients import Absent, Client, prepare
from benchmarks.columns import TABLES, columns_table, measure_columns
from benchmarks.growth import Setting, growth_table, measure_growth
from benchmarks.report import comparison, replaced
from benchmarks.runs import can_run, check
from benchmarks.script import frames
from benchmarks.start import PROGRAMS, measure_start, start_table
from benchmarks.tables import cpu_table, medians_table, ratio, ratios_table, shown
from benchmarks.workloads import PLAYER, WORKLOADS, Content

ROOT = Path(__file__).parents[2]

LOAD = Case("load", "W1", "find", (Measure("applied", "applied", "ms", {"rust": 2}),))
STREAM = Case("stream", "W4", "stream", (Measure("stream", "stream", "rows/s", {"rust": 2}),), callback="row")


def found(**fields):
    return [fields]


# --- running it -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workload", ["W2", "W4"])
def test_our_client_finds_what_was_sent(workload):
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", workload, "--clients", "ours-asyncio"]
    done = subprocess.run([*command, "--runs", "1"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    cases = [case for case in CASES if case.workload == workload]
    for measure in (measure for case in cases for measure in case.measures):
        assert f"| {measure.name} | {measure.unit} | " in done.stdout
    assert "error" not in done.stderr


def test_a_wrong_result_stops_everything(monkeypatch, capsys):
    liar = Client("liar", (sys.executable, "-c", f"print({json.dumps({'rows': 1})!r})"), "lies")
    monkeypatch.setattr("benchmarks.__main__.prepare", lambda _names: [liar])
    assert main(["--quick", "--only", "W4", "--runs", "1"]) == 1
    said = capsys.readouterr()
    assert "liar in W4 has a wrong result: rows: expected 2000, got 1" in said.err
    assert said.out == ""


def test_a_failing_client_stops_everything(monkeypatch, capsys):
    broken = Client("broken", (sys.executable, "-c", "raise SystemExit('no luck')"), "nothing")
    monkeypatch.setattr("benchmarks.__main__.prepare", lambda _names: [broken])
    assert main(["--quick", "--only", "W4", "--runs", "1"]) == 1
    assert "broken in W4 failed with exit code 1 and said:\nno luck" in capsys.readouterr().err


def test_growth_is_measured():
    series = {"tables": [(1, Setting(rows=1000)), (2, Setting(rows=1000, tables=2, idle_callbacks=3, subscriptions=2))]}
    seconds = measure_growth(series, runs=1, say=lambda _: None)
    assert list(seconds) == [("tables", 1), ("tables", 2)]
    assert all(each > 0 for each in seconds.values())


def test_starting_is_measured():
    programs = {name: PROGRAMS[name] for name in ("an empty program", "import large, and use a class")}
    seconds = measure_start(programs, runs=1, say=lambda _: None)
    assert list(seconds) == list(programs)
    assert all(each > 0 for each in seconds.values())


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--only", "W9"], "expected some of W1,W2,W3,W4,growth,columns,start, got W9"),
        (["--runs", "0"], "expected 1 or more, got 0"),
        (["--write", "--quick"], "only whole reports are kept"),
        (["--write", "--only", "W3,growth"], "only whole reports are kept"),
        (["--write", "--clients", "rust"], "only whole reports are kept"),
    ],
)
def test_options_that_make_no_sense(arguments, reason, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert reason in capsys.readouterr().err


# --- clients ----------------------------------------------------------------------------------------------------------


def test_what_is_not_installed_is_left_out_with_a_reason(monkeypatch):
    monkeypatch.setenv("PATH", "")
    clients = prepare(["ours-asyncio", "rust", "typescript"])
    assert isinstance(clients[0], Client)
    rust, typescript = clients[1:]
    assert rust == Absent("rust", "there is no cargo on the PATH")
    assert isinstance(typescript, Absent)
    assert re.fullmatch("there is no (npm|node) on the PATH", typescript.reason), "node, where packages are there"
    report = comparison([LOAD], {}, clients, runs=1, quick=False)
    assert "**rust is left out: there is no cargo on the PATH.**" in report


def test_a_client_sits_out_what_it_does_not_know():
    client = Client("old", (), "", protocols=frozenset({"v2"}), compressions=frozenset({"none"}))
    able = {case.name for case in CASES if can_run(client, case)}
    assert able == {case.name for case in CASES} - {"W1 gzip", "W1 brotli", "W3 v3"}


# --- what is sent, and what must come of it ---------------------------------------------------------------------------


def test_the_same_is_sent_every_time():
    workload = attrs.evolve(WORKLOADS["W4"].quick(), table=PLAYER)
    one, other = Content(workload), Content(workload)
    assert one.snapshot == other.snapshot
    assert one.updates == other.updates
    assert one.expected == other.expected


def test_frames_are_those_of_the_real_server():
    payload = bytes(range(256)) * 40  # 10,240 bytes
    head, first, ping, *rest = frames(payload)
    assert head == b"\x02\x7e\x10\x00"
    assert ping == b"\x89\x00"
    assert rest[0::2] == [b"\x00\x7e\x10\x00", b"\x80\x7e\x08\x00"]
    assert b"".join([first, *rest[1::2]]) == payload
    assert frames(b"abc") == [b"\x82\x03", b"abc"]


@pytest.mark.parametrize(
    ("case", "changed", "wrong"),
    [
        (LOAD, {}, []),
        (LOAD, {"finds_sum": 9}, ["finds_sum: expected 3, got 9"]),
        (STREAM, {"updates": 0}, ["updates: expected 7, got 0"]),
        (STREAM, {"updates_sum": None}, ["updates_sum: expected 8, got None"]),
        (STREAM, {"values_sum": 1}, ["values_sum: expected 6, got 1"]),
    ],
)
def test_a_result_is_checked(case, changed, wrong):
    sums = {"rows": 4, "keys_sum": 5, "values_sum": 6, "updates": 7, "updates_sum": 8}
    expected = {**sums, "find_values": [1, 2, 3]}
    result = {**sums, "finds": 2, "finds_sum": 3, "applied": 0.5, "stream": 0.5, **changed}
    assert check(case, expected, result, case.callback) == wrong


def test_a_missing_measure_is_wrong():
    sums = {"rows": 4, "keys_sum": 5, "values_sum": 6}
    assert check(LOAD, {**sums, "find_values": []}, {**sums, "finds_sum": 0}, "none") == ["applied is missing"]


# --- tables -----------------------------------------------------------------------------------------------------------


def test_medians_stand_with_their_spread():
    results = {("load", "ours"): [{"applied": seconds} for seconds in (0.003, 0.001, 0.002)]}
    table = medians_table([LOAD], results, ["ours", "rust"], quick=False)
    assert table.splitlines()[2] == "| applied | ms | 2.00 (1.00..3.00) | - |"


def test_rates_count_rows():
    results = {("stream", "ours"): found(stream=0.5)}
    table = medians_table([STREAM], results, ["ours"], quick=False)
    assert table.splitlines()[2] == "| stream | rows/s | 400,000 (400,000..400,000) |"


@pytest.mark.parametrize(("theirs", "cell"), [(3.0, "3.00x"), (1.0, "**1.00x**")])
def test_ratios_stand_beside_their_goals(theirs, cell):
    results = {("load", "ours"): found(applied=1.0), ("load", "rust"): found(applied=theirs)}
    table = ratios_table([LOAD], results, ["ours"], ["rust"], quick=False)
    assert table.splitlines()[0] == "|  | rust / goal | rust / ours |"
    assert table.splitlines()[2] == f"| applied | 2x | {cell} |"


def test_no_ratio_to_nothing():
    assert ratio(1.0, 0.0) is None
    assert ratios_table([LOAD], {}, ["ours"], ["rust"], quick=False).splitlines()[2] == "| applied | 2x | - |"


def test_small_sizes_have_no_goals():
    results = {("load", "ours"): found(applied=1.0), ("load", "rust"): found(applied=1.0)}
    assert ratios_table([LOAD], results, ["ours"], ["rust"], quick=True).splitlines()[2] == "| applied | - | 1.00x |"


def test_cpu_time_stands_where_it_was_taken():
    results = {("load", "ours"): found(applied=1.0, applied_cpu=0.25)}
    assert cpu_table([LOAD, STREAM], results, ["ours"]).splitlines()[2:] == ["| applied | 250 |"]


def test_columns_are_measured():
    seconds = measure_columns(runs=1, rows=100, say=lambda _: None)
    assert list(seconds) == list(TABLES)
    assert all(each > 0 for times in seconds.values() for each in times)


def test_columns_are_told_in_ratios():
    table = columns_table({"u64": (1e-3, 2.5e-3, 1.0)})
    assert "| u64 | 1.00 | 2.50 | 1,000 | 2.50x | 400x |" in table


def test_growth_is_told_in_multiples_of_the_first():
    table = growth_table({("rows", 1000): 1e-6, ("rows", 10_000): 1.5e-6})
    assert table.splitlines()[2:] == ["| rows | 1,000 | 1.00 | 1.00x |", "| rows | 10,000 | 1.50 | 1.50x |"]


def test_starting_is_told_in_multiples_of_the_import_of_the_sdk():
    table = start_table({"an empty program": 0.02, "import spacetimedb_sdk": 0.045, "import large": 0.0575})
    assert table.splitlines()[2:] == [
        "| an empty program | 0.00 | 0.00x |",
        "| import spacetimedb_sdk | 25.0 | 1.00x |",
        "| import large | 37.5 | 1.50x |",
    ]


@pytest.mark.parametrize(("value", "text"), [(0.123, "0.12"), (12.34, "12.3"), (1234.5, "1,234")])
def test_numbers_have_the_digits_they_deserve(value, text):
    assert shown(value) == text


def test_a_report_takes_the_place_of_the_last_one():
    text = "a\n<!-- x -->\nold\n<!-- /x -->\nb\n"
    once = replaced(text, "x", "new")
    assert once == "a\n<!-- x -->\n\nnew\n\n<!-- /x -->\nb\n"
    assert replaced(once, "x", "new") == once
    with pytest.raises(ValueError, match="expected the marks"):
        replaced(text, "y", "new")
