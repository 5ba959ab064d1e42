"""Who may import whom: imports point down only. And what is exported, and how late."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import qianfan_magic

PACKAGE = Path(qianfan_magic.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

TABLES = {"parameter", "parameters", "cards", "catalogue"}
BELOW_WIRE = {"masking", "errors", "settings", "dot_env"} | TABLES
BELOW_CONNECTION = BELOW_WIRE | {"wire", "auth", "tokens", "sse", "codes", "failures"}
BELOW_CONNECTION |= {"exchange", "transport", "reading"}
# What each room may know besides itself; a room that is not listed may know all.
MAY_KNOW = {
    "masking": set(),
    "errors": {"masking"},
    "codes": {"errors"},
    "sse": set(),
    "parameter": {"errors"},
    "parameters": {"errors", "parameter"},
    "dot_env": {"errors"},
    "settings": {"masking", "errors", "dot_env", "parameter"},
    "cards": {"parameter"},
    "catalogue": {"errors", "parameter", "cards"},
    "wire": BELOW_WIRE,
    "cache": {"masking"},
    "tokens": {"masking", "errors", "cache"},
    "auth": {"masking", "errors", "tokens"},
    "exchange": {"masking", "parameter"},
    "failures": {"masking", "errors", "codes"},
    "transport": {"masking", "errors", "failures"},
    "reading": {"masking", "errors", "sse", "failures", "wire"},
    "programs": {"errors"},
    "bare": set(),
    "picture": {"errors", "bare"},
    "images": {"errors", "picture"},
    "model_list": {"cache"},
    "grants": {"errors", "codes", "failures", "tokens", "reading", "wire"},
    "own_cards": {"errors", "parameter", "cards", "catalogue"},
    "connection": BELOW_CONNECTION | {"model_list", "grants", "__version__"},
    "call": BELOW_CONNECTION | {"connection"},
    "client": BELOW_CONNECTION | {"connection", "call"},
    "turn": {"masking", "catalogue", "wire.types"},
    "running": {"turn"},
    "conversation": {"cards", "catalogue", "wire.types", "running", "turn"},
    "checked": {"masking"},
    "turn_json": {"masking", "checked", "turn"},
    "record": {"masking", "checked", "conversation", "turn", "turn_json"},
    "talk_file": {"errors", "checked", "conversation", "record"},
    "notebook": {"errors", "checked", "record", "running"},
    "restoring": {"checked", "conversation", "notebook", "record", "turn"},
    "usage": {"wire.types"},
    "views": {"masking", "errors", "wire.types", "parameter", "cards", "catalogue"}
    | {"checked", "conversation", "record", "running", "turn"}
    | {"picture", "exchange", "checkup.finding"},
    "checkup": BELOW_CONNECTION | {"connection", "client"},
    "doctor": BELOW_CONNECTION | {"connection", "client", "own_cards", "checkup"},
    "sending": BELOW_CONNECTION | {"client", "call", "conversation", "question", "turn", "usage"},
    "side_by_side": {"errors", "sending", "wire", "views"},
    "embedded": BELOW_WIRE | {"wire", "auth", "sse", "codes"},
}
PURE = ["masking", "errors", "codes", "sse", "parameter", "parameters", "cards", "catalogue"]
PURE += ["wire", "programs", "bare"]
PURE += [
    "turn",
    "turn_json",
    "conversation",
    "checked",
    "record",
    "restoring",
    "talk_file",
    "usage",
]
SHELL = {
    "magics",
    "flags",
    "completer",
    "session",
    "subcommands",
    "talks",
    "sliders",
    "asking",
    "answered",
}
SHELL |= {"running", "views"}
HTTP = {"auth", "failures", "transport", "reading", "connection", "grants", "call"}
ONLY_IN = [
    ("IPython", SHELL),
    ("anywidget", {"views"}),
    ("ipywidgets", {"views"}),
    ("markdown_it", {"views"}),
    ("nh3", {"views"}),
    ("mdit_py_plugins", {"views"}),
    ("pygments", {"views"}),
    ("nbformat", {"cli"}),
    ("requests", HTTP),
    ("urllib3", HTTP),
    ("tenacity", {"call"}),
    ("filelock", {"tokens"}),
    ("platformdirs", {"connection"}),
    ("dotenv", {"dot_env"}),
    ("tornado", {"embedded"}),
]


def room(module):
    return module.partition(".")[0]


def tree_of(module):
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def imports(module, *, for_types=True):
    """Give the full names a module imports, at its top or late, by ``import`` or ``from``."""
    tree = tree_of(module)
    unseen = set() if for_types else type_checking_nodes(tree)
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and node not in unseen:
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node not in unseen:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def type_checking_nodes(tree):
    blocks = [node for node in ast.walk(tree) if isinstance(node, ast.If)]
    blocks = [node for node in blocks if "TYPE_CHECKING" in ast.unparse(node.test)]
    return {inner for block in blocks for statement in block.body for inner in ast.walk(statement)}


def known_rooms(module):
    """Give what a module imports of the package, but for its own room: ``wire.types.Reply``."""
    ours = {name for name in imports(module) if room(name) == "qianfan_magic"}
    inside = {name.removeprefix("qianfan_magic").removeprefix(".") for name in ours}
    return {name for name in inside if room(name) != room(module)}


def test_rooms_of_the_table_are_there():
    assert MAY_KNOW.keys() <= {room(module) for module in MODULES}


@pytest.mark.parametrize("module", MODULES)
def test_imports_are_absolute(module):
    froms = [node for node in ast.walk(tree_of(module)) if isinstance(node, ast.ImportFrom)]
    assert [ast.unparse(node) for node in froms if node.level] == []


@pytest.mark.parametrize("module", [name for name in MODULES if room(name) in MAY_KNOW])
def test_imports_point_down(module):
    allowed = MAY_KNOW[room(module)]
    upward = {
        name
        for name in known_rooms(module)
        if not any(f"{name}.".startswith(f"{known}.") for known in allowed)
    }
    assert upward == set()


@pytest.mark.parametrize(("package", "rooms"), ONLY_IN, ids=[name for name, _ in ONLY_IN])
def test_package_is_imported_in_its_rooms_only(package, rooms):
    users = {
        module
        for module in MODULES
        if package in {room(name) for name in imports(module, for_types=False)}
    }
    assert {module for module in users if room(module) not in rooms} == set()


@pytest.mark.parametrize("module", [name for name in MODULES if room(name) in PURE])
def test_pure_module_needs_the_standard_library_only(module):
    packages = {room(name) for name in imports(module)} - {"qianfan_magic"}
    assert packages - sys.stdlib_module_names == set()


# The contract with those who import the package.
EXPORTED = [
    "APIError",
    "AuthError",
    "Chunk",
    "ParameterError",
    "QianfanClient",
    "QianfanError",
    "RateLimitError",
    "Reply",
    "SettingsError",
    "StreamError",
    "TokenExpiredError",
    "TransportError",
    "Usage",
    "load_ipython_extension",
    "unload_ipython_extension",
]


def test_exported_names():
    assert sorted(qianfan_magic.__all__) == EXPORTED


@pytest.mark.parametrize("name", EXPORTED)
def test_exported_name_can_be_imported(name):
    assert getattr(qianfan_magic, name).__name__ == name


def test_name_that_is_not_exported_is_no_attribute():
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = qianfan_magic.nonsense


def printed(expression):
    """Give the words that a fresh interpreter prints after ``import qianfan_magic``."""
    code = f"import sys, qianfan_magic; print(*{expression})"
    fresh = [sys.executable, "-c", code]
    done = subprocess.run(fresh, capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    return done.stdout.split()


def test_exported_names_are_offered_for_completion():
    assert set(EXPORTED) <= set(printed("dir(qianfan_magic)"))


@pytest.mark.parametrize("late", ["requests", "markdown_it", "nh3", "pygments", "PIL", "tomllib"])
def test_loading_the_extension_imports_none_of_what_is_slow(late):
    code = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "import sys\n"
        "before = set(sys.modules)\n"
        "InteractiveShell.instance().run_line_magic('load_ext', 'qianfan_magic')\n"
        "print(*(set(sys.modules) - before))"
    )
    fresh = [sys.executable, "-c", code]
    done = subprocess.run(fresh, capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    assert ("qianfan_magic.magics" in done.stdout.split(), late in done.stdout.split()) == (
        True,
        False,
    )


@pytest.fixture(scope="module")
def loaded():
    return printed("sys.modules")


def test_package_itself_is_loaded(loaded):
    assert "qianfan_magic" in loaded


@pytest.mark.parametrize(
    "package",
    ["requests", "urllib3", "tenacity", "tornado", "nh3", "markdown_it", "anywidget", "IPython"],
)
def test_import_of_the_package_does_not_load(package, loaded):
    assert package not in loaded
