# SPDX-License-Identifier: Apache-2.0
"""Compiled programs, executed descriptor by descriptor in Python, give every bit of the golden model's results."""

from __future__ import annotations

import dataclasses
import importlib

import numpy as np
import pytest
from programs import GENERATED, GROUPS, table_i_case, table_i_program

from gradcore.compiler import HardwareConfig, Program, compile_network, descriptors
from gradcore.compiler.layout import TagRegion
from gradcore.errors import GradCoreError
from gradcore.hardware import DESCRIPTOR_VERSION
from gradcore.models import arithmetic
from gradcore.models import network as golden
from gradcore.models.program import Executor, ProgramError, check_tokens, execute, simulate
from gradcore.models.tags import join_pieces, split_pieces
from gradcore.network import Layer, Network
from gradcore.quantise import quantise, standard_images
from gradcore.runtime.program import relocate
from tb.support.random_networks import random_quantised


@pytest.fixture(scope="module")
def table_i():
    """(quantised network, picture, golden forward)."""
    return table_i_case()


@pytest.fixture(scope="module")
def program():
    return table_i_program()


def compare(quantised, program, executor, forward, backward):
    """Every activation, mask, index and gradient, padding included."""
    memory = executor.memory
    for position in range(len(quantised.layers) + 1):
        expected = forward.picture if position == 0 else forward.layers[position - 1].output
        stored = program.read_activation(memory, position, padding=True)
        channels = expected.shape[-1]
        np.testing.assert_array_equal(stored[..., :channels], expected[0], err_msg=f"activation {position}")
        assert not stored[..., channels:].any()
        stored = program.read_gradient(memory, position, padding=True)
        np.testing.assert_array_equal(stored[..., :channels], backward.gradients[position][0], err_msg=f"gradient {position}")
        assert not stored[..., channels:].any()
    for position, trace in enumerate(forward.layers):
        tags = program.read_tags(memory, position)
        if tags is not None:
            np.testing.assert_array_equal(tags[0], trace.mask[0], err_msg=f"mask {position}")
            if tags[1] is not None:
                np.testing.assert_array_equal(tags[1], trace.index[0], err_msg=f"index {position}")
    counts = [(layer.identifier, executor.loads[layer.identifier].saturated) for layer in program.layers if layer.kind != "seed"]
    expected = [values for _, _, values, _ in golden.saturations(quantised, forward, backward)]
    assert [count for _, count in counts] == expected, f"saturated: {counts}, expected {expected}"
    np.testing.assert_array_equal(program.read_logits(memory), forward.logits[0])
    np.testing.assert_array_equal(program.read_attribution(memory), backward.attribution[0])
    assert program.class_of(executor.class_index) == forward.winners[0]
    assert executor.class_value == forward.logits[0].max()


@pytest.mark.parametrize("method", arithmetic.METHODS)
@pytest.mark.parametrize("groups", GROUPS)
def test_table_i(table_i, groups, method):
    quantised, picture, forward = table_i
    program = compile_network(quantised, HardwareConfig(groups=groups))
    compare(quantised, program, execute(program, picture, method), forward, golden.backward(quantised, forward, method))


@pytest.mark.parametrize("seed", GENERATED)
def test_generated_networks(seed):
    quantised, picture = random_quantised(seed, max_macs=1_000_000)
    program = compile_network(quantised, HardwareConfig(groups=(4, 2, 1, 3)[seed % 4]))
    method = arithmetic.METHODS[seed % 3]
    forward = golden.forward(quantised, picture)
    compare(quantised, program, execute(program, picture, method), forward, golden.backward(quantised, forward, method))
    check_tokens(program.jobs())
    simulate(program.jobs(), np.random.default_rng(seed), depth=1 + seed % 3)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (3, 2), (15, 16), (16, 17), (31, 33)])
@pytest.mark.parametrize("pool", [False, True])
def test_sizes_round_tile_and_pack_boundaries(size, pool):
    pool = pool and min(size) >= 2
    layers = [
        Layer("conv", "a", 3, 20, 3, pool=pool),
        Layer("conv", "b", 20, 4, 3, relu=False),
        Layer("conv", "c", 4, 7, 1, relu=False),
    ]
    quantised = quantise(Network.random(layers, (3, *size), seed=sum(size)))
    picture = np.random.default_rng(1).integers(-32768, 32768, (*size, 3))
    program = compile_network(quantised)
    forward = golden.forward(quantised, picture)
    compare(
        quantised,
        program,
        execute(program, picture, "saliency"),
        forward,
        golden.backward(quantised, forward, "saliency"),
    )


# ---- tokens and order --------------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", GROUPS)
def test_no_wait_refers_to_a_later_job(table_i, groups):
    jobs = compile_network(table_i[0], HardwareConfig(groups=groups)).jobs()
    check_tokens(jobs)
    for seed in range(5):
        assert simulate(jobs, np.random.default_rng(seed), depth=1) > len(jobs)


def test_layers_overlap(program):
    """A consumer's first tile does not wait for all tiles of its producer; weights come before the tiles of the layer
    before end."""
    jobs = [job for job in program.jobs() if job["opcode"] == "TILE"]
    first = {}
    for number, job in enumerate(jobs):
        first.setdefault(program.layers[job["layer"]].name, (number, job))
    for name in ("conv2", "conv3", "conv4", "conv3_backward", "conv2_backward", "conv1_backward"):
        number, job = first[name]
        assert job["wait_tiles"] < number, name
    loads = {}
    tiles = 0
    for job in program.jobs():
        tiles += job["opcode"] == "TILE"
        if job["opcode"] == "WEIGHTS":
            loads.setdefault(program.layers[job["layer"]].name, tiles)
    for name in ("conv2", "conv3", "conv4", "conv4_backward", "conv3_backward", "conv2_backward", "conv1_backward"):
        assert loads[name] < first[name][0], name


@pytest.mark.parametrize("field", ["wait_tiles", "wait_vectors", "wait_weights", "wait_computed"])
def test_every_wait_is_needed(table_i, program, field):
    """With any wait one lower the executor finds a job that may read, or overwrite, too early."""
    quantised, picture, _ = table_i
    words = program.descriptor_words
    candidates = [index for index, job in enumerate(program.jobs()) if job.get(field, 0) > 0]
    rng = np.random.default_rng(1)
    for index in rng.choice(candidates, size=min(4, len(candidates)), replace=False):
        original = words[index].copy()
        word, _, low = descriptors.fields_of(program.jobs()[index]["opcode"])[field]
        words[index, word] -= 1 << low
        words[index, 1] = descriptors.checksum(words[index])
        try:
            with pytest.raises(ProgramError):
                execute(program, picture)
        finally:
            words[index] = original


UNITS = (
    "convolution.tile_loader.placed",
    "convolution.conv_group.compute",
    "convolution.tile_store.stored",
    "convolution.weight_loader.load_blocks",
    "vector.vector_engine.vector_engine",
    "vector.seed_unit.seed_unit",
)


@pytest.mark.parametrize("unit", UNITS)
def test_every_units_model_takes_part(monkeypatch, unit):
    """What a program computes is what the models of the units compute: one that loses the end of what it makes is seen."""
    quantised = quantise(Network.random([Layer("conv", "a", 3, 20, 3), Layer("fc", "b", 320, 5, relu=False)], (3, 4, 4), seed=1))
    program = compile_network(quantised)
    picture = quantised.quantise_image(standard_images((3, 4, 4), 1)[0])
    forward = golden.forward(quantised, picture)
    backward = golden.backward(quantised, forward, "saliency")
    compare(quantised, program, execute(program, picture), forward, backward)
    path, _, name = unit.rpartition(".")
    module = importlib.import_module(f"gradcore.models.{path}")
    right = getattr(module, name)

    def wrong(*arguments, **options):
        made = right(*arguments, **options)
        match name:
            case "placed":
                return made * (np.arange(made.shape[2]) < made.shape[2] - 2)
            case "compute":
                return dataclasses.replace(made, values=made.values + 1)
            case "load_blocks":
                return [dataclasses.replace(one, initial=one.initial + (1 << 20)) for one in made]
            case "vector_engine":
                return dataclasses.replace(made, stored=((), made.stored[1]))
            case "seed_unit":
                return dataclasses.replace(made, seed=made.seed * 0)
        return made[:-1]

    monkeypatch.setattr(module, name, wrong)
    with pytest.raises(AssertionError):
        compare(quantised, program, execute(program, picture), forward, backward)


@pytest.mark.parametrize(
    ("opcode", "field", "value", "message"),
    [
        ("TILE", "buffer_row_words", 400, "the output buffer overflows"),
        ("TILE", "buffer_row_pieces", 500, "the output buffer overflows"),
        ("TILE", "slot", 1, "more entries than its slot"),
        ("TILE", "row_entries", 8191, "do not fit the tile bank"),
        ("TILE", "contiguous", None, "the contiguous flag is wrong"),
        ("TILE", "source_address", 0x1000_0001, "not aligned to words"),
        ("TILE", "source_address", 0x2000_0000, "outside the window"),
        ("TILE", "destination_address", 0x2000_0000, "outside the window"),
        ("TILE", "destination_address", 0x1000_0000, "written before"),
        ("TILE", "pack_pixels", 2, "packs cannot be pooled"),
        ("TILE", "buffer_rows", 60, "not every buffer pixel gets a count"),
        ("VECTOR", "tags", 0, "applies a ReLU without tags"),
        ("VECTOR", "pitch_log2", 4, "blocks in rows of 16 bytes"),
        ("SEED", "channels", 13, "more channels than words"),
        ("SEED", "logits_address", "seed_address", "never written"),
    ],
)
def test_a_program_that_breaks_a_rule_is_refused(table_i, program, opcode, field, value, message):
    """One field of one descriptor at a time; the executor names the descriptor and the rule."""
    words = program.descriptor_words
    jobs = program.jobs()
    fits = {"pool": field == "pack_pixels", "store_tags": True} if opcode == "TILE" else {"load_relu": 1} if opcode == "VECTOR" else {}
    index = next(n for n, job in enumerate(jobs) if job["opcode"] == opcode and all(bool(job[one]) == fits[one] for one in fits))
    original = words[index].copy()
    wrong = jobs[index][value] if isinstance(value, str) else 1 - jobs[index][field] if value is None else value
    change(program, index, **{field: wrong})
    try:
        with pytest.raises(ProgramError, match=rf"descriptor {index} \({opcode}\).*{message}"):
            execute(program, table_i[1])
    finally:
        words[index] = original


def change(program: Program, index: int, **fields: int) -> None:
    """Other fields in a descriptor of the program."""
    job = {**program.jobs()[index], **fields}
    known = descriptors.fields_of(job["opcode"])
    program.descriptor_words[index] = descriptors.encode(job["opcode"], {name: job[name] for name in known if name != "opcode"})


def test_a_fully_connected_layer_begins_while_its_source_is_made(program):
    """The first one takes its vector in slices, in the order in which they come, each value once; all but the last keep their sums."""
    source = program.regions["activation_4"]
    jobs = [job for job in program.jobs() if job["opcode"] == "VECTOR" and job["layer"] == 4]
    assert len(jobs) > 2 and [job["keep"] for job in jobs] == [1] * (len(jobs) - 1) + [0]
    waits = [job["wait_tiles"] for job in jobs]
    assert waits == sorted(waits) and len(set(waits)) > 2
    taken = np.zeros(source.values, dtype=int)
    plane = min(job["matrix_address1"] for job in jobs)
    for job in jobs:
        first = (job["vector_address"] - source.address) // 2
        assert job["matrix_address1"] - plane == first << job["pitch_log2"]
        taken[first : first + 4 * job["vector_words"]] += 1
    assert np.all(taken == 1)
    assert sum(job["last_of_layer"] for job in jobs) == jobs[-1]["last_of_layer"] == 1


@pytest.mark.parametrize(
    ("place", "fields", "where", "message"),
    [
        (1, {"destination_words0": 4}, 0, "goes on with the sums of another layer, or of other outputs"),
        (-1, {"keep": 1}, 1, "goes on with the sums of another layer"),
        (None, {"keep": 1}, 1, "sums were kept, and no job stores them"),
    ],
)
def test_sums_that_are_kept_are_taken(table_i, program, place, fields, where, message):
    """By a job of the same layer and outputs: the second of fc1 stores others, the last of fc1 keeps, and fc2 before the seed."""
    jobs = program.jobs()
    found = [index for index, job in enumerate(jobs) if job["opcode"] == "VECTOR" and job["layer"] == (5 if place is None else 4)]
    index = found[place or 0]
    original = program.descriptor_words[index].copy()
    change(program, index, **fields)
    try:
        with pytest.raises(ProgramError, match=rf"descriptor {index + where} .*{message}"):
            execute(program, table_i[1])
    finally:
        program.descriptor_words[index] = original


def test_a_deadlock_is_noticed(program):
    jobs = program.jobs()
    broken = [dict(job) for job in jobs]
    tile = next(job for job in broken if job["opcode"] == "TILE")
    tile["wait_tiles"] = 1
    with pytest.raises(ProgramError, match="later job"):
        check_tokens(broken)
    with pytest.raises(ProgramError, match="deadlock"):
        simulate(broken, np.random.default_rng(0))


# ---- seeds, inference, memory ------------------------------------------------------------------------------


def test_seed_at_a_class(table_i, program):
    quantised, picture, forward = table_i
    executor = execute(program, picture, "guided", seed_mode=1, seed_index=program.seed_index(3))
    np.testing.assert_array_equal(
        program.read_attribution(executor.memory), golden.backward(quantised, forward, "guided", 3).attribution[0]
    )


@pytest.mark.parametrize("index", [0, 2, 9, 11, 12, 1 << 20])
def test_a_given_index_moves_the_seed_and_not_the_winner(table_i, program, index):
    """The class registers hold the arg-max in every mode, and an index beyond the map leaves zeros, as in the Verilog."""
    _, picture, forward = table_i
    executor = execute(program, picture, "guided", seed_mode=1, seed_index=index)
    assert program.class_of(executor.class_index) == forward.winners[0] != index
    assert executor.class_value == forward.logits[0].max()
    seed = program.seed.read(executor.memory, program.base, padding=True).reshape(-1)
    assert seed.tolist() == [program.seed_value * (place == index) for place in range(12)]


def test_any_seed(table_i, program):
    quantised, picture, forward = table_i
    seed = np.random.default_rng(2).integers(-16384, 16384, (1, 1, 10))
    executor = execute(program, picture, "deconvnet", seed=seed)
    expected = golden.backward(quantised, forward, "deconvnet", seed=seed[None]).attribution[0]
    np.testing.assert_array_equal(program.read_attribution(executor.memory), expected)


def test_inference_writes_no_gradient(table_i, program):
    _, picture, forward = table_i
    executor = execute(program, picture, explain=False)
    np.testing.assert_array_equal(program.read_logits(executor.memory), forward.logits[0])
    assert program.class_of(executor.class_index) == forward.winners[0]
    region = program.attribution
    assert np.all(executor.memory[region.address - program.base : region.end - program.base] == 0xA5)


def test_class_index_counts_padding():
    layers = [Layer("conv", "a", 2, 3, 3, relu=False)]
    quantised = quantise(Network.random(layers, (2, 5, 4), seed=3))
    program = compile_network(quantised)
    picture = np.random.default_rng(4).integers(-9999, 9999, (5, 4, 2))
    forward = golden.forward(quantised, picture)
    executor = execute(program, picture)
    best = arithmetic.arg_max(forward.logits[0])
    channel, pixel = divmod(best, 5 * 4)
    assert executor.class_index == pixel * 4 + channel and program.class_of(executor.class_index) == best
    assert program.seed_index(best) == executor.class_index


def test_tags_of_table_i_fit_the_brief(program):
    assert program.tag_bytes <= 15400


def test_regions_do_not_overlap(program):
    regions = sorted(program.regions.values(), key=lambda region: region.address)
    for one, other in zip(regions, regions[1:], strict=False):
        assert one.end <= other.address
    assert regions[-1].end <= program.window[1]


def test_program_survives_a_file(table_i, program, tmp_path):
    _, picture, _ = table_i
    program.save(tmp_path / "program.npz")
    loaded = Program.load(tmp_path / "program.npz")
    assert loaded.listing() == program.listing() and loaded.regions == program.regions and loaded.layers == program.layers
    np.testing.assert_array_equal(loaded.image, program.image)
    assert loaded.hardware == program.hardware and loaded.window == program.window
    np.testing.assert_array_equal(loaded.picture_bytes(picture)[1], program.picture_bytes(picture)[1])


@pytest.mark.parametrize("content", [b"", b"no program", None])
def test_a_file_that_is_no_program(tmp_path, content):
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(GradCoreError, match="file"):
        Program.load(path)


def test_pixels_and_quantised_pictures_are_taken(table_i, program):
    quantised, _, _ = table_i
    pixels = standard_images((3, 32, 32), 1)[0]
    assert program.picture_bytes(pixels) == program.picture_bytes(quantised.quantise_image(pixels))
    with pytest.raises(GradCoreError, match="32 x 32 x 3"):
        program.picture_bytes(pixels[:5])


def test_another_base(table_i):
    quantised, picture, forward = table_i
    program = compile_network(quantised, base=0x3000)
    executor = execute(program, picture)
    np.testing.assert_array_equal(program.read_logits(executor.memory), forward.logits[0])
    with pytest.raises(GradCoreError, match="4096"):
        compile_network(quantised, base=0x3001)


def same_program(one: Program, other: Program) -> None:
    """Two programs are equal in every bit and in all that they say of themselves."""
    np.testing.assert_array_equal(one.image, other.image)
    for item in dataclasses.fields(Program):
        if item.name != "image":
            assert getattr(one, item.name) == getattr(other, item.name), item.name
    assert one.window == other.window and one.listing() == other.listing() and one.jobs() == other.jobs()


@pytest.mark.parametrize("base", [0, 0x1EB0_0000, 0x8000_0000])
@pytest.mark.parametrize("groups", GROUPS)
def test_trap_a_program_moves(table_i, groups, base):
    """A moved program equals one that was compiled there; moving back gives the first one; the first one is left alone."""
    hardware = HardwareConfig(groups=groups)
    first = compile_network(table_i[0], hardware, base=0x2_0000)
    image = first.image.copy()
    moved = first.at(base)
    same_program(moved, compile_network(table_i[0], hardware, base=base))
    same_program(moved.at(0x2_0000), first)
    assert first.base == 0x2_0000 and np.array_equal(first.image, image)
    assert moved.program_address == base and min(region.address for region in moved.regions.values()) == base


@pytest.mark.parametrize("seed", GENERATED[::2])
def test_trap_generated_programs_move(seed):
    """Random networks, random bases, and the highest base that each fits at."""
    rng = np.random.default_rng(seed)
    quantised, _ = random_quantised(seed)
    hardware = HardwareConfig(groups=GROUPS[seed % 3])
    first = compile_network(quantised, hardware, base=int(rng.integers(1 << 18)) * 4096)
    highest = (1 << 32) - 4096 - (first.window[1] - first.window[0])
    for base in (0, int(rng.integers(highest // 4096)) * 4096, highest):
        same_program(first.at(base), compile_network(quantised, hardware, base=base))
    assert first.at(highest).window[1] == 0xFFFF_F000
    with pytest.raises(GradCoreError, match=f"choose a base of at most {highest:#x}") as moving:
        first.at(highest + 4096)
    with pytest.raises(GradCoreError, match=f"choose a base of at most {highest:#x}") as compiling:
        compile_network(quantised, hardware, base=highest + 4096)
    assert str(moving.value) == str(compiling.value) and "\n" not in str(moving.value)


def test_trap_a_moved_program_runs(table_i, program, tmp_path):
    """From a file, at another address, with the same results."""
    _, picture, forward = table_i
    program.save(tmp_path / "program.bin")
    moved = Program.load(tmp_path / "program.bin").at(0x1EB0_0000)
    same_program(moved, program.at(0x1EB0_0000))
    executor = execute(moved, picture)
    compare(table_i[0], moved, executor, forward, golden.backward(table_i[0], forward, "saliency"))


@pytest.mark.parametrize("base", [0x1001, 4095, -4096, 1 << 32, (1 << 32) - 4096, "0x10000000", 4096.0, None])
def test_trap_a_base_that_does_not_fit_is_refused(program, base):
    """One line, from ``at`` and from the compiler."""
    with pytest.raises(GradCoreError, match="base") as error:
        program.at(base)
    assert "\n" not in str(error.value)


def test_trap_a_damaged_program_stays_damaged(program):
    """Moving does not make a wrong checksum right."""
    words = program.descriptor_words.copy()
    words[3, 7] ^= 1
    moved = relocate(words, 0x5000)
    np.testing.assert_array_equal(np.delete(moved, 3, axis=0), np.delete(program.at(program.base + 0x5000).descriptor_words, 3, axis=0))
    with pytest.raises(ValueError, match="checksum"):
        descriptors.decode(moved[3])


def test_listing_names_layers_and_descriptors(program):
    text = program.listing()
    for needed in ("conv4_backward", "attribution", "Weight buffer", "T0", "V0", "W0", "END", "0x10000000"):
        assert needed in text


def test_an_executor_wants_an_end(table_i, program):
    words = program.descriptor_words
    last = words[-1].copy()
    words[-1] = descriptors.encode(
        "SEED",
        {
            "forward_end": 0,
            "words_per_pixel": 1,
            "pixels": 1,
            "channels": 4,
            "logits_address": program.picture.address,
            "seed_address": program.window[1] - 8,
        },
    )
    try:
        memory = program.new_memory()
        program.load_image(memory, table_i[1])
        with pytest.raises(ProgramError, match="no END"):
            Executor(program, memory).run()
    finally:
        words[-1] = last


# ---- descriptors, tags, tiles ------------------------------------------------------------------------------


@pytest.mark.parametrize("opcode", descriptors.OPCODES)
def test_descriptors_round_trip(opcode):
    rng = np.random.default_rng(6)
    values = {}
    for name, (_, high, low) in descriptors.FIELDS[opcode].items():
        span = 1 << (high - low + 1)
        values[name] = int(rng.integers(span)) - (span // 2 if name in descriptors.SIGNED else 0)
    decoded = descriptors.decode(descriptors.encode(opcode, values))
    assert decoded["opcode"] == opcode and decoded["version"] == DESCRIPTOR_VERSION
    assert {name: decoded[name] for name in values} == values


@pytest.mark.parametrize("opcode", descriptors.OPCODES)
def test_fields_do_not_overlap(opcode):
    used = set()
    for name, (word, high, low) in descriptors.fields_of(opcode).items():
        bits = {(word, bit) for bit in range(low, high + 1)}
        assert not bits & used, name
        used |= bits


def test_a_damaged_descriptor_is_refused():
    words = descriptors.encode("END", {})
    words[7] ^= 4
    with pytest.raises(ValueError, match="checksum"):
        descriptors.decode(words)


def test_tag_pieces():
    mask = np.zeros((1, 16), dtype=bool)
    mask[0, [0, 5, 15]] = True
    index = np.arange(16)[None] % 4
    pieces = join_pieces(mask, index)
    assert pieces.tolist() == [[[0x8021, 0b1110010011100100, 0b1110010011100100]]]
    back = split_pieces(pieces)
    np.testing.assert_array_equal(back[0], mask)
    np.testing.assert_array_equal(back[1], index)


def test_rows_of_tags_start_on_words():
    region = TagRegion("t", 0, 0, "", 3, 5, 17, 3)
    assert region.blocks == 2 and region.pixel_pitch == 12 and region.row_pitch == 64


@pytest.mark.parametrize("options", [{"groups": 0}, {"groups": 8}, {"lanes": 8}])
def test_builds_that_cannot_be_compiled_for(options):
    with pytest.raises(GradCoreError, match="compiled for"):
        HardwareConfig(**options)


def test_one_entry_takes_networks_of_every_kind(tmp_path):
    """A file, a float network and a quantised one give the same program; a preset is a name or the sizes."""
    network = Network.random([Layer("conv", "conv1", 3, 8, 3), Layer("fc", "fc1", 8 * 36, 5, relu=False)], (3, 6, 6))
    network.save(tmp_path / "net.safetensors")
    programs = [
        compile_network(tmp_path / "net.safetensors", "small"),
        compile_network(network, preset="small"),
        compile_network(quantise(network), HardwareConfig(groups=1)),
    ]
    assert len({program.image.tobytes() for program in programs}) == 1 and {program.hardware.groups for program in programs} == {1}
    with pytest.raises(GradCoreError, match="is quantised, and its number formats are chosen"):
        compile_network(quantise(network), headroom=2)
    with pytest.raises(GradCoreError, match="unknown preset 'smal' .did you mean small"):
        compile_network(network, "smal")
