# SPDX-License-Identifier: Apache-2.0
"""One description of registers and descriptors: what is generated from it is up to date, and everybody agrees with it."""

from __future__ import annotations

import importlib.util
import random
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from gradcore import hardware
from gradcore.compiler import descriptors as compiler_descriptors
from tb.support.seeds import SEEDS

ROOT = Path(__file__).resolve().parents[1]


def load_generator() -> ModuleType:
    """registers/generate.py as a module."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "registers" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["generate"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


GENERATOR = load_generator()
DESCRIPTION = GENERATOR.read_description()


def test_generated_files_are_up_to_date() -> None:
    """`make registers` would change nothing."""
    for path, text in GENERATOR.generate().items():
        assert (ROOT / path).read_text() == text, f"{path} differs from registers/gradcore.rdl: run `make registers`"


def test_check_notices_a_change(tmp_path: Path) -> None:
    """A changed description changes every generated file that depends on it."""
    changed = tmp_path / "changed.rdl"
    text = GENERATOR.SOURCE.read_text()
    assert "WATCHDOG @ 0x040" in text and "shift[21:16]" in text
    changed.write_text(text.replace("WATCHDOG @ 0x040", "WATCHDOG @ 0x080").replace("shift[21:16]", "shift[22:17]"))
    before, after = GENERATOR.generate(), GENERATOR.generate(changed)
    assert all(before[path] != after[path] for path in before)
    result = subprocess.run([sys.executable, "registers/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True)
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
    for path in (ROOT / "rtl").glob("*.v"):
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


def test_c_headers_compile(tmp_path: Path) -> None:
    """The C headers compile, and agree on an address and a mask."""
    (tmp_path / "main.c").write_text(
        '#include <stddef.h>\n#include "gradcore_registers.h"\n#include "gradcore_descriptors.h"\n'
        f"_Static_assert(offsetof(gradcore_registers_t, WATCHDOG) == {hardware.WATCHDOG}, \"address\");\n"
        f"_Static_assert(GRADCORE_REGISTERS__STATUS__CODE_bm == {hardware.STATUS_CODE}, \"mask\");\n"
        "int main(void) { return 0; }\n"
    )
    command = ["gcc", "-std=gnu11", "-Wall", "-Werror", f"-I{ROOT / 'include'}", "-fsyntax-only", str(tmp_path / "main.c")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
