"""What may import what, who knows the run folder's file names, and that every public thing says what it is."""

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import labelaudit
from labelaudit.report.exports.base import FORMATS
from labelaudit.run.layout import RunFolder

PACKAGE = Path(labelaudit.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}

LAYERS = (
    ("labelaudit.__main__",),
    ("labelaudit.cli",),
    ("labelaudit.reproduce", "labelaudit.report", "labelaudit.auditing", "labelaudit.retraining"),
    ("labelaudit.review",),
    ("labelaudit.engine", "labelaudit.methods", "labelaudit.selectors"),
    (
        "labelaudit.methods.base",
        "labelaudit.methods.parameters",
        "labelaudit.methods.table",
        "labelaudit.selectors.base",
        "labelaudit.selectors.table",
        "labelaudit.run",
        "labelaudit.data",
    ),
    ("labelaudit.detect",),
    (
        "labelaudit.errors",
        "labelaudit.hyperparameters",
        "labelaudit.progress",
        "labelaudit.names",
        "labelaudit.text",
    ),
)
"""From top to bottom; the longest prefix of a module's name decides."""

CONCRETE_METHODS = {
    name
    for name in MODULES
    if name.startswith("labelaudit.methods.") and not name.endswith((".base", ".table", ".parameters"))
}
CONCRETE_SELECTORS = {
    name for name in MODULES if name.startswith("labelaudit.selectors.") and not name.endswith((".base", ".table"))
}
FILE_NAMES = {
    path.name
    for name, value in vars(RunFolder).items()
    if isinstance(path := getattr(RunFolder(Path()), name, None), Path) and path.suffix
}
NAMESAKES = {("labelaudit.engine.pretrained", "model.safetensors")}
"""Files of others that happen to be named as ours: here, those of Hugging Face."""


def layer(module: str) -> int:
    matches = [
        (len(prefix), number)
        for number, prefixes in enumerate(LAYERS)
        for prefix in prefixes
        if module == prefix or module.startswith(f"{prefix}.")
    ]
    assert matches, f"{module} has no layer: add it to LAYERS"
    return max(matches)[1]


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


def inner_imports(module: str) -> set[str]:
    """The package's own modules among the imports; the package itself holds only its version."""
    return {name for name in imports(module) if name.startswith("labelaudit.")}


def test_there_is_something_to_check() -> None:
    assert len(MODULES) > 40
    assert len(CONCRETE_METHODS) >= 2
    assert len(CONCRETE_SELECTORS) >= 2
    assert {"run.json", "scores.parquet", "weights.csv", "checkpoint.pt", "metrics.parquet"} <= FILE_NAMES
    assert "labelaudit.engine.loop" in inner_imports("labelaudit.auditing.probe")
    assert layer("labelaudit.cli.score") < layer("labelaudit.engine.loop") < layer("labelaudit.methods.base")


def test_imports_go_down_only() -> None:
    for module in MODULES.keys() - {"labelaudit"}:
        upward = {name for name in inner_imports(module) if layer(name) < layer(module)}
        assert not upward, module


def test_only_the_program_imports_the_command_line() -> None:
    importers = {name for name in MODULES if any(used.startswith("labelaudit.cli") for used in imports(name))}
    assert {name for name in importers if not name.startswith("labelaudit.cli")} == {"labelaudit.__main__"}


def test_the_engine_knows_no_concrete_method() -> None:
    for module in MODULES:
        if module.startswith(("labelaudit.engine", "labelaudit.run", "labelaudit.data", "labelaudit.detect")):
            concrete = CONCRETE_METHODS | CONCRETE_SELECTORS
            tables = {"labelaudit.methods.table", "labelaudit.selectors.table"}
            assert not imports(module) & (concrete | tables), module


def test_methods_know_only_what_a_method_is() -> None:
    for module in CONCRETE_METHODS:
        allowed = {"labelaudit.methods.base", "labelaudit.methods.parameters", "labelaudit.errors"}
        assert inner_imports(module) <= allowed | CONCRETE_METHODS, module


def test_selectors_know_only_what_a_selector_is() -> None:
    for module in CONCRETE_SELECTORS:
        allowed = {"labelaudit.methods.base", "labelaudit.selectors.base", "labelaudit.selectors.table"}
        assert inner_imports(module) <= allowed, module


def test_methods_and_selectors_are_listed_without_torch() -> None:
    listed = ("labelaudit.methods.table", "labelaudit.methods.parameters", "labelaudit.selectors.table")
    for module in listed:
        outside = {name.partition(".")[0] for name in imports(module, when_loaded=True)}
        assert outside <= sys.stdlib_module_names | {"labelaudit"}, module
        assert inner_imports(module) <= {
            "labelaudit.methods",
            "labelaudit.methods.parameters",
            "labelaudit.methods.table",
            "labelaudit.methods.base",
            "labelaudit.selectors",
            "labelaudit.selectors.table",
            "labelaudit.selectors.base",
            "labelaudit.errors",
            "labelaudit.hyperparameters",
            "labelaudit.names",
        }


def test_detection_is_arithmetic_only() -> None:
    for module in MODULES:
        if module.startswith("labelaudit.detect"):
            outside = {name.partition(".")[0] for name in imports(module)} - {"labelaudit", "__future__"}
            assert outside - sys.stdlib_module_names <= {"numpy", "scipy", "sklearn"}, module
            assert not outside & {"os", "io", "pathlib", "shutil", "tempfile"}, module


def test_commands_import_nothing_heavy_before_they_run() -> None:
    for module in MODULES:
        if module.startswith("labelaudit.cli"):
            heavy = {"torch", "torchvision", "timm", "numpy", "pyarrow", "sklearn", "PIL"}
            names = imports(module, when_loaded=True)
            assert not heavy & {name.partition(".")[0] for name in names}, module
            inner = {name for name in names if name.startswith("labelaudit.") and not name.startswith("labelaudit.cli")}
            light = {"errors", "names", "progress", "text"}
            # These list methods, selectors, and the options of trainings and of experiments.
            light |= {"methods.table", "methods.parameters", "selectors.table", "auditing.options", "reproduce"}
            assert inner <= {f"labelaudit.{name}" for name in light}, module


def test_formats_are_listed_without_anything_heavy() -> None:
    names = imports("labelaudit.report.exports.base", when_loaded=True)
    assert {name for name in names if name.startswith("labelaudit")} == {"labelaudit.errors", "labelaudit.names"}
    assert not {name.partition(".")[0] for name in names} & {"numpy", "pyarrow", "torch", "PIL"}


def test_each_format_is_a_file_that_knows_no_other() -> None:
    writers = {f"labelaudit.report.exports.{entry.writer.partition(':')[0]}" for entry in FORMATS}
    for module in writers:
        assert not imports(module) & writers, module


def test_a_fit_loads_no_torch() -> None:
    # It alone takes 0.8 GB of memory and seconds: more than the statistics of a million samples.
    reached, waiting = set(), {"labelaudit.auditing.fit", "labelaudit.auditing.model"}
    waiting |= {name for name in MODULES if name.startswith("labelaudit.report.")}
    while waiting:
        module = waiting.pop()
        reached.add(module)
        names = imports(module, when_loaded=True)
        assert not {"torch", "torchvision", "timm"} & {name.partition(".")[0] for name in names}, module
        waiting |= names & MODULES.keys() - reached
    assert "labelaudit.detect.mixture" in reached


def test_no_module_is_needed_to_load_itself() -> None:
    # Also not inside of functions, but for the package itself, which imports the API when it is used.
    modules = MODULES.keys() - {"labelaudit"}
    needs = {name: imports(name) & modules for name in modules}
    while ready := {name for name, needed in needs.items() if not needed & needs.keys()}:
        needs = {name: needed for name, needed in needs.items() if name not in ready}
    assert not needs, f"circular: {sorted(needs)}"


def test_no_class_name_stands_twice() -> None:
    names = [node.name for tree in TREES.values() for node in tree.body if isinstance(node, ast.ClassDef)]
    assert sorted(name for name, count in Counter(names).items() if count > 1) == []


def test_no_function_has_more_than_8_parameters() -> None:
    for module, tree in TREES.items():
        if not module.startswith("labelaudit.cli"):
            functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
            assert not [node.name for node in functions if len([*node.args.args, *node.args.kwonlyargs]) > 8], module


def test_only_run_knows_the_file_names() -> None:
    for module, tree in TREES.items():
        if not module.startswith("labelaudit.run."):
            words = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
            assert not {name for name in words & FILE_NAMES if (module, name) not in NAMESAKES}, module


def test_user_input_is_never_checked_by_assert() -> None:
    for module, tree in TREES.items():
        assert not any(isinstance(node, ast.Assert) for node in ast.walk(tree)), module


def public_definitions(tree: ast.Module | ast.ClassDef) -> Iterator[ast.ClassDef | ast.FunctionDef]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node)


def test_every_public_thing_has_a_docstring() -> None:
    for module, tree in TREES.items():
        assert ast.get_docstring(tree), module
        assert not [node.name for node in public_definitions(tree) if not ast.get_docstring(node)], module


def test_the_python_api_is_what_it_lists() -> None:
    assert sorted(labelaudit.__all__) == dir(labelaudit)
    for name in labelaudit.__all__:
        assert getattr(labelaudit, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'scores'"):
        _ = labelaudit.scores
