"""What the package exports, how late it imports what is slow, and the examples in docstrings."""

import doctest
import importlib
import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import qianfan_magic
from qianfan_magic import masking

# The contract with those who import the package.
EXPORTED = [
    "APIError",
    "AuthError",
    "Chunk",
    "Credentials",
    "Message",
    "ParameterError",
    "QianfanClient",
    "QianfanError",
    "RateLimitError",
    "Reply",
    "SchemaError",
    "SearchResult",
    "Settings",
    "SettingsError",
    "StreamError",
    "TokenExpiredError",
    "TransportError",
    "Usage",
    "load_ipython_extension",
    "unload_ipython_extension",
]
SLOW = {
    "requests",
    "jsonschema",
    "pydantic",
    "markdown_it",
    "nh3",
    "pygments",
    "PIL",
    "tomllib",
    "tornado",
}


def in_fresh_interpreter(code):
    """Run code that prints JSON, in an interpreter that has imported nothing yet."""
    # Where CI measures coverage, each process of Python imports that and its modules first.
    environment = {k: v for k, v in os.environ.items() if k != "COVERAGE_PROCESS_START"}
    done = subprocess.run(
        [sys.executable, "-c", f"import json, sys\n{code}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(qianfan_magic.__file__).parent.parent,
        env=environment,
    )
    return json.loads(done.stdout)


def test_exported_names_are_the_contract():
    assert sorted(qianfan_magic.__all__) == EXPORTED
    for name in EXPORTED:
        assert getattr(qianfan_magic, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = qianfan_magic.nonsense


def test_exported_names_are_offered_for_completion():
    offered = in_fresh_interpreter("import qianfan_magic; print(json.dumps(dir(qianfan_magic)))")
    assert set(EXPORTED) <= set(offered)


def test_import_of_the_package_imports_nothing_slow():
    loaded = in_fresh_interpreter("import qianfan_magic; print(json.dumps(list(sys.modules)))")
    assert "qianfan_magic" in loaded
    assert (SLOW | {"urllib3", "tenacity", "anywidget", "IPython"}) & set(loaded) == set()


def test_loading_the_extension_imports_nothing_slow():
    loaded = in_fresh_interpreter(
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "before = set(sys.modules)\n"
        "InteractiveShell.instance().run_line_magic('load_ext', 'qianfan_magic')\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    assert "qianfan_magic.magics.magics" in loaded
    assert SLOW & set(loaded) == set()


def test_examples_in_docstrings_are_true():
    found = pkgutil.walk_packages(qianfan_magic.__path__, "qianfan_magic.")
    finder, runner = doctest.DocTestFinder(exclude_empty=True), doctest.DocTestRunner()
    for name in ["qianfan_magic", *(module.name for module in found)]:
        for examples in finder.find(importlib.import_module(name)):
            masking.forget_all()  # a secret of one docstring is an ordinary word in the next
            assert runner.run(examples).failed == 0, examples.name
    assert runner.tries > 50
