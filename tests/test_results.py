# SPDX-License-Identifier: Apache-2.0
"""Results: nothing that was computed is lost, nothing of the user's is overwritten; first the model's, then the Verilog's."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil

import numpy as np
import pytest
import test_cli
from test_cli import Outcome, explain, gradcore, one_line

from gradcore import Network

folder = test_cli.folder
tiny = test_cli.tiny
icarus = test_cli.icarus


# Nothing that was computed is lost, and nothing of the user's is overwritten ------------------------------------------------


def test_f27_bench_prints_what_it_measured_when_it_cannot_draw(folder, tiny, icarus, monkeypatch):
    """A full disk is found only when the picture is written."""
    arguments = ["bench", "--images", "1", "--method", "guided", "--network", tiny, *icarus, "--picture", "/dev/full"]
    result = gradcore(*arguments, "--json", cwd=folder)
    assert json.loads(result.stdout)["methods"]["guided"]["cycles_total"] > 0
    one_line(Outcome(result.returncode, "", result.stderr), "/dev/full", "No space left", "--picture")
    result = gradcore(*arguments, cwd=folder)
    assert result.returncode == 2 and "guided: cycles of each layer" in result.stdout and "picture:" not in result.stdout


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_f27_a_heatmap_that_cannot_be_drawn_costs_nothing_else(folder, tmp_path, monkeypatch, options):
    from gradcore import GradCoreError
    from gradcore.drawing import heatmap

    right = heatmap.draw_heatmap

    def draw(attribution, path, **words):
        if path.parent.name == "a":
            raise GradCoreError("the disk is full: make room")
        right(attribution, path, **words)

    monkeypatch.setattr(heatmap, "draw_heatmap", draw)
    result = explain(folder, "a.png", "grey.png", "--out", tmp_path, *options)
    one_line(Outcome(result.returncode, "", result.stderr), "the disk is full")
    assert sorted(os.listdir(tmp_path / "a")) == ["attribution.npy", "input.npy", "result.json"] and len(os.listdir(tmp_path / "grey")) == 5
    stored = json.loads((tmp_path / "a" / "result.json").read_text())
    assert set(stored["files"]) == {"attribution", "input", "result"}
    if options:
        assert [item["image"] for item in json.loads(result.stdout)] == ["a.png", "grey.png"]
    else:
        assert "a.png: " in result.stdout and "grey.png: " in result.stdout


@pytest.mark.parametrize("name", ["...png", ".png", "..", ".. .png", "a. .png", "nul.png", "x" * 251 + ".png", "ä" * 120 + ".png", "-.png"])
def test_f28_results_stay_in_one_folder_below_out(folder, tmp_path, name):
    (tmp_path / "in").mkdir()
    shutil.copy(folder / "a.png", tmp_path / "in" / name) if name != ".." else shutil.copy(folder / "a.png", tmp_path / "in" / "a...png")
    out = tmp_path / "out" / "below"
    result = explain(folder, *sorted((tmp_path / "in").iterdir()), "--out", out)
    assert result.returncode == 0, result.stderr
    (only,) = out.iterdir()
    assert only.is_dir() and len(os.listdir(only)) == 5 and [path.name for path in out.parent.iterdir()] == ["below"]
    assert only.name == only.name.strip(". ") and len(os.fsencode(only.name)) < 250 and only.name.lower() != "nul"


def test_f31_no_output_overwrites_a_picture_the_network_or_another_output(folder, tmp_path):
    for name in ("a.png", "net.safetensors"):
        shutil.copy(folder / name, tmp_path)
    os.link(tmp_path / "a.png", tmp_path / "hard.png")
    (tmp_path / "x").mkdir()
    shutil.copy(folder / "a.png", tmp_path / "x" / "heatmap.png")
    shutil.copy(folder / "a.png", tmp_path / "x.png")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    run = ["explain", "--network", "net.safetensors"]
    for options, words in (
        (["a.png", "--trace", "a.png"], "the trace would overwrite the picture"),
        (["a.png", "--trace", "hard.png"], "the trace would overwrite the picture"),
        (["a.png", "--waves", tmp_path / "a.png"], "the waves would overwrite the picture"),
        (["a.png", "--waves", "net.safetensors"], "the waves would overwrite the network"),
        (["a.png", "--trace", "t.json", "--waves", "T.json"], "would be the same file"),
        (["a.png", "--trace", "explanations/a/overlay.png"], "would be the same file"),
        (["a.png", "--waves", "explanations/a"], "cannot both be"),
    ):
        one_line(gradcore(*run, *options, cwd=tmp_path), words)
    for command in (["bench", "--picture", "a.png", "--data", "a.png"], ["bench", "--picture", "n.png", "--network", "n.png"]):
        shutil.copy(tmp_path / "net.safetensors", tmp_path / "n.png")
        one_line(gradcore(*command, cwd=tmp_path), "the picture would overwrite the")
        (tmp_path / "n.png").unlink()
    result = explain(tmp_path, "x.png", "x/heatmap.png", "--out", tmp_path)  # x/ is the user's own folder
    assert result.returncode == 0 and (tmp_path / "x-2" / "heatmap.png").exists()
    assert {path: path.read_bytes() for path in before} == before and not (tmp_path / "explanations").exists()


def test_f31_two_runs_with_equal_stems_keep_both_results(folder, tmp_path):
    def files() -> dict[str, bytes]:
        return {str(path.relative_to(tmp_path)): path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()}

    assert explain(folder, "a.png", "--out", tmp_path).returncode == 0
    first = files()
    result = explain(folder, "other/a.png", "--out", tmp_path)
    assert result.returncode == 0 and "a-2" in result.stdout and f"{tmp_path / 'a'} holds others" in result.stderr
    both = files()
    assert first.items() < both.items() and len(both) == 10
    for image, method in (("other/a.png", "guided"), ("a.png", "guided")):  # again: each overwrites its own
        explain(folder, image, "--out", tmp_path, "--method", method)
    assert set(files()) == set(both)
    assert {json.loads((tmp_path / name / "result.json").read_text())["image"] for name in ("a", "a-2")} == {"a.png", "other/a.png"}
    (tmp_path / "a" / "result.json").write_text("my own notes")
    explain(folder, "a.png", "--out", tmp_path)
    assert (tmp_path / "a" / "result.json").read_text() == "my own notes" and (tmp_path / "a-3").exists()


# First the model, then the Verilog -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_the_model_answers_before_the_simulator_is_compiled(folder, tiny, tmp_path, icarus, monkeypatch, options):
    from gradcore import GradCoreError, Simulator

    def build(self, progress) -> None:
        stored = json.loads((tmp_path / "a" / "result.json").read_text())
        assert stored["verilog"] == "not run" and stored["cycles"] is None and len(os.listdir(tmp_path / "a")) == 5
        raise GradCoreError("it cannot be compiled")

    monkeypatch.setattr(Simulator, "build", build)
    result = gradcore("explain", "a.png", "--network", tiny, *icarus, "--out", tmp_path, *options, cwd=folder)
    one_line(Outcome(result.returncode, "", result.stderr), "it cannot be compiled")
    if options:
        assert json.loads(result.stdout)[0]["verilog"] == "not run"
    else:
        assert "explained" in result.stdout and "heatmap: " in result.stdout and "verilog" not in result.stdout


def test_then_the_verilog_confirms_it_and_json_names_the_waves(folder, tiny, tmp_path, icarus):
    arguments = ["explain", "a.png", "--network", tiny, *icarus, "--out", tmp_path, "--waves", tmp_path / "w.fst"]
    result = gradcore(*arguments, cwd=folder)
    assert result.returncode == 0, result.stderr
    assert result.stdout.index("heatmap: ") < result.stdout.index("verilog: equal") < result.stdout.index("cycles: ")
    assert f"waves: {tmp_path / 'w.fst'}" in result.stdout
    (item,) = json.loads(gradcore(*arguments, "--json", cwd=folder).stdout)
    assert item["verilog"] == "equal" and item["files"]["waves"] == str(tmp_path / "w.fst")
    assert item == json.loads((tmp_path / "a" / "result.json").read_text())


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("logits", "1 of 3 scores"),
        ("attribution", "1 of 192 values of the attribution"),
        ("activations", "1 of 128 values of the activation of conv1"),
        ("gradients", "1 of 128 values of the gradient of conv1"),
        ("target", "class 9 was explained"),
    ],
)
def test_a_difference_of_one_bit_is_an_error(folder, tiny, tmp_path, icarus, monkeypatch, what, words):
    from gradcore.backends import GoldenBackend
    from gradcore.backends.rtl import RtlBackend

    def simulate(self, pictures, methods, target=None, progress=None, keep=False):
        runs = GoldenBackend(Network.load(tiny)).run(pictures, methods, target, keep=keep)
        (run,) = runs[methods[0]]
        if what == "target":
            return {methods[0]: [dataclasses.replace(run, target=9)]}
        changed = getattr(run, what)
        (changed if isinstance(changed, np.ndarray) else changed["conv1"]).flat[-1] += 2.0**-6
        return runs

    monkeypatch.setattr(RtlBackend, "run", simulate)
    result = gradcore("explain", "a.png", "--network", tiny, *icarus, "--out", tmp_path, cwd=folder)
    one_line(Outcome(result.returncode, "", result.stderr), "a.png: the Verilog differs from its model", words, "report it")
    assert json.loads((tmp_path / "a" / "result.json").read_text())["verilog"] == "not run" and "verilog:" not in result.stdout
