# SPDX-License-Identifier: Apache-2.0
"""Imports a network: an ONNX file becomes a checked graph, which is compared with its source."""

from __future__ import annotations

import os

from gradcore.errors import GradCoreError
from gradcore.importer.imported import Imported, finish
from gradcore.importer.onnx_model import onnx, prepared, read_onnx
from gradcore.importer.problems import Problem, refusal
from gradcore.importer.reference import reference_source
from gradcore.importer.translation import translate


def import_onnx(source: str | os.PathLike[str] | onnx.ModelProto, output: str | None = None, *, check: bool = True) -> Imported:
    """Import a network of ONNX.

    Args:
        source: a file, or a model.
        output: the node or tensor that is explained, where the network has several outputs.
        check: compare the graph with the source, by onnx's reference evaluator.

    Raises:
        GradCoreError: no such file, none of ONNX, or a network that GradCore cannot take; a ``Refusal`` then names every problem.
    """
    if isinstance(source, onnx.ModelProto):
        model, name = prepared(source, source.graph.name or "model"), source.graph.name or "model"
    else:
        model, name = read_onnx(source), os.fspath(source)
    problems: list[Problem] = []
    try:
        made = translate(model, output, problems)
    except GradCoreError as error:
        raise GradCoreError(f"{name}: {error}") from None
    if made is None:
        raise refusal(name, problems)
    return finish(made.builder, made.output, name, reference_source(model, made, name), check=check)
