# SPDX-License-Identifier: Apache-2.0
"""The command line as a user meets it: its two streams, its exit status, its files."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
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
    assert lines and lines[-1].startswith("gradcore: ") and sum(line.startswith("gradcore: ") for line in lines) == 1, (
        result.stderr
    )
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
    return gradcore(
        "explain", *arguments, "--network", folder / "net.safetensors", "--backend", "golden", cwd=folder, **environment
    )


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
    layers = [
        Layer("conv", "wide", 3, 2000, 5, pool=True),
        Layer("conv", "wider", 2000, 4, 5),
        Layer("fc", "fc1", 4 * 2 * 2, 2, relu=False),
    ]
    Network.random(layers, (3, 4, 4)).save(tmp_path / "net.safetensors")
    one_line(gradcore("compile", tmp_path / "net.safetensors", "--out", tmp_path / "p", cwd=folder), "wide")


@pytest.mark.parametrize("command", ["eval", "train", "bench"])
def test_bad_data_files(folder, tmp_path, command):
    pytest.importorskip("torch")
    out = ["--out", tmp_path / "net"] if command == "train" else []
    for data, words in (("none.parquet", "no such file"), ("a.png", "not a Parquet file"), ("other", "is a folder")):
        one_line(gradcore(command, "--data", data, *out, cwd=folder), data, words)


def test_training_refuses_a_place_that_cannot_be_written(folder):
    pytest.importorskip("torch")
    one_line(
        gradcore("train", "--data", "d.parquet", "--out", "a.png/net", cwd=folder), "a.png/net", "cannot be written"
    )


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
        assert (
            cycles["total"] == cycles["forward"] + cycles["backward"] == sum(one["cycles"] for one in cycles["layers"])
        )
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
    for target in (0, 2):
        arguments = ["explain", "a.png", "--network", tiny, "--target", str(target), "--json", "--out", tmp_path]
        (item,) = json.loads(gradcore(*arguments, *icarus, cwd=folder).stdout)
        attribution = np.load(item["files"]["attribution"])
        gradcore(*arguments, "--backend", "golden", cwd=folder)
        assert item["target"] == f"class {target}" and attribution.any()
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
    small = json.loads(
        gradcore(
            "compile", "net.safetensors", "--preset", "small", "--json", "--out", tmp_path / "s", cwd=folder
        ).stdout
    )
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
    result = subprocess.run(
        command, capture_output=True, text=True, cwd=folder, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    one_line(Outcome(result.returncode, result.stdout, result.stderr), "text.png", "not a picture")


def test_a_closed_pipe_is_no_error(folder, tmp_path):
    command = (
        f"{sys.executable} -m gradcore explain a.png --network net.safetensors --backend golden --out {tmp_path} | true"
    )
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
    from gradcore import backends, cli

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(backends, "load_network", interrupt)
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
    for out in (".", "", "/"):
        one_line(gradcore("compile", "net.safetensors", "--out", out, cwd=tmp_path), "name")
    assert (tmp_path / "net.safetensors").read_bytes() == before and (tmp_path / "notes.txt").read_text() == "my own notes"
    assert sorted(os.listdir(tmp_path)) == ["link", "net.safetensors", "notes.txt"]
    for _ in range(2):  # an old listing may be overwritten
        assert gradcore("compile", "net.safetensors", "--out", "p", cwd=tmp_path).returncode == 0


# Streams -----------------------------------------------------------------------------------------------------------------


def process(command: str, folder: Path, **environment: str) -> Outcome:
    """Run a line of bash in which GRADCORE is the command; streams that are not UTF-8 show what they hold escaped."""
    done = subprocess.run(
        ["bash", "-c", command.replace("GRADCORE", f"{sys.executable} -m gradcore")],
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
    for command in (f"{GOLDEN} {tmp_path} a.png", f"{GOLDEN} {tmp_path} --json a.png", "GRADCORE --version"):
        result = process(f"{command} {closed}", folder)
        one_line(result, "standard output", "No space left" if "full" in closed else "Bad file descriptor")
    assert sorted(os.listdir(tmp_path / "a")) == ["attribution.npy", "heatmap.png", "overlay.png", "result.json"]
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

    from gradcore.progress import ProgressDisplay

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
    from gradcore.cli import _print_json

    _print_json({"a": [1.5, float("nan")], "b": {"c": np.float32("inf"), "d": np.int64(3), "e": np.arange(2)}})
    out, err = capsys.readouterr()
    assert json.loads(out) == {"a": [1.5, None], "b": {"c": None, "d": 3, "e": [0, 1]}}
    assert err == "a[1], b.c: no finite numbers, null in the JSON\n"


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
    from gradcore import GradCoreError, heatmap

    right = heatmap.draw_heatmap

    def draw(attribution, path, **words):
        if path.parent.name == "a":
            raise GradCoreError("the disk is full: make room")
        right(attribution, path, **words)

    monkeypatch.setattr(heatmap, "draw_heatmap", draw)
    result = explain(folder, "a.png", "grey.png", "--out", tmp_path, *options)
    one_line(Outcome(result.returncode, "", result.stderr), "the disk is full")
    assert sorted(os.listdir(tmp_path / "a")) == ["attribution.npy", "result.json"] and len(os.listdir(tmp_path / "grey")) == 4
    stored = json.loads((tmp_path / "a" / "result.json").read_text())
    assert set(stored["files"]) == {"attribution", "result"}
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
    assert only.is_dir() and len(os.listdir(only)) == 4 and [path.name for path in out.parent.iterdir()] == ["below"]
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
    assert first.items() < both.items() and len(both) == 8
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
        assert stored["verilog"] == "not run" and stored["cycles"] is None and len(os.listdir(tmp_path / "a")) == 4
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


@pytest.mark.parametrize(("what", "words"), [("logits", "1 of 3 scores"), ("attribution", "1 of 192 values of the attribution"),
                                             ("target", "class 9 was explained")])  # fmt: skip
def test_a_difference_of_one_bit_is_an_error(folder, tiny, tmp_path, icarus, monkeypatch, what, words):
    from gradcore.backends import GoldenBackend
    from gradcore.rtl_backend import RtlBackend

    def simulate(self, pictures, methods, target=None, progress=None):
        runs = GoldenBackend(Network.load(tiny)).run(pictures, methods, target)
        (run,) = runs[methods[0]]
        if what == "target":
            return {methods[0]: [dataclasses.replace(run, target=9)]}
        getattr(run, what).flat[-1] += 2.0**-6
        return runs

    monkeypatch.setattr(RtlBackend, "run", simulate)
    result = gradcore("explain", "a.png", "--network", tiny, *icarus, "--out", tmp_path, cwd=folder)
    one_line(Outcome(result.returncode, "", result.stderr), "a.png: the Verilog differs from its model", words, "report it")
    assert json.loads((tmp_path / "a" / "result.json").read_text())["verilog"] == "not run" and "verilog:" not in result.stdout


# Help ---------------------------------------------------------------------------------------------------------------------


def test_every_option_of_every_command_is_described(tmp_path):
    import typer

    group = typer.main.get_command(app)
    for name, command in [("", group), *group.commands.items()]:
        assert command.help, name
        text = gradcore(*filter(None, [name, "--help"]), cwd=tmp_path, COLUMNS="200").stdout
        assert "<" not in text and "bool" not in text.lower() and "TEXT" not in text, text
        context = command.make_context(name, [], resilient_parsing=True)
        for param in command.get_params(context):
            assert getattr(param, "help", None), (name, param.name)
            assert param.help[0].isupper() and param.help.endswith("."), (name, param.name, param.help)
            assert getattr(param, "is_flag", False) or param.metavar, (name, param.name)
            for one in param.opts:
                assert one in text or param.metavar in text
    assert "Exit status" in gradcore("--help", cwd=tmp_path).stdout
