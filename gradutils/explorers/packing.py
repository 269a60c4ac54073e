"""Rows of a recording as few bytes, and back. `figure.js` reads the same bytes in the browser.

What is packed: the length of a JSON head (4 bytes, lowest first), the head, then blobs whose lengths the head lists; all of
it through gzip. The blobs are, in turn: the sentences, a slot's five (for each slot), the pictures.

A slot is the k-th mark of an artist. Rows seldom differ in all of a mark, so each of its styles, of its x and of its y is
kept once, in a pool, and a row says which. The blobs of a slot are these numbers (three a row: style, x, y; 0 is none), and
for x and y each the lengths of the tracks in the pool and the tracks themselves. What goes on smoothly in a track, or from
one track to the next, is kept as a difference, whichever way is shorter; the low bytes of all numbers stand before the high ones.
"""

import gzip
import itertools
import json
import zlib
from collections.abc import Iterable, Sequence

import numpy as np

from gradutils.explorers.recording import Mark, Row

WAYS = tuple(
    itertools.product((0, 1), (1, 2))
)  # differences to the track before; differences along the track


def pack(rows: Sequence[Row], look: dict, pictures: dict[str, bytes], known: Iterable[str] = ()) -> bytes:
    """Rows with what else the head is to say, and pictures by name; those ``known`` to whoever reads are left out."""
    slots = sorted({slot for row in rows for slot in row.marks})
    styles = {None: 0}
    blobs, ways = [_pack_words([row.sentence for row in rows])], []
    for slot in slots:
        marks = [row.marks.get(slot) for row in rows]
        pools, chosen = ({}, {}), np.zeros((3, len(rows)), np.uint16)
        for number, mark in enumerate(marks):
            if mark is not None:
                tracks = [
                    pool.setdefault(t.tobytes(), len(pool) + 1)
                    for pool, t in zip(pools, mark[1:], strict=True)
                ]
                chosen[:, number] = styles.setdefault(mark.style, len(styles)), *tracks
        blobs.append(_planes(np.diff(chosen, axis=1, prepend=np.uint16(0)).ravel()))
        for pool in pools:
            tracks = [np.frombuffer(track, np.int16) for track in pool]
            way, packed = _pack_tracks(tracks)
            ways.append(way)
            blobs += [_planes(np.array([len(track) for track in tracks], np.uint16)), packed]
    for row in rows:
        pictures = pictures | row.pictures
    pictures = {name: picture for name, picture in pictures.items() if name not in set(known)}
    head = look | {
        "rows": len(rows),
        "slots": [list(slot) for slot in slots],
        "ways": ways,
        "styles": [None, *(json.loads(style) for style in list(styles)[1:])],
        "pictures": list(pictures),
    }
    blobs += pictures.values()
    written = json.dumps(head | {"blobs": [len(blob) for blob in blobs]}, separators=(",", ":")).encode()
    return gzip.compress(b"".join([len(written).to_bytes(4, "little"), written, *blobs]), 9, mtime=0)


def head_of(packed: bytes) -> dict:
    """What the head says. Raises ValueError for bytes that are no table."""
    return _open(packed)[0]


def unpack(packed: bytes) -> tuple[dict, list[Row]]:
    """The head and the rows. Raises ValueError for bytes that are no table."""
    head, body = _open(packed)
    blobs = iter(np.split(np.frombuffer(body, np.uint8), np.cumsum(head["blobs"])[:-1]))
    sentences = _unpack_words(next(blobs).tobytes(), head["rows"])
    ways, marks = iter(head["ways"]), [{} for _ in sentences]
    styles = [json.dumps(style, sort_keys=True) for style in head["styles"]]
    for slot in head["slots"]:
        chosen = np.cumsum(_whole(next(blobs)).reshape(3, head["rows"]), axis=1, dtype=np.uint16)
        pools = [_unpack_tracks(_whole(next(blobs)), _whole(next(blobs)), next(ways)) for _ in "xy"]
        for number, (style, x, y) in enumerate(chosen.T):
            if style:
                marks[number][tuple(slot)] = Mark(styles[style], pools[0][x - 1], pools[1][y - 1])
    pictures = {name: blob.tobytes() for name, blob in zip(head["pictures"], blobs, strict=True)}
    return head, [Row(sentence, m, pictures) for sentence, m in zip(sentences, marks, strict=True)]


def _open(packed: bytes) -> tuple[dict, bytes]:
    try:
        whole = gzip.decompress(packed)
        start = 4 + int.from_bytes(whole[:4], "little")
        return json.loads(whole[4:start]), whole[start:]
    except (OSError, EOFError, zlib.error, ValueError) as wrong:
        raise ValueError(f"these {len(packed)} bytes are no table of an explorer: {wrong}") from None


def _planes(values: np.ndarray) -> bytes:
    """16-bit numbers, the low bytes first."""
    return np.ascontiguousarray(values).view(np.uint8).reshape(-1, 2).T.tobytes()


def _whole(planes: np.ndarray) -> np.ndarray:
    """The numbers (n,) uint16 of their planes."""
    return np.ascontiguousarray(planes.reshape(2, -1).T).view(np.uint16).ravel()


def _pack_tracks(tracks: list[np.ndarray]) -> tuple[int, bytes]:
    """The number in WAYS that packs the tracks best, and what it makes of them."""
    tries = [_planes(_differences(tracks, *way)) for way in WAYS]
    sizes = [len(zlib.compress(each, 6)) for each in tries]
    return int(np.argmin(sizes)), tries[int(np.argmin(sizes))]


def _differences(tracks: list[np.ndarray], across: int, along: int) -> np.ndarray:
    kept, before = [], np.zeros(0, np.int16)
    for track in tracks:
        rest = track - before if across and len(before) == len(track) else track
        for _ in range(along):
            rest = np.diff(rest, prepend=np.int16(0))
        kept.append(rest)
        before = track
    return np.concatenate(kept) if kept else np.zeros(0, np.int16)


def _unpack_tracks(lengths: np.ndarray, values: np.ndarray, way: int) -> list[np.ndarray]:
    (across, along), tracks, before = WAYS[way], [], np.zeros(0, np.int16)
    for rest in np.split(values.view(np.int16), np.cumsum(lengths, dtype=int)[:-1]) if len(lengths) else []:
        for _ in range(along):
            rest = np.cumsum(rest, dtype=np.int16)
        before = rest + before if across and len(before) == len(rest) else rest
        tracks.append(before)
    return tracks


def _pack_words(sentences: list[str]) -> bytes:
    """Sentences word by word: all first words, all second ones, and so on, for those that stay the same to stand together."""
    columns = itertools.zip_longest(*(sentence.split(" ") for sentence in sentences), fillvalue="")
    return "\n".join(word for column in columns for word in column).encode()


def _unpack_words(packed: bytes, rows: int) -> list[str]:
    words = packed.decode().split("\n")
    columns = [words[k : k + rows] for k in range(0, len(words), rows)]
    return [" ".join(row).rstrip(" ") for row in zip(*columns, strict=True)]
