# SPDX-License-Identifier: Apache-2.0
"""The recipe: train a teacher, let it label shifted and mirrored views, and train the network on what it said."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import gradcore
from gradcore.backends.pytorch import logits
from gradcore.errors import GradCoreError
from gradcore.host.files import write_atomically
from gradcore.host.inputs import unreadable
from gradcore.host.progress import Progress, silent
from gradcore.network import Layer, Network
from gradcore.pictures.data import DataSet
from gradcore.training.coherence import Coherence, cohere, first_hidden
from gradcore.training.formats import choose_formats, exact_normalisation
from gradcore.training.optimiser import Muon, Schedule
from gradcore.training.student import TABLE_ONE, Student
from gradcore.training.teacher import Teacher
from gradcore.training.views import Views, ask_teacher, predict

FILES = ("run.txt", "teacher.pt", "lessons.pt", "student.pt")
"""What a folder of intermediate results holds: whose they are, and the result of each stage."""
_KEY = re.compile("[0-9a-f]{64}")
_FLAT = 1e-6  # deviation of pixel values in 0..1 that is none
_WARMUP = 100  # steps
_DENSITY_BATCH = 64  # pictures on which the share of non-zero activations is measured,
_DENSITY_INTERVAL = 8  # every so many steps,
_DENSITY_BAND = 0.05  # and the band above its target in which the push grows to its full size


@dataclass(frozen=True)
class Recipe:
    """Every setting of a training run; the defaults are those of the network that comes with GradCore.

    Attributes:
        epochs: passes over the training pictures.
        batch: pictures a step.
        validation: pictures held out of the training file, the same number of each class; nothing is trained on them.
        seed: of everything that is random.
        shift: pictures are shifted by up to so many pixels in both directions.
        views: views of each picture that the teacher labels.
        temperature: both networks' logits are divided by it before they are compared.
        label_share: weight of the true label in the loss, beside the teacher.
        matrix_rate, other_rate: learning rates of Muon and of SGD.
        density: for each layer but the last, the share of non-zero values, after its pool, above which its biases are pushed down.
            GradCore spends no cycle on zeros. Empty: no push.
        density_push: how hard.
        teacher_epochs, teacher_batch, teacher_widths: the teacher's training and its three widths.
        teacher_smoothing: label smoothing of the teacher's training.
        coherence: settings of the last stage.
    """

    epochs: int = 62
    batch: int = 250
    validation: int = 2500
    seed: int = 0
    shift: int = 2
    views: int = 20
    temperature: float = 2.0
    label_share: float = 0.1
    matrix_rate: float = 0.05
    other_rate: float = 0.02
    density: tuple[float, ...] = (0.50, 0.42, 0.38, 0.35, 0.35)
    density_push: float = 2e-3
    teacher_epochs: int = 12
    teacher_batch: int = 500
    teacher_widths: tuple[int, ...] = (64, 256, 256)
    teacher_smoothing: float = 0.1
    coherence: Coherence = field(default_factory=Coherence)

    def check(self, layers: tuple[Layer, ...], data: DataSet) -> None:
        """Refuse settings that cannot work, before any work is done."""
        pictures, outputs = len(data), layers[-1].out_channels
        remedy = "or, from Python, a Recipe with"
        if min(self.epochs, self.teacher_epochs, self.views, self.validation) < 1 or min(self.batch, self.teacher_batch) < 2:
            raise GradCoreError("epochs, views and pictures for validation must be 1 or more, batches 2 or more: correct the recipe")
        if len(data.classes) != outputs:
            raise GradCoreError(
                f"the network has {outputs} outputs but the pictures have {len(data.classes)} classes: "
                f"train on pictures of {outputs} classes"
            )
        if self.views > 2 * (2 * self.shift + 1) ** 2:
            raise GradCoreError(
                f"with shifts up to {self.shift} a picture has {2 * (2 * self.shift + 1) ** 2} views, not {self.views}: ask for fewer views"
            )
        if self.density and len(self.density) != len(layers) - 1:
            raise GradCoreError(f"{len(self.density)} density targets for {len(layers) - 1} hidden layers: give one for each, or none")
        largest = max(self.batch, self.teacher_batch)
        if pictures - self.validation < largest:
            raise GradCoreError(
                f"{pictures} pictures less {self.validation} for validation do not fill one batch of {largest}: "
                f"give {self.validation + largest} or more, {remedy} a smaller batch, teacher_batch or validation"
            )
        if self.coherence.epochs and not 2 <= self.coherence.batch <= pictures - self.validation:
            raise GradCoreError(
                f"the last stage takes {self.coherence.batch} pictures a step, there are {pictures - self.validation}: "
                f"give more pictures, {remedy} a coherence whose batch is from 2 to all of them, or whose epochs are 0"
            )
        wrong = np.flatnonzero((data.labels < 0) | (data.labels >= outputs))
        if len(wrong):
            raise GradCoreError(f"picture {wrong[0]} has the label {data.labels[wrong[0]]}, but there are {outputs} classes: correct it")
        counts = np.bincount(data.labels, minlength=outputs)
        share = -(-self.validation // int(np.count_nonzero(counts)))
        for label in np.flatnonzero((counts > 0) & (counts <= share)):
            raise GradCoreError(
                f"there are {counts[label]} pictures of the class {data.classes[label]}, and {share} of each class are "
                f"held out for validation: give more of it, {remedy} a smaller validation"
            )
        try:
            Network.random(layers, (data.images.shape[3], *data.images.shape[1:3]))
        except GradCoreError as error:
            height, width = data.images.shape[1:3]
            raise GradCoreError(
                f"the pictures have {height} x {width} pixels (height x width), which the network does not take ({error}): "
                "bring them to the size that it does"
            ) from None


def train(
    data: DataSet,
    recipe: Recipe | None = None,
    *,
    layers: tuple[Layer, ...] = TABLE_ONE,
    name: str = "cifar10",
    teacher: nn.Module | None = None,
    work: str | Path | None = None,
    progress: Progress = silent,
) -> Network:
    """Train a network, fold its batch normalisation away, and choose its number formats.

    Args:
        data: labelled pictures; ``recipe.validation`` of them are held out.
        recipe: every setting; the shipped recipe when left out.
        layers: the network to train.
        name: its name.
        teacher: a module that gives logits for normalised pictures; one is trained when left out.
        work: a folder for intermediate results. A run that was stopped goes on from there when started again.
        progress: called as the work goes on.

    Returns:
        The network, with the recipe, the versions and the validation accuracy under ``metadata["training"]``.

    Raises:
        GradCoreError: settings that cannot work, a folder that holds another run, pictures of the wrong size.
    """
    recipe = recipe or Recipe()
    recipe.check(layers, data)
    spread = data.statistics()
    if max(spread[1]) < _FLAT:
        raise GradCoreError("all pixels of the pictures have one value, so there is nothing to learn: give other pictures")
    mean, std = exact_normalisation(*spread)
    shape = (data.images.shape[3], *data.images.shape[1:3])
    # What could not be a network at the end is refused now.
    Network(name, list(layers), Network.random(layers, shape).weights, data.classes, shape, tuple(mean), tuple(std))
    fit, held_out = data.split(recipe.validation, recipe.seed)
    views = Views(fit.images, recipe.shift, mean, std)
    validation = Views(held_out.images, 0, mean, std)
    run = _Run(recipe, views, fit.labels, validation, held_out.labels, len(data.classes), _Work(work, recipe, layers, fit), progress)
    lessons = run.lessons(teacher)
    torch.manual_seed(recipe.seed)
    student = run.teach(Student(layers), lessons)
    network = Network(name, list(layers), student.fold(), data.classes, shape, tuple(mean), tuple(std))
    run.cohere(network, lessons)
    choose_formats(network, fit.images)
    network.metadata["training"] = {
        "recipe": asdict(recipe),
        "pictures": len(fit.labels),
        "validation_pictures": len(held_out.labels),
        "validation_accuracy": measure_accuracy(network, held_out),
        "teacher_validation_accuracy": lessons.accuracy,
        "threads": torch.get_num_threads(),
        "versions": {
            "gradcore": gradcore.__version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
    return network


def measure_accuracy(network: Network, data: DataSet) -> float:
    """Share (0..1) of the pictures whose label the network, in float32, predicts."""
    return float((logits(network, data.images).argmax(axis=1) == data.labels).mean())


class _Work:
    """The folder of intermediate results, or none. The last stage's settings may change: nothing that they decide is kept."""

    def __init__(self, folder: str | Path | None, recipe: Recipe, layers: tuple[Layer, ...], fit: DataSet) -> None:
        self.folder = Path(folder) if folder else None
        if not self.folder:
            return
        settings = {name: value for name, value in asdict(recipe).items() if name != "coherence"}
        told = json.dumps([settings, [asdict(layer) for layer in layers], fit.classes], sort_keys=True)
        key = hashlib.sha256(told.encode() + fit.labels.tobytes() + fit.images.tobytes()).hexdigest()
        stamp = self.folder / FILES[0]
        try:
            said = stamp.read_text(errors="replace") if stamp.exists() else None
            kept = [name for name in FILES[1:] if (self.folder / name).exists()]
        except OSError as error:
            raise unreadable(stamp, error) from None
        if said == key:
            return
        if said is not None and (kept or not _KEY.fullmatch(said)):
            raise GradCoreError(f"{folder} holds a run with other settings or data: name another folder")
        if kept:
            raise GradCoreError(f"{folder} holds {', '.join(kept)} of something else: name another folder")
        write_atomically(stamp, key)

    def load(self, what: str) -> Any:
        """A saved result, or None."""
        if not self.folder or not (self.folder / f"{what}.pt").exists():
            return None
        file = self.folder / f"{what}.pt"
        try:
            return torch.load(file, weights_only=True)
        except OSError as error:
            raise unreadable(file, error) from None
        except Exception as error:  # whatever unpickling meets
            raise GradCoreError(f"{file} is damaged ({type(error).__name__}): delete it, and what it held is learnt again") from None

    def save(self, what: str, result: Any) -> None:
        """Save a result; a stop in the middle leaves the one before."""
        if self.folder:
            write_atomically(self.folder / f"{what}.pt", lambda stream: torch.save(result, stream))


@dataclass(frozen=True)
class Lessons:
    """What a teacher said.

    Attributes:
        views: for each picture the ``K`` views that were labelled, (N, K).
        logits: float16, (N, K, classes).
        accuracy: the teacher's, on the held-out pictures.
    """

    views: np.ndarray
    logits: np.ndarray
    accuracy: float


@dataclass
class _Run:
    """One training run: its data, and the three things that are done with them."""

    recipe: Recipe
    views: Views
    labels: np.ndarray
    validation: Views
    validation_labels: np.ndarray
    classes: int
    work: _Work
    progress: Progress

    def accuracy(self, model: nn.Module) -> float:
        """Share of the held-out pictures that a model gets right."""
        plain = np.full(len(self.validation), self.validation.plain)
        predicted = predict(model, self.validation, plain, lambda done: None).argmax(1).numpy()
        return float(np.mean(predicted == self.validation_labels))

    def lessons(self, teacher: nn.Module | None) -> Lessons:
        """What the teacher says about the views of the training pictures."""
        saved = self.work.load("lessons")
        if saved is not None:
            return Lessons(saved["views"].numpy(), saved["logits"].numpy(), saved["accuracy"])
        teacher = teacher or self._teacher()
        accuracy = self.accuracy(teacher)
        text = f"the teacher (validation accuracy {accuracy:.2%}) labels views"
        done, total = 0, self.recipe.views * len(self.views)

        def tick(number: int) -> None:
            nonlocal done
            done += number
            self.progress(text, done, total)

        chosen, said = ask_teacher(teacher, self.views, self.recipe.views, np.random.default_rng(self.recipe.seed + 1), tick)
        self.work.save("lessons", {"views": torch.from_numpy(chosen), "logits": torch.from_numpy(said), "accuracy": accuracy})
        return Lessons(chosen, said, accuracy)

    def _teacher(self) -> Teacher:
        """A trained teacher."""
        recipe, views = self.recipe, self.views
        torch.manual_seed(recipe.seed)
        generator = np.random.default_rng(recipe.seed)
        teacher = Teacher(recipe.teacher_widths, self.classes).to(memory_format=torch.channels_last)
        saved = self.work.load("teacher")
        if saved is not None:
            teacher.load_state_dict(saved)
            return teacher
        first = np.arange(min(5000, len(views)))
        teacher.set_whitening(views.batch(first, np.full(len(first), views.plain)))
        steps = len(views) // recipe.teacher_batch
        decay = 2e-6 * recipe.teacher_batch
        sgd = torch.optim.SGD(
            [
                {"params": parameters, "lr": rate, "weight_decay": decay / rate}
                for parameters, rate in (([teacher.whiten.bias], 0.02), (teacher.biases(), 0.02), ([teacher.head.weight], 0.3))
            ],
            momentum=0.85,
            nesterov=True,
        )
        schedule = Schedule([Muon(teacher.kernels(), 0.12), sgd], recipe.teacher_epochs * steps)
        labels, mirrored = torch.from_numpy(self.labels), generator.random(len(views)) < 0.5
        for epoch in range(recipe.teacher_epochs):
            order = generator.permutation(len(views))
            for step in range(steps):
                chosen = order[step * recipe.teacher_batch : (step + 1) * recipe.teacher_batch]
                place = generator.integers(0, views.side**2, len(chosen))
                flips = mirrored[chosen] ^ (epoch % 2 == 1)  # each picture is mirrored in every other epoch
                with torch.autocast("cpu", torch.bfloat16):
                    scores = teacher(views.batch(chosen, place * 2 + flips))
                loss = functional.cross_entropy(scores.float(), labels[chosen], label_smoothing=recipe.teacher_smoothing)
                loss.backward()
                schedule.step()
                self.progress("the teacher learns", epoch * steps + step + 1, recipe.teacher_epochs * steps)
            teacher.whiten.bias.requires_grad = epoch < 2
        self.work.save("teacher", teacher.state_dict())
        return teacher

    def teach(self, student: Student, lessons: Lessons) -> Student:
        """Train the network on the teacher's lessons."""
        recipe = self.recipe
        student = student.to(memory_format=torch.channels_last)
        schedule = self._student_schedule(student)
        density = _Density(student, recipe) if recipe.density else None
        first, labels = 0, torch.from_numpy(self.labels)
        saved = self.work.load("student")
        if saved is not None:
            first = saved["epochs"]
            student.load_state_dict(saved["student"])
            schedule.load_state_dict(saved["schedule"])
        steps = len(self.views) // recipe.batch
        remark = "validation accuracy 0.00%"
        for epoch in range(first, recipe.epochs):
            generator = np.random.default_rng([recipe.seed, epoch])
            order = generator.permutation(len(self.views))
            for step in range(steps):
                chosen = np.sort(order[step * recipe.batch : (step + 1) * recipe.batch])
                asked = generator.integers(0, recipe.views, len(chosen))
                batch = self.views.batch(chosen, lessons.views[chosen, asked].astype(np.int64))
                if density and step % _DENSITY_INTERVAL == 0:
                    density.measure(batch[:_DENSITY_BATCH])
                with torch.autocast("cpu", torch.bfloat16):
                    scores = student(batch).float()
                loss = self._loss(scores, torch.from_numpy(lessons.logits[chosen, asked]).float(), labels[chosen])
                loss.backward()
                if density:
                    density.push()
                schedule.step()
                self.progress(f"the network learns ({remark})", epoch * steps + step + 1, recipe.epochs * steps)
            remark = f"validation accuracy {self.accuracy(student):.2%}"
            self.work.save("student", {"epochs": epoch + 1, "student": student.state_dict(), "schedule": schedule.state_dict()})
        return student

    def cohere(self, network: Network, lessons: Lessons) -> None:
        """The last stage: make contributions of fully connected units agree, if there are hidden ones."""
        recipe = self.recipe
        if recipe.coherence.epochs and first_hidden(network.layers) is not None:
            cohere(
                network,
                self.views,
                (lessons.views, lessons.logits),
                self.labels,
                recipe.coherence,
                loss=self._loss,
                seed=recipe.seed,
                tick=lambda done, total: self.progress("the fully connected layers learn to agree", done, total),
            )

    def _student_schedule(self, student: Student) -> Schedule:
        recipe = self.recipe
        for norm in student.norms:
            norm.weight.requires_grad = False  # a gain before a ReLU does what the next layer's weights can do
        groups = [{"params": [norm.bias for norm in student.norms]}, {"params": student.linears[-1].parameters(), "weight_decay": 5e-4}]
        sgd = torch.optim.SGD(groups, lr=recipe.other_rate, momentum=0.9, nesterov=True)
        steps = recipe.epochs * (len(self.views) // recipe.batch)
        return Schedule([Muon(student.hidden_weights(), recipe.matrix_rate), sgd], steps, min(_WARMUP, steps // 10))

    def _loss(self, scores: torch.Tensor, taught: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Divergence from the teacher at the temperature, and cross-entropy with the labels."""
        heat, share = self.recipe.temperature, self.recipe.label_share
        divergence = functional.kl_div(
            functional.log_softmax(scores / heat, 1), functional.log_softmax(taught / heat, 1), reduction="batchmean", log_target=True
        )
        return (1 - share) * heat**2 * divergence + share * functional.cross_entropy(scores, labels)


class _Density:
    """Keeps the share of non-zero activations near its targets, by a push on the biases of batch normalisation.

    The push is the gradient of an L1 penalty on what a layer hands on, as far as it goes through the biases: each channel's is
    proportional to its own share of non-zeros. It fades to nothing as the layer reaches its target.
    """

    def __init__(self, student: Student, recipe: Recipe) -> None:
        self._student, self._targets, self._strength = student, recipe.density, recipe.density_push
        self._shares: list[torch.Tensor] = []

    def measure(self, batch: torch.Tensor) -> None:
        """Measure the shares on a small batch, channel by channel."""
        shares: list[torch.Tensor] = []
        self._student.eval()
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            self._student(batch, lambda values: shares.append((values > 0).float().mean([0, *range(2, values.ndim)])))
        self._student.train()
        self._shares = [share.clone() for share in shares[:-1]]

    def push(self) -> None:
        """Add to the gradients of the biases."""
        for norm, share, target in zip(self._student.norms, self._shares, self._targets, strict=True):
            excess = float(share.mean() - target) / _DENSITY_BAND
            norm.bias.grad.add_(share, alpha=self._strength * min(1.0, max(0.0, excess)))
