# SPDX-License-Identifier: Apache-2.0
"""Parts of programs: forward up to a layer, backward alone or down to one, run one after the other in the memory of the whole."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from programs import FRESH, table_i_case, table_i_program

from gradcore.compiler import HardwareConfig, Program, compile_network
from gradcore.errors import GradCoreError
from gradcore.models import arithmetic
from gradcore.models import graph as graph_model
from gradcore.models import network as golden
from gradcore.models.program import Executor, ProgramError, check_tokens, simulate
from gradcore.models.vector import seed_unit
from tb.support.random_graphs import random_quantised_graph
from tb.support.random_networks import random_quantised


@pytest.fixture(scope="module")
def table_i():
    """(quantised network, picture, golden forward)."""
    return table_i_case()


@pytest.fixture(scope="module")
def program():
    return table_i_program()


def run_parts(program, memory, parts, seed=None, method="guided"):
    """Run parts of a program one after the other in one memory; each is checked by the executor's rules."""
    for number, part in enumerate(parts):
        check_tokens(part.jobs())
        simulate(part.jobs(), np.random.default_rng(number), depth=1)
        mode = {} if seed is None else {"seed_mode": seed_unit.SUPPLIED}
        Executor(part, memory, method, **mode).run()


@pytest.mark.parametrize("groups", (1, 4))
def test_parts_leave_what_the_whole_program_leaves(table_i, groups):
    """Forward up to a layer and on from it, backward down to a layer and on from it: every region that they touch."""
    quantised, picture, forward = table_i
    program = compile_network(quantised, HardwareConfig(groups=groups))
    seed = golden.seed_gradient(quantised, forward, 3)
    backward = golden.backward(quantised, forward, "guided", 3)
    memory = program.new_memory(fill=0xA5)
    program.load_image(memory, picture)
    program.load_seed(memory, seed[0])
    names = ("conv2", "conv4", "fc1")
    cuts = list(zip((None, *names), (*names, None), strict=True))
    run_parts(program, memory, [program.part(one, other, backward=False) for one, other in cuts], seed)
    assert not np.any(program.attribution.read(memory, program.base) != np.int16(-0x5A5B)), "nothing ran backward yet"
    np.testing.assert_array_equal(program.read_logits(memory), forward.logits[0])
    run_parts(program, memory, [program.part(one, other, forward=False) for one, other in reversed(cuts)], seed)
    for position, gradient in enumerate(backward.gradients):
        np.testing.assert_array_equal(program.read_gradient(memory, position), gradient[0], err_msg=f"gradient {position}")
    # The whole forward pass, the seed unit, and backward to what conv4 stores: as Grad-CAM wants it.
    memory = program.new_memory(fill=0xA5)
    program.load_image(memory, picture)
    part = program.part(back_to="conv4")
    assert [layer.name for layer in part.layers][-3:] == ["seed", "fc2_backward", "fc1_backward"]
    executor = Executor(part, memory, "saliency").run()
    np.testing.assert_array_equal(program.read_gradient(memory, 4), golden.backward(quantised, forward, "saliency").gradients[4][0])
    assert not np.any(program.attribution.read(memory, program.base) != np.int16(-0x5A5B))
    assert len(executor.loads) == len(part.layers) == 9


@pytest.mark.parametrize("seed", [3, 8, FRESH[0]])
def test_parts_of_generated_networks(seed):
    """Cut anywhere, forward and backward, by each method."""
    quantised, picture = random_quantised(seed, max_macs=300_000)
    program = compile_network(quantised, HardwareConfig(groups=(4, 2, 1)[seed % 3]))
    forward, method = golden.forward(quantised, picture), arithmetic.METHODS[seed % 3]
    start = golden.seed_gradient(quantised, forward, 0)
    names = [layer.name for layer in quantised.layers]
    cut = np.random.default_rng(seed).choice(names[:-1]) if len(names) > 1 else None
    memory = program.new_memory(fill=0xA5)
    program.load_image(memory, picture)
    program.load_seed(memory, start[0])
    cuts = [(None, cut), (cut, None)] if cut else [(None, None)]
    parts = [program.part(*one, backward=False) for one in cuts] + [program.part(*one, forward=False) for one in reversed(cuts)]
    run_parts(program, memory, parts, start, method)
    for position, gradient in enumerate(golden.backward(quantised, forward, method, seed=start).gradients):
        np.testing.assert_array_equal(program.read_gradient(memory, position), gradient[0], err_msg=f"gradient {position}")


@pytest.mark.parametrize("seed", [1, 6, FRESH[1], FRESH[2]])
def test_parts_of_generated_graphs(seed):
    """Forward alone, then backward alone; and in fresh memory backward no further than to a map: its gradient, and nothing after it."""
    quantised, inputs = random_quantised_graph(seed, core=True, max_macs=150_000, largest=16)
    program = compile_network(quantised, HardwareConfig(groups=(4, 2, 1)[seed % 3]))
    forward, method = graph_model.forward(quantised, inputs[0]), arithmetic.METHODS[seed % 3]
    start = graph_model.seed_gradient(quantised, forward, 0)
    memory = program.new_memory(fill=0xA5)
    program.load_image(memory, inputs[0])
    program.load_seed(memory, start[0])
    run_parts(program, memory, [program.part(backward=False), program.part(forward=False)], start, method)
    backward = graph_model.backward(quantised, forward, method, seed=start)
    gradients = [("input", program.attribution.read(memory, program.base), backward.gradients["input"][0])]
    for number, one in enumerate(quantised.passes):
        gradients.append(
            (one.name, program.read_gradient(memory, number + 1), backward.gradients[one.makes.map][0][..., one.makes.channels])
        )
    for name, got, wanted in gradients:
        np.testing.assert_array_equal(got, wanted, err_msg=f"gradient of {name}")
    names = list(program.stored)[:-1]
    for name in names[:: max(1, len(names) // 3)]:
        memory = program.new_memory(fill=0xA5)
        program.load_image(memory, inputs[0])
        program.load_seed(memory, start[0])
        run_parts(program, memory, [program.part(back_to=name)], start, method)
        short = graph_model.backward(quantised, forward, method, seed=start, back_to=name)
        made = {one: values[0] for one, values in short.gradients.items()}
        assert name in made and "input" not in made
        for number, one in enumerate(quantised.passes):
            got = program.read_gradient(memory, number + 1)
            if one.makes.map in made:
                np.testing.assert_array_equal(got, made[one.makes.map][..., one.makes.channels], err_msg=f"to {name}: {one.name}")
            elif len(quantised.makers(one.makes.map)) == 1:
                assert np.all(got == np.int16(-0x5A5B)), f"to {name}: the gradient of {one.name} was made"


def test_a_part_is_refused_where_it_would_be_wrong(table_i, program):
    """Layers that do not exist or are out of order; a part that reads what nobody wrote."""
    for arguments, words in (
        ({"since": "conv9"}, "unknown layer 'conv9'"),
        ({"until": "conv1", "back_to": "conv4"}, "no layer lies between"),
        ({"since": "fc2"}, "no layer lies between"),
        ({"forward": False, "backward": False}, "no layer lies between"),
    ):
        with pytest.raises(GradCoreError, match=words):
            program.part(**arguments)
    memory = program.new_memory(fill=0xA5)
    part = dataclasses.replace(program.part(forward=False), given=("gradient_6",))
    with pytest.raises(ProgramError, match="never written"):
        Executor(part, memory, "saliency", seed_mode=seed_unit.SUPPLIED).run()


def test_a_part_is_a_program(program, tmp_path):
    """It can be moved, saved, listed; identifiers of its layers count from 0."""
    part = program.part(forward=False)
    part.save(tmp_path / "part.bin")
    loaded = Program.load(tmp_path / "part.bin")
    assert loaded.given == part.given and "gradient_6" in part.given and "tags_0" in part.given and "activation_0" not in part.given
    assert [layer.identifier for layer in loaded.layers] == list(range(6)) and "fc2_backward" in loaded.listing()
    moved = part.at(0x2000_0000)
    np.testing.assert_array_equal(moved.descriptor_words, program.at(0x2000_0000).part(forward=False).descriptor_words)
