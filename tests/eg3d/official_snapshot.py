"""Writes a generator as the official training code stores it, for tests of the reader.

Real torch tensors, parameters and containers are pickled by Python itself; only the classes of the
official code base, which is not installed, are stood in for while writing.
"""

import pickle
import sys
from collections import OrderedDict
from contextlib import contextmanager
from types import ModuleType

import numpy as np
import torch

import eg3d

KWARGS = {
    "z_dim": 8,
    "c_dim": 25,
    "w_dim": 8,
    "img_resolution": 128,
    "img_channels": 3,
    "mapping_kwargs": {"num_layers": 2},
    "channel_base": 256,
    "channel_max": 4,
    "num_fp16_res": 0,
    "sr_num_fp16_res": 4,
    "conv_clamp": None,
}
RENDERING = {
    "depth_resolution": 6,
    "depth_resolution_importance": 6,
    "ray_start": 2.25,
    "ray_end": 3.3,
    "box_warp": 1,
    "c_scale": 1.0,
    "superresolution_module": "training.superresolution.SuperresolutionHybrid2X",
    "superresolution_noise_mode": "none",
    "avg_camera_pivot": [0, 0, 0.2],
}
AXES = {
    "released": [np.eye(3), np.eye(3)[[0, 2, 1]], np.eye(3)[[2, 0, 1]]],
    "fixed": [np.eye(3), np.eye(3)[[0, 2, 1]], np.eye(3)[[2, 1, 0]]],
}
OFFICIAL_CLASSES = {
    "EasyDict": "dnnlib.util",
    "OSGDecoder": "training.triplane",
    "ImportanceRenderer": "training.volumetric_rendering.renderer",
    "MipRayMarcher2": "training.volumetric_rendering.ray_marcher",
    "RaySampler": "training.volumetric_rendering.ray_sampler",
}
MODULE_SOURCE = "raise RuntimeError('the embedded module source was executed')\n"


class Call:
    """Pickled as a call of `function`."""

    def __init__(self, function, *arguments):
        self.function = function
        self.arguments = arguments

    def __reduce__(self):
        return self.function, self.arguments


def _reconstruct_persistent_obj(meta):
    raise AssertionError("called while writing")


def _stand_ins() -> dict[str, type]:
    made = {}
    for name, module in OFFICIAL_CLASSES.items():
        base = dict if name == "EasyDict" else object
        made[name] = type(name, (base,), {"__module__": module})
    return made


CLASSES = _stand_ins()


@contextmanager
def official_names():
    """Importable stand-ins for the official modules while a pickle is written."""
    modules = {module: {} for module in OFFICIAL_CLASSES.values()}
    for name, module in OFFICIAL_CLASSES.items():
        modules[module][name] = CLASSES[name]
    _reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
    modules["torch_utils.persistence"] = {
        "_reconstruct_persistent_obj": _reconstruct_persistent_obj
    }
    before = dict(sys.modules)
    try:
        for name, content in modules.items():
            parts = name.split(".")
            for end in range(1, len(parts) + 1):
                sys.modules.setdefault(".".join(parts[:end]), ModuleType(".".join(parts[:end])))
            vars(sys.modules[name]).update(content)
        yield
    finally:
        for name in set(sys.modules) - set(before):
            if name.split(".")[0] in ("dnnlib", "training", "torch_utils"):
                del sys.modules[name]


def small_generator(seed: int = 0, **kwargs) -> eg3d.TriPlaneGenerator:
    """A generator of official layout, small enough for many tests; buffers random too."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = eg3d.build_generator(
            KWARGS, rendering_kwargs=RENDERING, neural_rendering_resolution=24, **kwargs
        )
        for buffer in generator.buffers():
            buffer.copy_(torch.randn_like(buffer))
    return generator.eval()


def module_state(module: torch.nn.Module, **attributes) -> dict:
    """What `nn.Module.__dict__` holds, with stored children."""
    return {
        "training": False,
        "_parameters": dict(module._parameters),
        "_buffers": dict(module._buffers),
        "_non_persistent_buffers_set": set(module._non_persistent_buffers_set),
        "_forward_hooks": OrderedDict(),
        "_modules": {
            name: stored(child) for name, child in module._modules.items() if child is not None
        },
        **attributes,
    }


def persistent(class_name: str, state: dict, *, version: int = 6, source=MODULE_SOURCE) -> Call:
    meta = {"type": "class", "version": version, "module_src": source}
    return Call(_reconstruct_persistent_obj, meta | {"class_name": class_name, "state": state})


def plain(class_name: str, state: dict) -> object:
    """An instance stored by import path."""
    instance = CLASSES[class_name].__new__(CLASSES[class_name])
    instance.__dict__.update(state)
    return instance


def stored(module: torch.nn.Module) -> object:
    if isinstance(module, torch.nn.Sequential):
        copy = torch.nn.Sequential()
        copy.__dict__["_modules"] = {k: stored(v) for k, v in module._modules.items()}
        return copy
    if isinstance(module, torch.nn.Softplus):
        return module
    name = type(module).__name__
    if name == "Decoder":
        return plain("OSGDecoder", module_state(module))
    return persistent(name, module_state(module, weight_gain=np.float64(0.25)))


def stored_generator(generator: eg3d.TriPlaneGenerator, **changes) -> Call:
    """The record of a generator; `changes` replace entries of its state (None removes)."""
    axes = torch.tensor(np.stack(AXES[generator.plane_axes]), dtype=torch.float32)
    state = module_state(
        generator,
        neural_rendering_resolution=generator.neural_rendering_resolution,
        rendering_kwargs=dict(generator.rendering_kwargs),
        _last_planes=None,
        _init_args=(),
        _init_kwargs=CLASSES["EasyDict"](
            {k: v for k, v in generator.init_kwargs.items()}
            | {"rendering_kwargs": dict(generator.rendering_kwargs)}
        ),
    )
    empty = torch.nn.Module()
    marcher = plain("MipRayMarcher2", module_state(empty))
    renderer = module_state(empty, plane_axes=axes)
    renderer["_modules"] = {"ray_marcher": marcher}
    state["_modules"] |= {
        "renderer": plain("ImportanceRenderer", renderer),
        "ray_sampler": plain("RaySampler", module_state(empty)),
    }
    state["_buffers"]["dataset_label_std"] = torch.linspace(0, 1, 25)
    state |= changes
    return persistent(
        "TriPlaneGenerator", {k: v for k, v in state.items() if v is not None or k in changes}
    )


def pickled(container: object, *, protocol: int = 4) -> bytes:
    with official_names():
        return pickle.dumps(container, protocol=protocol)


def snapshot_bytes(generator: eg3d.TriPlaneGenerator, *, protocol: int = 4, **changes) -> bytes:
    record = stored_generator(generator, **changes)
    container = {"training_set_kwargs": {}, "G": None, "D": None, "G_ema": record}
    return pickled(container | {"augment_pipe": None}, protocol=protocol)
