import os
import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.parity_checks import encoder as parity
from tests.warpgan.hostile import Planted, pickled_state, rewrite_zip, write_zip
from warpgan.checkpoint_reader import (
    InertObject,
    StorageRecord,
    TensorRecord,
    read_tensor_file,
    read_torch_zip,
)

GOLDEN = Path(__file__).parents[1] / "golden"
STUB = GOLDEN / parity.STUB


def test_stub_of_the_released_checkpoint():
    results = parity.check_stub(GOLDEN)
    assert len(results) == 4
    assert not [result for result in results if not result.ok]
    with pytest.raises(pickle.UnpicklingError):
        torch.load(STUB, weights_only=True)
    content = read_torch_zip(STUB)
    assert isinstance(content["opts"], InertObject)
    assert content["opts"].path == "omegaconf.dictconfig.DictConfig"
    assert content["opts"].state["_content"]["gan"].path == "omegaconf.dictconfig.DictConfig"
    assert content["best_val_loss"] == 0.5
    assert content["psp_optimizer"] == {"state": {}, "param_groups": []}


def test_everything_torch_saves_comes_back(tmp_path):
    base = torch.arange(24.0).reshape(4, 6)
    saved = {
        "types": {
            str(dtype): torch.tensor([0, 1, 1]).to(dtype)
            for dtype in (
                torch.float64,
                torch.float32,
                torch.float16,
                torch.bfloat16,
                torch.int64,
                torch.int32,
                torch.int16,
                torch.int8,
                torch.uint8,
                torch.bool,
            )
        },
        "views": [base, base[1:3, ::2], base.T, base[2]],
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "plain": (1, 2.5, "text", None, True, 1 << 70),
        "module": OrderedDict(torch.nn.Linear(2, 3).state_dict()),
    }
    path = tmp_path / "saved.pt"
    torch.save(saved, path)
    read = read_torch_zip(path)
    assert list(read) == list(saved)
    for name, value in saved["types"].items():
        assert read["types"][name].dtype == value.dtype
        assert torch.equal(read["types"][name], value)
    for ours, value in zip(read["views"], saved["views"], strict=True):
        assert torch.equal(ours, value) and ours.stride() == value.stride()
    assert read["views"][0].data_ptr() == read["views"][2].data_ptr()
    for name in ("scalar", "empty", "parameter"):
        assert torch.equal(read[name], saved[name]) and read[name].shape == saved[name].shape
    assert read["plain"] == saved["plain"]
    for name, value in saved["module"].items():
        assert torch.equal(read["module"][name], value)


def test_other_keys_stay_in_the_file(tmp_path):
    path = tmp_path / "saved.pt"
    torch.save({"weights": {"a": torch.ones(3)}, "optimizer": {"b": torch.ones(4)}}, path)
    read = read_torch_zip(path, only=["weights"])
    assert torch.equal(read["weights"]["a"], torch.ones(3))
    assert isinstance(read["optimizer"]["b"], TensorRecord)
    assert read["optimizer"]["b"].size == (4,)


def test_cuda_tensors_are_read_on_the_cpu(tmp_path):
    path = tmp_path / "saved.pt"
    torch.save({"a": torch.arange(3.0)}, path)

    def to_cuda(name, data):
        # BINUNICODE carries its length: swap the four-byte length together with the text.
        old, new = b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"
        return name, data.replace(old, new) if name.endswith("data.pkl") else data

    moved = rewrite_zip(path, tmp_path / "moved.pt", to_cuda)
    assert b"cuda:0" in moved.read_bytes()
    assert torch.equal(read_torch_zip(moved)["a"], torch.arange(3.0))


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_planted_call_does_not_run(tmp_path, protocol):
    target = tmp_path / "planted"
    payload = pickle.dumps({"psp_state_dict": {}, "opts": Planted(target)}, protocol=protocol)
    path = write_zip(tmp_path / "hostile.pt", payload)
    content = read_torch_zip(path)
    assert not target.exists()
    assert content["opts"].path == f"{os.mkdir.__module__}.mkdir"
    assert content["opts"].args == (str(target),)
    pickle.loads(payload)
    assert target.exists(), "the payload itself must work, or this test shows nothing"


@pytest.mark.parametrize(
    "stream",
    [
        # builtins.exec of a text, both as a call and as the state of an object
        b"cbuiltins\nexec\n(Vopen('PLANTED','w')\ntR.",
        b"cos\nsystem\n(Vtouch PLANTED\ntR.",
        b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x15open('PLANTED','w')##\x85R.",
        b"c__builtin__\ngetattr\n(ctorch\nFloatStorage\nV__class__\ntR.",
        # a protocol-4 dotted name must not be resolved attribute by attribute
        b"\x80\x04\x8c\x0ccollections\x8c\x14OrderedDict.__init__\x93.",
    ],
)
def test_other_payloads_do_nothing(tmp_path, monkeypatch, stream):
    monkeypatch.chdir(tmp_path)
    path = write_zip(tmp_path / "hostile.pt", stream)
    try:
        value = read_torch_zip(path)
    except ValueError as error:
        assert "damaged or hostile" in str(error)
    else:
        assert isinstance(value, InertObject) or issubclass(value, InertObject)
    assert [entry.name for entry in tmp_path.iterdir()] == ["hostile.pt"]


@pytest.mark.parametrize(
    "stream",
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n}(V__defaults__\n(I1\ntsb.",
        b"ccollections\nOrderedDict\n}(Vupdate\nI1\nsb.",
        b"ctorch\nFloatStorage\n}(Vname\nI1\nsb.",
        b"\x82\x01.",
        b"Pdata\n.",
        b"(I1\nI2\nr\xff\xff\xff\xff.",
        b"I1\nr\xff\xff\xff\x7f.",
        b"ctorch._utils\n_rebuild_tensor_v2\n(I1\nI2\ntR.",
        b"}(]I1\ns.",
        b"",
        b"I1\n",
        b"garbage",
    ],
)
def test_malformed_streams_give_one_error(tmp_path, stream):
    path = write_zip(tmp_path / "hostile.pt", stream)
    with pytest.raises(ValueError, match="hostile.pt: damaged or hostile checkpoint"):
        read_torch_zip(path)


@pytest.mark.parametrize(
    "build",
    [
        lambda storage, tensor: tensor(storage("0", 4), 0, (5,), (1,)),
        lambda storage, tensor: tensor(storage("0", 4), 3, (2,), (1,)),
        lambda storage, tensor: tensor(storage("0", 4), -1, (2,), (1,)),
        lambda storage, tensor: tensor(storage("0", 4), 0, (2,), (-1,)),
        lambda storage, tensor: tensor(storage("0", 4), 0, (1 << 40,), (0,)),
        lambda storage, tensor: tensor(storage("0", 4), 0, (2, 2), (1,)),
        lambda storage, tensor: tensor(storage("0", 4), 0, (1,), (1 << 80,)),
        lambda storage, tensor: tensor(storage("0", 4), 0.0, (2,), (1,)),
        lambda storage, tensor: tensor(("0", torch.float32, 4), 0, (2,), (1,)),
        lambda storage, tensor: storage("../0", 4),
        lambda storage, tensor: storage("0", -4),
    ],
)
def test_impossible_tensors_are_refused(tmp_path, build):
    path = write_zip(tmp_path / "bad.pt", pickled_state(build), storages={"0": bytes(16)})
    with pytest.raises(ValueError, match="bad.pt: damaged or hostile"):
        read_torch_zip(path)


@pytest.mark.parametrize(
    ("storages", "message"),
    [({}, "is missing"), ({"0": bytes(12)}, "12 bytes"), ({"0": bytes(20)}, "20 bytes")],
)
def test_wrong_storages_are_refused(tmp_path, storages, message):
    stream = pickled_state(lambda storage, tensor: [tensor(storage("0", 4), 0, (4,), (1,))])
    path = write_zip(tmp_path / "bad.pt", stream, storages=storages)
    with pytest.raises(ValueError, match=message):
        read_torch_zip(path)


def test_a_storage_that_no_tensor_uses_stays_in_the_file(tmp_path):
    stream = pickled_state(lambda storage, tensor: {"a": storage("0", 4)})
    path = write_zip(tmp_path / "odd.pt", stream, storages={"0": bytes(16)})
    assert read_torch_zip(path)["a"] == StorageRecord("0", torch.float32, 4)


def test_self_containing_list_is_refused(tmp_path):
    path = write_zip(tmp_path / "loop.pt", b"]q\x00h\x00a.")
    with pytest.raises(ValueError, match="nested deeper"):
        read_torch_zip(path)


def test_names_outside_the_archive_are_refused_and_nothing_is_written(tmp_path):
    folder = tmp_path / "inner"
    folder.mkdir()
    stream = pickle.dumps({}, protocol=2)
    for index, name in enumerate(["../evil", "/evil", "archive/../../evil", "other/data/0"]):
        path = write_zip(folder / f"{index}.pt", stream, extra={name: b"x"})
        with pytest.raises(ValueError, match="outside the archive"):
            read_torch_zip(path)
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == [
        "0.pt",
        "1.pt",
        "2.pt",
        "3.pt",
    ]


def test_damaged_archives_are_refused(tmp_path):
    good = tmp_path / "good.pt"
    torch.save({"a": torch.arange(1000.0)}, good)
    data = good.read_bytes()
    bad = tmp_path / "bad.pt"
    for length in (0, 3, 100, len(data) // 2, len(data) - 1):
        bad.write_bytes(data[:length])
        with pytest.raises(ValueError, match="bad.pt"):
            read_torch_zip(bad)
    place = data.index(torch.arange(1000.0).numpy().tobytes()) + 40
    bad.write_bytes(data[:place] + b"\x55" + data[place + 1 :])
    with pytest.raises(ValueError, match="damaged or truncated"):
        read_torch_zip(bad)
    with pytest.raises(ValueError, match="compressed"):
        read_torch_zip(write_zip(bad, pickle.dumps([0] * 999), compress=True))
    big = rewrite_zip(
        good, bad, lambda name, data: (name, b"big" if name.endswith("byteorder") else data)
    )
    with pytest.raises(ValueError, match="big-endian"):
        read_torch_zip(big)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><title>Quota exceeded</title>", "web page"),
        (pickle.dumps({"a": 1}), "bare pickle"),
        (b"just text", "not a torch.save zip"),
        (b"", "not a torch.save zip"),
    ],
)
def test_other_files_are_named(tmp_path, content, message):
    path = tmp_path / "file.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"file.pt.*{message}"):
        read_torch_zip(path)


def test_absent_file_folder_and_foreign_zip(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent.pt"):
        read_torch_zip(tmp_path / "absent.pt")
    with pytest.raises(FileNotFoundError):
        read_torch_zip(tmp_path)
    with pytest.raises(ValueError, match="no data.pkl"):
        read_torch_zip(
            rewrite_zip(STUB, tmp_path / "x.pt", lambda name, data: (name + ".png", data))
        )


def test_plain_tensor_files(tmp_path):
    state = {"a": torch.arange(3.0)}
    torch.save(state, tmp_path / "a.pth")
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_file(state, tmp_path / "a.safetensors")
    for name in ("a.pth", "old.pth", "a.safetensors"):
        assert torch.equal(read_tensor_file(tmp_path / name)["a"], state["a"])
    with pytest.raises(ValueError, match="not a file of plain tensors"):
        read_tensor_file(STUB)
    (tmp_path / "b.safetensors").write_bytes(b"\x00" * 30)
    (tmp_path / "b.pth").write_bytes(b"text")
    for name in ("b.safetensors", "b.pth"):
        with pytest.raises(ValueError, match=name):
            read_tensor_file(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_tensor_file(tmp_path / "absent.pth")


def test_planted_call_in_a_plain_tensor_file(tmp_path):
    target = tmp_path / "planted"
    torch.save({"a": Planted(target)}, tmp_path / "hostile.pth")
    with pytest.raises(ValueError, match="hostile.pth"):
        read_tensor_file(tmp_path / "hostile.pth")
    assert not target.exists()
