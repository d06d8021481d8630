# SPDX-License-Identifier: Apache-2.0
"""ONNX files: from a path to a model of a known opset with all its weights. Nothing in a file is executed."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from gradcore.errors import GradCoreError, missing_package
from gradcore.host.inputs import input_path, unreadable
from gradcore.importer.foreign import refuse_foreign

try:
    import onnx
    import onnx.inliner
    import onnx.version_converter
    from onnx.external_data_helper import ExternalDataInfo, load_external_data_for_model, uses_external_data
except ImportError:
    raise missing_package("onnx", "onnx", needed_by="reading an ONNX file") from None

OLDEST_OPSET, CONVERTED_OPSET = 6, 13
NORMS_OPSET = 15  # with batch norms: of older ones the reference evaluator takes those for inference for those in training
_IR_VERSION = 8  # from 4 on weights need not be inputs
NEWEST_OPSET = onnx.defs.onnx_opset_version()


def read_onnx(path: str | os.PathLike[str]) -> onnx.ModelProto:
    """The model in an ONNX file, with external weights, functions put in place, and of opset 13 or newer.

    Raises:
        GradCoreError: no such file, none of ONNX or a damaged one, external weights that are missing, or an opset that is unknown.
    """
    refuse_foreign(path)
    file = input_path(path, what="an ONNX file")
    try:
        model = onnx.load_model_from_string(file.read_bytes())
    except OSError as error:
        raise unreadable(path, error) from None
    except Exception as error:  # protobuf's, which has no name of its own in all versions
        raise GradCoreError(f"{path}: no ONNX file, or a damaged one ({_first_line(error)}): export the network again") from None
    if not model.HasField("graph") or not model.graph.node:
        raise GradCoreError(f"{path}: no ONNX file, or one without a network: export the network again")
    _check_text(model.graph, path)
    _load_external(model, file)
    return prepared(model, str(path))


def prepared(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """A model with its functions put in place, and of opset 13 or newer.

    Raises:
        GradCoreError: its opset is too old or too new, or it cannot be converted.
    """
    opset = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), None)
    if opset is None:
        raise GradCoreError(f"{name}: the file names no opset of ONNX's own operators: export the network again")
    if opset > NEWEST_OPSET:
        raise GradCoreError(f"{name}: opset {opset} is newer than {NEWEST_OPSET}, the newest of the onnx package here: pip install -U onnx")
    if opset < OLDEST_OPSET:
        raise GradCoreError(f"{name}: opset {opset} is older than {OLDEST_OPSET}, the oldest that is read: export the network again")
    if model.functions:
        with _told(name, "its functions cannot be put in place"):
            model = onnx.inliner.inline_local_functions(model)
    wanted = NORMS_OPSET if any(node.op_type == "BatchNormalization" for node in model.graph.node) else CONVERTED_OPSET
    if opset < wanted:
        model = _newer_form(model)
        with _told(name, f"opset {opset} cannot be converted to {wanted}"):
            model = onnx.version_converter.convert_version(model, wanted)
    return model


def _newer_form(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in the form that the converter takes whatever the file's: weights are not listed among the inputs."""
    newer = onnx.ModelProto()
    newer.CopyFrom(model)
    newer.ir_version = max(_IR_VERSION, model.ir_version)
    given = {tensor.name for tensor in model.graph.initializer}
    kept = [one for one in model.graph.input if one.name not in given]
    del newer.graph.input[:]
    newer.graph.input.extend(kept)
    return newer


@contextlib.contextmanager
def _told(name: str, what: str):
    try:
        yield
    except Exception as error:  # of the onnx package, of many kinds
        raise GradCoreError(f"{name}: {what} ({_first_line(error)}): export the network again with opset 13 or newer") from None


def _check_text(graph: onnx.GraphProto, path: str | os.PathLike[str]) -> None:
    """Refuse names that are no text: protobuf gives them as bytes."""
    for one in _graphs(graph):
        texts = [tensor.name for tensor in (*one.initializer, *one.input, *one.output)]
        texts += [text for node in one.node for text in (node.name, node.op_type, node.domain, *node.input, *node.output)]
        texts += [attribute.name for node in one.node for attribute in node.attribute]
        if not all(isinstance(text, str) for text in texts):
            raise GradCoreError(f"{path}: a damaged ONNX file, for a name in it is no text: export the network again")


def _load_external(model: onnx.ModelProto, file: Path) -> None:
    tensors = [one for graph in _graphs(model.graph) for one in _tensors(graph) if uses_external_data(one)]
    for tensor in tensors:
        location = ExternalDataInfo(tensor).location
        if os.path.isabs(location) or ".." in Path(location).parts:
            raise GradCoreError(f"{file}: its weights lie at {location!r}, outside of its folder: put both files in one folder")
        if not (file.parent / location).is_file():
            raise GradCoreError(f"{file}: its weights are in {location}, which is missing beside it: put {file.parent / location} there")
    if tensors:
        try:
            load_external_data_for_model(model, str(file.parent))
        except Exception as error:  # of the onnx package, of many kinds
            raise GradCoreError(f"{file}: its weights cannot be read ({_first_line(error)}): export the network again") from None


def _graphs(graph: onnx.GraphProto):
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _graphs(attribute.g)


def _tensors(graph: onnx.GraphProto):
    yield from graph.initializer
    for node in graph.node:
        yield from (attribute.t for attribute in node.attribute if attribute.type == onnx.AttributeProto.TENSOR)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]
