"""What a latent says: the layout of z, and the paint, light and clothes derived from it.

z is N(0, 1) normalised to radius sqrt(LATENT_DIM). Everything moves smoothly and monotonically
with its coordinate (no hue wheel), so that a small generator can learn it. What a latent cannot
say (moles, patterns, the style of the glasses) belongs to `detail.py`.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from warpgan.data.portraits.head import COMPONENTS, EXPRESSIONS, traits_of
from warpgan.data.portraits.noise import smoothstep

APPEARANCE = (
    "tone", "tone_value", "undertone", "redness", "makeup", "lip_hue",
    "brow_thickness", "brow_height", "brow_darkness", "iris",
    "hair_tone", "hair_red", "grey", "length", "top_volume", "side_volume",
    "hairline", "fringe", "sweep", "curl", "beard", "glasses",
    "cloth_warm", "cloth_green", "cloth_value", "neckline",
    "back_warm", "back_green", "back_value", "back_tilt",
    "light_yaw", "light_pitch", "light_strength", "light_warmth",
)  # fmt: skip
"""Names of the coordinates after identity and expression, in order."""

LATENT_DIM = COMPONENTS + len(EXPRESSIONS) + len(APPEARANCE)
"""Length of z: 58 identity, 4 expression, 34 appearance coordinates."""

Colour = tuple[float, float, float]

SKIN_RAMP = (
    (0.95, 0.80, 0.72), (0.93, 0.74, 0.63), (0.88, 0.67, 0.54), (0.78, 0.56, 0.42),
    (0.62, 0.42, 0.30), (0.46, 0.30, 0.21), (0.33, 0.215, 0.155),
)  # fmt: skip
HAIR_RAMP = (
    (0.06, 0.05, 0.05), (0.12, 0.085, 0.065), (0.22, 0.14, 0.09), (0.36, 0.23, 0.13),
    (0.54, 0.38, 0.21), (0.71, 0.56, 0.34), (0.82, 0.71, 0.52),
)  # fmt: skip
IRIS_RAMP = (
    (0.19, 0.11, 0.07), (0.30, 0.18, 0.09), (0.40, 0.31, 0.15), (0.36, 0.42, 0.28),
    (0.36, 0.47, 0.54), (0.32, 0.46, 0.62),
)  # fmt: skip


class Light(NamedTuple):
    """One key light and a hemispheric ambient."""

    x: float
    y: float
    z: float
    strength: float
    ambient: float
    warmth: float


class Skin(NamedTuple):
    """Paint of skin and what is drawn on it."""

    base: Colour
    redness: float
    mottle: float
    age: float
    gloss: float
    lip: Colour
    lid: Colour
    lid_amount: float
    liner: float
    beard: Colour
    beard_amount: float
    iris: Colour


class Brow(NamedTuple):
    """Eyebrows: curve in rest coordinates."""

    colour: Colour
    amount: float
    height: float
    arch: float
    thickness: float


class HairLook(NamedTuple):
    """Colour and flow of the hair."""

    colour: Colour
    gloss: float
    curl: float
    roots: float


class Cloth(NamedTuple):
    """Colour and neckline of the clothes."""

    colour: Colour
    neckline: float
    plunge: float


class Backdrop(NamedTuple):
    """Colour gradient on the inside of the backdrop sphere."""

    colour: Colour
    tilt_x: float
    tilt_y: float


@dataclass(frozen=True)
class HairCut:
    """Shape of the hair.

    Attributes:
        top, side: thickness over the crown and the sides, world units.
        raise_deg: shift of the whole front hairline, degrees of elevation.
        recession_deg: extra rise of the temples.
        fringe: 0 none .. 1 down to the brows.
        sweep: -1..1, to which side the fringe and the parting go.
        curl: 0 straight .. 1 curly.
        length: 0 short .. 1 past the shoulders.
        spread: outward flare of long hair.
        bald: 0..1, how far the crown is bare.
    """

    top: float
    side: float
    raise_deg: float
    recession_deg: float
    fringe: float
    sweep: float
    curl: float
    length: float
    spread: float
    bald: float


@dataclass(frozen=True)
class Appearance:
    """Everything of a portrait but its vertices and its details."""

    identity: np.ndarray
    expression: np.ndarray
    traits: dict[str, float]
    light: Light
    skin: Skin
    brow: Brow
    hair: HairLook
    cut: HairCut
    cloth: Cloth
    backdrop: Backdrop
    glasses: float
    makeup: float


def sample_latents(n: int, seed: int) -> np.ndarray:
    """Draw z [n, LATENT_DIM] float32: N(0, 1) normalised to radius sqrt(LATENT_DIM)."""
    if n < 0:
        raise ValueError(f"sample_latents: n is {n}; expected 0 or more")
    z = np.random.default_rng(seed).standard_normal((n, LATENT_DIM))
    z *= math.sqrt(LATENT_DIM) / np.linalg.norm(z, axis=1, keepdims=True)
    return z.astype(np.float32)


def _ramp(colours: tuple[Colour, ...], t: float) -> np.ndarray:
    """Piecewise linear colour at t in [0, 1]."""
    table = np.asarray(colours)
    x = np.clip(t, 0.0, 1.0) * (len(table) - 1)
    i = min(len(table) - 2, int(x))
    return table[i] * (1 - (x - i)) + table[i + 1] * (x - i)


def _mix(a, b, t: float) -> np.ndarray:
    return np.asarray(a) * (1 - t) + np.asarray(b) * t


def _colour(rgb: np.ndarray) -> Colour:
    return tuple(float(v) for v in np.clip(rgb, 0.0, 1.0))


def _soft(rgb: np.ndarray) -> np.ndarray:
    """Squeeze any number into (0.04, 0.96) smoothly."""
    return 0.5 + 0.46 * np.tanh((np.asarray(rgb) - 0.5) * 2.0)


def _cdf(x: float) -> float:
    return 0.5 * (1.0 + math.erf(x / math.sqrt(2.0)))


def appearance_of(z: np.ndarray) -> Appearance:
    """Decode a latent.

    Args:
        z: [LATENT_DIM].

    Raises:
        ValueError: z has another shape or is not finite.
    """
    z = np.asarray(z, np.float64)
    if z.shape != (LATENT_DIM,) or not np.isfinite(z).all():
        raise ValueError(
            f"portrait latent has shape {z.shape}"
            f"{'' if np.isfinite(z).all() else ' and non-finite values'}; expected "
            f"[{LATENT_DIM}] finite numbers, as sample_latents draws them"
        )
    identity = np.clip(z[:COMPONENTS], -2.6, 2.6) * 0.92
    mood = z[COMPONENTS : COMPONENTS + len(EXPRESSIONS)]
    expression = np.array(
        [
            0.95 * _cdf(1.1 * mood[0] - 0.25),
            0.85 * smoothstep(0.45, 1.0, _cdf(mood[1])),
            0.9 * (_cdf(mood[2]) - 0.35),
            0.30 * smoothstep(0.55, 1.0, _cdf(mood[3])),
        ]
    )
    normal = dict(zip(APPEARANCE, z[COMPONENTS + len(EXPRESSIONS) :], strict=True))
    unit = {name: _cdf(value) for name, value in normal.items()}
    traits = traits_of(identity)
    male = float(smoothstep(0.35, 0.65, traits["gender"]))
    old = float(smoothstep(0.70, 0.97, traits["age"]))

    tone = _cdf(0.75 * normal["tone"] + 2.2 * (traits["african"] - 0.36) - 0.25)
    skin = _ramp(SKIN_RAMP, tone) * (0.95 + 0.10 * unit["tone_value"])
    warm = unit["undertone"] - 0.5
    skin = skin * np.array([1 + 0.05 * warm, 1.0, 1 - 0.11 * warm])
    dark = float(smoothstep(0.35, 0.85, tone))
    hair_colour, hair_grey = _hair_colour(unit, dark, old)
    makeup = (1 - 0.9 * male) * _cdf(normal["makeup"] + 0.2)
    lipstick = _mix((0.66, 0.24, 0.22), (0.62, 0.20, 0.32), unit["lip_hue"]) * (1 - 0.35 * tone)
    lip = _mix(skin * (0.88, 0.69, 0.67), lipstick, 0.05 + 0.70 * makeup)
    brow_colour = _mix(hair_colour * 0.75, (0.13, 0.09, 0.06), 0.35)
    beard = male * float(smoothstep(0.42, 0.95, unit["beard"]))
    iris = _ramp(IRIS_RAMP, unit["iris"] * (1 - 0.85 * float(smoothstep(0.3, 0.75, tone))))
    azimuth = math.radians(58.0 * (2 * unit["light_yaw"] - 1))
    elevation = math.radians(8.0 + 42.0 * unit["light_pitch"])
    fall = normal["back_tilt"]
    return Appearance(
        identity=identity,
        expression=expression,
        traits=traits,
        light=Light(
            x=math.sin(azimuth) * math.cos(elevation),
            y=math.sin(elevation),
            z=math.cos(azimuth) * math.cos(elevation),
            strength=0.40 + 0.36 * unit["light_strength"],
            ambient=0.72 - 0.32 * unit["light_strength"],
            warmth=1.0 + 0.10 * (unit["light_warmth"] - 0.5),
        ),
        skin=Skin(
            base=_colour(skin),
            redness=0.35 + 1.0 * unit["redness"],
            mottle=0.7 + 0.5 * old,
            age=old,
            gloss=0.07 + 0.07 * unit["redness"],
            lip=_colour(lip),
            lid=_colour(_mix(skin * (0.80, 0.66, 0.64), (0.30, 0.24, 0.28), 0.5 * makeup)),
            lid_amount=0.20 + 0.55 * makeup,
            liner=0.35 + 0.5 * makeup,
            beard=_colour(_mix(_mix(brow_colour, hair_colour, 0.4), skin * 0.55, 0.22)),
            beard_amount=beard,
            iris=_colour(iris),
        ),
        brow=Brow(
            colour=_colour(brow_colour),
            amount=0.55 + 0.40 * unit["brow_darkness"],
            height=0.117 + 0.011 * unit["brow_height"],
            arch=0.004 + 0.012 * (1 - 0.6 * male),
            thickness=0.0075 + 0.0055 * unit["brow_thickness"] + 0.002 * male,
        ),
        hair=HairLook(
            colour=_colour(hair_colour),
            gloss=0.30 * (1 - 0.4 * hair_grey),
            curl=_curl(normal["curl"], traits["african"]),
            roots=1.0,
        ),
        cut=_hair_cut(unit, normal, male, old, traits["african"]),
        cloth=Cloth(
            colour=_colour(
                _soft(
                    0.42
                    + 0.20 * normal["cloth_value"]
                    + 0.17 * normal["cloth_warm"] * np.array([1, -0.2, -0.8])
                    + 0.14 * normal["cloth_green"] * np.array([-0.5, 0.9, -0.4])
                )
            ),
            neckline=-0.262 + 0.03 * (unit["neckline"] - 0.5),
            plunge=0.02 + 0.14 * unit["neckline"],
        ),
        backdrop=Backdrop(
            colour=_colour(
                _soft(
                    0.58
                    + 0.19 * normal["back_value"]
                    + 0.11 * normal["back_warm"] * np.array([1, 0.0, -1])
                    + 0.08 * normal["back_green"] * np.array([-0.5, 0.8, -0.3])
                )
            ),
            tilt_x=0.11 * fall,
            tilt_y=0.05 + 0.03 * fall,
        ),
        glasses=float(smoothstep(0.72, 0.80, unit["glasses"])),
        makeup=float(makeup),
    )


def _hair_colour(unit: dict[str, float], dark: float, old: float) -> tuple[np.ndarray, float]:
    """Hair colour (dark skin: dark hair; age: grey) and how grey it is."""
    colour = _ramp(HAIR_RAMP, unit["hair_tone"] * (1.0 - 0.85 * dark))
    red = float(smoothstep(0.6, 1.0, unit["hair_red"]))
    colour = colour * np.array([1 + 0.35 * red, 1 - 0.10 * red, 1 - 0.35 * red])
    grey = float(smoothstep(0.80, 1.05, unit["grey"] * 0.55 + 0.55 * old))
    return _mix(colour, (0.66, 0.65, 0.64), 0.92 * grey), grey


def _curl(normal: float, african: float) -> float:
    return _cdf(normal - 0.5 + 1.6 * (african - 0.33))


def _hair_cut(
    unit: dict[str, float], normal: dict[str, float], male: float, old: float, african: float
) -> HairCut:
    long = _cdf(normal["length"] + 2.4 * (0.5 - male) - 0.05)
    thin = male * float(smoothstep(0.45, 1.0, 0.55 * unit["hairline"] + 0.55 * old))
    return HairCut(
        top=(0.012 + 0.055 * unit["top_volume"]) * (1 - 0.6 * thin),
        side=(0.008 + 0.040 * unit["side_volume"] * (0.35 + 0.65 * unit["top_volume"]))
        * (1 - 0.4 * thin),
        raise_deg=-7.0 + 14.0 * unit["hairline"],
        recession_deg=2.0 + 16.0 * thin,
        fringe=float(smoothstep(0.55, 1.0, unit["fringe"])) * (1 - thin),
        sweep=math.tanh(normal["sweep"]),
        curl=_curl(normal["curl"], african),
        length=float(smoothstep(0.45, 1.0, long)),
        spread=unit["side_volume"],
        bald=float(smoothstep(0.55, 1.0, thin)),
    )
