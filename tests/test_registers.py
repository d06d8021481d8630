# SPDX-License-Identifier: Apache-2.0
"""One description of registers and descriptors: what is generated from it is up to date, and everybody agrees with it."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gradcore import hardware
from gradcore.compiler import descriptors as compiler_descriptors
from gradcore.models.jobs import JOBS, Job
from registers.description import SOURCE, UNITS, read_description
from registers.generate import generate
from registers.sizes import read_sizes
from tb.support.seeds import SEEDS

ROOT = Path(__file__).resolve().parents[1]


DESCRIPTION = read_description()


def test_generated_files_are_up_to_date() -> None:
    """`make registers` would change nothing."""
    for path, text in generate().items():
        assert (ROOT / path).read_text() == text, f"{path} differs from registers/gradcore.rdl: run `make registers`"


def test_check_notices_a_change(tmp_path: Path) -> None:
    """A changed description changes every generated file that depends on it."""
    changed = tmp_path / "changed.rdl"
    text = SOURCE.read_text()
    assert "WATCHDOG @ 0x040" in text and "pieces_per_pixel[23:16]" in text
    changed.write_text(text.replace("WATCHDOG @ 0x040", "WATCHDOG @ 0x080").replace("pieces_per_pixel[23:16]", "pieces_per_pixel[24:17]"))
    before, after = generate(), generate(changed)
    # Where a unit's fields lie in its job depends on their widths alone, not on their places in the descriptor.
    same = {Path(f"rtl/{unit}_job.vh") for unit in UNITS} | {Path("models/jobs.py")}
    assert {path for path in before if before[path] == after[path]} == same | {Path("rtl/gradcore_sizes.vh")}
    changed.write_text(text.replace("tap_rows[26:16]", "tap_rows[25:16]"))
    after = generate(changed)
    assert {path.name for path in same if before[path] != after[path]} == {"conv_group_job.vh", "jobs.py"}
    result = subprocess.run([sys.executable, "-m", "registers.generate", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_fields_do_not_overlap() -> None:
    """Registers lie in 4 KiB at different addresses; fields are inside their words and do not overlap."""
    addresses = [register.address for register in DESCRIPTION.registers]
    assert len(set(addresses)) == len(addresses) and max(addresses) < 4096
    words = [*DESCRIPTION.registers, *(word for descriptor in DESCRIPTION.descriptors for word in descriptor.words)]
    for word in words:
        used = 0
        for item in word.fields:
            mask = ((1 << item.width) - 1) << item.low
            assert item.high < 32 and not used & mask, f"{word.name}.{item.name}"
            used |= mask


def test_verilog_constants_equal_python() -> None:
    """The Verilog header and the Python module say the same of every address and descriptor field."""
    text = (ROOT / "rtl" / "gradcore_constants.vh").read_text()
    constants = {}
    for name, value in re.findall(r"^localparam (?:\[\d+:0\] )?(\w+) = (?:\d+'[hd])?([0-9A-F]+);", text, flags=re.M):
        line = next(line for line in text.splitlines() if f" {name} = " in line)
        constants[name] = int(value, 16 if "'h" in line else 10)
    for name, address in hardware.ADDRESSES.items():
        assert constants[f"REGISTER_{name}_ADDRESS"] == address
        assert constants[f"REGISTER_{name}_RESET"] == hardware.RESETS[name]
    for index, name in enumerate(hardware.COUNTERS):
        assert constants[f"COUNTER_{name}"] == index
        assert hardware.COUNTERS[name] == constants["COUNTERS_ADDRESS"] + 8 * index
    for opcode, fields in {"": hardware.DESCRIPTOR_COMMON, **hardware.DESCRIPTOR_FIELDS}.items():
        for name, (word, high, low) in fields.items():
            prefix = f"DESCRIPTOR_{opcode}_{name}" if opcode else f"DESCRIPTOR_{name}"
            keys = [f"{prefix}{suffix}".upper() for suffix in ("_WORD", "_LSB", "_WIDTH", "")]
            assert [constants[key] for key in keys] == [word, low, high - low + 1, 32 * word + low]
    assert constants["OPCODE_END"] == hardware.OPCODES["END"] and constants["CODE_WATCHDOG"] == hardware.CODES["WATCHDOG"]


def test_compiler_agrees() -> None:
    """The compiler's descriptors have the same fields at the same places."""
    assert compiler_descriptors.FIELDS == hardware.DESCRIPTOR_FIELDS
    assert frozenset(compiler_descriptors.SIGNED) == hardware.DESCRIPTOR_SIGNED
    assert compiler_descriptors.OPCODES == hardware.OPCODES


def test_verilog_cuts_at_named_fields() -> None:
    """No module cuts a descriptor at literal positions: all use the generated names."""
    users = 0
    for path in (ROOT / "rtl").rglob("*.v"):
        text = path.read_text()
        users += "DESCRIPTOR_" in text
        if path.name != "descriptor_fetch.v":  # a shift register of words
            assert not re.search(r"\bdescriptor\s*\[\s*\d", text), path.name
    assert users >= 2


@pytest.mark.parametrize("seed", SEEDS)
def test_pack_and_unpack(seed: int) -> None:
    """Random values of every field survive packing, equal the compiler's encoding, and give a XOR equal to the key."""
    rng = random.Random(seed)
    for opcode in hardware.OPCODES:
        for _ in range(20):
            values = {}
            for name, (_word, high, low) in hardware.descriptor_fields(opcode).items():
                if name in ("opcode", "version", "checksum"):
                    continue
                width = high - low + 1
                signed = name in hardware.DESCRIPTOR_SIGNED
                least, most = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if signed else (0, (1 << width) - 1)
                values[name] = rng.choice((least, most, rng.randint(least, most)))
            words = hardware.pack_descriptor(opcode, values)
            total = 0
            for word in words:
                total ^= word
            assert total == hardware.CHECKSUM_KEY and len(words) == hardware.DESCRIPTOR_WORDS
            name, unpacked = hardware.unpack_descriptor(words)
            assert name == opcode and unpacked.items() >= values.items()
            assert list(compiler_descriptors.encode(opcode, values)) == words


def test_bad_descriptors_are_refused() -> None:
    """What does not fit, is unknown, or was changed raises."""
    with pytest.raises(ValueError, match="shift"):
        hardware.pack_descriptor("TILE", {"shift": 64})
    with pytest.raises(ValueError, match="origin_row"):
        hardware.pack_descriptor("TILE", {"origin_row": -129})
    with pytest.raises(KeyError):
        hardware.pack_descriptor("SEED", {"shift": 1})
    with pytest.raises(ValueError, match="opcode"):
        hardware.pack_descriptor("NOTHING", {})
    words = hardware.pack_descriptor("SEED", {"pixels": 3})
    for position in (0, 1, 5, 31):
        changed = list(words)
        changed[position] ^= 1 << 20
        with pytest.raises(ValueError, match="checksum"):
            hardware.unpack_descriptor(changed)
    with pytest.raises(ValueError, match="version"):
        hardware.unpack_descriptor([words[0] ^ 1 << 24, *words[1:]])


HEADERS = {"gradcore_registers": 47, "gradcore_descriptors": 60}  # at least so many words in each map


def words_of(name: str) -> list[tuple[str, int]]:
    """(member, byte offset) of every word of a map, read from the checks of its header."""
    text = (ROOT / "include" / f"{name}.h").read_text()
    found = re.findall(rf"offsetof\({name}_t, ([\w.]+)\) == (0x[0-9a-f]+)\)", text)
    return [(member, int(offset, 16)) for member, offset in found]


def arm_assembly(source: Path, *options: str, include: Path = ROOT / "include") -> str:
    """Assembly of a C file for the Zynq's ARM cores, by GCC's compiler proper (Debian's cpp-arm-linux-gnueabihf has it)."""
    command = ["arm-linux-gnueabihf-cpp", "-print-prog-name=cc1"]
    compiler = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    command = ["gcc", "-print-file-name=include"]  # stdint.h and stddef.h of a freestanding GCC fit every machine
    headers = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    target = ["-march=armv7-a", "-mfpu=neon", "-mfloat-abi=hard", "-ffreestanding", "-isystem", headers, f"-I{include}"]
    warnings = ["-std=c11", "-Wall", "-Wextra", "-pedantic", "-Werror"]
    output = source.with_suffix(".s")
    command = [compiler, "-quiet", *target, *warnings, *options, str(source), "-o", str(output)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return output.read_text()


def write_accesses(path: Path, name: str) -> Path:
    """A C file with functions that write, read and take the address of every word of a map; stores of constants are split, too."""
    words = [member for member, _ in words_of(name)]

    def function(head: str, lines: list[str]) -> str:
        return "\n".join([f"{head};", f"{head}", "{", *lines, "}", ""])

    functions = [
        function(f"void write_all(volatile {name}_t *map, uint32_t value)", [f"map->{word} = value;" for word in words]),
        function(f"void write_constants(volatile {name}_t *map)", [f"map->{word} = 0x1{index:02}u;" for index, word in enumerate(words)]),
        function(
            f"uint32_t read_all(const volatile {name}_t *map)",
            ["uint32_t sum = 0;", *(f"sum ^= map->{word};" for word in words), "return sum;"],
        ),
        function(
            f"void address_all({name}_t *map, volatile uint32_t **to)",
            [f"to[{index}] = &map->{word};" for index, word in enumerate(words)],
        ),
        function(f"void copy_all({name}_t *map, const {name}_t *from)", [f"map->{word} = from->{word};" for word in words]),
    ]
    path.write_text("\n".join([f'#include "{name}.h"', *functions]))
    return path


@pytest.mark.parametrize("unaligned", [(), ("-mno-unaligned-access",)], ids=["linux", "bare-metal"])
@pytest.mark.parametrize("level", ["-O0", "-O2", "-Os"])
@pytest.mark.parametrize("name", HEADERS)
def test_trap_c_headers_access_whole_words_on_arm(tmp_path: Path, name: str, level: str, unaligned: tuple[str, ...]) -> None:
    """A register, and a word of a descriptor, is read and written in one access: never byte by byte."""
    words = words_of(name)
    assert len(words) >= HEADERS[name]
    assembly = arm_assembly(write_accesses(tmp_path / "accesses.c", name), level, *unaligned)
    assert not re.findall(r"^\s*(?:ldr|str)s?[bh]\b.*", assembly, flags=re.M)
    if level == "-O2":  # the map stays in r0
        for function, kind in {"write_all": "str", "write_constants": "str", "read_all": "ldr"}.items():
            code = assembly.split(f"\n{function}:\n")[1].split("\n\t.size")[0]
            accesses = re.findall(rf"^\s*{kind}\s+\w+, \[r0(?:, #(\d+))?\]", code, flags=re.M)
            assert [int(offset or 0) for offset in accesses] == [offset for _, offset in words]


@pytest.mark.parametrize(("unaligned", "kinds"), [((), 1), (("-mno-unaligned-access",), 3)], ids=["linux", "bare-metal"])
def test_trap_packed_structs_are_noticed(tmp_path: Path, unaligned: tuple[str, ...], kinds: int) -> None:
    """The check bites: structs that are only packed give accesses of bytes."""
    name = "gradcore_registers"
    text = (ROOT / "include" / f"{name}.h").read_text()
    assert "packed, aligned(4)" in text
    packed = text.replace("packed, aligned(4)", "packed").replace(f"__alignof__({name}_t) == 4", "1")
    (tmp_path / f"{name}.h").write_text(packed)
    write_accesses(tmp_path / "accesses.c", name)
    assembly = arm_assembly(tmp_path / "accesses.c", "-O2", *unaligned, "-Wno-address-of-packed-member", include=tmp_path)
    assert len(re.findall(r"\bstrb\b", assembly)) >= 4 * kinds * len(words_of(name))


@pytest.mark.parametrize("standard", ["c99", "c11", "gnu17", "c++98", "c++11", "c++20"])
def test_c_headers_compile(tmp_path: Path, standard: str) -> None:
    """The C headers compile without a warning in C and C++, together and freestanding, and agree on addresses and a mask."""
    language = "c++" if "+" in standard else "c"
    source = tmp_path / f"main.{language}"
    checks = [(f"offsetof(gradcore_registers_t, {name})", address) for name, address in hardware.ADDRESSES.items()]
    checks = [(text.replace("_LOW)", ".LOW)").replace("_HIGH)", ".HIGH)"), address) for text, address in checks]
    checks.append(("GRADCORE_REGISTERS__STATUS__CODE_bm", hardware.STATUS_CODE))
    assertions = [f"typedef char check{index}[{text} == {value} ? 1 : -1];" for index, (text, value) in enumerate(checks)]
    uses = [f"extern check{index} use{index};" for index in range(len(checks))]
    headers = ["#include <stddef.h>", '#include "gradcore_registers.h"', '#include "gradcore_descriptors.h"']
    source.write_text("\n".join([*headers, *assertions, *uses, "int main(void) { return 0; }", ""]))
    command = ["gcc", f"-x{language}", f"-std={standard}", "-ffreestanding", "-Wall", "-Wextra", "-pedantic", "-Werror"]
    result = subprocess.run([*command, f"-I{ROOT / 'include'}", "-fsyntax-only", str(source)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_c_headers_check_their_layout(tmp_path: Path) -> None:
    """A header whose struct has another layout than its checks does not compile."""
    text = (ROOT / "include" / "gradcore_registers.h").read_text()
    assert "    uint32_t WATCHDOG;\n    uint32_t METHOD;\n" in text
    swapped = text.replace("    uint32_t WATCHDOG;\n    uint32_t METHOD;\n", "    uint32_t METHOD;\n    uint32_t WATCHDOG;\n")
    (tmp_path / "changed.c").write_text(swapped)
    result = subprocess.run(["gcc", "-fsyntax-only", str(tmp_path / "changed.c")], capture_output=True, text=True)
    assert result.returncode != 0 and "METHOD) == 0x44" in result.stderr


def test_arm_compiler_is_installed() -> None:
    """`make test` installs the compiler that these tests need: 9 MB."""
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^PACKAGES_TEST := .*\bcpp-arm-linux-gnueabihf=arm-linux-gnueabihf-cpp\b", makefile, flags=re.M)


# Jobs ----------------------------------------------------------------------------------------------------------------


def evaluated(unit: str, words: list[int]) -> int:
    """What the macro of rtl/gradcore_jobs.vh picks out of a descriptor, by reading its text."""
    text = (ROOT / "rtl" / "gradcore_jobs.vh").read_text().replace("\\\n", "")
    picked = re.search(rf"`define {unit.upper()}_JOB\(descriptor\) \{{(.*?)\}}", text)
    descriptor = sum(word << 32 * place for place, word in enumerate(words))
    value = 0
    for high, low in re.findall(r"descriptor\[(\d+)(?::(\d+))?\]", picked[1]):
        width = int(high) - int(low or high) + 1
        value = value << width | descriptor >> int(low or high) & ((1 << width) - 1)
    return value


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("unit", UNITS)
def test_jobs(unit: str, seed: int) -> None:
    """A job is the same from a descriptor's fields, from the Verilog macro that cuts its words, and from the wires of the unit's header."""
    rng = random.Random(seed)
    job_type = JOBS[unit]
    fields = hardware.descriptor_fields(job_type.OPCODE)
    values = {name: rng.getrandbits(high - low + 1) for name, (_, high, low) in fields.items() if name not in ("opcode", "version")}
    for name in values.keys() & hardware.DESCRIPTOR_SIGNED:
        values[name] -= 1 << (fields[name][1] - fields[name][2])
    words = hardware.pack_descriptor(job_type.OPCODE, {name: value for name, value in values.items() if name != "checksum"})
    job = job_type.from_descriptor(values)
    assert job.pack() == evaluated(unit, words) and job_type.unpack(job.pack()) == job
    header = (ROOT / "rtl" / f"{unit}_job.vh").read_text()
    wires = re.findall(r"^wire (?:\[(\d+):0\] )?(\w+) = job\[(?:\d+:)?(\d+)\];", header, flags=re.M)
    assert {name: (int(low), int(high or 0) + 1) for high, name, low in wires} == {n: place[:2] for n, place in job_type.PLACES.items()}
    for high, name, low in wires:
        assert job.pack() >> int(low) & ((2 << int(high or 0)) - 1) == getattr(job, name) & ((2 << int(high or 0)) - 1)


def test_jobs_refuse_what_does_not_fit() -> None:
    """A field that is too large, too small or missing is named."""
    job = JOBS["conv_group"]
    assert issubclass(job, Job)
    for wrong in ({"shift": 64}, {"shift": -1}, {"origin_row": 128}, {"origin_row": -129}):
        (name,) = wrong
        with pytest.raises(ValueError, match=f"conv_group job: {name} = "):
            job(**wrong).pack()
    with pytest.raises(KeyError, match="wait_weights"):
        job.from_descriptor({})
    with pytest.raises(TypeError, match="quarters"):
        job(quarters=1)


@pytest.mark.parametrize("unit", UNITS)
def test_every_field_of_a_job_is_used(unit: str) -> None:
    """No field is carried to a unit that does not look at it; the modules that know the fields have the port that they come from."""
    texts = [re.sub(r"//[^\n]*", "", path.read_text()) for path in (ROOT / "rtl").rglob("*.v")]
    users = [text for text in texts if f'`include "{unit}_job.vh"' in text]
    assert users and all(re.search(rf"input\s+wire\s+\[`{unit.upper()}_JOB_BITS-1:0\]\s+job\b", text) for text in users)
    unused = [name for name in JOBS[unit].PLACES if not any(re.search(rf"\b{name}\b", text) for text in users)]
    assert not unused, f"{unit} takes {', '.join(unused)} for nothing"


# Sizes ---------------------------------------------------------------------------------------------------------------


def test_the_top_has_the_sizes_of_the_largest_preset() -> None:
    """The defaults of gradcore.v, which Vivado reads, are those of registers/sizes.toml; so are the resets of CONFIGURATION."""
    header = (ROOT / "rtl" / "gradcore.v").read_text().partition(");")[0]
    groups = max(preset["GROUPS"] for preset in hardware.PRESETS.values())
    sizes = {"GROUPS": groups, "TILE_DEPTH": hardware.TILE_ENTRIES, "WEIGHT_DEPTH": hardware.WEIGHT_ROWS}
    assert {name: int(value) for name, value in re.findall(r"parameter (\w+) = (\d+)", header)} == sizes
    shown = {name: hardware.register_field(hardware.RESETS["CONFIGURATION"], f"CONFIGURATION.{name}") for name in ("groups", "lanes")}
    assert shown == {"groups": groups, "lanes": hardware.LANES}


@pytest.mark.parametrize("kind", ["read", "write"])
def test_every_client_has_one_place(kind: str) -> None:
    """Each place of the bus is served by one port and belongs to one path; the macros say the same as the description."""
    text = (ROOT / "rtl" / "gradcore_sizes.vh").read_text()
    clients = read_sizes().clients[kind]
    served: list[int] = []
    for port in (0, 1):
        bits, digits = re.search(rf"`define {kind.upper()}_ORDER{port} (\d+)'h(\w+)", text).groups()
        assert int(bits) == 4 * len(clients) and int(re.search(rf"{kind.upper()}_CLIENTS{port} (\d+)", text)[1]) == len(digits)
        order = [int(digit, 16) for digit in reversed(digits)]
        served += order
        assert [clients[place].name for place in order] == list(getattr(hardware, f"{kind.upper()}_CLIENTS")[port])
        assert all(clients[place].port == port for place in order)
    assert sorted(served) == list(range(len(clients)))
    ranges = re.findall(rf"`define (\w+)_{kind.upper()}\(width\) \(width\)\*(\d+)\+:\(width\)\*(\d+)", text)
    owners = [path for path, first, count in ranges for _ in range(int(first), int(first) + int(count))]
    assert owners == [client.path for client in clients]


# Limits and rules ----------------------------------------------------------------------------------------------------


def test_limits_and_rules_name_fields_and_sizes() -> None:
    """Every field with a limit is the descriptor's; every rule can be asked, and holds for one descriptor and fails for another."""
    sizes = {"GROUPS": 4, "WEIGHT_ROWS": 1024, "TILE_PIXELS": 512, "TILE_ENTRIES": 8192, "OUTPUT_WORDS": 512}
    rng = random.Random(1)
    for opcode, limits in hardware.DESCRIPTOR_LIMITS.items():
        fields = hardware.descriptor_fields(opcode)
        for name, (least, most, multiple) in limits.items():
            assert 0 <= least <= most < 1 << (fields[name][1] - fields[name][2] + 1) and multiple in (1, 2, 8), name
    for opcode, rules in hardware.DESCRIPTOR_RULES.items():
        fields = hardware.descriptor_fields(opcode)
        for name, rule in rules.items():
            answers = set()
            for _ in range(4000):
                bits = {field: rng.randrange(high - low + 2) for field, (_, high, low) in fields.items()}
                answers.add(bool(rule({field: rng.getrandbits(count) if count else 0 for field, count in bits.items()}, sizes)))
            assert answers == {False, True}, f"{opcode}: {name}"
