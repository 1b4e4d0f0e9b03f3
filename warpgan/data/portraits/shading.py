"""Light on fragments: key light with a shadow map, hemispheric ambient, speculars (numba)."""

import math

import numba

from warpgan.data.portraits.noise import JIT, smoothstep, strand_noise
from warpgan.data.portraits.paint import (
    backdrop_colour,
    cloth_colour,
    eye_colour,
    hair_shade,
    mix3,
    neckline_coverage,
    skin_colour,
)
from warpgan.data.portraits.raster import BODY, EYE, FRAME, HAIR, LASH, TEETH


@numba.njit(**JIT)
def lit_fraction(shadow, frame, x, y, z):
    """Share of the key light that reaches the point (x, y, z), softly over 3 x 3 map samples.

    `shadow` [S, S] float32 holds depths along the light (smaller is nearer to it), `frame` [4, 4]
    maps the world to its columns, rows and depth.
    """
    u = frame[0, 0] * x + frame[0, 1] * y + frame[0, 2] * z + frame[0, 3]
    v = frame[1, 0] * x + frame[1, 1] * y + frame[1, 2] * z + frame[1, 3]
    depth = frame[2, 0] * x + frame[2, 1] * y + frame[2, 2] * z + frame[2, 3]
    size = shadow.shape[0]
    i0, j0 = int(math.floor(v - 0.5)), int(math.floor(u - 0.5))
    fv, fu = v - 0.5 - i0, u - 0.5 - j0
    total = 0.0
    for i in range(-1, 3):
        wy = 1.0 - fv if i == -1 else (fv if i == 2 else 1.0)
        for j in range(-1, 3):
            wx = 1.0 - fu if j == -1 else (fu if j == 2 else 1.0)
            row, column = i0 + i, j0 + j
            if row < 0 or column < 0 or row >= size or column >= size:
                total += wx * wy
            else:
                total += wx * wy * smoothstep(0.034, 0.012, depth - shadow[row, column])
    return total / 9.0


@numba.njit(**JIT)
def shade(
    camera, lens, faces, kinds, normals, vertices, rest, occlusion, cut, mask_uv, masks,
    volume, strands, eyes, marks, paints, shadow, shadow_frame, sphere,
    face_in, weights_in, depth, image,
):  # fmt: skip
    """Colour every sample and put the backdrop where no nearer face is.

    `camera` [4, 4] is cam2world and `lens` [3, 3] the intrinsics divided by the image size; then
    come the arrays of a `Mesh`, of the `HeadAsset`, and `paints` = (light, skin, brow, hair, cloth,
    backdrop, cloth pattern, backdrop pattern, freckles, frame colour). `sphere` [4] is the
    backdrop's centre and radius. `face_in`, `weights_in` and `depth` are `Fragments` of S x S
    samples: where the backdrop shows, face becomes -1 and depth the backdrop's. `image`
    [S, S, 3] float32 is written.
    """
    light, skin, brow, look, cloth, backdrop, cloth_pattern, back_pattern, freckles, frame = paints
    size = image.shape[0]
    ox, oy, oz = camera[0, 3], camera[1, 3], camera[2, 3]
    for row in range(size):
        cy = ((row + 0.5) / size - lens[1, 2]) / lens[1, 1]
        for column in range(size):
            cx = ((column + 0.5) / size - lens[0, 2] - lens[0, 1] * cy) / lens[0, 0]
            rx = camera[0, 0] * cx + camera[0, 1] * cy + camera[0, 2]
            ry = camera[1, 0] * cx + camera[1, 1] * cy + camera[1, 2]
            rz = camera[2, 0] * cx + camera[2, 1] * cy + camera[2, 2]
            square = rx * rx + ry * ry + rz * rz
            px, py, pz = ox - sphere[0], oy - sphere[1], oz - sphere[2]
            along = rx * px + ry * py + rz * pz
            rest_term = px * px + py * py + pz * pz - sphere[3] * sphere[3]
            wall = (-along + math.sqrt(max(along * along - square * rest_term, 0.0))) / square
            f = face_in[row, column]
            if f < 0 or depth[row, column] > wall:
                face_in[row, column] = -1
                depth[row, column] = wall
                r, g, b = backdrop_colour(
                    backdrop, back_pattern, volume,
                    (px + wall * rx) / sphere[3], (py + wall * ry) / sphere[3],
                    (pz + wall * rz) / sphere[3],
                )  # fmt: skip
                image[row, column, 0] = r
                image[row, column, 1] = g
                image[row, column, 2] = b
                continue
            kind = kinds[f]
            a, e, c = faces[f, 0], faces[f, 1], faces[f, 2]
            w0 = weights_in[row, column, 0]
            w1 = weights_in[row, column, 1]
            w2 = weights_in[row, column, 2]
            nx = w0 * normals[a, 0] + w1 * normals[e, 0] + w2 * normals[c, 0]
            ny = w0 * normals[a, 1] + w1 * normals[e, 1] + w2 * normals[c, 1]
            nz = w0 * normals[a, 2] + w1 * normals[e, 2] + w2 * normals[c, 2]
            scale = 1.0 / (math.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9)
            nx, ny, nz = nx * scale, ny * scale, nz * scale
            scale = -1.0 / math.sqrt(square)
            vx, vy, vz = rx * scale, ry * scale, rz * scale
            if nx * vx + ny * vy + nz * vz < 0.0 and kind != BODY:
                nx, ny, nz = -nx, -ny, -nz
            x = w0 * rest[a, 0] + w1 * rest[e, 0] + w2 * rest[c, 0]
            y = w0 * rest[a, 1] + w1 * rest[e, 1] + w2 * rest[c, 1]
            z = w0 * rest[a, 2] + w1 * rest[e, 2] + w2 * rest[c, 2]
            openness = w0 * occlusion[a] + w1 * occlusion[e] + w2 * occlusion[c]
            d = depth[row, column]
            lit = lit_fraction(
                shadow, shadow_frame, ox + d * rx + 0.006 * nx, oy + d * ry + 0.006 * ny,
                oz + d * rz + 0.006 * nz,
            )  # fmt: skip
            hx, hy, hz = light.x + vx, light.y + vy, light.z + vz
            scale = 1.0 / (math.sqrt(hx * hx + hy * hy + hz * hz) + 1e-9)
            hx, hy, hz = hx * scale, hy * scale, hz * scale
            facing = nx * light.x + ny * light.y + nz * light.z
            half = max(0.0, nx * hx + ny * hy + nz * hz)
            view = max(0.0, nx * vx + ny * vy + nz * vz)
            gloss, power, wrap = 0.0, 16.0, 0.25
            sheen_r, sheen_g, sheen_b = 0.0, 0.0, 0.0
            r, g, b = 0.05, 0.04, 0.04
            if kind == BODY:
                clothed = neckline_coverage(cloth, x, y, z)
                if clothed < 1.0:
                    u = w0 * mask_uv[f, 0, 0] + w1 * mask_uv[f, 1, 0] + w2 * mask_uv[f, 2, 0]
                    v = w0 * mask_uv[f, 0, 1] + w1 * mask_uv[f, 1, 1] + w2 * mask_uv[f, 2, 1]
                    i = min(masks.shape[0] - 1, max(0, int(v)))
                    j = min(masks.shape[1] - 1, max(0, int(u)))
                    r, g, b, gloss = skin_colour(
                        skin, brow, volume, strands, marks, freckles, x, y, z,
                        masks[i, j, 0], masks[i, j, 1], masks[i, j, 2], masks[i, j, 3],
                    )  # fmt: skip
                    above = w0 * cut[a] + w1 * cut[e] + w2 * cut[c]
                    root = smoothstep(-0.07, 0.06, above + 0.03 * strand_noise(strands, x, y * 2))
                    t = root * look.roots
                    dim = 0.80
                    r, g, b = mix3(
                        r, g, b,
                        (look.colour[0] * dim, look.colour[1] * dim, look.colour[2] * dim), t,
                    )  # fmt: skip
                    gloss *= skin.gloss * (1.0 - t)
                    wrap = 0.38
                if clothed > 0.0:
                    colour = cloth_colour(cloth, cloth_pattern, volume, x, y, z)
                    r, g, b = mix3(r, g, b, colour, clothed)
                    gloss *= 1.0 - clothed
                    wrap += (0.2 - wrap) * clothed
            elif kind == EYE:
                side = 0 if x < 0.0 else 1
                r, g, b, gloss = eye_colour(
                    skin.iris, strands, x - eyes[side, 0], y - eyes[side, 1], z - eyes[side, 2]
                )
                power, wrap = 90.0, 0.5
                openness = 0.40 + 0.60 * openness
                lit = 0.35 + 0.65 * lit
            elif kind == TEETH:
                r, g, b, gloss = 0.84, 0.81, 0.75, 0.2
                openness = 0.65 + 0.35 * openness
                lit = 0.55 + 0.45 * lit
            elif kind == LASH:
                r, g, b = 0.07, 0.05, 0.045
            elif kind == HAIR:
                tone, fine = hair_shade(look, strands, x, y)
                r, g, b = look.colour[0] * tone, look.colour[1] * tone, look.colour[2] * tone
                tx, ty, tz = -ny * nx, 1.0 - ny * ny, -ny * nz
                length = math.sqrt(tx * tx + ty * ty + tz * tz) + 1e-6
                cosine = (tx * hx + ty * hy + tz * hz) / length + 0.05 * fine
                band = max(0.0, 1.0 - cosine * cosine) ** 12 * max(0.0, 0.8 * facing + 0.2)
                band *= look.gloss * (0.75 + 0.3 * fine) * lit
                sheen_r = band * (0.30 + 0.70 * look.colour[0])
                sheen_g = band * (0.28 + 0.66 * look.colour[1])
                sheen_b = band * (0.26 + 0.60 * look.colour[2])
                wrap = 0.32
            elif kind == FRAME:
                r, g, b, gloss, power, openness = frame[0], frame[1], frame[2], 0.5, 30.0, 1.0
            else:
                r, g, b = 0.05 + 0.3 * frame[0], 0.05 + 0.3 * frame[1], 0.06 + 0.3 * frame[2]
                gloss, power, openness = 0.8, 40.0, 1.0
            red = max(0.0, (facing + 1.35 * wrap) / (1.0 + 1.35 * wrap))
            green = max(0.0, (facing + 0.9 * wrap) / (1.0 + 0.9 * wrap))
            blue = max(0.0, (facing + 0.8 * wrap) / (1.0 + 0.8 * wrap))
            direct = light.strength * (0.60 + 0.40 * openness)
            red *= direct * (0.22 + 0.78 * lit) * light.warmth
            green *= direct * (0.16 + 0.84 * lit)
            blue *= direct * (0.15 + 0.85 * lit) / light.warmth
            sky = light.ambient * (0.74 + 0.26 * ny) * (0.34 + 0.66 * openness)
            bounce = 0.03 * (1.0 - openness) if kind == BODY else 0.0
            rim = 0.09 * (1.0 - view) ** 3 * (0.5 + 0.5 * ny) * openness
            shine = gloss * half**power * light.strength * lit * (0.5 + 0.5 * openness)
            image[row, column, 0] = r * (sky * (1.02 + bounce) + red + rim) + shine + sheen_r
            image[row, column, 1] = g * (sky + green + rim) + shine + sheen_g
            image[row, column, 2] = b * (sky * (0.97 - bounce) + blue + rim) + shine + sheen_b


@numba.njit(**JIT)
def resolve(image, depth, face, factor, image_out, depth_out, mask_out):
    """Average `factor` x `factor` samples: colour, depth of the nearest layer, coverage.

    depth_z of a pixel is the mean over the samples within 0.04 of its nearest one, so that
    foreground and backdrop are never averaged.
    """
    size = depth_out.shape[0]
    count = factor * factor
    for y in range(size):
        for x in range(size):
            r, g, b, covered, near = 0.0, 0.0, 0.0, 0.0, 1e9
            for j in range(y * factor, (y + 1) * factor):
                for i in range(x * factor, (x + 1) * factor):
                    r += min(1.0, max(0.0, image[j, i, 0]))
                    g += min(1.0, max(0.0, image[j, i, 1]))
                    b += min(1.0, max(0.0, image[j, i, 2]))
                    covered += 1.0 if face[j, i] >= 0 else 0.0
                    near = min(near, depth[j, i])
            total, used = 0.0, 0
            for j in range(y * factor, (y + 1) * factor):
                for i in range(x * factor, (x + 1) * factor):
                    if depth[j, i] <= near + 0.04:
                        total += depth[j, i]
                        used += 1
            image_out[y, x, 0] = int(r / count * 255.0 + 0.5)
            image_out[y, x, 1] = int(g / count * 255.0 + 0.5)
            image_out[y, x, 2] = int(b / count * 255.0 + 0.5)
            depth_out[y, x] = total / used
            mask_out[y, x] = covered / count
