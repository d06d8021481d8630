# SPDX-License-Identifier: Apache-2.0
"""Attribution methods and single runs of graphs on the Verilog, equal to the golden model in every bit: a residual block, a concat."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from captum import attr as captum
from onnx_models import model_of

import gradcore
from gradcore.attribution import METHODS
from gradcore.backends import Request, open_backend
from gradcore.backends.rtl import RtlBackend
from gradcore.errors import GradCoreError
from gradcore.network import GraphNetwork
from gradcore.network.graph import INPUT, Add, AveragePool, Clip, Concat, Conv, FullyConnected, Graph, Relu
from gradcore.torch import HardwareModule

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require")]

PICTURE = np.random.default_rng(4).integers(0, 256, (8, 8, 3), dtype=np.uint8)
GIVEN = {
    "integrated_gradients": {"n_steps": 3, "baselines": 0.2},
    "smoothgrad": {"nt_samples": 2},  # with the default noise, beyond what pixels reach
    "occlusion": {"sliding_window_shapes": (3, 4, 4), "strides": 4},
    "gradcam": {"layer": "sum_relu"},
}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX file: a stride, a clip, a residual block, an equalised map, a concat of two branches, an average pool."""
    nodes = (
        Conv("stem", (INPUT,), (3, 3), (2, 2), (1, 1, 1, 1), out_channels=6),
        Clip("stem_relu", ("stem",), 1.5),
        Conv("branch", ("stem_relu",), (3, 3), padding=(1, 1, 1, 1), out_channels=6),
        Add("sum", ("branch", "stem_relu")),
        Relu("sum_relu", ("sum",)),
        Conv("middle", ("sum_relu",), (1, 1), out_channels=4),
        Relu("middle_relu", ("middle",)),
        Conv("left", ("middle_relu",), (1, 1), out_channels=3),
        Relu("left_relu", ("left",)),
        Conv("right", ("sum_relu",), (3, 3), padding=(1, 1, 1, 1), out_channels=5),
        Relu("right_relu", ("right",)),
        Concat("both", ("left_relu", "right_relu")),
        AveragePool("mean", ("both",), (4, 4), (4, 4)),
        FullyConnected("fc", ("mean",), 5),
    )
    rng, shapes, weights = np.random.default_rng(1), {INPUT: (3, 8, 8)}, {}
    for node in nodes:
        inputs = [shapes[name] for name in node.inputs]
        shapes[node.name] = node.shape(inputs)
        for name, shape in node.tensors(inputs).items():
            scale = np.sqrt(2 / max(1, np.prod(shape[1:]))) if name == "weight" else 0.1
            weights[f"{node.name}.{name}"] = (rng.standard_normal(shape) * scale).astype(np.float32)
    made = tmp_path_factory.mktemp("graph") / "block.onnx"
    onnx.save(model_of(Graph(nodes, weights, (3, 8, 8), "fc")), made)
    return made


@pytest.fixture(scope="module")
def network(path: Path) -> GraphNetwork:
    """The same, imported: it is a graph, whose concat is a map that two layers store."""
    made = gradcore.load_network(path)
    assert isinstance(made, GraphNetwork)
    return made


@pytest.mark.parametrize("method", METHODS)
def test_the_verilog_gives_the_same_in_every_bit(network: GraphNetwork, method: str) -> None:
    """``explain`` refuses a Verilog that differs in a bit of scores, attribution, maps or counts of saturated values."""
    given = GIVEN.get(method, {})
    (result,) = gradcore.explain(PICTURE, network, method, target=1, against=2, backend="rtl", preset="small", **given)
    assert result.verilog == "equal" and result.runs == METHODS[method].runs(result.parameters, (3, 8, 8)) and result.cycles.total > 500
    assert result.attribution.any() and result.activation("sum_relu").shape == (6, 4, 4)


def test_every_kind_of_request(network: GraphNetwork) -> None:
    """Forward alone, backward alone and by another rule, down to each map, from a vector, on an input beyond a picture's format."""
    golden, verilog = open_backend("golden", network, headroom=0), RtlBackend(network, "rtl", preset="small")
    assert verilog.layers == golden.layers and verilog.classes == golden.classes
    units = {one.name: one.units for one in verilog.program.maps if one.units}
    assert len(set(units["stem_relu"])) == 1 and len(set(units["middle_relu"])) > 1, "a clip's, and those of an equalised map"
    seed = np.array([1.0, 0.0, -1.0, 0.25, 0.0])
    names = [name for name in golden.layers if np.prod(golden.layers[name]) > 5]
    requests = [Request(PICTURE, keep=True), Request(method="guided", seed=seed, keep=True), Request(method="deconvnet", seed=2)]
    requests += [Request(PICTURE, "saliency", back_to=name, keep=True) for name in names]
    wide = [Request(np.random.default_rng(5).normal(0, 6, (3, 8, 8)), "saliency", 3, keep=True)]
    assert len(names) >= 3 and any("both" in name for name in names)
    for asked in (requests, wide):
        for number, (got, wanted) in enumerate(zip(verilog.execute(asked), golden.execute(asked), strict=True)):
            assert np.array_equal(got.output, wanted.output) and got.saturation == wanted.saturation, number
            assert (got.gradient is None) == (wanted.gradient is None)
            assert got.gradient is None or np.array_equal(got.gradient, wanted.gradient), number
            for maps, others in ((got.activations, wanted.activations), (got.gradients, wanted.gradients)):
                assert list(maps) == list(others), number
                assert all(np.array_equal(maps[name], others[name]) for name in maps), number
    shorter = golden.execute([requests[-1]])[0]
    assert len(shorter.gradients) < len(shorter.activations), "the backward pass ended before the first layer"


def test_captum_on_the_graph(path: Path) -> None:
    """The core as a module: Captum's own classes, on the Verilog, equal to the golden model in every bit."""
    modules = [HardwareModule(str(path), backend, **options) for backend, options in (("rtl", {"preset": "small"}), ("golden", {}))]
    values = torch.from_numpy(gradcore.load_network(path).normalise(PICTURE[None]))
    made = [captum.IntegratedGradients(one).attribute(values, target=1, n_steps=3) for one in modules]
    assert torch.equal(*made) and made[0].any() and modules[0].cycles > 500


def test_what_a_graph_cannot_is_refused(network: GraphNetwork) -> None:
    """It runs as a whole, and its backward pass goes somewhere."""
    verilog = RtlBackend(network, "rtl", preset="small")
    for request, words in (
        (Request(PICTURE, until="sum_relu"), "a graph is run as a whole"),
        (Request(PICTURE, "saliency", back_to="fc.vector"), "no layer lies between fc.vector and the logits"),
        (Request(PICTURE, "saliency", back_to="conv9"), "unknown layer 'conv9': use one of"),
    ):
        for engine in (verilog, open_backend("golden", network)):
            with pytest.raises(GradCoreError, match=words):
                engine.execute([request])
