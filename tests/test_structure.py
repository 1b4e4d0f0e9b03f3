"""The shape of the code: layers, circles, sizes, names, and calls that the house style forbids."""

import ast
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {"warpgan": ROOT / "warpgan", "eg3d": ROOT / "third_party" / "eg3d"}
CODE = ("warpgan", "third_party", "tests", "scripts", "configs", ".ci")
LONGEST_FILE = 500
GOLDEN_BYTES = 25_000_000

# From the bottom up; a module imports from its own layer or below.
LAYERS = (
    ("eg3d",),
    (
        "camera_turns",
        "cameras",
        "checkpoint_reader",
        "cli",
        "config",
        "denormals",
        "described_weights",
        "devices",
        "labels",
        "modulation",
        "pictures",
        "processes",
        "progress",
        "holes",
        "reprojection",
        "splat",
        "point_cloud",
        "video",
        "svinet_config",
        "warp",
        "weight_table",
        "weights",
    ),
    (
        "camera_fit",
        "camera_refinement",
        "crop",
        "data",
        "discriminator",
        "encoders",
        "ffc",
        "generators",
        "initial_fill",
        "losses",
        "metrics",
        "perception",
        "photo_blending",
        "pose",
        "svinet",
        "svinet_inference",
        "svinet_network",
        "svinet_released",
        "style_codes",
        "symmetry",
        "view_maker",
    ),
    (
        "demonstration",
        "distillation",
        "evaluation",
        "lifting",
        "methods",
        "novel_views",
        "pipeline",
        "preparation",
        "several_photos",
        "synthesis",
        "training",
    ),
    (
        "ablation_table",
        "demo",
        "edit",
        "evaluate",
        "evaluate_generator",
        "find_directions",
        "lift",
        "precompute",
        "prepare",
        "show_inversions",
        "synthesize",
        "tables",
        "train",
        "train_generator",
        "train_pose",
        "train_svinet",
    ),
)
TOP_LEVEL = {
    ".ci",
    ".gitignore",
    "LICENSE",
    "README.md",
    "configs",
    "pyproject.toml",
    "scripts",
    "tests",
    "third_party",
    "warpgan",
}
BANNED_NAMES = ("utils", "util", "misc", "helpers", "helper", "common")


@dataclass(frozen=True)
class Source:
    name: str
    path: Path
    tree: ast.Module


def read_sources() -> dict[str, Source]:
    sources = {}
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = [package, *path.relative_to(folder).with_suffix("").parts]
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            sources[name] = Source(name, path, ast.parse(path.read_text(), str(path)))
    return sources


SOURCES = read_sources()


def imports_of(source: Source, known, *, executed: bool = False) -> set[str]:
    """Modules of ours that a module imports anywhere in its text.

    With ``executed``, what stands under ``if TYPE_CHECKING`` is left out: it never runs.
    """
    found, unexecuted = set(), set()
    if executed:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
                unexecuted |= {id(inner) for line in node.body for inner in ast.walk(line)}
    for node in ast.walk(source.tree):
        if id(node) in unexecuted:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = source.name.split(".")
                parts = parts if source.path.name == "__init__.py" else parts[:-1]
                base = ".".join(parts[: len(parts) - node.level + 1] + ([base] if base else []))
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.add(inner if inner in known else base)
    return {name for name in found if name in known} - {source.name}


def layer_of(name: str) -> int | None:
    parts = name.split(".")
    key = parts[0] if parts[0] == "eg3d" or len(parts) == 1 else parts[1]
    return next((i for i, layer in enumerate(LAYERS) if key in layer), None)


def upward_imports(graph: dict[str, set[str]]) -> list[str]:
    return sorted(
        f"{name} imports {target}"
        for name, targets in graph.items()
        for target in targets
        if name != "warpgan" and target != "warpgan" and layer_of(target) > layer_of(name)
    )


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Strongly connected components of more than one module (Tarjan 1972)."""
    index, low, stack, found = {}, {}, [], []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for target in sorted(graph[name]):
            if target not in index:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], index[target])
        if low[name] == index[name]:
            at = stack.index(name)
            component = stack[at:]
            del stack[at:]
            if len(component) > 1:
                found.append(component)

    for name in sorted(graph):
        if name not in index:
            visit(name)
    return found


GRAPH = {name: imports_of(source, SOURCES) for name, source in SOURCES.items()}


def committed_files() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    paths = [ROOT / name for name in listing.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def calls(tree: ast.AST):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node, ast.unparse(node.func)


def at(source: Source, node: ast.AST) -> str:
    return f"{source.path.relative_to(ROOT)}:{node.lineno}"


def test_every_module_has_a_layer():
    assert [name for name in SOURCES if name != "warpgan" and layer_of(name) is None] == []


def test_nothing_imports_upward():
    assert upward_imports(GRAPH) == []


def test_no_import_circle():
    graph = {name: imports_of(s, SOURCES, executed=True) for name, s in SOURCES.items()}
    assert circles(graph) == []


def test_the_generator_knows_nothing_of_warpgan():
    for source in SOURCES.values():
        if source.name.split(".")[0] == "eg3d":
            assert "warpgan" not in source.path.read_text().lower(), source.name


def test_the_checks_see_what_they_look_for():
    def planted(name: str, text: str) -> Source:
        return Source(name, Path(name.replace(".", "/") + ".py"), ast.parse(text))

    texts = {
        "warpgan.data.a": "from warpgan.data import b",
        "warpgan.data.b": "def f():\n    from .a import x",
        "warpgan.cameras": "import warpgan.data.b",
        "warpgan.data.c": "if TYPE_CHECKING:\n    from . import d",
        "warpgan.data.d": "import warpgan.data.c",
    }
    sources = {name: planted(name, text) for name, text in texts.items()}
    graph = {name: imports_of(source, sources) for name, source in sources.items()}
    assert upward_imports(graph) == ["warpgan.cameras imports warpgan.data.b"]
    assert len(circles(graph)) == 2
    graph = {name: imports_of(s, sources, executed=True) for name, s in sources.items()}
    assert [sorted(circle) for circle in circles(graph)] == [["warpgan.data.a", "warpgan.data.b"]]


def test_the_package_itself_imports_nothing():
    assert GRAPH["warpgan"] == set()


def test_no_file_is_too_long():
    long = {}
    for path in committed_files():
        if path.relative_to(ROOT).parts[0] in CODE and path.suffix in (".py", ".yaml", ".sh"):
            lines = len(path.read_text().splitlines())
            if lines > LONGEST_FILE:
                long[str(path.relative_to(ROOT))] = lines
    assert long == {}


def test_no_banned_names():
    paths = [path.relative_to(ROOT) for path in committed_files()]
    bad = [
        str(path)
        for path in paths
        if any(part.split(".")[0].lower() in BANNED_NAMES for part in path.parts)
    ]
    assert bad == []


def test_the_top_level_is_the_agreed_one():
    assert {path.relative_to(ROOT).parts[0] for path in committed_files()} - TOP_LEVEL == set()


def test_nothing_names_the_machine_it_was_written_on():
    words = ["/" + "work/", "/" + "root/", ".." + "/shared"]
    bad = []
    for path in committed_files():
        if path.suffix in (".py", ".md", ".yaml", ".toml", ".sh", ".json", ".txt", ""):
            text = path.read_text(errors="replace")
            bad += [f"{path.relative_to(ROOT)}: {word}" for word in words if word in text]
    assert bad == []


def test_golden_vectors_stay_small():
    golden = [path for path in committed_files() if "golden" in path.parts]
    assert sum(path.stat().st_size for path in golden) <= GOLDEN_BYTES


def test_forbidden_calls():
    bad = []
    for source in SOURCES.values():
        for node, function in calls(source.tree):
            keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
            if function == "torch.load" and keywords.get("weights_only") != "True":
                bad.append(f"{at(source, node)} torch.load without weights_only=True")
            if function.endswith(".cuda"):
                bad.append(f"{at(source, node)} {function}()")
            if function in ("eval", "exec", "pickle.load", "pickle.loads"):
                bad.append(f"{at(source, node)} {function}()")
    assert bad == []


def test_no_exception_is_swallowed():
    bad = []
    for source in SOURCES.values():
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type else "everything"
                raises = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
                if caught in ("everything", "Exception", "BaseException") and not raises:
                    bad.append(f"{at(source, node)} catches {caught} to go on")
    assert bad == []


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=["check", "format"])
def test_ruff(command):
    result = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--no-cache", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
