# SPDX-License-Identifier: Apache-2.0
"""`gradcore.from_torch`: modules of PyTorch become the same graphs, compared with the module forward and backward."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import gradcore
from gradcore.errors import GradCoreError, Refusal
from gradcore.importer.opening import load_network
from gradcore.network import GraphNetwork, graph_float

torch.manual_seed(5)


class Block(nn.Module):
    """A residual block with a strided shortcut; its ReLUs work in place."""

    def __init__(self, channels: int, wider: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, wider, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(wider)
        self.conv2 = nn.Conv2d(wider, wider, 3, padding="same", bias=False)
        self.bn2 = nn.BatchNorm2d(wider)
        self.skip = nn.Sequential(nn.Conv2d(channels, wider, 1, stride, bias=False), nn.BatchNorm2d(wider)) if stride > 1 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)), inplace=True)))
        made += self.skip(x)
        return functional.relu_(made)


class Small(nn.Module):
    """Most of what is run, once."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1))
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 5, 2, 2), nn.BatchNorm2d(8), nn.ReLU6(inplace=True), nn.MaxPool2d(3, 2, ceil_mode=True))
        self.block = Block(8, 12, 2)
        self.depthwise = nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.drop = nn.Dropout(0.3)
        self.fc = nn.Linear(12 * 2 * 2, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.block(self.stem((x - self.mean) / 0.25))
        y = self.depthwise(functional.pad(x, (0, 1, 1, 0)))[:, :, :-1, 1:].clamp(0, 4)
        x = torch.cat([x, y], 1)
        a, b = torch.split(x, 12, dim=1)
        x = functional.adaptive_avg_pool2d(torch.add(a, b), 2)
        return functional.log_softmax(self.fc(self.drop(x.view(x.size(0), -1))), dim=1)


def trained(module: nn.Module) -> nn.Module:
    """With statistics in its batch norms that are not 0 and 1."""
    for one in module.modules():
        if isinstance(one, nn.BatchNorm2d):
            one.running_mean.uniform_(-0.5, 0.5)
            one.running_var.uniform_(0.5, 2)
            nn.init.uniform_(one.weight, -1, 2)
            nn.init.uniform_(one.bias, -1, 1)
    return module


def close(network: GraphNetwork) -> None:
    difference = network.metadata["import"]["difference"]
    assert difference["source"] == "PyTorch" and difference["share"] < 1e-5 and difference["gradient"] < 1e-4, difference


def test_a_module_becomes_a_graph() -> None:
    module = trained(Small()).train()
    network = gradcore.from_torch(module, torch.zeros(1, 3, 32, 32), classes=list("abcdefg"), mean=0.5, std=(0.1, 0.2, 0.3))
    close(network)
    kinds = [node.kind for node in network.graph.nodes]
    assert kinds == (
        ["affine"]
        + "conv clip max_pool conv relu conv conv add relu conv clip conv concat conv conv add average_pool fully_connected".split()
    )
    assert {"stem.0", "block.conv1", "block.skip.0", "depthwise", "fc"} <= {node.name for node in network.graph.nodes}
    assert any("log_softmax" in line for line in network.metadata["import"]["cut"])
    assert (network.name, network.classes, network.std) == ("Small", list("abcdefg"), (0.1, 0.2, 0.3))
    assert module.training, "the module is left as it is"
    inputs = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = module.eval()(inputs).numpy()
    scores = graph_float.output(network.graph, inputs.numpy())[:, :, 0, 0]
    shares = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(shares, expected, rtol=0, atol=1e-4)


def test_the_same_graph_as_by_onnx() -> None:
    """With weights that differ only in rounding."""
    from gradcore.importer.importing import import_onnx
    from tests.onnx_models import model, node

    module = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    ours = gradcore.from_torch(module, torch.zeros(1, 2, 8, 8)).graph
    tensors = {name.replace(".", ""): one.numpy() for name, one in module.state_dict().items()}
    nodes = [
        node("Conv", "x 0weight 0bias", "a", pads=[1, 1, 1, 1]),
        node("Relu", "a", "b"),
        node("MaxPool", "b", "c", kernel_shape=[2, 2], strides=[2, 2]),
        node("GlobalAveragePool", "c", "d"),
        node("Flatten", "d", "e"),
        node("Gemm", "e 5weight 5bias", "y", transB=1),
    ]
    theirs = import_onnx(model(nodes, (1, 2, 8, 8), tensors)).graph
    assert [node.kind for node in ours.nodes] == [node.kind for node in theirs.nodes]
    for mine, other in zip(ours.weights.values(), theirs.weights.values(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-6)


def test_a_chain_runs_at_once() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 5))
    network = gradcore.from_torch(module, torch.zeros(4, 3, 8, 8), name="mine")
    (result,) = gradcore.explain(np.zeros((8, 8, 3), np.uint8), network=network, backend="golden")
    with torch.no_grad():
        expected = module(torch.zeros(1, 3, 8, 8))[0].numpy()
    np.testing.assert_allclose(result.logits, expected, atol=1e-3)
    assert load_network(network).layers[0].name == "0"


def test_an_exported_program_and_a_chosen_output() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(1, 2, 3), nn.Conv2d(1, 3, 3)

        def forward(self, x):
            return self.first(x), torch.sigmoid(self.second(x))

    example = torch.zeros(1, 1, 6, 6)
    program = torch.export.export(Two().eval(), (example,))
    with pytest.raises(GradCoreError, match="the module has 2 outputs, first, sigmoid: choose the one to explain with output="):
        gradcore.from_torch(program, example)
    network = gradcore.from_torch(program, example, output="second")
    close(network)
    assert network.metadata["import"]["cut"] == ["second is explained, and first, sigmoid cut"]
    with pytest.raises(GradCoreError, match="no submodule or node is called 'third'"):
        gradcore.from_torch(program, example, output="third")


def test_all_problems_are_told_with_module_and_line() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act = nn.SiLU()
            self.conv = nn.Conv2d(2, 2, 3, stride=5)
            self.gate = nn.Conv2d(2, 2, 1)

        def forward(self, x):
            x = self.conv(self.act(x))
            return x * torch.sigmoid(self.gate(x))

    with pytest.raises(Refusal) as caught:
        gradcore.from_torch(Odd(), torch.zeros(1, 2, 32, 32))
    lines = caught.value.reasons
    assert [line.split(" ")[0] for line in lines] == ["act", "conv", "sigmoid"]
    assert all("test_from_torch.py:" in line for line in lines)
    assert "(conv2d): strides = [5, 5], and the largest is 4" in lines[1]


@pytest.mark.parametrize(
    ("module", "match"),
    [
        (nn.Sequential(nn.Conv2d(2, 2, 3), nn.Tanh()), r"1.* \(tanh\): the operator is not run"),
        (nn.Sequential(nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect")), r"\(pad\): mode = reflect"),
        (nn.Sequential(nn.AvgPool2d(3, divisor_override=2)), r"\(avg_pool2d\): divisor_override = 2, an argument that is not understood"),
        (nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(2, 2, 3)), r"\(upsample_nearest2d\): the operator is not run"),
        (nn.Sequential(nn.BatchNorm2d(2, track_running_stats=False)), r"\(batch_norm\): training = True"),
        (nn.Sequential(nn.Linear(8, 8)), r"\(linear\): its input has the shape 1 x 2 x 8 x 8"),
        (nn.Sequential(nn.Flatten()), r"is not computed from the input by any node"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_run(module, match) -> None:
    with pytest.raises(Refusal, match=match):
        gradcore.from_torch(module, torch.zeros(1, 2, 8, 8))


def test_a_module_that_cannot_be_exported_and_a_wrong_example() -> None:
    class Branches(nn.Module):
        def forward(self, x):
            return x + 1 if x.sum() > 0 else x

    with pytest.raises(GradCoreError, match="Branches: torch.export cannot export it"):
        gradcore.from_torch(Branches(), torch.zeros(1, 2, 8, 8))
    for example in (torch.zeros(3), np.zeros((1, 2)), "x"):
        with pytest.raises(GradCoreError, match="the example is no tensor with a batch"):
            gradcore.from_torch(Branches(), example)


def test_a_module_that_was_changed_in_place_behind_a_branch() -> None:
    """What reads a tensor after it was changed in place sees the change, and what read it before does not."""

    class Changed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)

        def forward(self, x):
            y = self.conv(x)
            z = y * 2
            y.relu_()
            return y + z

    network = gradcore.from_torch(Changed(), torch.zeros(1, 1, 6, 6))
    close(network)


def test_the_comparison_with_the_module_bites(monkeypatch) -> None:
    from gradcore.importer import builder

    right = builder.Builder.relu
    monkeypatch.setattr(
        builder.Builder, "relu", lambda self, name, view: self.clip(name, view, 0.5) if name == "1" else right(self, name, view)
    )
    with pytest.raises(GradCoreError, match="the graph differs from its source"):
        gradcore.from_torch(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()), torch.zeros(1, 1, 6, 6))


def test_the_comparison_of_gradients_bites(monkeypatch) -> None:
    right = graph_float.backward
    monkeypatch.setattr(graph_float, "backward", lambda *inputs: right(*inputs) * 1.2)
    with pytest.raises(GradCoreError, match="the graph's gradients differ from those of its source"):
        gradcore.from_torch(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()), torch.zeros(1, 1, 6, 6))


def test_nothing_is_unpickled(tmp_path) -> None:
    """A file of PyTorch is refused by its name, whatever it holds."""
    buffer = io.BytesIO()
    torch.save(nn.Linear(2, 2), buffer)
    (tmp_path / "net.pt").write_bytes(buffer.getvalue())
    with pytest.raises(GradCoreError, match="nothing in a file is executed: .* gradcore.from_torch"):
        load_network(tmp_path / "net.pt")
