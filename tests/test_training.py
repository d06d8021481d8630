# SPDX-License-Identifier: Apache-2.0
"""Training on generated pictures: it learns, it folds exactly, it can be stopped, and it refuses what cannot work."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from gradcore.data import DataSet  # noqa: E402 (PyTorch may be missing)
from gradcore.errors import GradCoreError  # noqa: E402
from gradcore.float_backend import build_module, logits  # noqa: E402
from gradcore.network import Layer, Network  # noqa: E402
from gradcore.training import TABLE_ONE, Recipe, measure_accuracy, train, train_file  # noqa: E402
from gradcore.training.optimiser import Muon, Schedule, orthogonalise  # noqa: E402
from gradcore.training.recipe import _Density  # noqa: E402
from gradcore.training.student import Student  # noqa: E402
from gradcore.training.views import Views, ask_teacher  # noqa: E402

SMALL = (Layer("conv", "conv1", 3, 8, 3, pool=True), Layer("conv", "conv2", 8, 8, 3, pool=True),
         Layer("fc", "fc1", 8 * 8 * 8, 16), Layer("fc", "fc2", 16, 3, relu=False))
QUICK = Recipe(epochs=3, batch=20, validation=30, views=2, density=(), teacher_epochs=2, teacher_batch=20,
               teacher_widths=(8, 8, 8))
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


def test_training_on_files(tmp_path):
    def write(file, data):
        encoded = []
        for image in data.images:
            stream = io.BytesIO()
            Image.fromarray(image).save(stream, "PNG")
            encoded.append(stream.getvalue())
        table = pa.table({"image": encoded, "label": data.labels})
        pq.write_table(table.replace_schema_metadata({"classes": ",".join(map(str, range(10)))}), file)

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
    refused("do not fill one batch", train, data, replace(QUICK, validation=50), layers=SMALL)
    refused("3 outputs but the pictures have 2 classes", train, replace(data, classes=["a", "b"]), QUICK, layers=SMALL)
    refused("is a folder", train_file, "data.parquet", tmp_path)
    (tmp_path / "file").touch()
    refused("cannot be written", train_file, "data.parquet", tmp_path / "file" / "n.safetensors")
    refused("0 threads", train_file, "data.parquet", tmp_path / "n.safetensors", threads=0)
    refused("no such file", train_file, tmp_path / "none.parquet", tmp_path / "n.safetensors")
    assert not (tmp_path / "n.safetensors").exists()
