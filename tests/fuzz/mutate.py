"""Damage: bytes, JSON, tables, arrays, pictures. Each takes a generator and what is whole."""

from __future__ import annotations

import io
import json
import random
import re
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

NAMES = (
    "",
    " ",
    ".",
    "..",
    "../../x",
    "/etc/passwd",
    "a\nb",
    " outer ",
    "a\tb",
    "\x1b[31mred\x1b[0m",
    "\x07bell",
    "nul\0",
    "=1+1",
    "-rf",
    "--out",
    "{{7*7}}",
    "%s%d%n",
    "<script>alert(1)</script>",
    "\"quote'",
    "\\frac{1}{2}&_#$",
    "\u202ertl",
    "é" * 300,
    "x" * 5000,
    "😀",
    "caf\udce9",
    "CON",
    "nan",
    "0",
)
ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 0.5, 10**30, -(10**30), 1e308, float("inf"), float("nan"),
    [], [[]], [1, 2], [None], ["x"], {}, {"a": 1}, {"": {}}, "1", "0.5", "None", *NAMES,
)  # fmt: skip


def damaged_bytes(content: bytes, rng: random.Random) -> bytes:
    """Flip, cut, insert, zero, double or replace bytes."""
    data = bytearray(content)
    n = len(data)
    at = rng.randrange(n + 1)
    length = min(rng.choice((1, 2, 8, 64, 1024, 8192)), max(1, n))
    kind = rng.randrange(9)
    if kind == 0:
        for _ in range(rng.choice((1, 3, 30))):
            if n:
                data[rng.randrange(n)] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del data[at:]
    elif kind == 2:
        del data[at : at + length]
    elif kind == 3:
        data[at:at] = rng.randbytes(length)
    elif kind == 4:
        data[at : at + length] = bytes(len(data[at : at + length]))
    elif kind == 5:
        data[at:at] = data[at : at + length]
    elif kind == 6:
        data[at : at + length] = rng.randbytes(len(data[at : at + length]))
    elif kind == 7:
        data += rng.randbytes(length)
    else:
        other = (
            b"",
            b"\0",
            b"\x89PNG\r\n\x1a\n",
            b"PK\x03\x04",
            b"{}",
            b"\xff\xfe",
            b"\xef\xbb\xbf",
        )
        data = bytearray(rng.choice(other) + bytes(data[: rng.choice((0, n))]))
    return bytes(data)


# --- JSON ---


def damaged_json(content: bytes, rng: random.Random) -> bytes:
    """Change what a document says, or how deep and large it is; or its bytes."""
    kind = rng.randrange(10)
    if kind < 2:
        return damaged_bytes(content, rng)
    if kind == 2:
        return _raw_json(content, rng)
    document = json.loads(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        document = _changed(document, rng)
    return json.dumps(document).encode("utf-8", "surrogatepass")


def _raw_json(content: bytes, rng: random.Random) -> bytes:
    deep = rng.choice((200, 2_000, 100_000))
    whole = content.decode()
    numbers = [m.span() for m in re.finditer(r"(?<=[ \[:])-?\d[\d.e+-]*", whole)] or [(0, 0)]
    start, stop = rng.choice(numbers)
    new = rng.choice(("9" * 5000, "1e999", "-Infinity", "NaN", "[" * deep + "]" * deep, "1" * 400))
    return rng.choice(
        (
            "[" * deep,
            "[" * deep + "]" * deep,
            '{"a":' * deep + "1" + "}" * deep,
            "[]",
            "{}",
            "null",
            '"text"',
            whole[:start] + new + whole[stop:],
            whole[:start] + new + whole[stop:],
            whole[:start] + new + whole[stop:],
            whole + whole,
        )
    ).encode()


def odd_value(rng: random.Random) -> Any:
    """Any value, mostly of the wrong type."""
    if rng.random() < 0.05:
        value: Any = 1
        for _ in range(rng.choice((5, 60, 400))):
            value = [value] if rng.random() < 0.5 else {"a": value}
        return value
    return rng.choice(ODD)


def _changed(value: Any, rng: random.Random, depth: int = 0) -> Any:
    """Change one place below a value; shallow places are as likely as all deeper ones."""
    if (
        not isinstance(value, (dict, list))
        or not value
        or rng.random() < (0.04 if not depth else 0.25)
    ):
        return odd_value(rng)
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key, kind = rng.choice(keys), rng.randrange(8)
    made = value.copy()
    if kind == 0:
        del made[key]
    elif kind == 1 and isinstance(made, dict):
        made[rng.choice((*NAMES, "x", "k", "protocol"))] = odd_value(rng)
    elif kind == 1:
        made.insert(key, rng.choice((made[key], odd_value(rng))))
    elif kind == 2:
        made[key] = value[rng.choice(keys)]
    else:
        made[key] = _changed(value[key], rng, depth + 1)
    return made


# --- tables ---


def damaged_csv(content: bytes, rng: random.Random) -> bytes:
    """Short and long rows, quotes, encodings, NUL, other separators, odd cells."""
    if rng.random() < 0.3:
        return damaged_bytes(content, rng)
    rows = [line.split(",") for line in content.decode().splitlines()]
    at = rng.randrange(len(rows))
    cell = rng.randrange(max(1, len(rows[at])))
    kind = rng.randrange(9)
    if kind == 0:
        rows[at] = rows[at][:cell]
    elif kind == 1:
        rows[at] += ["x"] * rng.choice((1, 5, 5000))
    elif kind == 2:
        rows[at][cell] = rng.choice(('"', '""', '"a', "a\0b", *NAMES))
    elif kind == 3:
        rows.insert(at, rows[rng.randrange(len(rows))])
    elif kind == 4:
        rows[0][rng.randrange(len(rows[0]))] = rng.choice(NAMES)
    elif kind == 5:
        rows = [] if rng.random() < 0.2 else rows[:1]
    elif kind == 6:
        rows = [[rng.choice((";", "\t", "|")).join(row)] for row in rows]
    elif kind == 7:
        rows[at][cell] = str(odd_value(rng))
    text = "\n".join(",".join(row) for row in rows) + "\n"
    encoding = rng.choice(("utf-8", "utf-8", "utf-8", "utf-16", "latin-1", "utf-8-sig"))
    return text.encode(encoding, "replace" if "\udce9" not in text else "ignore")


def damaged_text(content: bytes, rng: random.Random) -> bytes:
    """Odd lines, orders, encodings."""
    if rng.random() < 0.3:
        return damaged_bytes(content, rng)
    lines = content.decode().splitlines()
    at = rng.randrange(len(lines) + 1)
    kind = rng.randrange(4)
    if kind == 0:
        lines.insert(at, rng.choice(NAMES))
    elif kind == 1:
        lines = lines[:at]
    elif kind == 2 and lines:
        lines.insert(at, rng.choice(lines))
    elif lines:
        lines[at - 1] = rng.choice((lines[at - 1].upper(), f"# {lines[at - 1]}", *NAMES))
    text = "\n".join(lines)
    return text.encode(rng.choice(("utf-8", "utf-8", "utf-16", "latin-1")), "replace")


def damaged_parquet(content: bytes, rng: random.Random) -> bytes:
    """Bytes, or columns that are missing, renamed, of another type, empty, or odd."""
    if rng.random() < 0.4:
        return damaged_bytes(content, rng)
    table = pd.read_parquet(io.BytesIO(content))
    n = len(table)
    if len(table.columns):
        name = rng.choice(list(table.columns))
        kind = rng.randrange(11)
        if kind == 0:
            table = table.drop(columns=name)
        elif kind == 1:
            table = table.rename(columns={name: rng.choice(("x1", "", "value ", "VALUE", "é"))})
        elif kind == 2:
            table[name] = rng.choice(("x", "", "=1+1", "\x1b[31m", "é" * 300))
        elif kind == 3:
            table[name] = rng.choice((np.nan, np.inf, -1.0, 1e308))
        elif kind == 4:
            table[name] = pd.Series([None] * n, dtype=object)
        elif kind == 5:
            table[name] = [[1, 2]] * n
        elif kind == 6:
            table = table.iloc[:0]
        elif kind == 7:
            table = (
                table.iloc[: rng.randrange(n + 1)] if rng.random() < 0.5 else pd.concat([table] * 2)
            )
        elif kind == 8:
            table[name] = pd.Timestamp("2020-01-01")
        elif kind == 9:
            table[name] = rng.choice((b"\xff", True, 10**18))
        else:
            table[name] = table[name].astype(str)
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(table, preserve_index=rng.random() < 0.1), out)
    return out.getvalue()


# --- arrays ---


def damaged_safetensors(content: bytes, rng: random.Random) -> bytes:
    """Bytes, or a header that lies of shapes, types, places and names."""
    if rng.random() < 0.4:
        return damaged_bytes(content, rng)
    (length,) = struct.unpack("<Q", content[:8])
    header, body = json.loads(content[8 : 8 + length]), content[8 + length :]
    name = rng.choice([n for n in header if n != "__metadata__"])
    kind = rng.randrange(9)
    if kind == 0:
        del header[name]
    elif kind == 1:
        header[rng.choice((*NAMES, "x"))] = header.pop(name)
    elif kind == 2:
        header[name]["dtype"] = rng.choice(("F16", "I32", "U8", "BOOL", "BF16", "X", "F64"))
    elif kind == 3:
        header[name]["shape"] = rng.choice(([], [0], [1], [10**9, 10**9], [-1], [2, 2], "x", None))
    elif kind == 4:
        header[name]["shape"] = header[name]["shape"][::-1]
    elif kind == 5:
        header[name]["data_offsets"] = rng.choice(([0, 0], [0, 10**15], [-1, 4], [8, 4], [0], "x"))
    elif kind == 6:
        start, stop = header[name]["data_offsets"]
        odd = struct.pack("<f", rng.choice((float("nan"), float("inf"), 1e38, -1.0)))
        body = body[:start] + (odd * (stop - start))[: stop - start] + body[stop:]
    elif kind == 7:
        return struct.pack("<Q", rng.choice((0, 1, 2**63, 2**40, length + 1))) + content[8:]
    else:
        header = _changed(header, rng)
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text)) + text + body


def damaged_npy(content: bytes, rng: random.Random) -> bytes:
    """Bytes, or an array of another shape, type or content, or a header that lies."""
    kind = rng.randrange(4)
    if kind == 0:
        return damaged_bytes(content, rng)
    out = io.BytesIO()
    if kind == 1:
        shape = rng.choice(((10**6, 10**6), (0,), (-1, 4), (2**62, 4), (3,), (), (1, 1, 24, 24)))
        descr = rng.choice(("<f4", "<f8", "|O", "<U9", "|V8", "<c8", "<M8[s]", "x", "|b1"))
        head = {"descr": descr, "fortran_order": rng.random() < 0.5, "shape": shape}
        text = (repr(head) + " " * 20 + "\n").encode()
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + content[128:]
    if kind == 2:
        nested = rng.choice(("(" * 3000, "{" * 3000, "9" * 5000, "__import__('os')", "[]", "\0"))
        text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {nested}}}\n".encode()
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + content[128:]
    odd = (
        np.full((24, 24), rng.choice((np.nan, np.inf, 1e308, -1.0))),
        np.zeros((0, 24)),
        np.zeros((24, 24), complex),
        np.array([["x"] * 24] * 24),
        np.zeros((3, 24, 24)),
        np.zeros(24),
        np.float64(1),
        np.zeros((24, 24), "M8[s]"),
        np.zeros((1, 5000), np.float16),
    )
    np.save(out, rng.choice(odd))
    return out.getvalue()


def damaged_image(content: bytes, rng: random.Random) -> bytes:
    """Bytes, another mode or kind of file, a size in the header that is not true, EXIF."""
    kind = rng.randrange(4)
    if kind == 0:
        return damaged_bytes(content, rng)
    if kind == 1 and content[:4] == b"\x89PNG":
        size = rng.choice(((0, 0), (1, 1), (20_000, 20_000), (2**31 - 1, 1), (65_535, 65_535)))
        depth = rng.choice(((8, 2), (16, 0), (1, 0), (8, 3), (16, 6), (7, 9)))
        head = b"IHDR" + struct.pack(">IIBBBBB", *size, *depth, 0, 0, rng.randrange(2))
        return content[:12] + head + struct.pack(">I", zlib.crc32(head)) + content[33:]
    out = io.BytesIO()
    mode = rng.choice(("1", "L", "P", "LA", "RGBA", "CMYK", "I", "F", "I;16", "HSV", "YCbCr"))
    suffix = rng.choice(("PNG", "TIFF", "BMP", "JPEG", "GIF", "WEBP", "PPM"))
    exif = Image.Exif()
    exif[0x0112] = rng.choice((0, 1, 6, 9, 255, 65_535))
    try:
        image = Image.open(io.BytesIO(content)).convert("L" if mode == "I;16" else mode)
        image.resize(rng.choice((image.size, (1, 1), (1, 500)))).save(out, suffix, exif=exif)
    except (OSError, ValueError, KeyError):
        return damaged_bytes(content, rng)
    return out.getvalue() if rng.random() < 0.5 else damaged_bytes(out.getvalue(), rng)


BY_SUFFIX: dict[str, Callable[[bytes, random.Random], bytes]] = {
    ".json": damaged_json,
    ".csv": damaged_csv,
    ".txt": damaged_text,
    ".parquet": damaged_parquet,
    ".safetensors": damaged_safetensors,
    ".npy": damaged_npy,
    ".npz": damaged_bytes,
    ".png": damaged_image,
    ".tiff": damaged_bytes,
    ".mat": damaged_bytes,
    ".yaml": damaged_text,
}
