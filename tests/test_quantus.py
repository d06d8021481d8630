# SPDX-License-Identifier: Apache-2.0
"""Measures of attributions against Quantus 0.6, on the same network and maps; and Quantus's metrics on the core as a PyTorch module."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from gradcore.attribution import METHODS, Aim, attribute, metrics
from gradcore.backends import Request, open_backend, softmax
from gradcore.explanation import quality
from gradcore.network import Layer, Network

ROOT = Path(__file__).resolve().parents[1]
QUANTUS = "quantus==0.6.0"
STEPS = 12  # Quantus wants the values of a step to divide the pixels
LAYERS = [Layer("conv", "conv1", 3, 8, 3, pool=True), Layer("conv", "conv2", 8, 6, 3), Layer("fc", "fc1", 216, 5, relu=False)]
NETWORK = Network.random(LAYERS, (3, 12, 12), name="tiny", seed=3)
PICTURES = np.random.default_rng(4).integers(0, 256, (2, 12, 12, 3), dtype=np.uint8)


def ours() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """(what Quantus is given, what our measures say), of the float network."""
    engine = open_backend("float", NETWORK)
    inputs = engine.real_inputs(list(PICTURES)).astype(np.float32)
    targets = np.array([int(np.argmax(reply.output)) for reply in engine.execute([Request(one) for one in inputs])])

    def explain(network, method, values, target):
        chosen = METHODS[method]
        (run,) = attribute(open_backend("float", network), [values], chosen, Aim(int(target)), chosen.checked({}), keep=False)
        return run.attribution.astype(np.float64)

    maps = np.stack([explain(NETWORK, "input_x_gradient", *one) for one in zip(inputs, targets, strict=True)])
    gradients = np.stack([explain(NETWORK, "saliency", *one) for one in zip(inputs, targets, strict=True)])
    cascade = quality.shuffled(NETWORK)
    said: dict[str, list] = {name: [] for name in ("deletion", "insertion", "max_sensitivity", "sparseness", *cascade)}
    for values, target, heat, gradient in zip(inputs, targets, maps, gradients, strict=True):
        for name in ("deletion", "insertion"):
            changed = metrics.flipped(values, heat, steps=STEPS, insert=name == "insertion")
            said[name].append([softmax(reply.output)[target] for reply in engine.execute([Request(one) for one in changed])])
        said["max_sensitivity"].append(
            metrics.max_sensitivity(lambda noisy, target=target: explain(NETWORK, "saliency", noisy.astype(np.float32), target), values)
        )
        said["sparseness"].append(metrics.sparseness(heat))
        for name, network in cascade.items():
            said[name].append(metrics.rank_correlation(gradient, explain(network, "saliency", values, target)))
    noise = np.random.default_rng(0).uniform(-metrics.RADIUS, metrics.RADIUS, (metrics.SAMPLES, *inputs[0].shape))
    given = {"inputs": inputs, "targets": targets, "maps": maps, "saliency": gradients, "noise": noise, "steps": np.array(STEPS)}
    given |= {f"shuffled.{layer.name}": cascade["conv1"].weights[f"{layer.name}.weight"] for layer in LAYERS}
    return given, {name: np.array(values) for name, values in said.items()}


@pytest.mark.regress
@pytest.mark.hardware  # what `make regress` runs
@pytest.mark.usefixtures("one_thread")
def test_ours_are_quantus(tmp_path: Path) -> None:
    """The curves point by point, sensitivity with the same noise, sparseness, the cascade layer by layer; then the core beside float.

    Quantus is installed in an environment of its own, which sees the packages of this one.
    """
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    (place,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (place / "tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", QUANTUS]
    assert subprocess.run(install, capture_output=True).returncode == 0, "Quantus cannot be installed"
    given, said = ours()
    np.savez(tmp_path / "in.npz", **given)
    NETWORK.save(tmp_path / "net.safetensors")
    command = [
        str(python),
        str(ROOT / "tests" / "quantus_child.py"),
        *(str(tmp_path / name) for name in ("net.safetensors", "in.npz", "out.npz")),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    made = dict(np.load(tmp_path / "out.npz"))
    for name in ("deletion", "insertion"):  # Quantus's curves begin behind the first step
        np.testing.assert_allclose(made[f"float.{name}"], said[name][:, 1:], atol=1e-6)
        whole = np.column_stack([said[name][:, :1], made[f"float.{name}"]])
        np.testing.assert_allclose([metrics.area(one) for one in whole], np.trapezoid(whole, dx=1 / STEPS, axis=1), atol=1e-9)
    np.testing.assert_allclose(made["float.sparseness"], said["sparseness"], atol=1e-5)  # Quantus adds 1e-7 to each value
    np.testing.assert_allclose(made["float.max_sensitivity"], said["max_sensitivity"], rtol=1e-6)
    for layer in LAYERS:
        np.testing.assert_allclose(made[f"cascade.{layer.name}"], said[layer.name], atol=1e-6)
    np.testing.assert_allclose(made["cascade.original"], 1, atol=1e-4)
    assert np.ptp(said["deletion"], axis=1).min() > 0.01 and np.abs(said["conv1"]).max() < 0.6
    for name, limit in (("deletion", 1e-3), ("insertion", 1e-3), ("sparseness", 0), ("max_sensitivity", 1e-3), ("faithfulness", 1e-3)):
        np.testing.assert_allclose(made[f"core.{name}"], made[f"float.{name}"], atol=limit, err_msg=name)
    assert not np.array_equal(made["core.deletion"], made["float.deletion"]), "the core is no float module"
