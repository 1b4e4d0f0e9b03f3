"""Entry point: methods on a data set, image by image.

    python -m warpgan.evaluate
    python -m warpgan.evaluate --help

Writes ``runs/NAME``: METHOD/rows.csv, summary.json, table.md, sheet.png. The same command continues
an interrupted evaluation. Exit codes: 0 done; 2 a mistake in the command, config or data.
"""

from pathlib import Path

import yaml
from omegaconf import DictConfig, OmegaConf

from warpgan import cli
from warpgan.evaluation.config import EvaluateConfig, check_config
from warpgan.evaluation.items import Item, build_items
from warpgan.evaluation.load import choose_device, find_models
from warpgan.evaluation.measures import MetricSuite
from warpgan.evaluation.photos import Photos, open_photos
from warpgan.evaluation.records import Records, write_text
from warpgan.evaluation.report import write_results
from warpgan.evaluation.run import evaluate_method, split_batches
from warpgan.evaluation.sheet import evaluation_sheet, novel_view_sheet
from warpgan.evaluation.summary import MethodResult, sha256_of, summarise
from warpgan.methods.base import Method
from warpgan.methods.build import Models
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
        The methods' results, in the order they were asked for.

    Raises:
        SystemExit: with code 2 and a message for a user's mistake.
    """
    with cli.plain_errors():
        settings: EvaluateConfig = OmegaConf.to_object(config)
        check_config(settings)
        check_run_name(settings.run.name)
        asked = settings.evaluate
        device = choose_device(asked.device)
        suite: MetricSuite = cli.build_node(config, "metrics").to(device)
        found = find_models(asked.encoder, settings.generator)
        generator = cli.build_node(OmegaConf.create({"generator": found.generator}), "generator")
        photos = open_photos(
            settings.data,
            settings.paths,
            protocol=asked.protocol,
            size=generator.img_resolution,
        )
        if photos.has_depth:
            suite = suite.with_depth()
        if photos.has_visibility:
            suite = suite.with_visibility()
        models = Models(
            generator=generator.eval().requires_grad_(False).to(device),
            encoder=None if found.encoder is None else found.encoder.to(device),
            latents=photos.latents,
            depths=photos.depths,
            generator_files=found.generator_files,
            encoder_files=found.encoder_files,
        )
        methods = [
            cli.build_node(config.method, name)(models, name=name) for name in settings.method
        ]
        dataset = photos.dataset
        items = build_items(
            dataset.names, dataset.labels, protocol=asked.protocol, count=asked.count
        )
        folder = Path(settings.paths.runs) / settings.run.name
        folder.mkdir(parents=True, exist_ok=True)
        lock = RunLock(folder)
        try:
            plain = OmegaConf.to_container(config, resolve=True)
            write_text(folder / "config.yaml", yaml.safe_dump(plain, sort_keys=False))
            results = [
                measure(method, photos, items, suite=suite, settings=settings, folder=folder)
                for method in methods
            ]
            text = write_results(
                folder,
                results,
                methods=methods,
                suite=suite,
                photos=photos,
                settings=settings,
                overrides=overrides,
            )
            if asked.pictures:
                shown, title = items[: asked.pictures], f"{photos.name}, {asked.protocol}"
                if asked.protocol == "multi_view":
                    sheet = novel_view_sheet(methods, photos, shown, title=title)
                else:
                    yaws = asked.novel_yaws
                    sheet = evaluation_sheet(methods, dataset, shown, novel_yaws=yaws, title=title)
                write_png(folder / "sheet.png", sheet)
        finally:
            lock.release()
    print(f"{text}\nwritten to {folder}")
    return results


def measure(
    method: Method,
    photos: Photos,
    items: list[Item],
    *,
    suite: MetricSuite,
    settings: EvaluateConfig,
    folder: Path,
) -> MethodResult:
    """Evaluate one method, or what an interrupted evaluation left of it, and summarise it."""
    records = Records(folder / method.name, columns=suite.columns, identity=suite.identity)
    asked = settings.evaluate
    batches = split_batches(items, asked.batch_size)
    done = records.open(
        {
            "data": photos.note,
            "protocol": asked.protocol,
            "items": len(items),
            "metrics": list(suite.columns),
            "method": settings.method[method.name],
            "files": {path.name: sha256_of(path) for path in (*method.files, *suite.files)},
        },
        batches=[sum(len(item.targets) for item in batch) for batch in batches],
        overwrite=settings.run.overwrite,
    )
    evaluate_method(
        method,
        photos,
        items,
        suite=suite,
        records=records,
        batch_size=asked.batch_size,
        done=done,
    )
    return summarise(method.name, records, suite, resamples=asked.resamples, seed=settings.run.seed)


if __name__ == "__main__":
    main()
