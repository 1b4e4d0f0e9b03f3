import pytest
import torch
import yaml

from tests.warpgan.evaluation_world import build_encoder, build_generator, generator_node
from warpgan.cameras import frontal_label
from warpgan.encoders.inversion import InversionEncoder, save_encoder
from warpgan.encoders.psp import PspEncoder
from warpgan.evaluation.load import find_models
from warpgan.methods import build
from warpgan.methods.build import Models
from warpgan.methods.encoder_file import find_encoder


@pytest.fixture(scope="module")
def generator():
    return build_generator()


@pytest.fixture(scope="module")
def psp_run(generator, tmp_path_factory):
    """A finished run of a tiny pSp encoder, stored as int8."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = PspEncoder(
            32,
            generator.num_ws,
            w_dim=generator.w_dim,
            widths=(4, 4, 8, 8, 16),
            units=(1, 1, 1, 1),
        )
    folder = tmp_path_factory.mktemp("psp")
    model = InversionEncoder(network, generator.mean_latent())
    save_encoder(model, folder / "encoder.safetensors", dtype=torch.int8)
    (folder / "config.yaml").write_text(yaml.safe_dump({"generator": generator_node()}))
    return folder


def test_psp_is_another_encoder_on_the_generator_of_all(generator, psp_run):
    models = Models(generator, build_encoder(generator), encoder_files=(psp_run / "other",))
    method = build.psp(models, encoder=str(psp_run))
    photo = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    views = method.invert(photo, frontal_label()).render(frontal_label()[None])
    network, path = find_encoder(str(psp_run))
    ws = network(photo)
    expected = generator.render(generator.planes(ws), ws, frontal_label()[None]).image
    assert torch.equal(views.image, expected)
    assert method.name == "psp" and method.generator is generator
    assert method.files == (path,) == (psp_run / "encoder.safetensors",)


def test_an_evaluation_finds_the_same_file(psp_run):
    found = find_models(str(psp_run), None)
    assert found.encoder_files == (psp_run / "encoder.safetensors",)
    assert found.generator == generator_node()
    assert found.encoder.encoder.kind == "psp"


def test_an_absent_encoder_is_named_with_its_key(generator):
    with pytest.raises(FileNotFoundError, match="method.psp.encoder=runs/nobody: no file .*mini"):
        build.psp(Models(generator, None), encoder="runs/nobody")
