# SPDX-License-Identifier: Apache-2.0
"""`gradcore import` and `gradcore inspect`, and files of ONNX wherever a network is named."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gradcore
from gradcore.host.files import write_atomically
from gradcore.importer.opening import load_graph
from gradcore.network import GraphNetwork, graph_float
from tests.onnx_models import model, node, weights
from tests.test_cli import ROOT
from tests.test_cli import gradcore as command

SMALL = [
    node("Transpose", "x", "a", perm=[0, 3, 1, 2]),
    node("Conv", "a w -", "b", name="conv", pads=[1, 1, 1, 1]),
    node("BatchNormalization", "b s s t v", "c", name="norm"),
    node("Relu", "c", "d"),
    node("MaxPool", "d", "e", kernel_shape=[2, 2], strides=[2, 2]),
    node("Transpose", "e", "f", perm=[0, 2, 3, 1]),
    node("Reshape", "f n", "g"),
    node("Gemm", "g m k", "h", name="fc"),
    node("Softmax", "h", "y", name="shares"),
]
TENSORS = {
    "w": weights(4, 3, 3, 3) * np.float32(0.2),
    "s": np.abs(weights(4)),
    "t": weights(4),
    "v": np.abs(weights(4)) + np.float32(0.5),
    "n": np.int64([1, -1]),
    "m": weights(64, 5) * np.float32(0.2),
    "k": weights(5),
}
RESIDUAL = [
    node("Conv", "x w", "a", name="stem", pads=[1, 1, 1, 1]),
    node("Add", "x a", "b", name="skip"),
    node("Relu", "b", "y"),
    node("Sigmoid", "b", "z"),
]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A network that the core runs, in the order of TensorFlow."""
    write_atomically(tmp_path / "small.onnx", model(SMALL, ("batch", 8, 8, 3), TENSORS).SerializeToString())
    return tmp_path / "small.onnx"


@pytest.fixture
def residual(tmp_path: Path) -> Path:
    """One that is no chain, with two outputs, one of which cannot be explained."""
    made = model(RESIDUAL, (1, 3, 8, 8), {"w": weights(3, 3, 3, 3)}, outputs=("y", "z"))
    write_atomically(tmp_path / "residual.onnx", made.SerializeToString())
    return tmp_path / "residual.onnx"


@pytest.fixture
def overlapping(tmp_path: Path) -> Path:
    """One of which the core does not run the pool."""
    nodes = [node("Conv", "x w", "a", name="stem"), node("MaxPool", "a", "y", name="pool", kernel_shape=[5, 5], strides=[2, 2])]
    write_atomically(tmp_path / "overlapping.onnx", model(nodes, (1, 3, 9, 9), {"w": weights(3, 3, 3, 3)}).SerializeToString())
    return tmp_path / "overlapping.onnx"


def test_import_says_what_it_did_and_writes_a_network(small, tmp_path) -> None:
    (tmp_path / "names.txt").write_text("cat\ndog\n\nbird\nfish\nfrog\n")
    options = ["--mean", "0.1,0.2,0.3", "--std", "0.5", "--classes", "names.txt"]
    outcome = command("import", small, "--out", "net.safetensors", *options, cwd=tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    assert "network: net.safetensors, 4 nodes, 7,232 MACs forward, 437 weights" in outcome.stdout
    assert "cut: the final softmax shares: the score before it is explained" in outcome.stdout
    assert "compared: largest difference from onnx's reference evaluator on 4 random inputs" in outcome.stdout
    network = gradcore.load_network(tmp_path / "net.safetensors")
    assert (network.classes, network.mean, network.std) == (["cat", "dog", "bird", "fish", "frog"], (0.1, 0.2, 0.3), (0.5, 0.5, 0.5))
    assert [(layer.kind, layer.relu, layer.pool) for layer in network.layers] == [("conv", True, True), ("fc", False, False)]
    assert network.metadata["import"]["source"] == "small.onnx" and network.metadata["import"]["difference"]["share"] < 1e-5


def test_import_as_json_and_what_is_noted(residual, tmp_path) -> None:
    outcome = command("import", residual, "--out", "net.safetensors", "--output", "y", "--json", cwd=tmp_path)
    report = json.loads(outcome.stdout)
    assert (report["nodes"], report["cut"], report["files"]) == (3, ["y is explained, and z cut"], {"network": "net.safetensors"})
    assert report["not_run"] == []
    assert "no mean and std were given: the network gets pixel / 255" in outcome.stderr
    assert [one.kind for one in GraphNetwork.load(tmp_path / "net.safetensors").graph.nodes] == ["conv", "add", "relu"]


@pytest.mark.parametrize("which", ["small", "residual"])
def test_import_with_calibration_pictures(which, request, tmp_path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    path = request.getfixturevalue(which)
    rows = []
    for seed in range(4):
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(tmp_path / "one.png")
        rows.append({"image": {"bytes": (tmp_path / "one.png").read_bytes(), "path": None}, "label": seed})
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "some.parquet")
    options = ["--output", "y"] if which == "residual" else []
    outcome = command("import", path, "--out", "net.safetensors", "--calibrate", "some.parquet", "--json", *options, cwd=tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    assert "on 4 calibration pictures" in json.loads(outcome.stdout)["compared"][1]
    assert load_graph(tmp_path / "net.safetensors").metadata["quantisation"]["source"] == "some.parquet"
    outcome = command("explain", tmp_path / "one.png", "--network", "net.safetensors", "--backend", "golden", "--json", cwd=tmp_path)
    assert outcome.returncode == 0 and "chosen on generated" not in outcome.stderr, outcome.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--mean", "a"], "--mean a: not numbers separated by commas"),
        (["--mean", "1,2"], "the input has 3 channels but 2 means"),
        (["--std", "0"], "a standard deviation is not positive"),
        (["--classes", "a,b"], "the network has 5 outputs but 2 class names"),
        (["--classes", "no.txt"], "no.txt: there is no such file"),
        (["--output", "no"], "no node or tensor is called 'no'"),
        (["--calibrate", "no.parquet"], "no.parquet"),
    ],
)
def test_options_of_import_that_are_wrong(small, tmp_path, options, told) -> None:
    outcome = command("import", small, "--out", "net.safetensors", *options, cwd=tmp_path)
    assert outcome.returncode == 2 and told in outcome.stderr and not outcome.stdout
    assert not (tmp_path / "net.safetensors").exists()


@pytest.mark.parametrize("name", ["net.pt", "net.pth", "net.pt2", "net.h5", "net.tflite", "net.txt"])
def test_files_that_are_not_imported(tmp_path, name) -> None:
    (tmp_path / name).write_bytes(b"cos\nsystem\n(S'touch harm'\ntR.")
    for arguments in (["import", name, "--out", "net.safetensors"], ["explain", "--network", name], ["inspect", name]):
        outcome = command(*arguments, cwd=tmp_path)
        assert outcome.returncode == 2 and outcome.stderr.splitlines()[-1].startswith(f"gradcore: {name}: ")
    assert not (tmp_path / "harm").exists()


def test_import_does_not_write_over_what_it_reads(small, tmp_path) -> None:
    before = small.read_bytes()
    outcome = command("import", small, "--out", small, cwd=tmp_path)
    assert outcome.returncode == 2 and "small.onnx" in outcome.stderr and small.read_bytes() == before


def test_every_problem_is_a_line_of_standard_error(tmp_path) -> None:
    nodes = [node("Sigmoid", "x", "a", name="gate"), node("LRN", "a", "y", name="norm", size=3)]
    write_atomically(tmp_path / "net.onnx", model(nodes, (1, 3, 8, 8)).SerializeToString())
    outcome = command("inspect", "net.onnx", cwd=tmp_path)
    assert outcome.returncode == 2 and outcome.stdout == ""
    assert outcome.stderr.splitlines()[-3:] == [
        "gradcore: net.onnx cannot be imported, there are 2 problems:",
        "  gate (Sigmoid): the activation is not run: use ReLU or ReLU6 and train again, or choose an output before it with --output",
        "  norm (LRN): a norm over the picture's own values is not run: use batch norms and train again, or choose an output before it "
        "with --output",
    ]


def test_what_the_core_does_not_run_is_told(overlapping, tmp_path) -> None:
    outcome = command("import", overlapping, "--out", "net.safetensors", "--json", cwd=tmp_path)
    reason = "pool: kernel_shape = [5, 5]: max-pools are 2 x 2 and 3 x 3"
    assert json.loads(outcome.stdout)["not_run"] == [reason]
    assert "the core does not run 1 of its 2 nodes, only the back ends golden and float do: gradcore inspect names them" in outcome.stderr
    shown = command("inspect", overlapping, cwd=tmp_path).stdout
    assert "what the core does not run: 1" in shown and "predicted cycles" not in shown
    refused = command("explain", "--network", "net.safetensors", cwd=tmp_path)
    assert refused.returncode == 2 and "overlapping cannot be compiled: the core does not run 1 of its nodes" in refused.stderr
    assert refused.stderr.splitlines()[-1] == f"  {reason}"
    assert command("explain", "--network", "net.safetensors", "--backend", "golden", cwd=tmp_path).returncode == 0


def test_inspect_shows_nodes_notes_and_predicted_cycles(small, residual, tmp_path) -> None:
    report = json.loads(command("inspect", small, "--json", cwd=tmp_path).stdout)
    assert [one["kind"] for one in report["nodes"]] == ["conv", "relu", "max_pool", "fully_connected"]
    assert report["presets"].keys() == {"small", "paper", "full"} and report["not_run"] == []
    full = report["presets"]["full"]
    assert full["fits"] and full["cycles_total"] == full["cycles_forward"] + full["cycles_backward"] > 0
    shown = command("inspect", small, cwd=tmp_path).stdout
    for text in ("7,232 MAC", "3x3, padding 1", "norm: part of conv, the layer before it", "the final softmax shares", "fits"):
        assert text in shown
    assert re.search(r"conv +│ conv +│ input +│ 3x3, padding 1 +│ 4 x 8 x 8 +│", shown), "a table in a pipe is not cut at 80 columns"
    other = command("inspect", residual, "--output", "y", cwd=tmp_path).stdout
    assert "predicted cycles" in other and "what the core does not run" not in other
    assert "only ONNX files may have several outputs" in command("inspect", "cifar10", "--output", "y", cwd=tmp_path).stderr


def test_onnx_is_a_network_for_the_other_commands(small, residual, tmp_path) -> None:
    outcome = command("explain", "--network", small, "--backend", "golden", "--json", cwd=tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    (result,) = json.loads(outcome.stdout)
    assert result["classes"] == [f"class {number}" for number in range(5)]
    outcome = command("compile", small, "--out", "net.bin", cwd=tmp_path)
    assert outcome.returncode == 0 and (tmp_path / "net.bin").exists()
    refused = command("explain", "--network", residual, "--backend", "golden", cwd=tmp_path)
    assert refused.returncode == 2 and "choose the one to explain with --output" in refused.stderr
    command("import", residual, "--out", "net.safetensors", "--output", "y", cwd=tmp_path)
    outcome = command("explain", "--network", "net.safetensors", "--preset", "small", cwd=tmp_path)
    assert outcome.returncode == 0 and "verilog: equal to its model in every bit" in outcome.stderr + outcome.stdout, outcome.stderr


def test_without_the_onnx_package_the_way_to_get_it_is_told() -> None:
    code = "import sys; sys.modules['onnx'] = None; from gradcore.importer.opening import load_network; load_network(sys.argv[1])"
    result = subprocess.run([sys.executable, "-c", code, "net.onnx"], capture_output=True, text=True, cwd=ROOT)
    assert 'onnx is not installed, reading an ONNX file needs it: pip install "gradcore[onnx]"' in result.stderr
    result = subprocess.run([sys.executable, "-c", code, "cifar10"], capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr


MFCC = [node("Conv", "x w", "a", pads=[1, 1, 1, 1]), node("Relu", "a", "b"), node("Flatten", "b", "c"), node("Gemm", "c m", "y")]
VECTOR = [node("Gemm", "x m", "a"), node("Relu", "a", "b"), node("Gemm", "b n", "y")]


@pytest.mark.parametrize(
    ("nodes", "shape", "tensors", "values"),
    [
        (MFCC, (1, 1, 7, 5), {"w": weights(2, 1, 3, 3), "m": weights(70, 4)}, (7, 5)),
        (VECTOR, (1, 20), {"m": weights(20, 6), "n": weights(6, 4)}, (20,)),
        (MFCC, (1, 5, 6, 4), {"w": weights(2, 5, 3, 3), "m": weights(48, 4)}, (6, 4, 5)),
    ],
    ids=["MFCC", "vector", "five channels"],
)
def test_inputs_that_are_no_pictures_come_as_npy(tmp_path, nodes, shape, tensors, values) -> None:
    write_atomically(tmp_path / "net.onnx", model(nodes, shape, tensors).SerializeToString())
    given = np.random.default_rng(1).integers(0, 256, values, dtype=np.uint8)
    np.save(tmp_path / "one.npy", given)
    outcome = command("explain", "one.npy", "--network", "net.onnx", "--backend", "golden", "--json", cwd=tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    (result,) = json.loads(outcome.stdout)
    channels, height, width = load_graph(tmp_path / "net.onnx").input_shape
    placed = given.reshape(height, width, channels).transpose(2, 0, 1)[None] / 255.0
    expected = graph_float.output(load_graph(tmp_path / "net.onnx").graph, placed).reshape(-1)
    np.testing.assert_allclose(result["logits"], expected, rtol=0, atol=2e-3 * np.abs(expected).max())
    folder = tmp_path / "explanations" / "one"
    assert np.load(folder / "attribution.npy").shape == (channels, height, width) and (folder / "overlay.png").exists()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (np.zeros((7, 5), np.float32), "holds float32 of 7 x 5, and the network takes uint8 values v of 7 x 5 x 1"),
        (np.zeros((5, 7), np.uint8), "holds uint8 of 5 x 7"),
        (np.array([{"a": 1}], dtype=object), "is no .npy file of numbers"),
        (b"no numbers", "is no .npy file of numbers"),
    ],
    ids=["floats", "turned", "pickled", "text"],
)
def test_npy_files_that_are_refused(tmp_path, given, told) -> None:
    write_atomically(tmp_path / "net.onnx", model(MFCC, (1, 1, 7, 5), {"w": weights(2, 1, 3, 3), "m": weights(70, 4)}).SerializeToString())
    if isinstance(given, bytes):
        (tmp_path / "one.npy").write_bytes(given)
    else:
        np.save(tmp_path / "one.npy", given)
    outcome = command("explain", "one.npy", "--network", "net.onnx", "--backend", "golden", cwd=tmp_path)
    assert outcome.returncode == 2 and told in outcome.stderr, outcome.stderr


def test_what_the_readme_says_of_your_own_network(tmp_path: Path) -> None:
    """Its two blocks, as they stand there but for the back end: the simulator takes long to compile."""
    import torch
    from PIL import Image

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    console, python = re.findall(r"```\w+\n(.*?)```", readme.partition("\n## Your own network\n")[2], re.DOTALL)[:2]
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, 2, 1), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4 * 16 * 16, 5))
    nodes = [node("Conv", "x w", "a", pads=[1, 1, 1, 1], strides=[2, 2]), node("Relu", "a", "b"), node("GlobalAveragePool", "b", "y")]
    write_atomically(tmp_path / "net.onnx", model(nodes, (1, 3, 32, 32), {"w": weights(6, 3, 3, 3)}).SerializeToString())
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 50, 3), np.uint8)).save(tmp_path / "cat.jpg")
    lines = [line.partition("#")[0].split()[2:] for line in console.splitlines() if line.startswith("$ gradcore")]
    assert [line[0] for line in lines] == ["inspect", "explain"]
    for line in lines:
        run = command(*line, *(["--backend", "golden"] if line[0] == "explain" else []), cwd=tmp_path)
        assert run.returncode == 0, run.stderr
    said: dict = {"module": module}
    assert python.count("network=network") == 1
    with contextlib.chdir(tmp_path):
        exec(python.replace("network=network", 'network=network, backend="golden"'), said)
    assert said["result"].attribution.shape == (3, 32, 32) and len(said["result"].classes) == 5
