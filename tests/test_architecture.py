"""What may import what, what is loaded early, who knows the run folder's file names, and limits of the code's shape."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import labelaudit
from labelaudit.run.layout import RunFolder

PACKAGE = Path(labelaudit.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
TEXTS = {name: path.read_text(encoding="utf-8") for name, path in MODULES.items()}
TREES = {name: ast.parse(text) for name, text in TEXTS.items()}

LAYERS = (
    "__main__",
    "cli",
    "reproduce report auditing retraining",
    "review",
    "methods selectors",
    "methods.table selectors.table",
    "engine",
    "methods.base methods.parameters selectors.base run data",
    "detect",
    "codes errors hyperparameters names progress text",
)
"""From top to bottom; the longest prefix of a module's name decides. The engine knows no concrete method."""

ALLOWED = {
    "methods": {"methods", "methods.base", "methods.parameters", "detect", "errors"},
    "selectors": {"methods.base", "selectors.base", "selectors.table"},
}
"""What concrete methods and selectors may import, by the names in LAYERS."""

TORCH = {"torch", "torchvision", "timm"}
HEAVY = TORCH | {"numpy", "pyarrow", "scipy", "sklearn", "PIL"}
LIGHT = {
    "cli": HEAVY,
    "codes": HEAVY,
    "methods.table": HEAVY,
    "selectors.table": HEAVY,
    # A fit with torch takes 0.8 GB more and seconds: more than the statistics of a million samples.
    "auditing.fit": TORCH,
    "auditing.model": TORCH,
    "auditing.score": TORCH,
    "auditing.predictions": TORCH,
    "auditing.probe": TORCH,  # an audit of photographs runs without, which saves 1.6 s
    # timm loads torchvision, and that torch's compiler: as long as torch itself.
    "auditing.members": {"timm", "torchvision"},
    "report": TORCH,
    "review": TORCH,
}
"""By prefix of a module's name: what loading it may not load, directly or through others."""

FILE_NAMES = {
    path.name
    for name in vars(RunFolder)
    if isinstance(path := getattr(RunFolder(Path()), name, None), Path) and path.suffix
}
NAMESAKES = {("labelaudit.engine.pretrained", "model.safetensors")}
"""Files of others that happen to be named as ours: here, those of Hugging Face."""

DICTS_OF_ANYTHING = 21


def prefixes(module: str) -> list[str]:
    """The module and the packages that it is in, below the package itself, the longest first."""
    parts = module.split(".")
    return [".".join(parts[1:end]) for end in range(len(parts), 1, -1)]


def place(module: str) -> tuple[int, str]:
    """The number of a module's layer, and its name there."""
    found = [(number, name) for name in prefixes(module) for number, row in enumerate(LAYERS) if name in row.split()]
    assert found, f"{module} has no layer: add it to LAYERS"
    return found[0]


def imports(module: str, *, when_loaded: bool = False) -> set[str]:
    """The modules that a module imports, anywhere in it or only when it is loaded."""
    found: set[str] = set()
    for node in loaded_nodes(TREES[module]) if when_loaded else ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner & MODULES.keys() or {str(node.module)}
    return found


def loaded_nodes(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        types_only = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        if not types_only and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from loaded_nodes(child)


def loaded(module: str) -> set[str]:
    """The modules, ours and others', that loading a module loads; of others the package."""
    reached, waiting = set(), {module}
    while waiting:
        reached |= (some := {f"labelaudit.{name}" for each in waiting for name in prefixes(each)} & MODULES.keys())
        names = {name for each in some for name in imports(each, when_loaded=True)}
        reached |= {name.partition(".")[0] for name in names - MODULES.keys()}
        waiting = names & MODULES.keys() - reached - {"labelaudit"}
    return reached


def test_there_is_something_to_check() -> None:
    assert len(MODULES) > 40
    assert {"run.json", "scores.parquet", "weights.csv", "checkpoint.pt", "metrics.parquet"} <= FILE_NAMES
    assert "labelaudit.engine.loop" in imports("labelaudit.auditing.members")
    assert place("labelaudit.cli.score") < place("labelaudit.engine.loop") < place("labelaudit.methods.base")
    assert {"labelaudit.detect.mixture", "numpy"} <= loaded("labelaudit.auditing.fit")
    assert "torch" in loaded("labelaudit.auditing.members")


def test_imports_go_down_only() -> None:
    for module in MODULES.keys() - {"labelaudit"}:
        number, name = place(module)
        inner = {used for used in imports(module) if used.startswith("labelaudit.")}
        assert not {used for used in inner if place(used)[0] < number}, module
        if name in ALLOWED:
            assert {place(used)[1] for used in inner} <= ALLOWED[name], module


@pytest.mark.parametrize("prefix", LIGHT)
def test_what_is_loaded_early_loads_nothing_heavy(prefix: str) -> None:
    for module in [name for name in MODULES if prefix in prefixes(name)]:
        assert not loaded(module) & LIGHT[prefix], module


def test_detection_is_arithmetic_only() -> None:
    allowed = {"labelaudit", "numpy", "scipy", "sklearn", "__future__", "abc", "collections", "dataclasses"}
    allowed |= {"functools", "itertools", "math", "types", "typing", "warnings"}
    for module in MODULES:
        if module.startswith("labelaudit.detect"):
            assert {name.partition(".")[0] for name in imports(module)} <= allowed, module


def test_no_module_is_needed_to_load_itself() -> None:
    # Also not inside of functions, but for the package itself, which imports the API when it is used.
    modules = MODULES.keys() - {"labelaudit"}
    needs = {name: imports(name) & modules for name in modules}
    while ready := {name for name, needed in needs.items() if not needed & needs.keys()}:
        needs = {name: needed for name, needed in needs.items() if name not in ready}
    assert not needs, f"circular: {sorted(needs)}"


def test_the_shape_of_the_code() -> None:
    for module, tree in TREES.items():
        nodes = list(ast.walk(tree))
        assert not any(isinstance(node, ast.Assert) for node in nodes), f"{module} checks by assert"
        functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
        long = [node.name for node in functions if len([*node.args.args, *node.args.kwonlyargs]) > 8]
        assert not long or module.startswith("labelaudit.cli"), f"{module}: more than 8 parameters"
        words = {node.value for node in nodes if isinstance(node, ast.Constant)}
        strays = {name for name in words & FILE_NAMES if (module, name) not in NAMESAKES}
        assert not strays or module.startswith("labelaudit.run."), f"{module} knows a file of the run folder"
        assert not re.search(r"/(work|home|root|Users)/", TEXTS[module]), f"{module} names a path of one machine"
    assert sum(text.count("dict[str, Any]") for text in TEXTS.values()) <= DICTS_OF_ANYTHING


def test_the_python_api_is_what_it_lists() -> None:
    assert sorted(labelaudit.__all__) == dir(labelaudit)
    for name in labelaudit.__all__:
        assert getattr(labelaudit, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'scores'"):
        _ = labelaudit.scores
