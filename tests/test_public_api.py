"""The public face: a handful of names, each importable, each documented, and `import assay` stays light."""

import subprocess
import sys

import pytest

import assay

NAMES = [
    "AssayError", "Evidence", "GradientReport", "Subject", "assert_gradients", "check_gradient", "check_module",
    "explore_gradient",
]  # fmt: skip


def test_the_public_names() -> None:
    assert sorted(assay.__all__) == sorted(NAMES)
    assert sorted(dir(assay)) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_name_can_be_used_and_is_documented(name: str) -> None:
    value = getattr(assay, name)
    assert isinstance(value, str) or value.__doc__


def test_an_unknown_name_says_what_there_is() -> None:
    with pytest.raises(AttributeError, match="check_gradient"):
        assay.check_gradients  # noqa: B018


def test_importing_assay_and_its_plugin_does_not_import_torch() -> None:
    code = "import sys, assay, assay.plugin; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
