"""What the columns of a table are called and mean.

A column's name is its net's name. Only numbers of official nets get the names that papers use: a
bundled stand-in keeps its own, so that nobody takes ``fd_nsfw`` for FID.
"""

from warpgan.perception.build import IDENTITY_NETS, PERCEPTUAL_NETS

KERNEL, FRECHET = ("kid",), ("fid", "fd")
OFFICIAL_NAMES = {
    "psnr": "PSNR",
    "ssim": "SSIM",
    "fid": "FID",
    "kid": "KID",
    "lpips_alex": "LPIPS (alex)",
    "lpips_vgg": "LPIPS (vgg)",
    "arcface_onnx": "ID (ArcFace)",
    "arcface_irse50": "ID (IR-SE50)",
}
STAND_INS = {
    "perc_efficientnet": "LPIPS",
    "perc_vgg16hed": "LPIPS",
    "id_dlib": "ArcFace",
    "id_faceres": "ArcFace",
    "fd_nsfw": "FID",
    "kid_nsfw": "KID",
}
KINDS = ("perceptual", "set", "identity", "psnr", "other")
_FACE, _LEGACY, _PORTRAITS = "_face", "_legacy", "_portraits"


def kind_of(column: str) -> str:
    """One of ``KINDS``; parts of a metric, such as ``psnr_occluded``, are ``other``."""
    if column in PERCEPTUAL_NETS:
        return "perceptual"
    if column.removesuffix(_LEGACY).removesuffix(_PORTRAITS) in IDENTITY_NETS:
        return "identity"
    if column.split("_")[0] in (*KERNEL, *FRECHET):
        return "set"
    return "psnr" if column == "psnr" else "other"


def scale_of(column: str) -> float:
    """What a number is multiplied with in print: kernel distances are small."""
    return 1000.0 if column.split("_")[0] in KERNEL else 1.0


def head_of(column: str) -> str:
    """The column's name in print: official ones as in papers, stand-ins as they are."""
    base, suffix = _base(column)
    name = f"{OFFICIAL_NAMES[base]}{suffix.replace('_', ' ')}" if base in OFFICIAL_NAMES else column
    return f"{name} x1000" if scale_of(column) != 1 else name


def is_stand_in(column: str) -> bool:
    """Whether a bundled net stands in for an official one."""
    return _base(column)[0] in STAND_INS


def base_of(column: str) -> str:
    """The metric that a column is of: ``psnr`` of ``psnr_occluded``."""
    return _base(column)[0]


def variant_of(column: str) -> str:
    """How a column differs from the metric that it is of; empty for the metric itself."""
    suffix = _base(column)[1]
    return "; ".join(words for name, words in _SUFFIXES.items() if name in suffix)


def meaning_of(column: str) -> str:
    """What the metric says, and what it must not be compared with."""
    base = base_of(column)
    if kind_of(base) == "set":
        net = "the official Inception" if base in OFFICIAL_NAMES else "a bundled Inception v3"
        family = "Kernel" if base.split("_")[0] in KERNEL else "Fréchet"
        text = f"{family} distance between the features of all views and all photos, by {net}"
        if family == "Fréchet":
            text += "; it falls with more images, so it compares only within one N"
    elif kind_of(base) == "perceptual":
        text = "Distance of deep features between a view and its true photo"
    elif kind_of(base) == "identity":
        text = "Cosine of face embeddings: is it still the same person"
    else:
        text = _OTHER.get(base, "See the evaluation's documentation")
    if variant_of(column):
        text += f"; {variant_of(column)}"
    if base in STAND_INS:
        text += f". A stand-in: not {STAND_INS[base]}, and no published {STAND_INS[base]} compares"
    return text + "."


_OTHER = {
    "psnr": "Pixel agreement with the true photo in dB, capped where both are equal",
    "ssim": "Local structure shared with the true photo, 1 where equal",
    "depth_mean": "Mean absolute error of depth on the person, in scene units",
    "depth_median": "Median absolute error of depth on the person, in scene units",
    "pose_error": "Angle between the view's pose and the one asked for, in degrees, seen by a net",
}
_SUFFIXES = {
    "_visible": "over target pixels that the photo saw",
    "_occluded": "over target pixels that the photo did not see",
    "_registered": "after the view was aligned with its target",
    _FACE: "with all but the face grey",
    _LEGACY: "by the fixed crop of earlier work",
    _PORTRAITS: "aligned by the mean head of the embedded world's portraits",
    "_auc": "the chance that a view is nearer to its own photo than to a stranger's",
    "_rank1": "how often the own photo is nearest",
}


def _base(column: str) -> tuple[str, str]:
    """The metric that a column is of, and what follows its name."""
    base = column
    for suffix in reversed(_SUFFIXES):
        base = base.removesuffix(suffix)
    return base, column[len(base) :]
