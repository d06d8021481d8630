# SPDX-License-Identifier: Apache-2.0
"""The command's streams: closed, full, narrow, of any encoding; and what goes to them."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import test_cli
from PIL import Image
from test_cli import LAYERS, ROOT, Outcome, explain, gradcore, one_line

from gradcore import Network

folder = test_cli.folder


def process(command: str, folder: Path, **environment: str) -> Outcome:
    """Run a line of bash in which GRADCORE is the command; streams that are not UTF-8 show what they hold escaped."""
    done = subprocess.run(
        ["bash", "-c", command.replace("GRADCORE", f"{shlex.quote(sys.executable)} -m gradcore")],
        capture_output=True,
        cwd=folder,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120", **environment},
    )
    out, err = (stream.decode("utf-8", "backslashreplace") for stream in (done.stdout, done.stderr))
    assert "Traceback" not in err and "Exception ignored" not in err, err
    return Outcome(done.returncode, out, err)


GOLDEN = "GRADCORE explain --backend golden --network net.safetensors --out"


@pytest.fixture(scope="module")
def odd(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures and classes whose names are no plain text."""
    made = tmp_path_factory.mktemp("odd")
    for name in (b"bad\xff.png", "Käse\n\x1b[31m.png".encode(), "[bold]猫[x].png".encode(), b"a.png"):
        shutil.copy(folder / "a.png", os.fsencode(made) + b"/" + name)
    network = Network.random(LAYERS, (3, 16, 16), name="[/tiny]", seed=3)
    network.classes[:] = ["[red]ant", "Käse", "猫", "\u202ecow\n", ":cat: $x$"]
    network.save(made / "net.safetensors")
    return made


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "utf-8:strict"},
        {"PYTHONIOENCODING": "ascii:strict"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "COLUMNS": "10"},
    ],
)
def test_f12_names_that_the_stream_cannot_show(odd, tmp_path, environment):
    result = process(f"{GOLDEN} {tmp_path} *.png", odd, **environment)
    assert result.returncode == 0 and result.stderr and "\x1b" not in result.stdout + result.stderr
    assert len(os.listdir(tmp_path)) == 4
    if "COLUMNS" not in environment:
        assert {"a", "bad_", "[bold]猫[x]", "Käse__[31m"} == {path.name for path in tmp_path.iterdir()}
        for text in ("[red]ant", ":cat: $x$", "Käse" if "utf" in environment["PYTHONIOENCODING"] else "K\\xe4se", "cow\\n", "[bold]"):
            assert text in result.stdout, text


def test_f12_json_is_utf_8_and_whole_whatever_the_locale(odd, tmp_path):
    result = process(f"{GOLDEN} {tmp_path} --json *.png", odd, PYTHONIOENCODING="utf-16")
    items = json.loads(result.stdout)
    assert [item["image"] for item in items] == ["Käse\n\x1b[31m.png", "[bold]猫[x].png", "a.png", "bad\ufffd.png"]
    assert items[0]["classes"][2] == "猫"
    for item in items[:3]:
        assert json.loads(Path(item["files"]["result"]).read_text(encoding="utf-8")) == item


def test_f14b_closed_standard_error_puts_nothing_into_the_json(folder, tmp_path):
    result = process(f"{GOLDEN} {tmp_path} --json large.jpg 2>&-", folder)
    assert result.returncode == 0 and json.loads(result.stdout)[0]["image"] == "large.jpg"
    assert result.stderr == "" and Image.open(tmp_path / "large" / "heatmap.png").format == "PNG"
    result = process(f"{GOLDEN} {tmp_path} --json none.png 2>&-", folder)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", "")


@pytest.mark.parametrize("closed", [">&-", ">/dev/full", "<&- >&-"])
def test_standard_output_that_takes_nothing_is_one_line(folder, tmp_path, closed):
    for command in (f"{GOLDEN} {tmp_path} a.png", f"{GOLDEN} {tmp_path} --json a.png", "GRADCORE --version", "GRADCORE eval --help"):
        result = process(f"{command} {closed}", folder)
        one_line(result, "standard output", "No space left" if "full" in closed else "Bad file descriptor")
    assert sorted(os.listdir(tmp_path / "a")) == ["attribution.npy", "heatmap.png", "input.npy", "overlay.png", "result.json"]
    for name in os.listdir(tmp_path / "a"):
        assert b"class" not in (tmp_path / "a" / name).read_bytes() or name == "result.json"


def test_standard_error_that_takes_nothing_is_no_error(folder, tmp_path):
    result = process(f"{GOLDEN} {tmp_path} large.jpg 2>/dev/full", folder)
    assert result.returncode == 0 and "heatmap:" in result.stdout
    assert process(f"{GOLDEN} {tmp_path} none.png 2>/dev/full", folder).returncode == 2
    assert process(f"{GOLDEN} {tmp_path} large.jpg >&- 2>&-", folder).returncode == 2


@pytest.mark.parametrize("environment", [{"FORCE_COLOR": "1"}, {"NO_COLOR": "1", "TERM": "dumb"}, {"COLUMNS": "1"}, {"COLUMNS": "many"}])
def test_terminals_of_all_kinds(folder, tmp_path, environment):
    result = explain(folder, "a.png", "large.jpg", "--out", tmp_path, **environment)
    assert result.returncode == 0 and "\x1b" not in result.stderr and "running the golden model" in result.stderr
    result = explain(folder, "a.png", "large.jpg", "--json", "--out", tmp_path, **environment)
    assert len(json.loads(result.stdout)) == 2
    assert gradcore("explain", "--help", cwd=folder, **environment).returncode == 0


def test_results_do_not_pass_through_a_progress_bar(monkeypatch, capsys):
    """On a terminal the bar is on standard error; what is printed meanwhile stays on standard output."""
    import sys as system

    from gradcore.host.progress import ProgressDisplay

    monkeypatch.setattr(system.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    with ProgressDisplay() as progress:
        assert progress._bar is not None
        progress("working\n", 1, 2)
        print("result one")
        with progress.paused():
            print("result two")
        progress.note("a [bold]note :cat:\x1b[31m")
    out, err = capsys.readouterr()
    assert out == "result one\nresult two\n" and "a [bold]note :cat:\\x1b[31m" in err


def test_f24_json_has_no_nan_and_says_so(folder, tmp_path, monkeypatch):
    from gradcore.backends import GoldenBackend

    right = GoldenBackend.run

    def broken(self, pictures, methods, *rest):
        runs = right(self, pictures, methods, *rest)
        for run in runs[methods[0]]:
            run.logits[1], run.logits[3] = np.nan, np.inf
            run.attribution[0, 2, 3] = np.nan
        return runs

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    monkeypatch.setattr(GoldenBackend, "run", broken)
    result = explain(folder, "a.png", "--json", "--out", tmp_path)
    assert result.returncode == 0, result.stderr
    for text in (result.stdout, (tmp_path / "a" / "result.json").read_text()):
        item = json.loads(text, parse_constant=refuse)
        item = item[0] if isinstance(item, list) else item
        assert item["logits"][1] is None and item["logits"][3] is None and isinstance(item["logits"][0], float)
        assert any("2 of the 5 scores are not finite" in note for note in item["notes"])
        assert any("not finite in 1 pixels" in note for note in item["notes"])
    assert "not finite" in explain(folder, "a.png", "--out", tmp_path).stdout


def test_f24_a_report_with_nan_is_strict_json_too(capsys):
    from gradcore.cli.printing import print_json

    print_json({"a": [1.5, float("nan")], "b": {"c": np.float32("inf"), "d": np.int64(3), "e": np.arange(2)}})
    out, err = capsys.readouterr()
    assert json.loads(out) == {"a": [1.5, None], "b": {"c": None, "d": 3, "e": [0, 1]}}
    assert err == "a[1], b.c: no finite numbers, null in the JSON\n"


def test_tables_take_names_literally(capsys):
    from rich.table import Table

    from gradcore.cli.printing import print_tables

    table = Table("[red]", title="[/x]:cat:")
    table.add_row("[bold]")
    print_tables([table])
    out = capsys.readouterr().out
    for name in ("[/x]:cat:", "[red]", "[bold]"):
        assert name in out
