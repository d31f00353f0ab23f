"""Frames made by pyarrow, and pyarrow's word on whether two frames are equal.

    python3 -m venv .cache/pyarrow && .cache/pyarrow/bin/pip install pyarrow
    .cache/pyarrow/bin/python tests/frame/pyarrow_fixtures.py write             fixtures/pyarrow.bin anew
    .cache/pyarrow/bin/python tests/frame/pyarrow_fixtures.py equal A B         is B what must be read back of A?

The file: per frame its name and its IPC bytes, each preceded by its length as u32 LE. Each frame has a column for
every type that pyarrow can make, named after what it shows.
"""

import decimal
import struct
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

D = decimal.Decimal
FILE = Path(__file__).parent / "fixtures" / "pyarrow.bin"


def columns():
    """Name, type and four values, none of them null."""
    i64 = [-(2**63), 2**63 - 1, 2**53 + 1, -1]
    instants = [-1, 2**63 - 1, -(2**63), 1_700_000_000]
    seconds = [-1, 0, 253_402_300_800, -62_167_219_201]
    item = pa.list_(pa.struct([("m", pa.map_(pa.string(), pa.decimal128(10, 2))), ("t", pa.timestamp("ns", "UTC"))]))
    deep = [[], [{"m": [("k", D("1.50")), ("k", None)], "t": 1}], [None, {"m": None, "t": -1}], [{"m": [], "t": None}]]
    yield "bool", pa.bool_(), [True, False, True, True]
    for bits in (8, 16, 32, 64):
        yield f"int{bits}", getattr(pa, f"int{bits}")(), [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, 0, -1]
        top = 2**63 - 1 if bits == 64 else 2**bits - 1
        yield f"uint{bits}", getattr(pa, f"uint{bits}")(), [0, top, 1, 2]
    yield "float16", pa.float16(), [65504.0, -0.5, float("inf"), 6e-8]
    yield "float32", pa.float32(), [0.1, -3.4e38, float("-inf"), 1e-45]
    yield "float64", pa.float64(), [5.0, 1e21, float("inf"), 5e-324]
    text = ["", "a\0b", "😀𝄞", "0123456789012345678901234567890"]
    for name in ("string", "large_string", "string_view"):
        yield name, getattr(pa, name)(), text
    blobs = [b"", b"\0\xff", b"0123", b"more than the twelve bytes of a view"]
    for name in ("binary", "large_binary", "binary_view"):
        yield name, getattr(pa, name)(), blobs
    yield "fixed_size_binary", pa.binary(3), [b"abc", b"\0\0\0", b"\xff\xff\xff", b"012"]
    yield "decimal32", pa.decimal32(9, 2), [D("9999999.99"), D("-0.01"), D(0), D("1.50")]
    yield "decimal64", pa.decimal64(18, 18), [D("0.999999999999999999"), D("-1e-18"), D(0), D("0.5")]
    nines = D("9" * 29 + "." + "9" * 9)
    with decimal.localcontext(prec=100):
        yield "decimal128", pa.decimal128(38, 9), [nines, -nines, D(0), D("1.5")]
        yield "decimal128_short", pa.decimal128(10, 2), [D("12345678.99"), D("-0.01"), D(0), D("1.50")]
        yield "decimal128_negative_scale", pa.decimal128(5, -3), [D(12345000), D(-1000), D(0), D(5000)]
        yield "decimal256", pa.decimal256(76, 0), [D("9" * 76), -D("9" * 76), D(0), D(7)]
    yield "date32", pa.date32(), [-719_529, -719_528, -1, 2_932_897]
    yield "date64", pa.date64(), [-86_400_000, 0, 253_402_300_800_000, 86_400_000]
    yield "time32_s", pa.time32("s"), [0, 86_399, 1, 45_296]
    yield "time32_ms", pa.time32("ms"), [0, 86_399_999, 1, 45_296_001]
    yield "time64_us", pa.time64("us"), [0, 86_399_999_999, 1, 45_296_000_001]
    yield "time64_ns", pa.time64("ns"), [45_296_000_000_001, 0, 1, 2]
    for unit in ("s", "ms", "us", "ns"):
        yield f"timestamp_{unit}", pa.timestamp(unit), seconds if unit == "s" else instants
        yield f"duration_{unit}", pa.duration(unit), instants
    for zone in ("UTC", "America/New_York", "+05:30"):
        yield f"timestamp_ns {zone}", pa.timestamp("ns", zone), instants
    yield "interval", pa.month_day_nano_interval(), [(1, -2, 3), (0, 0, 0), (-14, 400, -(2**63)), (2**31 - 1, -1, 1)]
    yield "dictionary", pa.dictionary(pa.int8(), pa.string()), ["b", "a", "", "b"]
    yield "dictionary_int64", pa.dictionary(pa.uint16(), pa.int64()), i64
    yield "dictionary_binary", pa.dictionary(pa.uint32(), pa.binary()), blobs
    yield "dictionary_long_keys", pa.dictionary(pa.int64(), pa.binary()), blobs
    yield "runs", pa.run_end_encoded(pa.int32(), pa.string()), ["a", "a", "a", "b"]
    lists = [[], [1, None, 2**53 + 1], [-(2**63)], [3, 4]]
    for name in ("list_", "large_list", "list_view", "large_list_view"):
        yield name, getattr(pa, name)(pa.int64()), lists
    yield "fixed_size_list", pa.list_(pa.float32(), 2), [[0.5, None], [0.1, -1.0], [1e30, 2.0], [float("inf"), 0.0]]
    yield "struct", pa.struct([("a", pa.int8()), ("b c", pa.binary())]), [
        {"a": 1, "b c": b"x"},
        {"a": None, "b c": b""},
        {"a": 2, "b c": None},
        {"a": -1, "b c": b"\0"},
    ]
    yield "map", pa.map_(pa.string(), pa.int32()), [[], [("k", 1), ("k", None)], [("", 2)], [("a", 1), ("b", 2)]]
    yield "list_of_structs_of_maps", item, deep
    yield "uuid", pa.uuid(), [bytes([i]) * 16 for i in range(4)]
    yield "null", pa.null(), [None] * 4


def array(kind, values):
    """pa.array, for the types that it does not take plain values of."""
    if pa.types.is_run_end_encoded(kind):
        return pc.run_end_encode(pa.array(values, kind.value_type), run_end_type=kind.run_end_type)
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, pa.array(values, kind.storage_type))
    if pa.types.is_dictionary(kind):
        return pa.array(values, kind.value_type).dictionary_encode().cast(kind)
    counts = {32: pa.int32(), 64: pa.int64()}
    if pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        return pa.array(values, counts[kind.bit_width]).view(kind)
    return pa.array(values, kind)


# apache-arrow does not read these, or not rightly; they have frames of their own, for flechette.
NEWEST = ("runs", "list_view", "large_list_view", "dictionary_long_keys")


def batch(rows, newest, nullable=True):
    """A batch of the columns that are among the newest types or not; `rows` picks their values, None for null."""
    fields, arrays = [], []
    for name, kind, values in columns():
        if newest != (name in NEWEST):
            continue
        arrays.append(array(kind, [None if row is None else values[row] for row in rows]))
        metadata = {"said": name, "empty": ""} if "int" in name else None
        fields.append(pa.field(name, kind, nullable or kind == pa.null(), metadata))
    return pa.record_batch(arrays, schema=pa.schema(fields))


def stream(batches, compression=None, file=False):
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    new = pa.ipc.new_file if file else pa.ipc.new_stream
    with new(sink, batches[0].schema, options=options) as writer:
        for one in batches:
            writer.write_batch(one)
    return sink.getvalue().to_pybytes()


def frames():
    for newest, of in ((False, ""), (True, " of newest types")):
        mixed = batch([0, None, 1, 2, None, 3], newest)
        three = [batch([], newest), batch([3, 3], newest), batch([None], newest)]
        yield f"plain{of}", stream([batch([0, 1, 2, 3], newest, nullable=False)])
        yield f"nullable{of}", stream([mixed])
        yield f"all null{of}", stream([batch([None, None, None], newest)])
        yield f"empty{of}", stream([batch([], newest)])
        yield f"sliced{of}", stream([mixed.slice(1, 4)])
        yield f"several batches{of}", stream([mixed.slice(0, 2), *three, mixed.slice(3)])
        # Compressed as nullable and sliced are not.
        yield f"nullable{of}, LZ4 stream", stream([mixed], "lz4")
        yield f"sliced{of}, ZSTD file", stream([mixed.slice(1, 4)], "zstd", file=True)


def write():
    parts = []
    for name, data in frames():
        for part in (name.encode(), data):
            parts += [struct.pack("<I", len(part)), part]
    data = b"".join(parts)
    FILE.write_bytes(data)
    print(f"{FILE.name}: {len(data)} bytes, pyarrow {pa.__version__}")


def read(path):
    data = Path(path).read_bytes()
    file = data[:6] == b"ARROW1"
    return (pa.ipc.open_file(data) if file else pa.ipc.open_stream(data)).read_all()


def equal(sent, found):
    """Types with all metadata, nullability, and every value; runs come back as their values."""
    sent, found = read(sent), read(found)
    assert sent.num_rows == found.num_rows, (sent.num_rows, found.num_rows)
    assert sent.column_names == found.column_names
    for field, column, other, values in zip(sent.schema, sent.columns, found.schema, found.columns):
        if pa.types.is_run_end_encoded(field.type):
            field = field.with_type(field.type.value_type)
            column = pa.chunked_array([pc.run_end_decode(c) for c in column.chunks], field.type)
        assert field.equals(other, check_metadata=True), (field, other)
        if pa.types.is_dictionary(field.type):
            # Equal dictionaries may list their values differently.
            column, values = column.cast(field.type.value_type), values.cast(field.type.value_type)
        values.validate(full=True)
        # Chunks are of no meaning.
        assert column.combine_chunks().equals(values.combine_chunks()), (field, column, values)
    print(f"{len(sent.schema)} columns of {sent.num_rows} rows are equal for pyarrow {pa.__version__}")


if __name__ == "__main__":
    {"write": write, "equal": equal}[sys.argv[1]](*sys.argv[2:])
