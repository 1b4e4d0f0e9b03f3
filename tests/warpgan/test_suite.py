"""Nets of an evaluation by name."""

import pytest

from warpgan.evaluation.metric_words import base_of, kind_of, meaning_of, variant_of
from warpgan.evaluation.suite import build_suite
from warpgan.perception.crops import HEADS


def test_each_way_of_cropping_is_a_column_of_its_own():
    net = "id_faceres"
    suite = build_suite(
        identity=[{"net": net}, {"net": net, "head": "portraits"}, {"net": net, "crop": "legacy"}]
    )
    assert suite.identity == (net, f"{net}_portraits", f"{net}_legacy")
    for column, head in ((net, "eg3d"), (f"{net}_portraits", "portraits")):
        assert (suite.identity_nets[column].crop.points == HEADS[head]).all()
    assert [path.name for path in suite.files] == ["id_faceres.safetensors"]
    for column in suite.identity:
        assert kind_of(column) == "identity" and base_of(f"{column}_auc") == net
    assert "mean head of the embedded world" in meaning_of(f"{net}_portraits")
    assert variant_of(net) == ""


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"net": "id_faceres", "head": "flame"}, "no head 'flame'; there are eg3d, portraits"),
        ({"net": "id_faceres", "haed": "portraits"}, "haed.*expected {net: NAME, crop"),
        ({"crop": "aligned"}, "expected {net: NAME"),
    ],
)
def test_wrong_choices_are_explained(choice, message):
    with pytest.raises(ValueError, match=message):
        build_suite(identity=[choice])
