# SPDX-License-Identifier: Apache-2.0
"""Training on generated pictures: it learns, it folds exactly, it can be stopped, and it refuses what cannot work."""

from __future__ import annotations

import errno
import io
import os
import tempfile
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from gradcore import training
from gradcore.backends.pytorch import build_module, logits
from gradcore.errors import GradCoreError
from gradcore.models import network as golden
from gradcore.network import Layer, Network
from gradcore.pictures.data import DataSet
from gradcore.quantise import picture_table, quantise
from gradcore.training import TABLE_ONE, Recipe, measure_accuracy, train, train_file
from gradcore.training import recipe as recipes
from gradcore.training.coherence import Coherence, CoherenceLoss, cohere, first_hidden
from gradcore.training.formats import (
    choose_formats,
    exact_normalisation,
    renormalise,
    round_first,
    scale_channels,
    spans,
)
from gradcore.training.optimiser import KeptMuon, Muon, Schedule, orthogonalise
from gradcore.training.recipe import _Density
from gradcore.training.student import Student
from gradcore.training.views import Views, ask_teacher

SMALL = (
    Layer("conv", "conv1", 3, 8, 3, pool=True),
    Layer("conv", "conv2", 8, 8, 3, pool=True),
    Layer("fc", "fc1", 8 * 8 * 8, 16),
    Layer("fc", "fc2", 16, 3, relu=False),
)
QUICK = Recipe(
    epochs=3,
    batch=20,
    validation=30,
    views=2,
    density=(),
    teacher_epochs=2,
    teacher_batch=20,
    teacher_widths=(8, 8, 8),
    coherence=Coherence(epochs=1, batch=20, density=None),
)
CLASSES = ["across", "down", "plain"]


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def stripes(number, seed=0):
    """Noisy 32 x 32 pictures of three classes: stripes across, stripes down, neither."""
    generator = np.random.default_rng(seed)
    labels = np.arange(number) % 3
    waves = np.where(np.arange(32) // 4 % 2, 60, -60)
    shapes = np.stack([np.broadcast_to(waves[:, None], (32, 32)), np.broadcast_to(waves, (32, 32)), np.zeros((32, 32))])
    images = 128 + shapes[labels][..., None] + generator.normal(0, 20, (number, 32, 32, 3))
    return DataSet(np.clip(images, 0, 255).astype(np.uint8), labels.astype(np.int64), CLASSES)


def refused(match, action, *arguments, **named):
    with pytest.raises(GradCoreError, match=match) as caught:
        action(*arguments, **named)
    assert "\n" not in str(caught.value)


def test_it_learns_what_can_be_learnt():
    network = train(stripes(230), QUICK, layers=SMALL, name="stripes")
    assert network.name == "stripes" and network.classes == CLASSES and network.input_shape == (3, 32, 32)
    told = network.metadata["training"]
    assert told["pictures"] == 200 and told["validation_pictures"] == 30
    assert told["validation_accuracy"] > 0.9
    assert told["recipe"]["epochs"] == 3 and told["versions"]["torch"] == torch.__version__
    fresh = stripes(60, seed=1)
    assert measure_accuracy(network, fresh) > 0.9


def test_the_same_seed_gives_the_same_network():
    recipe = replace(QUICK, epochs=1, teacher_epochs=1)
    first, second = (train(stripes(100), recipe, layers=SMALL) for _ in range(2))
    other = train(stripes(100), replace(recipe, seed=1), layers=SMALL)
    for name, tensor in first.weights.items():
        np.testing.assert_array_equal(tensor, second.weights[name])
    assert not np.array_equal(first.weights["conv1.weight"], other.weights["conv1.weight"])


class Stop(Exception):
    """Raised to stop a run."""


def test_a_stopped_run_goes_on_where_it_was(tmp_path):
    def stop(text, done, total):
        if text.startswith("the network learns") and done == total - 1:
            raise Stop

    data = stripes(100)
    whole = train(data, QUICK, layers=SMALL)
    with pytest.raises(Stop):
        train(data, QUICK, layers=SMALL, work=tmp_path, progress=stop)
    seen = []
    resumed = train(data, QUICK, layers=SMALL, work=tmp_path, progress=lambda text, done, total: seen.append((text, done)))
    assert seen[0][0].startswith("the network learns") and seen[0][1] == 2 * 3 + 1  # the third epoch of three steps
    for name, tensor in whole.weights.items():
        np.testing.assert_array_equal(tensor, resumed.weights[name])
    refused("other settings or data", train, data, replace(QUICK, seed=9), layers=SMALL, work=tmp_path)
    again = []
    train(
        data,
        replace(QUICK, coherence=Coherence(epochs=2, batch=20)),
        layers=SMALL,
        work=tmp_path,
        progress=lambda text, done, total: again.append((text, done, total)),
    )
    assert {text.split(" (")[0] for text, _, _ in again} == {"the fully connected layers learn to agree"} and again[-1][1:] == (6, 6)


def test_a_teacher_of_ones_own_is_asked():
    class Parrot(torch.nn.Module):
        """Says whether the picture varies more from row to row, from column to column, or neither."""

        def forward(self, values):
            rows, columns = values.mean((1, 3)).std(1), values.mean((1, 2)).std(1)
            return 20 * torch.stack([rows, columns, torch.full_like(rows, 0.4)], 1)

    data = replace(stripes(230), labels=np.zeros(230, np.int64))  # the labels say nothing
    network = train(data, replace(QUICK, label_share=0.0), layers=SMALL, teacher=Parrot())
    fresh = stripes(60, seed=1)
    assert measure_accuracy(network, fresh) > 0.9


@pytest.mark.parametrize("layers", [TABLE_ONE, SMALL])
def test_folding_does_not_change_the_function(layers):
    torch.manual_seed(0)
    student = Student(layers)
    for norm in student.norms:
        for tensor in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
            tensor.copy_(torch.rand_like(tensor) + 0.3)
    classes = [str(index) for index in range(layers[-1].out_channels)]
    network = Network("folded", list(layers), student.fold(), classes, (3, 32, 32), (0.0,) * 3, (1.0,) * 3)
    values = torch.randn(4, 3, 32, 32)
    with torch.inference_mode():
        np.testing.assert_allclose(build_module(network)(values), student.eval()(values), rtol=1e-4, atol=1e-4)


def test_views_shift_reflect_and_mirror():
    image = np.random.default_rng(0).integers(0, 256, (1, 5, 6, 3)).astype(np.uint8)
    views = Views(image, 1, np.zeros(3), np.ones(3))
    assert views.count == 18
    padded = np.pad(image[0], ((1, 1), (1, 1), (0, 0)), mode="reflect")
    batch = (views.batch(np.zeros(18, int), np.arange(18)).float() * 255).permute(0, 2, 3, 1).numpy()
    for view in range(18):
        down, across = divmod(view // 2, 3)
        expected = padded[down : down + 5, across : across + 6]
        np.testing.assert_allclose(batch[view], expected[:, ::-1] if view % 2 else expected, atol=1)  # bfloat16
    np.testing.assert_allclose(batch[views.plain], image[0], atol=1)


def test_a_teacher_labels_different_views_of_each_picture():
    views = Views(stripes(7).images, 1, np.zeros(3), np.ones(3))
    asked, said = ask_teacher(torch.nn.Flatten(), views, 18, np.random.default_rng(0), lambda done: None)
    assert all(sorted(row) == list(range(18)) for row in asked)
    expected = views.batch(np.full(18, 5), asked[5].astype(int)).flatten(1)
    np.testing.assert_allclose(said[5], expected.float(), atol=1e-3)


def test_muon_makes_orthogonal_steps_and_keeps_norms():
    matrix = torch.randn(8, 20)
    values = torch.linalg.svdvals(orthogonalise(matrix, steps=6).float())
    assert values.min() > 0.6 and values.max() < 1.3
    weight = torch.nn.Parameter(torch.randn(8, 4, 3, 3) * 5)
    weight.grad = torch.zeros_like(weight)
    Muon([weight], lr=0.1).step()
    assert weight.norm().item() == pytest.approx(8**0.5, rel=1e-5)


def test_the_schedule_rises_and_falls():
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([weight], lr=2.0)
    schedule, rates = Schedule([optimiser], steps=10, warmup=2), []
    for _ in range(10):
        weight.grad = torch.ones(1)
        schedule.step()
        rates.append(optimiser.param_groups[0]["lr"])
    assert rates == pytest.approx([1, 1.8, 1.6, 1.4, 1.2, 1, 0.8, 0.6, 0.4, 0.2])
    assert weight.grad is None


def test_the_density_push_grows_with_the_excess_and_ends_at_the_target():
    torch.manual_seed(0)
    student = Student(SMALL)
    batch = torch.randn(16, 3, 32, 32, dtype=torch.bfloat16)
    for targets, pushes in (((0.0, 0.0, 0.0), True), ((1.0, 1.0, 1.0), False)):
        for norm in student.norms:
            norm.bias.grad = torch.zeros_like(norm.bias)
        density = _Density(student, replace(QUICK, density=targets))
        density.measure(batch)
        density.push()
        assert all(bool((norm.bias.grad > 0).any()) is pushes for norm in student.norms)
    assert student.training


TEN = ["across", "down", "plain", "cat", "dog", "eel", "fox", "gnu", "hen", "ibex"]


def write(file, data, classes=TEN):
    encoded = []
    for image in data.images:
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "PNG")
        encoded.append(stream.getvalue())
    table = pa.table({"image": encoded, "label": data.labels})
    pq.write_table(table.replace_schema_metadata({"classes": ",".join(classes)} if classes else None), file)
    return file


def test_training_on_files(tmp_path):
    write(tmp_path / "train.parquet", stripes(120))
    write(tmp_path / "test.parquet", stripes(15, seed=1))
    recipe = replace(QUICK, epochs=1, teacher_epochs=1)
    out = tmp_path / "made" / "n.safetensors"
    network = train_file(tmp_path / "train.parquet", out, recipe=recipe, limit=90, threads=1, test=tmp_path / "test.parquet")
    loaded = Network.load(out)
    assert loaded.metadata["training"] == network.metadata["training"] | {"recipe": loaded.metadata["training"]["recipe"]}
    assert loaded.metadata["training"]["command"] == "gradcore train --data train.parquet --out n.safetensors"
    assert loaded.metadata["training"]["test_pictures"] == 15
    assert loaded.macs == 25_003_264
    images = stripes(5, seed=2).images
    np.testing.assert_allclose(logits(loaded, images), logits(network, images), rtol=1e-6)


def test_what_cannot_work_is_refused_before_the_work(tmp_path):
    data = stripes(60)
    refused("1 or more", train, data, replace(QUICK, epochs=0), layers=SMALL)
    refused("for validation must be 1 or more", train, data, replace(QUICK, validation=0), layers=SMALL)
    refused("50 views, not 51", train, data, replace(QUICK, views=51), layers=SMALL)
    refused("2 density targets for 3 hidden layers", train, data, replace(QUICK, density=(0.5, 0.5)), layers=SMALL)
    for batch in (1, 31):
        refused(f"takes {batch} pictures a step", train, data, replace(QUICK, coherence=Coherence(batch=batch)), layers=SMALL)
    refused("do not fill one batch", train, data, replace(QUICK, validation=50), layers=SMALL)
    refused("3 outputs but the pictures have 2 classes", train, replace(data, classes=["a", "b"]), QUICK, layers=SMALL)
    refused("is a folder", train_file, "data.parquet", tmp_path)
    (tmp_path / "file").touch()
    refused("cannot be written", train_file, "data.parquet", tmp_path / "file" / "n.safetensors")
    for threads in (0, 10**12):
        refused(f"{threads} threads", train_file, "data.parquet", tmp_path / "n.safetensors", threads=threads)
    refused("no such file", train_file, tmp_path / "none.parquet", tmp_path / "n.safetensors")
    assert not (tmp_path / "n.safetensors").exists()


@pytest.fixture
def begins(monkeypatch):
    """Training that only says that it would begin."""

    def begin(self, teacher):
        raise AssertionError("the training began")

    monkeypatch.setattr(recipes._Run, "lessons", begin)


@pytest.fixture
def trained(monkeypatch):
    """Training that takes no time: a random network that says "down" to everything."""

    def train(pictures, recipe, *, work, progress):
        made = Network.random(TABLE_ONE, (3, 32, 32))
        made.weights[f"{TABLE_ONE[-1].name}.bias"][1] = 1000
        return Network("cifar10", made.layers, made.weights, pictures.classes, made.input_shape, made.mean, made.std, {"training": {}})

    monkeypatch.setattr(training, "train", train)


FEW = replace(QUICK, epochs=1, teacher_epochs=1)


def beyond(data):
    """With one label that the ten classes do not have."""
    labels = data.labels.copy()
    labels[3] = 12
    return replace(data, labels=labels)


def small(data):
    return replace(data, images=data.images[:, :24])


@pytest.mark.parametrize(
    ("change", "classes", "words"),
    [
        (small, TEN, "test.parquet have 24 x 32 pixels .*train.parquet 32 x 32"),
        (beyond, None, "test.parquet: row 3 has the label 12, but .*train.parquet has 10 classes"),
        (beyond, TEN, "row 3 has the label 12, but there are 10 classes"),
        (lambda data: data, ["across", "up", "flat"], "train.parquet does not know up, flat, which .*test.parquet has pictures of"),
    ],
)
def test_f03_the_test_file_is_checked_before_the_training(tmp_path, begins, change, classes, words):
    data = write(tmp_path / "train.parquet", stripes(120))
    test = write(tmp_path / "test.parquet", change(stripes(15)), classes)
    refused(words, train_file, data, tmp_path / "n.safetensors", recipe=FEW, test=test)


def test_f03_everything_else_is_checked_before_the_training(tmp_path, begins):
    data, out = write(tmp_path / "train.parquet", stripes(120)), tmp_path / "n.safetensors"
    other = write(tmp_path / "other.parquet", stripes(120, seed=1))
    refused("no such file", train_file, data, out, recipe=FEW, test=tmp_path / "none.parquet")
    refused("the network would overwrite the training file", train_file, data, data, recipe=FEW)
    refused("the network would overwrite the test file", train_file, data, other, recipe=FEW, test=other)
    refused("cannot be written", train_file, data, data / "n.safetensors", recipe=FEW)
    refused("train.parquet/run.txt", train_file, data, out, recipe=FEW, work=data)
    refused("cannot both be", train_file, data, out, recipe=FEW, work=out)
    refused("would be the same file", train_file, data, tmp_path / "work" / "student.pt", recipe=FEW, work=tmp_path / "work")
    rare = stripes(120)
    rare.labels[rare.labels == 1] = 0
    rare.labels[:4] = 1
    for name, wrong, words in (
        ("rare", rare, "there are 4 pictures of the class down, and 10 of each class are held out"),
        ("small", small(stripes(120)), "have 24 x 32 pixels .* which the network does not take"),
    ):
        refused(words, train_file, write(tmp_path / f"{name}.parquet", wrong), out, recipe=FEW)
    with pytest.raises(AssertionError, match="began"):
        train_file(data, out, recipe=FEW, test=other, work=tmp_path / "work")
    with pytest.raises(AssertionError, match="began"):  # nothing was learnt yet
        train_file(other, out, recipe=FEW, work=tmp_path / "work")
    (tmp_path / "work" / "teacher.pt").touch()
    refused("holds a run with other settings or data", train_file, data, out, recipe=FEW, work=tmp_path / "work")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "run.txt").write_text("what I ran")
    refused("holds a run with other settings or data", train_file, data, out, recipe=FEW, work=tmp_path / "notes")
    assert (tmp_path / "notes" / "run.txt").read_text() == "what I ran"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "teacher.pt").write_bytes(b"of somebody else")
    refused("holds teacher.pt of something else", train_file, data, out, recipe=FEW, work=tmp_path / "mine")
    assert (tmp_path / "mine" / "teacher.pt").read_bytes() == b"of somebody else" and not out.exists()


def test_f03_what_could_not_be_a_network_is_refused_before_the_training(begins):
    refused("both called 'across'", train, replace(stripes(60), classes=["across", "down", "across"]), QUICK, layers=SMALL)
    refused("picture 1 has the label 3", train, replace(stripes(60), labels=np.arange(60) % 2 * 3), QUICK, layers=SMALL)
    for value in (0, 77, 255):
        refused("nothing to learn", train, replace(stripes(60), images=np.full((60, 32, 32, 3), value, np.uint8)), QUICK, layers=SMALL)


@pytest.mark.parametrize("error", [RuntimeError("broken"), MemoryError(), GradCoreError("refused: do this"), KeyboardInterrupt()])
def test_f03_the_network_is_written_before_it_is_measured(tmp_path, monkeypatch, trained, error):
    def fail(network, data):
        raise error

    monkeypatch.setattr(training, "measure_accuracy", fail)
    data, out = write(tmp_path / "train.parquet", stripes(120)), tmp_path / "made" / "n.safetensors"
    if isinstance(error, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt):
            train_file(data, out, recipe=FEW, test=data)
    else:
        refused(f"the network is trained and written to {out}, but it was not measured", train_file, data, out, recipe=FEW, test=data)
    assert Network.load(out).metadata["training"]["command"].startswith("gradcore train")


def test_f03_a_network_that_finds_no_place_is_written_elsewhere(tmp_path, monkeypatch, trained):
    made = training.train

    def train_while_the_folder_goes(*arguments, **named):
        (tmp_path / "made").touch()  # a file, where the folder was to be
        return made(*arguments, **named)

    monkeypatch.setattr(training, "train", train_while_the_folder_goes)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    data = write(tmp_path / "train.parquet", stripes(120))
    refused(
        "cannot be written .* the trained network is in .*/network.safetensors: move it",
        train_file,
        data,
        tmp_path / "made" / "n.safetensors",
        recipe=FEW,
    )
    (spare,) = tmp_path.glob("gradcore-*/network.safetensors")
    assert Network.load(spare).macs == 25_003_264


def test_f05_the_test_file_may_number_the_classes_otherwise(tmp_path, trained):
    said, measured = [], []
    data = write(tmp_path / "train.parquet", stripes(120))
    shuffled = [TEN[number] for number in (2, 0, 1)]
    for number, (labels, classes) in enumerate(((stripes(30).labels, TEN), ((stripes(30).labels + 1) % 3, shuffled))):
        test = write(tmp_path / f"{number}.parquet", replace(stripes(30), labels=labels), classes)
        network = train_file(data, tmp_path / "n.safetensors", recipe=FEW, test=test, note=said.append)
        measured.append(network.metadata["training"]["test_accuracy"])
    assert measured == [pytest.approx(1 / 3)] * 2
    assert f"{test} and {data} number their classes differently: they were matched by name" in said
    assert f"{data}: no picture is of the class cat, dog, eel, fox, gnu, hen, ibex: it cannot be learnt" in said


def test_f31_too_few_pictures_name_what_there_is(tmp_path):
    """No option sets a batch or the validation: the message names Python's Recipe, and what it names is there."""
    data = write(tmp_path / "train.parquet", stripes(120))
    with pytest.raises(GradCoreError, match="give 3000 or more, or, from Python, a Recipe with a smaller (.*)") as caught:
        train_file(data, tmp_path / "n.safetensors")
    assert "--" not in str(caught.value)
    settings = str(caught.value).split("a smaller ")[1].replace(" or ", ", ").split(", ")
    assert settings == ["batch", "teacher_batch", "validation"] and all(hasattr(Recipe(), name) for name in settings)


def test_intermediate_results_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    def full(source, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    work = recipes._Work(tmp_path, FEW, SMALL, stripes(9))
    work.save("student", {"epochs": 1})
    monkeypatch.setattr(os, "replace", full)
    refused("student.pt cannot be written .*No space left", work.save, "student", {"epochs": 2})
    assert work.load("student") == {"epochs": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.txt", "student.pt"]
    (tmp_path / "student.pt").write_bytes(b"half of it")
    refused("student.pt is damaged .*: delete it", work.load, "student")


SMALL_SHAPE = (3, 32, 32)


def random_network(seed=0):
    """SMALL with random weights, on the normalisation that 16 bits hold exactly."""
    network = Network.random(SMALL, SMALL_SHAPE, seed=seed)
    mean, std = exact_normalisation(np.array([0.49, 0.48, 0.447]), np.array([0.245, 0.243, 0.261]))
    renormalise(network, mean, std)
    return network


def test_the_normalisation_is_exact_in_16_bits():
    mean, std = exact_normalisation(np.array([0.4913, 0.4821, 0.4465]), np.array([0.2452, 0.2428, 0.2606]))
    np.testing.assert_allclose(mean * 255, [125, 123, 114])
    np.testing.assert_allclose(std * 255, [64, 64, 64])
    table = picture_table(tuple(mean), tuple(std), 13) / 2.0**13
    np.testing.assert_array_equal(table, (np.arange(256)[:, None] - [125, 123, 114]) / 64)


def test_another_normalisation_gives_the_same_function_inside():
    network = Network.random(SMALL[:1], SMALL_SHAPE, seed=1)
    images = stripes(3).images
    before = build_module(network)[0](torch.from_numpy(network.normalise(images)))
    renormalise(network, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
    after = build_module(network)[0](torch.from_numpy(network.normalise(images)))
    np.testing.assert_allclose(after[:, :, 1:-1, 1:-1].detach(), before[:, :, 1:-1, 1:-1].detach(), atol=1e-5)


@pytest.mark.parametrize("position", range(3))
def test_scaling_channels_keeps_the_logits(position):
    network, images = random_network(), stripes(4).images
    before, highest = logits(network, images), spans(network, images)
    factors = np.random.default_rng(0).uniform(0.1, 10, SMALL[position].out_channels)
    scale_channels(network, position, factors)
    np.testing.assert_allclose(logits(network, images), before, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(spans(network, images)[position], highest[position] * factors, rtol=1e-5)


def test_formats_fill_the_range_and_the_first_layer_rounds_nothing():
    network, images = random_network(), stripes(40).images
    before = logits(network, images)
    choose_formats(network, images)
    np.testing.assert_allclose(logits(network, images), before, atol=0.02 * np.abs(before).max())
    quantised = quantise(network)
    assert not quantised.notes
    forward = golden.forward(quantised, quantised.quantise_image(images))
    for trace in forward.layers[:-1]:  # the highest value is 1 / HEADROOM of the range, but for channels that are hardly ever active
        highest = trace.full.reshape(-1, trace.full.shape[-1]).max(axis=0)
        assert highest.max() < 30500 and np.mean(highest[highest > 0] > 27000) > 0.8
    exact = build_module(network).double()[0](torch.from_numpy(network.normalise(images)).double()).clamp(min=0)
    np.testing.assert_allclose(forward.layers[0].full.transpose(0, 3, 1, 2) * 2.0**-15, exact.detach(), atol=1e-6)


def test_a_first_layer_on_pictures_that_are_not_exact_stays_as_it_is():
    network = Network.random(SMALL, SMALL_SHAPE, seed=0)
    network.mean = (0.4913, 0.4821, 0.4465)
    before = network.weights["conv1.weight"].copy()
    round_first(network)
    np.testing.assert_array_equal(network.weights["conv1.weight"], before)


def test_a_kept_norm():
    weight = torch.nn.Parameter(torch.randn(8, 20) * 3)
    norm, before = weight.norm().item(), weight.detach().clone()
    optimiser = KeptMuon([weight], lr=0.1)
    for _ in range(3):
        weight.grad = torch.randn(8, 20)
        optimiser.step()
    assert weight.norm().item() == pytest.approx(norm, rel=1e-5) and not torch.equal(weight, before)


def test_the_last_stage_keeps_the_function_and_makes_contributions_agree():
    def loss(scores, taught, labels):
        return (scores - taught).square().mean()

    data, start = stripes(60), random_network()
    views = Views(data.images, 0, np.asarray(start.mean), np.asarray(start.std))
    said = logits(start, data.images)
    lessons = np.full((60, 1), views.plain), said[:, None]
    common = Coherence(epochs=10, batch=20, matrix_rate=0.02, density=None)
    front = build_module(start)[:6]
    entering = front(torch.from_numpy(start.normalise(data.images))).flatten(1)
    left = {}
    for name, settings in (
        ("before", replace(common, epochs=0)),
        ("task alone", replace(common, turn_weight=0, spread_weight=0)),
        ("all", common),
    ):
        network = Network(start.name, start.layers, dict(start.weights), start.classes, start.input_shape, start.mean, start.std)
        cohere(network, views, lessons, data.labels, settings, loss=loss)
        for tensor in (name for name in start.weights if name.startswith("conv")):
            np.testing.assert_array_equal(network.weights[tensor], start.weights[tensor])
        linears = [part for part in build_module(network) if isinstance(part, torch.nn.Linear)]
        before = [linears[0](entering)]
        before.append(linears[1](before[0].relu()))
        left[name] = float(CoherenceLoss(linears, common, rectified=True).gradient_loss(entering, before, "saliency").detach())
        error = np.abs(logits(network, data.images) - said).mean() / said.std()
        assert error < (0.2 if name == "all" else 0.05), (name, error)
    assert left["task alone"] > 0.8 * left["before"] and left["all"] < 0.5 * left["before"]


def test_a_network_without_hidden_fully_connected_layers_has_no_last_stage():
    layers = (*SMALL[:2], Layer("fc", "fc", 8 * 8 * 8, 3, relu=False))
    assert first_hidden(SMALL) == 2 and first_hidden(layers) is None
    assert first_hidden((*SMALL[:2], replace(SMALL[2], relu=False), SMALL[3])) is None
    told = []
    train(stripes(60), replace(QUICK, epochs=1, teacher_epochs=1), layers=layers, progress=lambda text, done, total: told.append(text))
    assert told and not any("agree" in text for text in told)
