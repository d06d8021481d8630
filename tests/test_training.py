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
from gradcore.float_backend import attribution, build_module, logits  # noqa: E402
from gradcore.models import network as golden  # noqa: E402
from gradcore.network import Layer, Network  # noqa: E402
from gradcore.quantise import picture_table, quantise  # noqa: E402
from gradcore.training import TABLE_ONE, Recipe, measure_accuracy, train, train_file  # noqa: E402
from gradcore.training.formats import (  # noqa: E402
    choose_formats,
    exact_normalisation,
    renormalise,
    round_first,
    scale_channels,
    spans,
)
from gradcore.training.optimiser import Muon, Schedule, orthogonalise  # noqa: E402
from gradcore.training.recipe import _Density  # noqa: E402
from gradcore.training.settle import Folded, KeptMuon, MarginLoss, Margins, second, settle  # noqa: E402
from gradcore.training.student import Student  # noqa: E402
from gradcore.training.views import Views, ask_teacher  # noqa: E402

SMALL = (Layer("conv", "conv1", 3, 8, 3, pool=True), Layer("conv", "conv2", 8, 8, 3, pool=True),
         Layer("fc", "fc1", 8 * 8 * 8, 16), Layer("fc", "fc2", 16, 3, relu=False))
QUICK = Recipe(epochs=3, batch=20, validation=30, views=2, density=(), teacher_epochs=2, teacher_batch=20,
               teacher_widths=(8, 8, 8), margins=Margins(steps=6, batch=20, pictures=10, density=()))
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
    train(data, replace(QUICK, margins=Margins(steps=2, batch=20, pictures=10, density=())), layers=SMALL, work=tmp_path,
          progress=lambda text, done, total: again.append((text, done, total)))
    assert {text.split(" (")[0] for text, _, _ in again} == {"the network settles"} and again[-1][1:] == (2, 2)


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
    refused("correct the recipe's margins", train, data, replace(QUICK, margins=Margins(batch=50, density=())), layers=SMALL)
    refused("3 density targets in the margins for 2", train, data, replace(QUICK, margins=Margins(batch=20)), layers=SMALL)
    refused("do not fill one batch", train, data, replace(QUICK, validation=50), layers=SMALL)
    refused("3 outputs but the pictures have 2 classes", train, replace(data, classes=["a", "b"]), QUICK, layers=SMALL)
    refused("is a folder", train_file, "data.parquet", tmp_path)
    (tmp_path / "file").touch()
    refused("cannot be written", train_file, "data.parquet", tmp_path / "file" / "n.safetensors")
    refused("0 threads", train_file, "data.parquet", tmp_path / "n.safetensors", threads=0)
    refused("no such file", train_file, tmp_path / "none.parquet", tmp_path / "n.safetensors")
    assert not (tmp_path / "n.safetensors").exists()


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
    before, highest = logits(network, images), spans(network, images)[0]
    factors = np.random.default_rng(0).uniform(0.1, 10, SMALL[position].out_channels)
    scale_channels(network, position, factors)
    np.testing.assert_allclose(logits(network, images), before, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(spans(network, images)[0][position], highest[position] * factors, rtol=1e-5)


def test_formats_fill_the_range_and_the_first_layer_rounds_nothing():
    network, images = random_network(), stripes(40).images
    before = logits(network, images)
    choose_formats(network, images)
    np.testing.assert_allclose(logits(network, images), before, atol=0.02 * np.abs(before).max())
    quantised = quantise(network)
    assert not quantised.notes
    forward = golden.forward(quantised, quantised.quantise_image(images))
    for trace in forward.layers[:-1]:  # the highest value is 1 / 1.125 of the range, but for channels that are hardly ever active
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


def test_the_largest_two_of_each_window():
    values = torch.randn(3, 4, 6, 8)
    windows = values.unfold(2, 2, 2).unfold(3, 2, 2).flatten(-2).sort(-1, descending=True).values
    largest, following = second(values)
    assert torch.equal(largest, windows[..., 0]) and torch.equal(following, windows[..., 1])


@pytest.mark.parametrize("method", ["saliency", "deconvnet", "guided"])
def test_energies_are_shares_of_the_gradient(method):
    network, images = random_network(), stripes(6).images
    folded = Folded(network)
    before = folded(torch.from_numpy(network.normalise(images)))
    measured = MarginLoss(folded.layers, folded.linears, Margins(density=()))
    energies = measured._energies([values.detach() for values in before], method)
    gradient = attribution(network, images, method)  # of the picture: what the shares are of ends there
    assert gradient.any()
    for layer, values, energy in zip(SMALL, before, energies, strict=False):
        height = second(values)[0] if layer.pool else values
        passed = energy if method == "deconvnet" else energy * (height > 0)
        np.testing.assert_allclose(passed.flatten(1).sum(1).detach(), np.ones(6), atol=0.02)  # bfloat16


@pytest.mark.parametrize("method", ["saliency", "deconvnet", "guided"])
def test_margins_push_what_is_near_away(method):
    """A loss only where something is nearer than the distance; a step against its gradient makes it smaller."""
    network, images = random_network(), stripes(6).images
    folded = Folded(network)
    before = [one.detach().requires_grad_() for one in folded(torch.from_numpy(network.normalise(images)))]
    settings = Margins(share=1e-4, peak=1e9, spread_weight=0, density=())
    near = MarginLoss(folded.layers, folded.linears, settings)
    loss = near(before, method)
    loss.backward()
    parts = dict(near.parts)
    assert parts["conv2 pool"] > 0 and (parts.get("fc1 zero", 0) > 0) is (method != "deconvnet")
    moved = [one if one.grad is None else one - 0.02 * one.std() * one.grad.sign() for one in before]
    assert float(near(moved, method).detach()) < 0.9 * float(loss.detach())
    far = MarginLoss(folded.layers, folded.linears, replace(settings, distance=1e-9, fc_distance=1e-9))
    assert float(far(before, method).detach()) == 0


def test_peaks_and_shares_are_held():
    network, images = random_network(), stripes(12).images
    folded = Folded(network)
    before = folded(torch.from_numpy(network.normalise(images)))
    settings = Margins(weight=0, fc_weight=0, spread_weight=0, peak=1e9, density=(0.0, 0.0, 0.0))
    for density, sign in (((0.0,) * 3, 1), ((1.0,) * 3, -1)):
        folded.zero_grad()
        MarginLoss(folded.layers, folded.linears, replace(settings, density=density))(before, "saliency").backward(retain_graph=True)
        assert all(bool((linear.bias.grad * sign >= 0).all() and linear.bias.grad.any()) for linear in folded.linears[:-1])
    quiet, loud = (MarginLoss(folded.layers, folded.linears, replace(settings, density=(), peak=peak)) for peak in (1e3, 0.5))
    assert float(quiet(before, "saliency").detach()) == 0 < float(loud(before, "saliency").detach())


def test_a_kept_norm():
    weight = torch.nn.Parameter(torch.randn(8, 20) * 3)
    norm, before = weight.norm().item(), weight.detach().clone()
    optimiser = KeptMuon([weight], lr=0.1)
    for _ in range(3):
        weight.grad = torch.randn(8, 20)
        optimiser.step()
    assert weight.norm().item() == pytest.approx(norm, rel=1e-5) and not torch.equal(weight, before)


def test_settling_keeps_the_function_and_spreads_the_gradient():
    """Without losses of its own the last stage changes little; with them less energy lies in single units."""
    def loss(scores, taught, labels):
        return (scores - taught).square().mean()

    data = stripes(60)
    start = random_network()
    for margins, less in ((Margins(steps=30, weight=0, fc_weight=0, spread_weight=0, peak_weight=0, density=()), False),
                          (Margins(steps=30, kept=0.0, share=0.01, spread_weight=20, peak_weight=0, density=()), True)):
        network = Network(start.name, start.layers, dict(start.weights), start.classes, start.input_shape, start.mean, start.std)
        settle(network, data.images, data.labels, margins, loss=loss, batch=20, shift=1, rates=(0.05, 0.02))
        half = Network(start.name, start.layers, dict(start.weights), start.classes, start.input_shape, start.mean, start.std)
        settle(half, data.images, data.labels, replace(margins, kept=1.0), loss=loss, batch=20, shift=1, rates=(0.05, 0.02))
        scale = np.abs(logits(start, data.images)).max()  # all kept: only the channels' scales, and the first layer's grid, are others
        np.testing.assert_allclose(logits(half, data.images), logits(start, data.images), atol=0.02 * scale)
        excess = []
        for one in (start, network):
            folded = Folded(one)
            measured = MarginLoss(folded.layers, folded.linears, replace(margins, spread_weight=1.0, weight=0, fc_weight=0))
            measured(folded(torch.from_numpy(one.normalise(data.images))), "saliency")
            excess.append(measured.parts["conv2 spread"])
        if less:
            assert excess[1] < 0.9 * excess[0]
        else:
            np.testing.assert_allclose(logits(network, data.images), logits(start, data.images), atol=0.3)
            assert excess[1] == pytest.approx(excess[0], rel=0.1)
