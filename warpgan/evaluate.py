"""Entry point: methods on a data set, image by image.

    python -m warpgan.evaluate
    python -m warpgan.evaluate --help
    torchrun --nproc-per-node 2 -m warpgan.evaluate ...

Writes ``runs/NAME``: METHOD/rows.csv, features, views; summary.json, table.md, sheet.png. The same
command continues an interrupted evaluation. Exit codes: 0 done; 2 a mistake in the command, config
or data.
"""

from pathlib import Path

import numpy as np
import yaml
from omegaconf import DictConfig, OmegaConf

from warpgan import cli
from warpgan.devices import choose_device
from warpgan.evaluation.camera_list import cameras_for
from warpgan.evaluation.config import EvaluateConfig, check_config
from warpgan.evaluation.extras import Extras, measure_extras, measure_floor
from warpgan.evaluation.items import Item, build_items, cameras_sha256
from warpgan.evaluation.load import find_models
from warpgan.evaluation.measures import Known, MetricSuite
from warpgan.evaluation.photos import Photos, open_photos
from warpgan.evaluation.records import Records, file_hashes, write_text
from warpgan.evaluation.report import Evaluated, write_results
from warpgan.evaluation.run import Processes, evaluate_method
from warpgan.evaluation.run_folder import claim_run_folder
from warpgan.evaluation.sheet import evaluation_sheet, listed_view_sheet, novel_view_sheet
from warpgan.evaluation.summary import MethodResult, summarise
from warpgan.evaluation.view_files import ViewFiles
from warpgan.methods.base import Method
from warpgan.methods.build import Models
from warpgan.methods.refined import CameraRefiner, WithRefinedCamera
from warpgan.methods.remembered import Remembered
from warpgan.pictures import write_png
from warpgan.training.lock import RunLock
from warpgan.training.runs import check_run_name

cli.SCHEMAS["evaluate_schema"] = EvaluateConfig


def main() -> None:
    """Run the command line."""
    cli.run_entry("evaluate", evaluate)


def evaluate(config: DictConfig, overrides: list[str]) -> list[MethodResult]:
    """Evaluate what ``config`` describes.

    Args:
        config: the composed config.
        overrides: what was typed.

    Returns:
        The methods' results, in the order they were asked for; empty for all processes but the
        first.

    Raises:
        SystemExit: with code 2 and a message for a user's mistake.
    """
    with cli.plain_errors():
        settings: EvaluateConfig = OmegaConf.to_object(config)
        check_config(settings)
        check_run_name(settings.run.name)
        processes = Processes.from_environment()
        if settings.run.overwrite and processes.count > 1:
            raise ValueError(
                f"run.overwrite=true with {processes.count} processes: one would discard what "
                "another has just written; start anew with one process, interrupt it, and go on "
                "with several and without run.overwrite"
            )
        folder = Path(settings.paths.runs) / settings.run.name
        folder.mkdir(parents=True, exist_ok=True)
        lock = RunLock(folder) if processes.first else None
        try:
            found = _evaluate(config, settings, overrides, folder=folder, processes=processes)
        finally:
            if lock is not None:
                lock.release()
    return found


def _evaluate(
    config: DictConfig,
    settings: EvaluateConfig,
    overrides: list[str],
    *,
    folder: Path,
    processes: Processes,
) -> list[MethodResult]:
    asked = settings.evaluate
    device = choose_device(asked.device)
    suite: MetricSuite = cli.build_node(config, "metrics")
    found = find_models(asked.encoder, settings.generator)
    generator = cli.build_node(OmegaConf.create({"generator": found.generator}), "generator")
    photos = open_photos(
        settings.data,
        settings.paths,
        protocol=asked.protocol,
        size=generator.img_resolution,
        write=processes.first,
    )
    suite = suite.to(device).for_data(
        Known(
            true_views=asked.protocol != "novel_view",
            depth=photos.has_depth,
            visibility=photos.has_visibility,
            portraits=photos.truth is not None,
        )
    )
    models = Models(
        generator=generator.eval().requires_grad_(False).to(device),
        encoder=None if found.encoder is None else found.encoder.to(device),
        latents=photos.latents,
        depths=photos.depths,
        generator_files=found.generator_files,
        encoder_files=found.encoder_files,
    )
    methods = [cli.build_node(config.method, name)(models, name=name) for name in settings.method]
    if asked.camera_refine:
        refiner = CameraRefiner(models, steps=asked.camera_refine)
        methods = [WithRefinedCamera(one, refiner) for one in methods]
    if asked.optimised_consistency and asked.orbit_frames:
        methods = [Remembered(one) if one.one_at_a_time else one for one in methods]
    names, labels = photos.dataset.names, photos.dataset.labels
    novel = None
    if asked.protocol == "novel_view":
        novel = cameras_for(labels, labels_file=asked.cameras, seed=settings.run.seed)
    items = build_items(names, labels, protocol=asked.protocol, count=asked.count, novel=novel)
    # All folders before any work: a refusal must not come hours later.
    claim_run_folder(
        folder, data=photos.note, methods=settings.method, overwrite=settings.run.overwrite
    )
    records = [
        _open_records(method, photos, items, suite=suite, settings=settings, folder=folder)
        for method in methods
    ]
    if processes.first:
        plain = OmegaConf.to_container(config, resolve=True)
        write_text(folder / "config.yaml", yaml.safe_dump(plain, sort_keys=False))
    for method, record in zip(methods, records, strict=True):
        evaluate_method(
            method,
            photos,
            items,
            suite=suite,
            records=record,
            batch_size=asked.batch_size,
            processes=processes,
            files=ViewFiles(folder, method=method.name) if asked.save_views else None,
        )
    if not processes.first:
        return []
    extras: list[Extras] = [
        measure_extras(
            method,
            photos,
            items,
            folder=folder / method.name,
            suite=suite,
            timing=asked.timing,
            orbit_frames=asked.orbit_frames,
            recorded=record.read_costs(),
            seed=settings.run.seed,
            optimised=asked.optimised_consistency,
        )
        for method, record in zip(methods, records, strict=True)
    ]
    results = [
        summarise(
            method.name,
            record,
            suite,
            resamples=asked.resamples,
            seed=settings.run.seed,
            # One photo at a time takes minutes: none of them only warms up.
            warm_up=0 if method.one_at_a_time else asked.batch_size,
        )
        for method, record in zip(methods, records, strict=True)
    ]
    text = write_results(
        folder,
        [Evaluated(*found) for found in zip(methods, results, extras, strict=True)],
        features={net: records[0].features_path(net) for net in suite.sets},
        true_consistency=measure_floor(
            photos,
            items,
            folder=folder,
            suite=suite,
            orbit_frames=asked.orbit_frames,
            seed=settings.run.seed,
        ),
        suite=suite,
        photos=photos,
        settings=settings,
        overrides=overrides,
    )
    if asked.pictures:
        shown, title = items[: asked.pictures], f"{photos.name}, {asked.protocol}"
        # Drawn anew, so only for methods that take no minutes; the page of warpgan.tables has all.
        quick = [method for method in methods if not method.one_at_a_time]
        if quick:
            write_png(folder / "sheet.png", _sheet(quick, photos, shown, settings, title=title))
    print(f"{text}\nwritten to {folder}")
    beside = sorted({path.parent.name for path in folder.glob("*/rows.csv")} - set(settings.method))
    if beside:
        print(f"also finished there, but not named and so not in the summary: {', '.join(beside)}")
    return results


def _sheet(
    methods: list[Method],
    photos: Photos,
    items: list[Item],
    settings: EvaluateConfig,
    *,
    title: str,
) -> np.ndarray:
    if settings.evaluate.protocol == "multi_view":
        return novel_view_sheet(methods, photos, items, title=title)
    if settings.evaluate.protocol == "novel_view":
        return listed_view_sheet(methods, photos.dataset, items, title=title)
    yaws = settings.evaluate.novel_yaws
    return evaluation_sheet(methods, photos.dataset, items, novel_yaws=yaws, title=title)


def _open_records(
    method: Method,
    photos: Photos,
    items: list[Item],
    *,
    suite: MetricSuite,
    settings: EvaluateConfig,
    folder: Path,
) -> Records:
    """Open one method's folder, new or left by an interrupted evaluation of the same."""
    records = Records(folder / method.name, columns=suite.columns, features=suite.features)
    records.open(
        {
            "data": photos.note,
            "protocol": settings.evaluate.protocol,
            "cameras": cameras_sha256(items),
            "items": len(items),
            "metrics": list(suite.columns),
            "features": list(suite.features),
            "method": settings.method[method.name],
            "note": method.note,
            "files": file_hashes((*method.files, *suite.files)),
        },
        overwrite=settings.run.overwrite,
    )
    return records


if __name__ == "__main__":
    main()
