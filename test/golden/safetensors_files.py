"""A safetensors file written by the reference library, and the reference reader's verdict on valid and hostile files.

Run with safetensors 0.8.0 in the environment; writes safetensors_files.json. The header texts are written by hand here.
"""

import base64
import ctypes
import json
import struct

import safetensors
from common import versions, write

# every dtype, an empty tensor, a scalar, and a name that needs escapes
TENSORS = {
    "h.0.attn.c_attn.weight": ("float32", [2, 3], struct.pack("<6f", 1, -2.5, 3e-40, float("inf"), -0.0, 7)),
    "h.0.attn.c_attn.bias": ("float32", [3], struct.pack("<3f", 0.1, 0.2, 0.3)),
    "wide": ("float64", [2], struct.pack("<2d", 3.141592653589793, -5e-324)),
    "long": ("int64", [2], struct.pack("<2q", -(2**63), 2**63 - 1)),
    "int": ("int32", [3, 1], struct.pack("<3i", -(2**31), 0, 2**31 - 1)),
    "brain": ("bfloat16", [3], struct.pack("<3H", 0x3F80, 0xC040, 0x7FC0)),
    "half": ("float16", [1, 3], struct.pack("<3H", 0x3C00, 0xC200, 0x7C00)),
    "byte": ("uint8", [5], bytes([0, 1, 127, 128, 255])),
    "flag": ("bool", [3], bytes([1, 0, 1])),
    "scalar": ("float32", [], struct.pack("<f", 42)),
    "empty": ("float32", [0, 4], b""),
    'name "quoted" \\ tab\t 火 \U0001f525': ("float32", [1], struct.pack("<f", -1)),
}
OURS = {"float64": "f64", "float32": "f32", "bfloat16": "bf16", "float16": "f16", "int64": "i64", "int32": "i32", "uint8": "u8", "bool": "bool"}


def reference_file():
    buffers = {name: ctypes.create_string_buffer(data, max(1, len(data))) for name, (_, _, data) in TENSORS.items()}
    specs = {
        name: safetensors.TensorSpec(dtype=dtype, shape=shape, data_ptr=ctypes.addressof(buffers[name]), data_len=len(data))
        for name, (dtype, shape, data) in TENSORS.items()
    }
    return bytes(safetensors.serialize(specs, {"format": "pt"}))


def entry(dtype="F32", shape=(1,), offsets=(0, 4), **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


def text(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def raw(fields):
    """A one-tensor header whose fields are given as text."""
    return b'{"a":{' + fields + b"}}"


DATA = b"\0" * 4
OK = text({"a": entry()})
TAIL = b'"data_offsets":[0,4]'

# name: (header, data, header length or None for the true one)
CASES = {
    "valid": (OK,),
    "valid: padded with spaces": (OK + b"   ",),
    "valid: white space inside": (b'{ "a" :\n{"dtype":"F32", "shape":[ 1 ],\t"data_offsets":[0,4]} }',),
    "valid: no tensor": (b"{}", b""),
    "valid: metadata": (text({"__metadata__": {"k": "v"}, "a": entry()}),),
    "valid: metadata null": (text({"__metadata__": None, "a": entry()}),),
    "valid: empty tensor at the end": (text({"a": entry(), "b": entry(shape=(0,), offsets=(4, 4))}),),
    "valid: two empty tensors alike": (text({"a": entry(), "b": entry(shape=(0,), offsets=(0, 0)), "c": entry(shape=(0, 7), offsets=(0, 0))}),),
    "valid: entries out of order": (text({"b": entry(offsets=(4, 8)), "a": entry()}), b"\0" * 8),
    "valid: escaped name": (b'{"\\u0061\\ud83d\\ude00":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',),
    "valid: name __proto__": (text({"__proto__": entry()}),),
    "length 0": (OK, DATA, 0),
    "length 1": (OK, DATA, 1),
    "length 7": (OK, DATA, 7),
    "length 2^53+1": (OK, DATA, 2**53 + 1),
    "length 2^63": (OK, DATA, 2**63),
    "length 2^64-1": (OK, DATA, 2**64 - 1),
    "length file+1": (OK, DATA, len(OK) + 4 + 1),
    "length 100 MB + 1": (OK, DATA, 100_000_001),
    "length one short": (OK, DATA, len(OK) - 1),
    "length one long": (OK, DATA, len(OK) + 1),
    "overflow to 4 in 64 bits": (text({"a": entry(shape=(2**62 + 1,))}),),
    "overflow by product": (text({"a": entry(shape=(2**32, 2**32, 1))}),),
    "overflow before a zero": (text({"a": entry(shape=(2**40, 2**40, 0), offsets=(0, 0)), "b": entry()}),),
    "dimension 2^64": (text({"a": entry(shape=(2**64,))}),),
    "dimension negative": (text({"a": entry(shape=(-1,))}),),
    "dimension minus zero": (b'{"a":{"dtype":"F32","shape":[-0],"data_offsets":[0,0]}}', b""),
    "dimension float": (raw(b'"dtype":"F32","shape":[1.0],' + TAIL),),
    "dimension with exponent": (raw(b'"dtype":"F32","shape":[1e0],' + TAIL),),
    "dimension 1e400": (raw(b'"dtype":"F32","shape":[1e400],' + TAIL),),
    "dimension leading zero": (raw(b'"dtype":"F32","shape":[01],' + TAIL),),
    "dimension NaN": (raw(b'"dtype":"F32","shape":[NaN],' + TAIL),),
    "dimension text": (text({"a": entry(shape=("1",))}),),
    "dimension null": (text({"a": entry(shape=(None,))}),),
    "shape missing": (raw(b'"dtype":"F32",' + TAIL),),
    "shape is an object": (raw(b'"dtype":"F32","shape":{},' + TAIL),),
    "offsets missing": (raw(b'"dtype":"F32","shape":[1]'),),
    "offsets of three": (text({"a": entry(offsets=(0, 4, 4))}),),
    "offsets of one": (text({"a": entry(offsets=(0,))}),),
    "end before begin": (text({"a": entry(offsets=(4, 0))}),),
    "end before begin, empty": (text({"a": entry(shape=(0,), offsets=(4, 0))}),),
    "offset 2^64": (text({"a": entry(offsets=(0, 2**64))}),),
    "offset huge": (text({"a": entry(offsets=(2**63, 2**63 + 4))}),),
    "size does not match shape": (text({"a": entry(shape=(2,))}),),
    "overlap": (text({"a": entry(), "b": entry(offsets=(2, 6))}), b"\0" * 6),
    "same bytes twice": (text({"a": entry(), "b": entry()}),),
    "hole in the middle": (text({"a": entry(), "b": entry(offsets=(8, 12))}), b"\0" * 12),
    "hole at the start": (text({"a": entry(offsets=(4, 8))}), b"\0" * 8),
    "empty tensor inside another": (text({"a": entry(), "b": entry(shape=(0,), offsets=(2, 2))}),),
    "empty tensor past the end": (text({"a": entry(), "b": entry(shape=(0,), offsets=(8, 8))}),),
    "trailing bytes": (OK, b"\0" * 5),
    "data missing": (OK, b""),
    "data cut": (OK, b"\0" * 3),
    "duplicate key, same place": (b'{"a":' + text(entry()) + b',"a":' + text(entry()) + b"}",),
    "duplicate key, other place": (b'{"a":' + text(entry(offsets=(4, 8))) + b',"a":' + text(entry()) + b"}",),
    "duplicate key by escape": (b'{"a":' + text(entry()) + b',"\\u0061":' + text(entry()) + b"}",),
    "duplicate field": (raw(b'"dtype":"F32","dtype":"F32","shape":[1],' + TAIL),),
    "duplicate metadata": (b'{"__metadata__":{},"__metadata__":{},"a":' + text(entry()) + b"}",),
    "unknown dtype": (text({"a": entry(dtype="F33")}),),
    "dtype in lower case": (text({"a": entry(dtype="f32")}),),
    "dtype a number": (text({"a": entry(dtype=1)}),),
    "dtype missing": (raw(b'"shape":[1],' + TAIL),),
    "dtype not held here": (text({"a": entry(dtype="U32")}),),
    "unknown field": (text({"a": entry(extra=1)}),),
    "not UTF-8": (b'{"\xff":' + text(entry()) + b"}",),
    "overlong UTF-8": (b'{"\xc0\xaf":' + text(entry()) + b"}",),
    "surrogate in UTF-8": (b'{"\xed\xa0\x80":' + text(entry()) + b"}",),
    "lone surrogate escape": (b'{"\\ud800":' + text(entry()) + b"}",),
    "swapped surrogate escapes": (b'{"\\udc00\\ud800":' + text(entry()) + b"}",),
    "byte order mark": (b"\xef\xbb\xbf" + OK,),
    "space before the object": (b" " + OK,),
    "an array": (b"[]      ", b""),
    "a number": (b"12345678", b""),
    "text after the object": (OK + b"x",),
    "second object": (OK + OK,),
    "NUL padding": (OK + b"\0\0",),
    "comma at the end": (OK[:-1] + b",}",),
    "comma in shape": (raw(b'"dtype":"F32","shape":[1,],' + TAIL),),
    "single quotes": (OK.replace(b'"', b"'"),),
    "comment": (b"/**/" + OK,),
    "control character in a name": (b'{"a\x01":' + text(entry()) + b"}",),
    "unknown escape": (b'{"\\x61":' + text(entry()) + b"}",),
    "unclosed string": (b'{"a',),
    "unclosed object": (OK[:-1],),
    "entry is a list": (b'{"a":[1]}', b""),
    "entry is null": (b'{"a":null}', b""),
    "metadata is a list": (text({"__metadata__": ["x"], "a": entry()}),),
    "metadata holds a number": (text({"__metadata__": {"k": 1}, "a": entry()}),),
    "metadata holds an object": (text({"__metadata__": {"k": {}}, "a": entry()}),),
    "deep arrays": (b'{"a":' + b"[" * 1000 + b"]" * 1000 + b"}", b""),
    "deep objects": (b'{"a":' * 500 + b"1" + b"}" * 500, b""),
    "deep metadata": (b'{"__metadata__":{"k":' + b"[" * 1000 + b"]" * 1000 + b"}}", b""),
    "deep unknown field": (raw(b'"x":' + b"[" * 1000 + b"]" * 1000 + b',"dtype":"F32","shape":[1],' + TAIL),),
}


def vectors():
    for name, (header, *rest) in CASES.items():
        data = rest[0] if rest else DATA
        length = rest[1] if len(rest) > 1 else len(header)
        file = struct.pack("<Q", length) + header + data
        try:
            safetensors.deserialize(file)
            verdict = "ok"
        except safetensors.SafetensorError as error:
            verdict = str(error)[:100]
        print(f"{name:32} {verdict}")
        yield {"name": name, "reference": verdict, "base64": base64.b64encode(file).decode()}


if __name__ == "__main__":
    write(
        "safetensors_files.json",
        {
            "versions": versions("safetensors"),
            "file": base64.b64encode(reference_file()).decode(),
            "tensors": [
                {"name": name, "dtype": OURS[dtype], "shape": shape, "hex": data.hex()} for name, (dtype, shape, data) in TENSORS.items()
            ],
            "vectors": list(vectors()),
        },
    )
