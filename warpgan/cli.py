"""Command lines of the entry points: Hydra underneath, and one plain message for a user's mistake.

``run_entry`` composes the config once before Hydra does, so that a wrong override ends in a
sentence that names the key and the fix, not in a stack trace. ``HYDRA_FULL_ERROR=1`` shows the
trace.
"""

import difflib
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import hydra
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from warpgan.config import CONFIG_DIR, TrainConfig, flatten
from warpgan.svinet_config import SVINetTrainConfig

EXIT_USER_ERROR = 2
NULL_GROUPS = ("ablation", "experiment")
SCHEMAS = {"train_schema": TrainConfig, "train_svinet_schema": SVINetTrainConfig}


class ConfigError(ValueError):
    """A config that cannot be composed; the message names the key and the fix."""


def register_schemas() -> None:
    """Make the dataclass schemas known to Hydra under their names in the defaults lists."""
    store = ConfigStore.instance()
    for name, schema in SCHEMAS.items():
        store.store(name=name, node=schema)


def compose_config(config_name: str, overrides: Sequence[str] = ()) -> DictConfig:
    """Compose and resolve the config of an entry point, as its command line would.

    Args:
        config_name: Primary config under ``configs/``, e.g. ``train``.
        overrides: Words of the command line, e.g. ``["encoder=swin", "train.steps=10"]``.

    Returns:
        The resolved config without Hydra's own part.

    Raises:
        ConfigError: If a key, a choice or a value is wrong.
    """
    if not CONFIG_DIR.is_dir():
        raise ConfigError(
            f"the config folder {CONFIG_DIR} is missing; run from a clone of the repository, "
            "installed with pip install -e ."
        )
    register_schemas()
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
            config = compose(
                config_name, overrides=drop_null_choices(overrides), return_hydra_config=True
            )
        HydraConfig.instance().set_config(config)
        with open_dict(config):
            del config["hydra"]
        OmegaConf.resolve(config)
        missing = sorted(OmegaConf.missing_keys(config))
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(error, config_name=config_name, overrides=overrides)) from error
    except ValueError as error:
        raise ConfigError(f"{_first_line(error)}; give a choice, or leave the group out") from error
    if missing:
        raise ConfigError(f"{missing[0]} has no value; give {missing[0]}=VALUE")
    return config


def drop_null_choices(words: Sequence[str]) -> list[str]:
    """Leave out ``ablation=null`` and the like: Hydra has no such word for what is the default."""
    return [word for word in words if not re.fullmatch(f"({'|'.join(NULL_GROUPS)})=null", word)]


def explain(error: Exception, *, config_name: str, overrides: Sequence[str]) -> str:
    """Say in one sentence what is wrong with a config and how to mend it.

    Args:
        error: What Hydra or OmegaConf raised.
        config_name: Primary config.
        overrides: Words of the command line.

    Returns:
        A message that names the key, the value given, and the fix.
    """
    chain = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    text = "\n".join(str(link) for link in chain)
    options = re.search(
        r"Could not find '([^']+)'\s+Available options in '([^']+)':\s+(.*)", text, re.S
    )
    if options:
        choice, group, rest = options.groups()
        known = sorted(set(re.findall(r"^\t(\S+)$", "\t" + rest.strip(), re.M)))
        return (
            f"{group}={choice.rpartition('/')[2]} does not exist; choose one of "
            f"{', '.join(known)}{_closest(choice.rpartition('/')[2], known)}"
        )
    if isinstance(chain[-1], MissingMandatoryValue):
        return f"a value is missing: {_first_line(chain[-1])}"
    if (
        "Error parsing override" in text
        or "mismatched input" in text
        or "no viable alternative" in text
        or "extraneous" in text
    ):
        return (
            f"cannot read the override ({_first_line(error)}); write key=value without blanks, "
            "lists as key=[1,2], and quote values with special signs: 'key=\"a,b\"'"
        )
    key = _faulty_key(chain, text, overrides)
    given = next((word for word in overrides if word.lstrip("+~").split("=")[0] == key), key)
    if "could not be converted" in text or "is not a valid" in text or "Cannot assign" in text:
        return f"{given}: {_first_line(chain[-1])}; give a value of that type"
    if "not in struct" in text or "not in '" in text or "Could not override" in text:
        known = _known_keys(config_name)
        if "." not in key:
            known = sorted({name.split(".")[0] for name in known})
        return f"unknown config key {given}{_closest(key, known) or _siblings(key, known)}"
    return f"{given}: {_first_line(chain[-1])}" if key else _first_line(error)


def _faulty_key(chain: Sequence[Exception], text: str, overrides: Sequence[str]) -> str:
    for link in reversed(chain):
        key = getattr(link, "full_key", None)
        if key:
            return str(key)
    named = re.search(r"full_key: (\S+)|Could not override '([^']+)'", text)
    if named:
        return named.group(1) or named.group(2)
    return ""


def _known_keys(config_name: str) -> list[str]:
    plain = OmegaConf.to_container(compose_config(config_name), resolve=True)
    return sorted(flatten(plain))


def _closest(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def _siblings(key: str, known: Sequence[str]) -> str:
    group = key.split(".")[0] + "."
    siblings = [name for name in known if name.startswith(group)]
    if siblings:
        return f"; keys of {group[:-1]}: {', '.join(name[len(group) :] for name in siblings)}"
    return f"; the groups are {', '.join(sorted({name.split('.')[0] for name in known}))}"


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__


def build_node(config: DictConfig, key: str, **arguments: Any) -> Any:
    """Instantiate the ``_target_`` node ``key`` of a config.

    Args:
        config: The composed config.
        key: Name of the node, e.g. ``encoder``.
        **arguments: Constructor arguments that only the program knows.

    Returns:
        What the target makes.

    Raises:
        ValueError, FileNotFoundError, KeyError: As the target raised them; ValueError also for an
            argument that the target does not have.
    """
    try:
        return instantiate(config[key], _convert_="all", **arguments)
    except InstantiationException as error:
        cause = error.__cause__ or error
        if isinstance(cause, ValueError | FileNotFoundError | KeyError):
            raise cause from None
        raise ValueError(
            f"{key}={config[key].get('_target_')} cannot be built: {_first_line(cause)}; see the "
            f"keys in configs/{key}"
        ) from error


@contextmanager
def plain_errors() -> Iterator[None]:
    """End with one message and exit code 2 where a user's mistake is raised inside."""
    try:
        yield
    except (ValueError, FileNotFoundError, KeyError) as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        if os.environ.get("RANK", "0") == "0":
            print(f"error: {message}", file=sys.stderr)
        raise SystemExit(EXIT_USER_ERROR) from None


def run_entry(config_name: str, job: Callable[[DictConfig, list[str]], Any]) -> None:
    """Run an entry point under Hydra.

    Args:
        config_name: Primary config under ``configs/``.
        job: Called with the config and the overrides that were typed.
    """
    words = drop_null_choices(sys.argv[1:])
    sys.argv[1:] = words
    if not any(word.startswith("-") for word in words):
        with plain_errors():
            compose_config(config_name, words)
        GlobalHydra.instance().clear()
    register_schemas()

    @hydra.main(version_base="1.3", config_path=str(CONFIG_DIR), config_name=config_name)
    def start(config: DictConfig) -> Any:
        return job(config, list(HydraConfig.get().overrides.task))

    start()
