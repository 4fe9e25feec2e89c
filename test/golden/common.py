"""What the golden scripts share: the file writer and the library versions. Not a place for figures.

Every file holds plain data made by an independent library, so that the test suite itself needs no Python.
Floats are written with 17 significant digits, which name one f64 exactly.
"""

import json
import math
import platform
from importlib import metadata
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
LIMIT_BYTES = 400_000


def versions(*packages):
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in packages}}


def _text(value, indent):
    """Scalars and lists of scalars on one line, everything else one entry per line."""
    if value is None or isinstance(value, (bool, str)):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} has no JSON form: store a name for it")
        return format(value, ".17g")
    pad = " " * (indent + 1)
    if isinstance(value, dict):
        if not value:
            return "{}"
        entries = [f"{pad}{json.dumps(str(key), ensure_ascii=False)}: {_text(item, indent + 1)}" for key, item in value.items()]
        return "{\n" + ",\n".join(entries) + "\n" + " " * indent + "}"
    items = [_text(item, indent + 1) for item in value]
    if not any(isinstance(item, dict) for item in value):
        return "[" + ",".join(items) + "]"
    return "[\n" + ",\n".join(pad + item for item in items) + "\n" + " " * indent + "]"


def write(name, content):
    text = _text(content, 0) + "\n"
    if len(text) > LIMIT_BYTES:
        raise ValueError(f"{name} would have {len(text)} bytes, more than {LIMIT_BYTES}")
    json.loads(text)
    (FOLDER / name).write_text(text)
    print(f"{name}: {len(text)} bytes")


def mix32(x):
    """The 32-bit finalizer of MurmurHash3 (Appleby, public domain): two multiplications and three shifts."""
    x &= 0xFFFFFFFF
    x ^= x >> 16
    x = (x * 0x85EBCA6B) & 0xFFFFFFFF
    x ^= x >> 13
    x = (x * 0xC2B2AE35) & 0xFFFFFFFF
    return x ^ (x >> 16)


def grid(stream, count):
    """`count` numbers in [-0.5, 0.5) on a grid of 2^-16, so that f32 holds them exactly."""
    return [(mix32(stream * 0x9E3779B1 + i) >> 16) / 65536 - 0.5 for i in range(count)]
