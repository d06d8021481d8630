# SPDX-License-Identifier: Apache-2.0
"""Jobs for vector_engine.v with their contents of memory: constrained random ones, corners, extremes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import numpy as np

from gradcore.models.jobs import VectorEngineJob
from tb.support.base import ItemSequence
from tb.support.read_client import WordMemory

LENGTHS = (1, 2, 3, 4, 5, 15, 16, 17, 33, 80, 300)  # words of the vector
DENSITIES = (0.0, 0.02, 0.3, 1.0)
SHIFTS = (0, 1, 8, 16, 24, 30, 46, 47)
EXTREMES = (-32768, -32768, 32767, -1, 1)
WORDS = (0, 1, 3, 4, 5, 15, 16, 17, 63, 64)  # that a half stores: round its least row, a piece, a tag word, the most
RECTIFIED = ((0, 0), (1, 0), (1, 1))  # relu, clip
EDGES = (-32769, -32768, -32767, -1, 0, 1, 32766, 32767, 32768)


def words_of(values: np.ndarray) -> np.ndarray:
    """Signed 16-bit values as memory words."""
    return np.ascontiguousarray(values.astype("<i2")).view("<u8").reshape(-1)


def shifted(job: VectorEngineJob, skip: int, **given: int) -> VectorEngineJob:
    """The job with its tags read from, and stored at, piece ``skip`` of a word."""
    settings = asdict(job)
    for name in ("tag_address", "tag_destination0", "tag_destination1"):
        settings[name] = settings[name] // 8 * 8 + 2 * skip
    return VectorEngineJob(**{**settings, **given})


class JobMaker:
    """Makes jobs and their memory contents. ``made``: how many so far. ``host``: has the ``tiles`` that are stored by now."""

    lengths, densities, shifts = LENGTHS, DENSITIES, SHIFTS

    def __init__(self, memory: WordMemory, rng: np.random.Generator, host: Any) -> None:
        self.memory, self.rng, self.host = memory, rng, host
        self.destination = 0x4000_0000
        self.made = 0

    def _values(self, shape: tuple[int, ...], extreme: bool) -> np.ndarray:
        if extreme:
            return self.rng.choice(EXTREMES, shape)
        return self.rng.integers(-32768, 32768, shape) >> int(self.rng.integers(12))

    def _output(self, content_bytes: int, alignment: int) -> int:
        """A fresh place for outputs, so that none overlap."""
        address = self.destination + alignment * int(self.rng.integers(0, 8 // alignment))
        self.destination += (content_bytes + 31) // 8 * 8
        return address

    def _random_bias(self, outputs: int) -> np.ndarray:
        """Signed 48-bit numbers of every size."""
        return self.rng.integers(-(1 << 46), 1 << 46, outputs) >> int(self.rng.integers(40))

    def make(
        self, beats: int = 400, vector: np.ndarray | None = None, bias: np.ndarray | None = None, length: int = 0, **given: int
    ) -> VectorEngineJob:
        """A random job of at most about ``beats`` words of weights in a half; ``vector``, its ``length`` in words, ``bias`` (a
        number an output) and ``given`` fix parts of it."""
        rng = self.rng
        extreme = rng.random() < 0.25
        blocks = given.pop("blocks", 2 * int(rng.choice([1, 1, 2, 3, 4, 8, 16])))
        pitch_log2 = max(5, (16 * blocks - 1).bit_length()) + int(rng.integers(2))
        density = float(rng.choice(self.densities))
        if vector is None:
            length = 4 * (length or int(rng.choice(self.lengths)))
            vector = np.where(rng.random(length) < density, self._values((length,), extreme), 0)
            allowed = max(1, beats // (2 * blocks))
            vector[np.flatnonzero(vector)[allowed:]] = 0
        words = len(vector) // 4
        masks = rng.random(4 * words) < rng.choice([0.0, 0.5, 1.0])
        skip = int(rng.integers(4))
        tag_bits = np.concatenate([rng.random(16 * skip) < 0.5, masks, rng.random(-(16 * skip + 4 * words) % 64) < 0.5])
        rows = 4 * words
        planes = [self._values((rows, (1 << pitch_log2) // 2), extreme) if vector.any() else np.zeros((1, 4)) for _ in range(2)]
        initial = [self._random_bias(8 * blocks) if bias is None else np.resize(bias, 8 * blocks) for _ in range(2)]
        above = [rng.integers(0, 1 << 16, one.shape, dtype=np.uint64) << np.uint64(48) for one in initial]  # ignored bits
        initial = [(one & ((1 << 48) - 1)).astype(np.uint64) | rubbish for one, rubbish in zip(initial, above, strict=True)]
        stored = [int(rng.choice([2 * blocks, 2 * blocks, int(rng.integers(0, 2 * blocks + 1)), 0])) for _ in range(2)]
        rectified = RECTIFIED[int(rng.integers(len(RECTIFIED)))]
        settings: dict[str, Any] = {
            "vector_address": self.memory.allocate(words_of(vector)),
            "vector_words": words,
            "pitch_log2": pitch_log2,
            "shift": int(rng.choice(self.shifts)),
            "tag_address": self.memory.allocate(np.packbits(tag_bits, bitorder="little").view("<u8")) + 2 * skip,
            "load_relu": int(rng.random() < 0.7),
            "tags": int(rng.random() < 0.8),
            "has_bias": int(rng.integers(2)),
            "relu": rectified[0],
            "clip": rectified[1],
            "store_tags": int(rng.random() < 0.7),
            "keep": 0,
            "destination_words0": stored[0],
            "destination_words1": stored[1],
        }
        for half in range(2):
            settings[f"matrix_address{half}"] = self.memory.allocate(words_of(planes[half]))
            settings[f"bias_address{half}"] = self.memory.allocate(initial[half])
            settings[f"destination_address{half}"] = self._output(16 * blocks, 8)
            settings[f"tag_destination{half}"] = self._output(2 * blocks, 2)
        settings.update({"clip": 0} if "relu" in given else {}, **given)
        self.made += 1
        return VectorEngineJob(**settings)


class VectorJobs(ItemSequence):
    """Base: ``jobs`` makes them with the sequencer's ``maker``."""

    def items(self) -> Iterable[dict[str, int]]:
        yield from (asdict(job) for job in self.jobs(self.sequencer.maker))

    def jobs(self, maker: JobMaker) -> Iterable[VectorEngineJob]:
        """What is sent, in order."""
        raise NotImplementedError

    def sliced(self, maker: JobMaker, slices: int, **given: Any) -> Iterable[VectorEngineJob]:
        """Jobs that make one chunk together: all but the last keep their sums; each has a vector, a shift, a matrix of its own."""
        blocks = 2 * int(maker.rng.choice([1, 1, 2, 4]))
        words = {f"destination_words{half}": int(maker.rng.integers(0, 2 * blocks + 1)) for half in (0, 1)}
        for number in range(slices):
            yield maker.make(**{"beats": 60, "blocks": blocks, **words, **given}, keep=int(number < slices - 1))


class RandomJobs(VectorJobs):
    """Jobs of all kinds, some in slices; some wait for tiles and for vectors that are still under way."""

    count, beats = 5, 150

    def jobs(self, maker: JobMaker) -> Iterable[VectorEngineJob]:
        for _ in range(self.count):
            waits = {}
            if maker.rng.random() < 0.4:
                waits = {"wait_vectors": maker.made, "wait_tiles": maker.host.tiles + int(maker.rng.integers(0, 3))}
            if maker.rng.random() < 0.3:
                yield from self.sliced(maker, int(maker.rng.integers(2, 4)), **waits)
            else:
                yield maker.make(self.beats, **waits)


class Corners(VectorJobs):
    """One of each: rules, kinds, places of tags, lengths, sums at the edges of the range and at one half, tokens."""

    def jobs(self, maker: JobMaker) -> Iterable[VectorEngineJob]:
        rng, both = maker.rng, (0, 1)
        for skip in range(4):
            dense = maker.make(60, rng.integers(1, 9, 4 * (17 + skip)), blocks=2, load_relu=1, tags=1, has_bias=skip % 2, relu=skip // 2)
            yield shifted(dense, skip, store_tags=1, destination_words0=4 - skip, destination_words1=(skip + 1) % 4)
        yield maker.make(vector=rng.integers(1, 9, 4), load_relu=0, blocks=32, destination_words0=64, shift=9)
        yield maker.make(vector=np.zeros(20, dtype=int), destination_words0=0, destination_words1=7, blocks=4)
        yield maker.make(100, wait_vectors=maker.made, wait_tiles=maker.host.tiles + 3)
        yield maker.make(20, wait_vectors=maker.made)
        yield maker.make(20, wait_tiles=maker.host.tiles + 1)
        for relu in both:
            large = rng.integers(20000, 30000, 32)
            yield maker.make(100, large, blocks=2, load_relu=0, relu=relu, shift=0, destination_words0=4, destination_words1=4)
        for load_relu, tags in itertools.product(both, both):
            yield maker.make(20, rng.integers(-9, 9, 12), blocks=2, load_relu=load_relu, tags=tags, destination_words0=4)
        for place, (bias, (relu, clip), tags) in enumerate(itertools.product(both, RECTIFIED, both)):
            job = maker.make(20, rng.integers(-3, 4, 8), blocks=2, has_bias=bias, relu=relu, clip=clip, store_tags=tags)
            yield shifted(job, place % 4, destination_words0=4, destination_words1=1 + place % 4)
        for relu, clip in RECTIFIED:
            shift = int(rng.integers(1, 24))
            sums = np.array([(edge << shift) + offset for edge in EDGES for offset in (-1, 0, 1)])
            fixed = {
                "blocks": 4,
                "has_bias": 1,
                "relu": relu,
                "clip": clip,
                "shift": shift,
                "destination_words0": 7,
                "destination_words1": 7,
            }
            yield maker.make(vector=np.zeros(8, dtype=int), bias=sums, **fixed)
            yield maker.make(vector=np.zeros(8, dtype=int), bias=sums[::-1], **fixed)
        for zeros in itertools.product(both, both, both):  # which of three slices have nothing to add
            vectors = [rng.integers(1, 9, 8) * (not zero) for zero in zeros]
            vectors[0][1:] = 0  # a job of one row
            words = {"blocks": 2, "destination_words0": 1 + 2 * zeros[0], "destination_words1": 4 - zeros[2]}
            for place, vector in enumerate(vectors):
                yield maker.make(vector=vector, load_relu=0, keep=int(place < 2), store_tags=1, **words)


class Sizes(VectorJobs):
    """Words that a half stores, and lengths and densities of the vector, at each boundary and beside it."""

    def jobs(self, maker: JobMaker) -> Iterable[VectorEngineJob]:
        for place, words in enumerate(WORDS):
            other = WORDS[(place + len(WORDS) // 2) % len(WORDS)]
            vector = np.zeros(8, dtype=int)
            vector[maker.rng.integers(8)] = 7
            yield maker.make(vector=vector, load_relu=0, blocks=32, destination_words0=words, destination_words1=other, pitch_log2=9)
        for length in (1, 2, 15, 16, 17, 33):
            yield maker.make(16, length=length, blocks=2, destination_words0=4)
            vector = np.zeros(4 * length, dtype=int)
            vector[-1] = -5
            yield maker.make(vector=vector, blocks=2, destination_words0=1, destination_words1=4)


class Extremes(VectorJobs):
    """The ends of the range times the ends of the range, for every shift, with and without bias."""

    def jobs(self, maker: JobMaker) -> Iterable[VectorEngineJob]:
        planes = [maker.memory.allocate(words_of(np.full((32, 16), value))) for value in (-32768, 32767)]
        fixed = {"blocks": 2, "pitch_log2": 5, "load_relu": 0, "destination_words0": 4, "destination_words1": 4}
        fixed |= {f"matrix_address{half}": plane for half, plane in enumerate(planes)}
        for shift in range(48):
            yield maker.make(vector=np.full(4 * (1 + shift % 8), -32768), shift=shift, **fixed)
        yield from (maker.make(vector=np.full(4, 32767), shift=shift, **fixed) for shift in (0, 15, 16, 31))


class Small(VectorJobs):
    """As many jobs as fit, each so small that they wait for one another's responses."""

    count = 8

    def jobs(self, maker: JobMaker) -> Iterable[VectorEngineJob]:
        for _ in range(self.count):
            vector = np.array([0, 3, 0, 0])
            yield maker.make(vector=vector, blocks=2, load_relu=0, destination_words0=1, destination_words1=1, has_bias=0)


class Dense(VectorJobs):
    """Two jobs of 64 inputs and 512 outputs."""

    def jobs(self, maker: JobMaker) -> Iterable[VectorEngineJob]:
        vector = maker.rng.integers(1, 1000, 64)
        fixed = {"load_relu": 0, "has_bias": 0, "store_tags": 1, "destination_words0": 64, "destination_words1": 64}
        yield from (maker.make(vector=vector, blocks=32, **fixed) for _ in range(2))
