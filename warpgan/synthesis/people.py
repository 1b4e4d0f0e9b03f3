"""Who is on which photo: every photo a face of its own, or several photos of one person."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from warpgan.data.folder import ImageFolder
from warpgan.several_photos import MOST_PHOTOS
from warpgan.synthesis.photos import PORTRAITS, Photos

PEOPLE = ("folders",)


@dataclass(frozen=True)
class Subject:
    """What views are made of.

    Attributes:
        name: of the output folder, before it is made unique; may hold slashes.
        said: how messages call it.
        places: of its photos; the first decides ties.
        several: whether it is a person of one or more photos; False for a photo alone.
    """

    name: str
    said: str
    places: tuple[int, ...]
    several: bool


def find_subjects(
    photos: Photos, place: str, *, same_person: bool = False, people: str | None = None
) -> list[Subject]:
    """Group photos by person, in their order.

    Args:
        photos: all of them.
        place: what the user named them by.
        same_person: whether all show one person, called as ``place`` is.
        people: ``folders``: every sub-folder is a person, called by the name up to the last slash;
            None: every photo is a face of its own.

    Raises:
        ValueError: a photo outside sub-folders, more photos of one person than
            `warpgan.several_photos.MOST_PHOTOS`, or ``--same-person`` of the embedded world, whose
            photos show different people.
    """
    names = _names(photos)
    if same_person:
        path = Path(place).expanduser()
        if place == PORTRAITS and not path.exists():
            raise ValueError(
                f"--same-person: {PORTRAITS} are photos of different people; leave it out, or name "
                "a folder of photos of one person"
            )
        name = path.stem if path.is_file() else path.resolve().name
        groups = {name or "person": list(range(len(names)))}
    elif people is not None:
        groups = {}
        for index, name in enumerate(names):
            person, slash, _ = name.rpartition("/")
            if not slash:
                raise ValueError(
                    f"photo {name} lies in no sub-folder of {place}; with --people folders every "
                    "sub-folder holds one person: move it into one, or use --same-person if all "
                    "photos show one person"
                )
            groups.setdefault(person, []).append(index)
    else:
        return [
            Subject(str(PurePosixPath(name).with_suffix("")), name, (index,), several=False)
            for index, name in enumerate(names)
        ]
    for name, places in groups.items():
        if len(places) > MOST_PHOTOS:
            raise ValueError(
                f"{name}: {len(places)} photos of one person; at most {MOST_PHOTOS} are used: keep "
                "those of different directions"
            )
    return [Subject(n, n, tuple(places), several=True) for n, places in groups.items()]


def _names(photos: Photos) -> list[str]:
    if isinstance(photos, ImageFolder):
        return list(photos.names)
    return [photos[index].name for index in range(len(photos))]
