"""Generator files that carry code or ask for more than they have: refused, and nothing runs."""

import builtins
import io
import os
import pickle
import resource
import struct
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import eg3d
from eg3d import convert
from eg3d.pickle_machine import PickleError, PickleMachine, Vocabulary

from . import official_snapshot as official
from .official_snapshot import Call
from .refusal import CANARY, refused, write


@pytest.fixture(scope="module")
def small() -> eg3d.TriPlaneGenerator:
    return official.small_generator()


@pytest.fixture(autouse=True)
def in_own_folder(tmp_path, monkeypatch):
    """Hostile payloads write their canary into the working folder."""
    monkeypatch.chdir(tmp_path)


def hostile_call() -> Call:
    return Call(os.system, f"touch {CANARY}")


def storage_bytes(inner: object) -> bytes:
    """A legacy storage stream whose third part is `inner`, where torch has its system info."""
    parts = [0x1950A86A20F9469CFC6C, 1001, inner]
    return b"".join(pickle.dumps(part, protocol=2) for part in parts)


def in_persistent_state(generator):
    return official.stored_generator(generator, extra=hostile_call())


def in_module_list(generator):
    record = official.stored_generator(generator)
    record.arguments[0]["state"]["_modules"]["decoder"] = hostile_call()
    return record


def in_persistent_record(generator):
    return official.persistent("TriPlaneGenerator", {}, source=hostile_call())


def in_init_kwargs(generator):
    return official.stored_generator(generator, _init_kwargs={"z_dim": hostile_call()})


def in_inner_stream(generator):
    data = storage_bytes(hostile_call())
    inner = Call(torch.storage._load_from_bytes, data)
    return official.stored_generator(generator, extra=inner)


def by_eval(generator):
    return Call(builtins.eval, f"open({CANARY!r}, 'w')")


def by_exec(generator):
    return Call(builtins.exec, f"open({CANARY!r}, 'w')")


def by_open(generator):
    return Call(open, CANARY, "w")


def by_numpy_load(generator):
    np.save("inner.npy", np.array([hostile_call()], dtype=object), allow_pickle=True)
    return Call(np.load, "inner.npy", None, True)


HOSTILE = [
    in_persistent_state,
    in_module_list,
    in_persistent_record,
    in_init_kwargs,
    in_inner_stream,
    by_eval,
    by_exec,
    by_open,
    by_numpy_load,
]


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
def test_planted_code_does_not_run(small, make, protocol):
    data = official.pickled({"G_ema": make(small)}, protocol=protocol)
    message = refused(write(data), "not on the list of accepted globals")
    assert "nothing in it was run" in message
    message = refused(write(data, "model.pt"), "a Python pickle")


@pytest.mark.parametrize("make", [by_eval, by_exec, by_open, by_numpy_load])
def test_the_payloads_are_live(small, make):
    """The control: Python's own reader runs them."""
    data = official.pickled({"G_ema": make(small)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pickle.loads(data)
    assert Path(CANARY).exists()


def test_planted_code_is_live_inside_a_storage(small):
    """The control of `in_inner_stream`: torch's own function runs what a storage's bytes hold."""
    with pytest.raises((TypeError, AttributeError, RuntimeError, KeyError, EOFError)):
        torch.storage._load_from_bytes(storage_bytes(hostile_call()))
    assert Path(CANARY).exists()


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\x80\x02(S'touch canary-was-here'\nios\nsystem\n.", "0x53 at byte 3"),
        (b"\x80\x02cos\nsystem\nX\x15\x00\x00\x00touch canary-was-here\x85R.", "names 'os.system'"),
        (b"\x80\x02cposix\nsystem\nX\x15\x00\x00\x00touch canary-was-here\x85R.", "posix.system"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02ls\x85R.", "names 'os.system'"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"\x80\x02(cos\nsystem\nX\x02\x00\x00\x00lso.", "names 'os.system'"),
        (b"\x80\x02(X\x02\x00\x00\x00lsios\nsystem\n.", "INST"),
        (b"\x80\x02X\x01\x00\x00\x00aQ.", "persistent id"),
        (b"\x80\x02Pfile\n.", "PERSID"),
        (b"\x80\x04cdnnlib.util\nEasyDict\n)}\x92.", "NEWOBJ_EX"),
        (b"\x80\x02cdnnlib.util\nEasyDict\n)R.", "as a class only, but is called"),
        (b"\x80\x02ccollections\nOrderedDict\n)\x81.", "as a function only, but is instantiated"),
        (b"\x80\x02ctorch_utils.persistence\n_reconstruct_persistent_obj.__globals__\n.", "names"),
        (b"\x80\x02c__builtin__\neval\n.", "__builtin__.eval"),
        (b"\x80\x02cbuiltins\ngetattr\n.", "builtins.getattr"),
        (b"\x80\x02c\xff\xfe\nsystem\n.", "not UTF-8"),
        (b"\x80\x02c" + b"a" * 400, "no name of at most"),
        (b"\x80\x04K\x01K\x02\x93.", "a global without a name"),
        (b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00zip\x86R.", "as 'zip'"),
        (b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00O8\x85R.", "numpy value of type 'O8'"),
        (b"\x80\x09.", "protocol 9"),
    ],
)
def test_hand_written_programs(data, problem):
    refused(write(data), problem)


def test_source_text_in_the_snapshot_is_ignored(small):
    """A snapshot whose embedded source would write the canary loads, and writes nothing."""
    source = official.MODULE_SOURCE
    record = official.stored_generator(small)
    record.arguments[0]["module_src"] = source + f"open({CANARY!r}, 'w')\n"
    eg3d.load_generator(write(official.pickled({"G_ema": record})))
    assert not Path(CANARY).exists()


def test_hostile_state_dict():
    torch.save({"G_ema": {"weight": hostile_call()}}, "model.pt")
    refused("model.pt", "objects other than tensors")
    torch.save(hostile_call(), "old.pth", _use_new_zipfile_serialization=False)
    refused("old.pth", "objects other than tensors")


# Oversized


def tensor_record(numel: int, size: tuple, stride: tuple, *, offset: int = 0) -> Call:
    """A stored tensor with a layout of our choice on a real storage of `numel` zeros."""
    storage = torch.zeros(numel).untyped_storage()
    typed = torch.storage.TypedStorage(wrap_storage=storage, dtype=torch.float32, _internal=True)
    return Call(torch._utils._rebuild_tensor_v2, typed, offset, size, stride, False, {})


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (tensor_record(4, (1 << 40,), (0,)), "does not fit in its 4 stored values"),
        (tensor_record(4, (2, 2), (4, 1)), "does not fit"),
        (tensor_record(4, (4,), (1,), offset=1), "does not fit"),
        (tensor_record(4, (2, 2), (-1, 1)), "do not describe a tensor"),
        (tensor_record(4, (2, 2), (1,)), "do not describe a tensor"),
        (tensor_record(4, (1,) * 9, (1,) * 9), "do not describe a tensor"),
        (
            Call(torch._utils._rebuild_tensor_v2, tensor_record(4, (), ()), 0, (), (), False, {}),
            "do not describe a tensor",
        ),
    ],
)
def test_tensor_layouts_are_checked(small, record, problem):
    refused(write(official.snapshot_bytes(small, _buffers={"extra": record})), problem)


def test_storage_that_announces_more_than_it_has(small):
    data = official.snapshot_bytes(small)
    counted = struct.pack("<q", 25) + torch.linspace(0, 1, 25).numpy().tobytes()
    assert data.count(counted) == 1
    lied = struct.pack("<q", 1 << 50) + torch.linspace(0, 1, 25).numpy().tobytes()
    refused(write(data.replace(counted, lied)), "a storage announces 25 values")


def text_decoded_often(times: int) -> bytes:
    """One text of a megabyte, turned to bytes again and again."""
    text = b"X" + struct.pack("<I", 1 << 20) + b"a" * (1 << 20)
    again = b"h\x00h\x01h\x02\x86R"
    return b"c_codecs\nencode\nq\x00" + text + b"q\x01X\x06\x00\x00\x00latin1q\x02" + again * times


def test_values_of_a_kind_nothing_expects(small):
    """Answers with the one error, not with one of Python's own from inside of the reader."""
    code = b"cnumpy\ndtype\nX\x02\x00\x00\x00f8\x85R}X\x04\x00\x00\x00codeX\x02\x00\x00\x00zzsb"
    scalar = b"cnumpy.core.multiarray\nscalar\n" + code + b"C\x081234567\x00\x86R."
    refused(write(b"\x80\x02" + scalar), "a numpy scalar's type is malformed")
    deep = []
    for _ in range(400):
        deep = [deep]
    data = official.snapshot_bytes(small, neural_rendering_resolution=deep)
    refused(write(data), "neural_rendering_resolution is a list")


def test_one_storage_used_many_times(small):
    shared = torch.zeros(1000, 250)
    data = official.snapshot_bytes(small, _buffers={f"b{i}": shared for i in range(1000)})
    refused(write(data), "its tensors claim 10")


def doubling_tuple_as_key(depth: int) -> bytes:
    """A dict key of two references to two references to ...: its hash would take 2**depth steps."""
    levels = b"".join(b"\x94h" + bytes([level]) + b"\x86" for level in range(depth))
    return b"\x80\x04})" + levels + b"K\x01s."


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60), "truncated: 1152921504606846976 bytes"),
        (b"\x80\x04B" + struct.pack("<I", 0xFFFFFFFF), "truncated: 4294967295 bytes"),
        (b"\x80\x04\x8d" + struct.pack("<Q", 1 << 63), "truncated"),
        (b"\x80\x04\x8b" + struct.pack("<I", 0x7FFFFFFF), "an integer of 2147483647 bytes"),
        (b"\x80\x04" + b"(" * 5000, "nested more than 200 deep"),
        (b"\x80\x04" + b"]" * 200_000, "more than 100000 open"),
        (b"\x80\x04N" + b"\x85" * 2_000_000, "more than 1000000 pickle operations"),
        (b"\x80\x04j\xff\xff\xff\xff.", "object 4294967295 was never stored"),
        (doubling_tuple_as_key(60), "a dict key of type tuple"),
        (b"\x80\x02" + text_decoded_often(2000), "stand for more bytes than the file has"),
    ],
)
def test_small_files_that_ask_for_much(data, problem):
    """Refused at once and without taking the memory or the time they ask for."""
    start = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(write(data), problem)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 300 << 10, "KiB"
    assert time.process_time() - start < 10


def test_far_memo_index_takes_no_memory():
    data = b"\x80\x04Nr\xff\xff\xff\xff0h\x00."
    with pytest.raises(PickleError, match="object 0 was never stored"):
        PickleMachine(memoryview(data), Vocabulary()).load()


def test_module_trees_without_end(small):
    """Shared and self-containing children, which a naive walk would follow for ever."""
    leaf = official.plain("RaySampler", {"_modules": {}})
    for _ in range(40):
        leaf = official.plain("RaySampler", {"_modules": {"a": leaf, "b": leaf}})
    data = official.snapshot_bytes(small, _modules={"renderer": leaf})
    refused(write(data), "nested or repeated without end")
    loop = official.plain("RaySampler", {})
    loop.__dict__["_modules"] = {"again": loop}
    data = official.snapshot_bytes(small, _modules={"renderer": loop})
    refused(write(data), "nested or repeated without end")


def test_settings_without_end(small):
    doubled = [1]
    for _ in range(40):
        doubled = [doubled, doubled]
    loop = []
    loop.append(loop)
    wide = [[[[0] * 30] * 30] * 30] * 30
    for settings in (doubled, loop, wide):
        data = official.snapshot_bytes(small, rendering_kwargs={"ray_start": settings})
        refused(write(data), "nested or repeated without end")


def test_archives_that_inflate(small):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * (64 << 20))
    assert len(buffer.getvalue()) < 1 << 20
    refused(write(buffer.getvalue(), "model.pt"), "would inflate to 67108864 bytes")


def test_archive_with_a_damaged_directory():
    torch.save({"a": torch.zeros(3)}, "good.pt")
    data = Path("good.pt").read_bytes()
    refused(write(data.replace(b"PK\x01\x02", b"XXXX"), "model.pt"), "damaged zip archive")


# The command says the same, in one line


def test_convert_reports_a_bad_file_in_one_line(small, capsys):
    path = write(official.pickled({"G_ema": by_eval(small)}))
    assert convert.main([str(path), "out.safetensors"]) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.startswith("error: model.pkl: it names 'builtins.eval'")
    assert shown.err.count("\n") == 1 and not Path("out.safetensors").exists()
    assert convert.main(["absent.pkl", "out.safetensors"]) == 2
    assert "no such file" in capsys.readouterr().err
    assert not Path(CANARY).exists()
