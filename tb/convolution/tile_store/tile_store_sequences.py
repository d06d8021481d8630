# SPDX-License-Identifier: Apache-2.0
"""Sequences of the tile store: directed and random jobs, each with its own place in memory."""

from __future__ import annotations

import random
from collections.abc import Iterable

from gradcore.models.jobs import TileStoreJob
from tb.convolution.tile_store.tile_store_env import BANK, MEMORY
from tb.support.base import ItemSequence


def random_job(*, small: bool = False, **given: int) -> dict[str, int]:
    """A legal job of random shape that fits in the buffer, without addresses; what is given is not chosen at random.

    ``given``: unit_rows, columns_stored, words_per_pixel_stored, store_tags, pieces_per_pixel, contiguous, start (tag address modulo 8,
    halved), tight (0 or 1: no gaps in the buffer). ``small``: at most 64 words.
    """
    tight = given.pop("tight", 0)
    while True:
        job = {
            "unit_rows": random.choice((1, 2, 3, 4, 5, 8, 11)),
            "columns_stored": random.choice((1, 2, 3, 4, 5, 7, 8, 16)),
            "words_per_pixel_stored": random.choice((1, 2, 3, 4, 5, 8, 16, 31, 64)),
            "contiguous": random.getrandbits(1),
            "store_tags": random.getrandbits(1),
            "pieces_per_pixel": random.choice((1, 2, 3, 4)) * random.choice((1, 3)),
            "start": random.randrange(4),
            **given,
        }
        words, pieces, columns = job["words_per_pixel_stored"], job["pieces_per_pixel"], job["columns_stored"]
        job["buffer_pixel_words"] = words + (0 if tight else random.choice((0, 0, 0, 1, 4)))
        job["buffer_row_words"] = columns * job["buffer_pixel_words"] + (0 if tight else random.choice((0, 0, 3)))
        job["buffer_row_pieces"] = columns * pieces + (0 if tight else random.choice((0, 0, 5)))
        half_rows = (job["unit_rows"] + 1) // 2
        if small and job["unit_rows"] * columns * words > 64:
            continue
        if half_rows * job["buffer_row_words"] <= BANK - (not tight) and half_rows * job["buffer_row_pieces"] <= BANK - (not tight):
            break
    pixel_gap, tag_gap = (0, 0) if job["contiguous"] else (random.choice((0, 1, 2, words)), random.choice((1, 2, 3, pieces)))
    job["destination_pixel_pitch"] = 8 * (words + pixel_gap)
    job["destination_row_pitch"] = columns * job["destination_pixel_pitch"] + 8 * random.choice((0, 1, 5))
    job["tag_destination_pixel_pitch"] = 2 * (pieces + tag_gap)
    job["tag_destination_row_pitch"] = columns * job["tag_destination_pixel_pitch"] + 2 * random.choice((0, 1, 2, 3, 6))
    return job


def place(job: dict[str, int], base: int) -> int:
    """Replace ``start`` by addresses from ``base`` on; returns the first free address behind it (8-aligned, with a gap)."""
    job["destination_address"] = base + 8 * random.randrange(1, 9)
    end = job["destination_address"] + job["unit_rows"] * job["destination_row_pitch"] + 64
    job["tag_destination"] = (end & ~7) + 8 + 2 * job.pop("start")
    end = job["tag_destination"] + job["unit_rows"] * job["tag_destination_row_pitch"] + 64
    return (end + 15) & ~7


class StoreSequence(ItemSequence):
    """Base: ``jobs`` says what is sent; ``sent`` holds it."""

    def __init__(self, name: str = "jobs") -> None:
        super().__init__(name)
        self.sent: list[TileStoreJob] = []

    def jobs(self) -> list[dict[str, int]]:
        """The jobs, without addresses."""
        raise NotImplementedError

    def items(self) -> Iterable[dict[str, int]]:
        base = 0
        for job in self.jobs():
            base = place(job, base)
            assert base < MEMORY - 4096, "the test needs more memory"
            self.sent.append(TileStoreJob(**job))
            yield {"job": self.sent[-1].pack()}


class EveryKind(StoreSequence):
    """Small jobs of every kind, so that the coverage is full, and some of any size."""

    def jobs(self) -> list[dict[str, int]]:
        both = (0, 1)
        jobs = [
            random_job(small=True, store_tags=tags, contiguous=run, unit_rows=rows)
            for tags in both
            for run in both
            for rows in (1, 2, 3, 4)
        ]
        jobs += [
            random_job(small=True, store_tags=1, contiguous=run, start=start, pieces_per_pixel=pieces, columns_stored=3)
            for run in both
            for start in range(4)
            for pieces in (2, 3)
        ]
        jobs += [
            random_job(
                store_tags=1, contiguous=0, start=start, pieces_per_pixel=pieces, unit_rows=2, columns_stored=1, words_per_pixel_stored=1
            )
            for start in range(4)
            for pieces in range(1, 5 - start)
        ]
        jobs += [
            random_job(small=True, contiguous=1, unit_rows=1, columns_stored=columns, words_per_pixel_stored=words)
            for columns, words in ((3, 5), (4, 4), (17, 1))
        ]
        full = {"tight": 1, "unit_rows": 4, "contiguous": 1}  # a bank, to its last place
        jobs.append(random_job(**full, columns_stored=16, words_per_pixel_stored=16, store_tags=0))
        jobs.append(random_job(**full, columns_stored=32, words_per_pixel_stored=1, pieces_per_pixel=8, store_tags=1))
        jobs += [
            random_job(small=True, columns_stored=columns, words_per_pixel_stored=words) for columns, words in ((1, 1), (2, 2), (4, 3))
        ]
        jobs += [random_job(small=True) for _ in range(8)] + [random_job() for _ in range(3)]
        random.shuffle(jobs)
        return jobs


class FewJobs(StoreSequence):
    """Three small jobs, for twins."""

    def jobs(self) -> list[dict[str, int]]:
        return [random_job(small=True, store_tags=1, unit_rows=2) for _ in range(3)]
