# SPDX-License-Identifier: Apache-2.0
"""What the importer refuses: each with the node, the operator, what was found, the limit and the remedy; all problems at once."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from gradcore.errors import GradCoreError, Refusal
from gradcore.importer import imported
from gradcore.importer.foreign import FOREIGN
from gradcore.importer.importing import import_onnx
from gradcore.importer.onnx_model import NEWEST_OPSET
from gradcore.importer.operators import NOT_RUN
from tb.support.seeds import SEEDS
from tests.onnx_models import model, node, weights


def refused(source, match: str, **options) -> GradCoreError:
    """The error, which must say this and a remedy."""
    with pytest.raises(GradCoreError, match=match) as caught:
        import_onnx(source, **options)
    assert ": " in str(caught.value)
    return caught.value


def refused_node(match: str, nodes, shape=(1, 2, 8, 8), tensors=None, **options) -> Refusal:
    error = refused(model(nodes, shape, tensors, **options), match)
    assert isinstance(error, Refusal)
    return error


# Files ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def network() -> onnx.ModelProto:
    return model([node("Conv", "x w", "y", pads=[1, 1, 1, 1])], (1, 2, 8, 8), {"w": weights(3, 2, 3, 3)})


def test_no_such_file(tmp_path) -> None:
    refused(tmp_path / "no.onnx", "there is no such file")


@pytest.mark.parametrize(
    "content", [b"", b"hello, world", bytes(range(256)) * 8, b"PK\3\4" + bytes(300)], ids=["empty", "text", "bytes", "zip"]
)
def test_a_file_that_is_no_onnx(tmp_path, content) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    refused(path, "net.onnx: no ONNX file")


def test_a_truncated_file(tmp_path, network) -> None:
    """Wherever it ends, it is refused: never read as something smaller."""
    whole, path = network.SerializeToString(), tmp_path / "net.onnx"
    for size in range(1, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(GradCoreError):
            import_onnx(path)


@pytest.mark.parametrize("seed", SEEDS)
def test_files_in_which_bytes_were_changed(tmp_path, seed) -> None:
    """They are imported, and agree with what they say now, or refused: never an error of another kind."""
    generator = np.random.default_rng(seed)
    nodes = [
        node("Transpose", "x", "a", perm=[0, 3, 1, 2]),
        node("Conv", "a w -", "b", pads=[1, 1, 1, 1]),
        node("BatchNormalization", "b s s s s", "c"),
        node("MaxPool", "c", "d", kernel_shape=[2, 2], strides=[2, 2]),
        node("Reshape", "d n", "e"),
        node("Gemm", "e f", "y", alpha=2.0),
    ]
    tensors = {"w": weights(2, 3, 3, 3), "s": np.float32([1, 2]), "n": np.int64([1, -1]), "f": weights(18, 3)}
    whole = model(nodes, (1, 6, 6, 3), tensors).SerializeToString()
    path, counts = tmp_path / "net.onnx", {True: 0, False: 0}
    for number in range(2000):
        if number >= 150 and min(counts.values()) > 5:
            break
        changed = bytearray(whole)
        for place in generator.integers(0, 500, generator.integers(1, 4)):
            kind = generator.integers(0, 3)
            if kind == 0:
                changed[place] = generator.integers(0, 256)
            elif kind == 1:
                del changed[place : place + generator.integers(1, 5)]
            else:
                changed[place:place] = generator.bytes(generator.integers(1, 4))
        path.write_bytes(changed)
        try:
            import_onnx(path)
            counts[True] += 1
        except GradCoreError as error:
            assert "bug of GradCore" not in str(error)
            counts[False] += 1
    assert min(counts.values()) > 5, counts


def test_external_weights(tmp_path, network) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(network, path, save_as_external_data=True, location="net.onnx.data", size_threshold=0)
    assert import_onnx(path).difference.share < 1e-6
    (tmp_path / "net.onnx.data").write_bytes(b"short")
    refused(path, "its weights cannot be read|its tensor w is damaged")
    (tmp_path / "net.onnx.data").unlink()
    refused(path, "its weights are in net.onnx.data, which is missing beside it: put .*net.onnx.data there")


def test_a_tensor_that_holds_fewer_values_than_it_says(network) -> None:
    network.graph.initializer[0].raw_data = network.graph.initializer[0].raw_data[:-3]
    refused(network, r"y \(Conv\): its tensor w is damaged")


@pytest.mark.parametrize("location", ["/etc/passwd", "../secret"])
def test_external_weights_that_lie_elsewhere(tmp_path, network, location) -> None:
    folder = tmp_path / "net"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(1 << 12))
    onnx.save(network, folder / "net.onnx", save_as_external_data=True, location="data", size_threshold=0)
    changed = onnx.load(folder / "net.onnx", load_external_data=False)
    next(entry for entry in changed.graph.initializer[0].external_data if entry.key == "location").value = location
    (folder / "net.onnx").write_bytes(changed.SerializeToString())
    refused(folder / "net.onnx", "outside of its folder")


@pytest.mark.parametrize("suffix", FOREIGN)
def test_files_of_other_programs_are_not_opened(tmp_path, suffix) -> None:
    """Some of them may hold code. What to do instead is said."""
    path = tmp_path / f"net{suffix}"
    path.write_bytes(b"cos\nsystem\n(S'echo harm'\ntR.")
    error = refused(path, f"{suffix} files are not read")
    assert ("from_torch" in str(error)) == (suffix in (".pt", ".pth", ".pt2", ".bin")) and ".onnx" in str(error)


def test_opsets_that_are_too_old_or_too_new(network) -> None:
    network.opset_import[0].version = 5
    refused(network, "opset 5 is older than 6")
    network.opset_import[0].version = NEWEST_OPSET + 1
    refused(network, f"opset {NEWEST_OPSET + 1} is newer than {NEWEST_OPSET}, .*: pip install -U onnx")


# Inputs --------------------------------------------------------------------------------------------------------------

POOL = [node("MaxPool", "x", "y", kernel_shape=[2, 2])]


@pytest.mark.parametrize(
    ("shape", "match"),
    [
        ((1, 2, "height", 8), r"input x: it is 1 x 2 x height x 8, dynamic beyond the batch: export .* fixed height and width"),
        ((4, 2, 8, 8), r"input x: it is 4 x 2 x 8 x 8, a batch of 4: export the network with a batch of 1"),
        ((8,), r"input x: it is 8: give pictures"),
        ((1, 2, 8, 8, 8), r"input x: it is 1 x 2 x 8 x 8 x 8: give pictures"),
    ],
)
def test_shapes_of_the_input(shape, match) -> None:
    refused_node(match, POOL, shape)


def test_two_inputs() -> None:
    two = model([node("Add", "x z", "y")], (1, 2, 8, 8))
    two.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, (1, 2, 8, 8)))
    refused(two, r"the output needs 2 inputs \(x, z\), and one is run")


def test_types_of_the_input() -> None:
    refused_node("input x: it is of UINT8: export the network with an input of float32", POOL, kind=TensorProto.UINT8)
    refused_node("input x: it is of FLOAT16", POOL, kind=TensorProto.FLOAT16)


def test_an_output_that_no_node_computes() -> None:
    refused_node("is not computed from the input", [node("Flatten", "x", "y")])
    refused_node("needs 0 inputs", [node("Relu", "c", "y")], tensors={"c": weights(1, 2)})


# Operators and attributes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(NOT_RUN))
def test_operators_that_are_not_run(kind) -> None:
    error = refused_node(rf"first \({kind}\): ", [node(kind, "x", "a", name="first"), node("Relu", "a", "y")])
    assert len(error.reasons) == 1


@pytest.mark.parametrize(
    ("match", "nodes", "tensors"),
    [
        (r"y \(Det\): the operator is not run", [node("Det", "x", "y")], {}),
        (r"y \(LeakyRelu\): alpha = 0.01", [node("LeakyRelu", "x", "y")], {}),
        (r"y \(Clip\): min = -1, max = 1, and clips begin at 0", [node("Clip", "x a b", "y")], {"a": np.float32(-1), "b": np.float32(1)}),
        (r"y \(Mul\): two maps are multiplied", [node("Mul", "x x", "y")], {}),
        (r"y \(Pad\): mode = reflect: pad with zeros", [node("Pad", "x p", "y", mode="reflect")], {"p": np.int64([0, 0, 1, 1] * 2)}),
        (r"y \(Pad\): constant_value = 3", [node("Pad", "x p v", "y")], {"p": np.int64([0, 0, 1, 1] * 2), "v": np.float32(3)}),
        (r"y \(Gemm\): transA = 1", [node("Flatten", "x", "a"), node("Gemm", "a w", "y", transA=1)], {"w": weights(1, 3)}),
        (r"y \(Conv\): its weight is computed from the input", [node("Conv", "x x", "y")], {}),
        (r"y \(Conv\): kernel_shape = \[13, 3\], and the largest is 11 x 11; strides = \[1, 5\], and the largest is 4",
         [node("Conv", "x w", "y", strides=[1, 5], pads=[6, 6, 6, 6])], {"w": weights(2, 2, 13, 3)}),
        (r"y \(Conv\): 2 channels arrive at weights for 3", [node("Conv", "x w", "y")], {"w": weights(2, 3, 3, 3)}),
        (r"y \(Conv\): a window of 9 x 9 does not fit a map of 8 x 8", [node("Conv", "x w", "y")], {"w": weights(2, 2, 9, 9)}),
        (r"y \(Conv\): its weight holds values that are not finite", [node("Conv", "x w", "y")], {"w": weights(2, 2, 3, 3) * np.nan}),
        (r"y \(Conv\): its weight has 3 axes", [node("Conv", "x w", "y")], {"w": weights(2, 2, 3)}),
        (r"y \(Conv\): its weight holds int8", [node("Conv", "x w", "y")], {"w": np.ones((2, 2, 3, 3), np.int8)}),
        (r"y \(Relu\): it reads what the softmax a makes", [node("Softmax", "x", "a"), node("Relu", "a", "y")], {}),
        (r"y \(Dropout\): training_mode = true", [node("Dropout", "x r t", "y")], {"r": np.float32(0.5), "t": np.bool_(True)}),
        (r"y \(BatchNormalization\): training_mode = 1", [node("BatchNormalization", "x s s s s", "y", training_mode=1)],
         {"s": np.ones(2, np.float32)}),
        (r"y \(Conv\): its input of 1 x 8 x 8 x 2 is no map", [node("Transpose", "x", "a", perm=[0, 2, 3, 1]), node("Conv", "a w", "y")],
         {"w": weights(2, 8, 3, 1)}),
        (r"y \(Add\): tensors of 1 x 2 x 8 x 8, 1 x 2 x 1 x 1 are added",
         [node("GlobalAveragePool", "x", "a"), node("Add", "x a", "y")], {}),
        (r"y \(Mul\): its constant differs within a channel", [node("Mul", "x c", "y")], {"c": weights(1, 1, 8, 8)}),
        (r"y \(Concat\): maps of 2 x 8 x 8, 2 x 1 x 1 are joined: choose one of them with --output",
         [node("GlobalAveragePool", "x", "a"), node("Flatten", "a", "b"), node("Flatten", "x", "c"),
          node("Concat", "c b", "y", axis=1)], {}),
        (r"y \(Relu\): surprise = 3, an attribute that is not understood", [node("Relu", "x", "y", surprise=3)], {}),
        (r"y \(Conv\): it is no Conv of opset 18", [node("Conv", "x w", "y", pads=1.5)], {"w": weights(2, 2, 3, 3)}),
        (r"y \(com.example.Magic\): an operator that is not ONNX's own", [node("Magic", "x", "y", domain="com.example")], {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_not_run(match, nodes, tensors) -> None:
    refused_node(match, nodes, tensors=tensors)


def test_outputs_that_a_pool_or_a_dropout_does_not_have_here() -> None:
    refused_node(r"y \(MaxPool\): its second output", [node("MaxPool", "x", "y i", kernel_shape=[2, 2])], outputs=("i",))
    refused_node(r"y \(Dropout\): its second output", [node("Dropout", "x", "y m")], outputs=("m",))


def test_control_flow_within_which_another_operator_is() -> None:
    """What a branch reads is not taken for something that nobody needs."""
    branch = helper.make_graph([node("Sigmoid", "a", "b")], "branch", [], [helper.make_tensor_value_info("b", TensorProto.FLOAT, None)])
    nodes = [
        node("Conv", "x w", "a"),
        node("If", "c", "y", then_branch=branch, else_branch=branch),
    ]
    refused_node(r"y \(If\): control flow is not run", nodes, tensors={"w": weights(2, 2, 3, 3), "c": np.bool_(True)})


def test_maps_and_a_network_that_are_too_large(monkeypatch) -> None:
    refused_node(r"a map of 1025 x 4, and the largest is 1024 x 1024", [node("Relu", "x", "y")], (1, 2, 1025, 4))
    wide = {"w": np.ones((200, 1, 1, 1), np.float32)}
    refused_node(r"a map of 200 x 1024 x 1024 takes 400 MiB, .* 256 MiB", [node("Conv", "x w", "y")], (1, 1, 1024, 1024), wide)
    monkeypatch.setattr(imported, "MEMORY", 1 << 20)
    nodes = [node("Conv", "x w", "a"), node("Relu", "a", "b"), node("Flatten", "b", "c"), node("Gemm", "c f", "y")]
    tensors = {"w": weights(8, 2, 3, 3), "f": weights(8 * 36, 2000)}
    refused_node("it needs 1.1 MiB of weights and 0.0 MiB of maps, more than the 1 MiB of memory", nodes, tensors=tensors)


def test_every_problem_is_told_at_once() -> None:
    """Also those behind what is refused, as far as they can be seen."""
    nodes = [
        node("HardSwish", "x", "a", name="act1"),
        node("Conv", "a w", "b", name="conv1", strides=[5, 5]),
        node("Sigmoid", "b", "c", name="act2"),
        node("Conv", "a n", "d", name="conv2"),
        node("LRN", "d", "e", name="norm", size=5),
        node("Concat", "c e", "f", name="join", axis=1),
        node("PRelu", "f s", "y", name="act3"),
    ]
    tensors = {"w": weights(2, 2, 3, 3), "n": weights(2, 2, 3, 3) * np.inf, "s": weights(1)}
    error = refused_node("cannot be imported, there are 6 problems:", nodes, tensors=tensors)
    assert [reason.split(" ")[0] for reason in error.reasons] == ["act1", "conv1", "act2", "conv2", "norm", "act3"]
    assert all(reason.count(": ") >= 2 for reason in error.reasons)
    assert str(error).splitlines()[1:] == [f"  {reason}" for reason in error.reasons]
