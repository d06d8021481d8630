# SPDX-License-Identifier: Apache-2.0
"""The command line as a user meets it: its two streams, its exit status, its files."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import typing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from gradcore import Layer, Network, __version__
from gradcore.cli import app

ROOT = Path(__file__).resolve().parent.parent
LAYERS = [
    Layer("conv", "conv1", 3, 8, 3, pool=True),
    Layer("conv", "conv2", 8, 12, 3),
    Layer("fc", "fc1", 12 * 8 * 8, 5, relu=False),
]


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    returncode: int
    stdout: str
    stderr: str


def gradcore(*arguments: str | Path, cwd: Path, **environment: str) -> Outcome:
    """Run the command in this process, which is much quicker than in one of its own."""
    with contextlib.chdir(cwd):
        result = CliRunner().invoke(app, [str(one) for one in arguments], env={"COLUMNS": "120", **environment})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Outcome(result.exit_code, result.stdout, result.stderr)


def one_line(result: Outcome, *words: str) -> str:
    """The error: status 2, nothing on standard output, one last line that says what is wrong, and no traceback."""
    assert result.returncode == 2, result.stderr
    assert result.stdout == "" and "Traceback" not in result.stderr
    lines = result.stderr.splitlines()
    assert lines and lines[-1].startswith("gradcore: ") and sum(line.startswith("gradcore: ") for line in lines) == 1, result.stderr
    for word in words:
        assert word in lines[-1], result.stderr
    return lines[-1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small network and some pictures."""
    made = tmp_path_factory.mktemp("cli")
    network = Network.random(LAYERS, (3, 16, 16), name="tiny", seed=3)
    network.classes[:] = ["ant", "bee", "cat", "cow", "dog"]
    network.save(made / "net.safetensors")
    rng = np.random.default_rng(4)
    image = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
    image.save(made / "a.png")
    Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(made / "large.jpg")
    image.convert("L").save(made / "grey.png")
    transparent = image.copy()
    transparent.putalpha(100)
    transparent.save(made / "alpha.png")
    (made / "other").mkdir()
    image.rotate(90).save(made / "other" / "a.png")
    (made / "text.png").write_text("no picture")
    (made / "cut.png").write_bytes((made / "a.png").read_bytes()[:300])
    return made


def explain(folder: Path, *arguments: str | Path, **environment: str) -> Outcome:
    return gradcore("explain", *arguments, "--network", folder / "net.safetensors", "--backend", "golden", cwd=folder, **environment)


def test_version_and_help(tmp_path):
    assert gradcore("--version", cwd=tmp_path).stdout == f"gradcore {__version__}\n"
    for arguments in ([], ["--help"], ["explain", "--help"], ["bench", "-h"], ["eval", "-h"], ["compile", "-h"]):
        result = gradcore(*arguments, cwd=tmp_path)
        assert result.returncode == 0 and "Usage" in result.stdout and result.stderr == ""


def test_explain_prints_classes_and_writes_files(folder, tmp_path):
    result = explain(folder, "a.png", "--out", tmp_path)
    assert result.returncode == 0, result.stderr
    for name in ("ant", "bee", "cat", "cow", "dog", "heatmap.png"):
        assert name in result.stdout
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "attribution.npy",
        "heatmap.png",
        "input.npy",
        "overlay.png",
        "result.json",
    ]


def test_json_is_all_that_is_on_standard_output(folder, tmp_path):
    result = explain(folder, "a.png", "large.jpg", "--json", "--out", tmp_path, "--target", "cow", "--method", "guided")
    assert result.returncode == 0, result.stderr
    items = json.loads(result.stdout)
    assert [item["image"] for item in items] == ["a.png", "large.jpg"]
    for item, stem in zip(items, ("a", "large"), strict=True):
        assert item["target"] == "cow" and item["method"] == "guided" and item["backend"] == "golden"
        assert len(item["logits"]) == len(item["classes"]) == 5 and item["cycles"] is None
        assert item == json.loads((tmp_path / stem / "result.json").read_text())
        assert np.load(item["files"]["attribution"]).shape == (3, 16, 16)
    assert "large.jpg" in result.stderr and "resized" in result.stderr


def test_two_pictures_of_one_name_get_two_folders(folder, tmp_path):
    result = explain(folder, "a.png", "other/a.png", "--json", "--out", tmp_path)
    one, two = (np.load(item["files"]["attribution"]) for item in json.loads(result.stdout))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "a-2"] and not np.array_equal(one, two)


@pytest.mark.parametrize(("image", "words"), [("large.jpg", "resized"), ("alpha.png", "white"), ("grey.png", "")])
def test_unusual_pictures_work_and_it_is_said(folder, tmp_path, image, words):
    result = explain(folder, image, "--out", tmp_path)
    assert result.returncode == 0 and words in result.stderr


def test_without_a_picture_the_sample_is_explained(folder, tmp_path):
    result = explain(folder, "--json", "--out", tmp_path)
    assert result.returncode == 0 and "sample picture" in result.stderr
    assert json.loads(result.stdout)[0]["image"] == "chelsea.png"


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("text.png", "not a picture"),
        ("cut.png", "damaged"),
        ("none.png", "no such file"),
        ("other", "is a folder"),
        ("net.safetensors", "not a picture"),
    ],
)
def test_bad_pictures(folder, tmp_path, image, words):
    one_line(explain(folder, image, "--out", tmp_path), image, words)
    one_line(explain(folder, "a.png", image, "--json", "--out", tmp_path), image, words)


def test_f31_names_that_are_no_paths(folder, tmp_path):
    for name, words in (
        ("", "the name of a picture is empty"),
        ("https://host/cat.png", "is an address"),
        ("file:///a/b.png", "write /a/b.png"),
    ):
        one_line(explain(folder, name, "--out", tmp_path), words)
    for command in (["bench"], ["eval"], ["train", "--out", tmp_path / "net"]):
        one_line(gradcore(*command, "--data", "", cwd=folder), "the name of a Parquet file is empty")
    one_line(gradcore("eval", "--data", "https://host/d.parquet", cwd=folder), "https://host/d.parquet is an address")


def test_unknown_class_lists_the_known_ones(folder, tmp_path):
    one_line(explain(folder, "a.png", "--target", "wasp", "--out", tmp_path), "'wasp'", "ant, bee, cat, cow, dog")


@pytest.mark.parametrize("option", ["--method", "--backend", "--simulator", "--preset"])
def test_unknown_choices(folder, tmp_path, option):
    arguments = ["a.png", option, "nonsense", "--out", tmp_path]
    if option == "--backend":
        result = gradcore("explain", *arguments, "--network", "net.safetensors", cwd=folder)
    else:
        result = gradcore(
            "explain",
            *arguments,
            "--network",
            "net.safetensors",
            *([] if option == "--simulator" or option == "--preset" else ["--backend", "golden"]),
            cwd=folder,
        )
    one_line(result, option[2:], "'nonsense'", "use one of")


def test_a_near_miss_is_suggested(folder, tmp_path):
    one_line(explain(folder, "a.png", "--method", "salency", "--out", tmp_path), "did you mean saliency?")


@pytest.mark.parametrize(
    "arguments",
    [
        ["explain", "--nonsense"],
        ["nonsense"],
        ["explain", "a.png", "--target"],
        ["bench", "--images", "many"],
        ["bench", "--images", "0"],
        ["eval"],
        ["compile"],
        ["compile", "net.safetensors"],
        ["--nonsense"],
    ],
)
def test_bad_usage(folder, arguments):
    one_line(gradcore(*arguments, cwd=folder), "--help")


def test_waves_need_the_verilog(folder, tmp_path):
    one_line(explain(folder, "a.png", "--waves", tmp_path / "w.fst", "--out", tmp_path), "golden")


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "no such file"), (b"", "net"), (b"\x89PNG not a network", "net"), ("cut", "net"), ("foreign", "GradCore")],
)
@pytest.mark.parametrize("command", ["explain", "compile"])
def test_bad_network_files(folder, tmp_path, content, words, command):
    path = tmp_path / "net.safetensors"
    if content == "cut":
        path.write_bytes((folder / "net.safetensors").read_bytes()[:-100])
    elif content == "foreign":
        from safetensors.numpy import save_file

        save_file({"weight": np.zeros((2, 2), np.float32)}, path)
    elif content is not None:
        path.write_bytes(content)
    arguments = ["explain", "a.png", "--network", path] if command == "explain" else ["compile", path]
    one_line(gradcore(*arguments, "--out", tmp_path / "out", cwd=folder), str(path), words)
    assert not (tmp_path / "out").exists()


def test_unknown_built_in_network(folder):
    one_line(gradcore("explain", "a.png", "--network", "imagenet", cwd=folder), "imagenet", "cifar10")


def test_a_network_whose_layer_cannot_run(folder, tmp_path):
    layers = [Layer("conv", "conv1", 3, 4, 3), Layer("fc", "wide", 4 * 4 * 4, 5000, relu=False)]
    Network.random(layers, (3, 4, 4)).save(tmp_path / "net.safetensors")
    one_line(gradcore("compile", tmp_path / "net.safetensors", "--out", tmp_path / "p", cwd=folder), "wide", "4092 channels")


@pytest.mark.parametrize("command", ["eval", "train", "bench"])
def test_bad_data_files(folder, tmp_path, command):
    out = ["--out", tmp_path / "net"] if command == "train" else []
    for data, words in (("none.parquet", "no such file"), ("a.png", "not a Parquet file"), ("other", "is a folder")):
        one_line(gradcore(command, "--data", data, *out, cwd=folder), data, words)


def test_training_refuses_a_place_that_cannot_be_written(folder):
    one_line(gradcore("train", "--data", "d.parquet", "--out", "a.png/net", cwd=folder), "a.png/net", "cannot be written")


@pytest.mark.parametrize("below", ["", "below"])
def test_output_that_cannot_be_written(folder, tmp_path, below):
    (tmp_path / "file").write_text("x")
    out = tmp_path / "file" / below if below else tmp_path / "file"
    one_line(explain(folder, "a.png", "--out", out), str(out), "--out")
    one_line(gradcore("compile", "net.safetensors", "--out", tmp_path / "file" / "p", cwd=folder), "file", "--out")


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A folder to be PATH: no compiler, no simulator; Python still runs by its full path."""
    path = tmp_path / "bin"
    path.mkdir()
    return path


def test_no_compiler(folder, tmp_path, bare_path):
    result = gradcore(
        "explain",
        "a.png",
        "--network",
        "net.safetensors",
        "--out",
        tmp_path / "o",
        cwd=folder,
        PATH=str(bare_path),
        GRADCORE_CACHE=str(tmp_path / "cache"),
    )
    one_line(result, "C++ compiler", "apt-get install g++")


def test_no_simulator(folder, tmp_path, bare_path):
    result = gradcore(
        "explain",
        "a.png",
        "--network",
        "net.safetensors",
        "--simulator",
        "icarus",
        "--out",
        tmp_path / "o",
        cwd=folder,
        PATH=str(bare_path),
        GRADCORE_CACHE=str(tmp_path / "cache"),
    )
    one_line(result, "Icarus", "apt-get install iverilog")


def test_a_cache_that_cannot_be_written(folder, tmp_path):
    (tmp_path / "file").write_text("x")
    result = gradcore(
        "explain",
        "a.png",
        "--network",
        "net.safetensors",
        "--simulator",
        "icarus",
        "--out",
        tmp_path / "o",
        cwd=folder,
        GRADCORE_CACHE=str(tmp_path / "file" / "cache"),
    )
    one_line(result, "GRADCORE_CACHE")


@pytest.fixture
def icarus() -> list[str]:
    """Options for the quickest run of the Verilog that needs no compilation to speak of."""
    return ["--simulator", "icarus", "--preset", "small"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    layers = [Layer("conv", "conv1", 3, 8, 3, pool=True), Layer("fc", "fc1", 8 * 4 * 4, 3, relu=False)]
    path = tmp_path_factory.mktemp("tiny") / "tiny.safetensors"
    Network.random(layers, (3, 8, 8), name="tiny", seed=5).save(path)
    return path


def test_the_verilog_agrees_with_its_model_in_every_bit(folder, tiny, tmp_path, icarus):
    images = ["a.png", "grey.png", "--network", tiny, "--method", "guided", "--json", "--out", tmp_path]
    rtl = gradcore("explain", *images, *icarus, "--waves", tmp_path / "w" / "run.fst", "--clock", "50", cwd=folder)
    assert rtl.returncode == 0, rtl.stderr
    assert "compiling" in rtl.stderr or "simulating" in rtl.stderr
    simulated = json.loads(rtl.stdout)
    attributions = [np.load(item["files"]["attribution"]) for item in simulated]
    modelled = json.loads(gradcore("explain", *images, "--backend", "golden", cwd=folder).stdout)
    for item, attribution, other in zip(simulated, attributions, modelled, strict=True):
        assert (item["logits"], item["predicted"], item["target"]) == (
            other["logits"],
            other["predicted"],
            other["target"],
        )
        np.testing.assert_array_equal(attribution, np.load(other["files"]["attribution"]))
        cycles = item["cycles"]
        assert cycles["total"] == cycles["forward"] + cycles["backward"] == sum(one["cycles"] for one in cycles["layers"])
        assert [(one["layer"], one["pass"]) for one in cycles["layers"]] == [
            ("conv1", "forward"),
            ("fc1", "forward"),
            ("seed", "backward"),
            ("fc1", "backward"),
            ("conv1", "backward"),
        ]
        assert item["clock_mhz"] == 50
        assert item["latency_ms"] == pytest.approx(cycles["total"] / 50e3)
    assert (tmp_path / "w" / "run.fst").stat().st_size > 1000


def test_a_class_that_the_verilog_is_asked_for(folder, tiny, tmp_path, icarus):
    arguments = ["explain", "a.png", "--network", tiny, "--target", "2", "--json", "--out", tmp_path]
    (item,) = json.loads(gradcore(*arguments, *icarus, cwd=folder).stdout)
    attribution = np.load(item["files"]["attribution"])
    gradcore(*arguments, "--backend", "golden", cwd=folder)
    assert item["target"] == "class 2" and attribution.any()
    np.testing.assert_array_equal(attribution, np.load(item["files"]["attribution"]))


def test_bench_and_its_json(folder, tiny, icarus):
    result = gradcore(
        *("bench", "--images", "1", "--method", "saliency", "--network", tiny, *icarus, "--json"),
        *("--picture", "bench.png"),
        cwd=folder,
    )
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert (folder / "bench.png").stat().st_size > 10_000 and report["files"] == {"picture": "bench.png"}
    assert list(report["methods"]) == ["saliency"] and report["methods"]["saliency"]["cycles_total"] > 0


def test_bench_refuses_a_picture_that_it_cannot_draw(folder):
    one_line(gradcore("bench", "--picture", "bench.docx", cwd=folder), "bench.docx", "png")


def test_compile_writes_a_program_and_a_listing(folder, tmp_path):
    from gradcore import Program

    result = gradcore("compile", "net.safetensors", "--out", tmp_path / "new" / "tiny.bin", cwd=folder)
    assert result.returncode == 0, result.stderr
    program = Program.load(tmp_path / "new" / "tiny.bin")
    assert program.classes == ["ant", "bee", "cat", "cow", "dog"] and program.hardware.groups == 4
    assert (tmp_path / "new" / "tiny.bin.txt").read_text() == program.listing()
    small = json.loads(gradcore("compile", "net.safetensors", "--preset", "small", "--json", "--out", tmp_path / "s", cwd=folder).stdout)
    assert Program.load(small["files"]["program"]).hardware.groups == 1


def test_trap_compile_takes_a_base_address(folder, tmp_path):
    from gradcore import Program
    from gradcore.compiler import DEFAULT_BASE

    made = {}
    for base in ("0x1eb00000", "4096", None):
        options = [] if base is None else ["--base", base]
        result = gradcore("compile", "net.safetensors", *options, "--json", "--out", tmp_path / "p", cwd=folder)
        assert result.returncode == 0, result.stderr
        made[base] = Program.load(tmp_path / "p")
        assert json.loads(result.stdout)["base"] == made[base].base
    assert [program.base for program in made.values()] == [0x1EB0_0000, 4096, DEFAULT_BASE]
    assert np.array_equal(made[None].at(4096).image, made["4096"].image)
    one_line(gradcore("compile", "net.safetensors", "--base", "high", "--out", tmp_path / "q", cwd=folder), "high", "0x10000000")
    one_line(gradcore("compile", "net.safetensors", "--base", "0x1001", "--out", tmp_path / "q", cwd=folder), "0x1001", "4096")
    one_line(gradcore("compile", "net.safetensors", "--base", "0xfffff000", "--out", tmp_path / "q", cwd=folder), "at most")
    assert not (tmp_path / "q").exists()


def test_as_a_process(folder, tmp_path):
    command = [
        sys.executable,
        "-m",
        "gradcore",
        "explain",
        "a.png",
        "text.png",
        "--network",
        "net.safetensors",
        "--out",
        str(tmp_path),
    ]
    result = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)})
    one_line(Outcome(result.returncode, result.stdout, result.stderr), "text.png", "not a picture")


def test_a_closed_pipe_is_no_error(folder, tmp_path):
    command = f"{shlex.quote(sys.executable)} -m gradcore explain a.png --network net.safetensors --backend golden --out {tmp_path} | true"
    result = subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert "Traceback" not in result.stderr and "BrokenPipe" not in result.stderr


def test_control_c_ends_with_130(monkeypatch, capsys):
    from gradcore import cli
    from gradcore.importer import opening

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(opening, "load_network", interrupt)
    with pytest.raises(SystemExit) as caught:
        cli.app(["explain", "a.png"])
    assert caught.value.code == 130 and capsys.readouterr().err == "gradcore: interrupted\n"


def test_starting_is_quick():
    """No slow import before it is needed: the network's own work is NumPy's."""
    code = (
        "import sys; from gradcore.cli import app; import gradcore.explanation, gradcore.backends; "
        "print(sorted({'torch', 'matplotlib', 'skimage', 'pyarrow', 'scipy'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert result.stdout == "[]\n"


def test_f31_compile_overwrites_neither_its_network_nor_what_is_no_listing(folder, tmp_path):
    shutil.copy(folder / "net.safetensors", tmp_path)
    before = (tmp_path / "net.safetensors").read_bytes()
    (tmp_path / "notes.txt").write_text("my own notes")
    (tmp_path / "link").symlink_to("net.safetensors")
    for out in ("net.safetensors", "link"):
        result = gradcore("compile", "net.safetensors", "--out", out, cwd=tmp_path)
        one_line(result, "the program would overwrite the network net.safetensors", "another file with --out")
    one_line(gradcore("compile", "net.safetensors", "--out", "notes", cwd=tmp_path), "notes.txt", "another name with --out")
    for out in (".", "", "/", "/dev/null"):
        one_line(gradcore("compile", "net.safetensors", "--out", out, cwd=tmp_path), "name")
    assert (tmp_path / "net.safetensors").read_bytes() == before and (tmp_path / "notes.txt").read_text() == "my own notes"
    assert sorted(os.listdir(tmp_path)) == ["link", "net.safetensors", "notes.txt"]
    for _ in range(2):  # an old listing may be overwritten
        assert gradcore("compile", "net.safetensors", "--out", "p", cwd=tmp_path).returncode == 0


# Help ---------------------------------------------------------------------------------------------------------------------


def test_every_option_of_every_command_is_described(tmp_path):
    """With what it takes, unless it is a flag. Help shows no types; some versions of Typer show those of arguments."""
    for command in [app.registered_callback, *app.registered_commands]:
        hints = typing.get_type_hints(command.callback, include_extras=True)
        described = {name: hint.__metadata__[0] for name, hint in hints.items() if hasattr(hint, "__metadata__")}
        assert set(described) == set(inspect.signature(command.callback).parameters) - {"context"}
        for name, info in described.items():
            assert info.help and info.help[0].isupper() and info.help.endswith("."), name
            assert info.metavar or typing.get_args(hints[name])[0] is bool, name
        arguments = [] if command.callback.__name__ == "_root" else [command.name or command.callback.__name__]
        text = gradcore(*arguments, "--help", cwd=tmp_path, COLUMNS="200").stdout
        lines = [line for line in text.splitlines() if " --" in line]
        assert len(lines) >= sum(isinstance(info, typer.models.OptionInfo) for info in described.values()) and "--help" in text
        for line in lines:
            assert not re.search(r"<|bool|TEXT|PATH|INTEGER|FLOAT", line), line
    assert "Exit status" in gradcore("--help", cwd=tmp_path).stdout
