"""The learner's own progress file is left alone, by the tests and by the kernels that nbval starts in their environment."""

import os
import tempfile
from functools import cache

os.environ["GRADUTILS_HOME"] = tempfile.mkdtemp(prefix="gradutils-tests-")


@cache
def home_of(notebook):
    return tempfile.mkdtemp(prefix="gradutils-tests-")


def pytest_runtest_setup(item):
    """Each notebook that nbval runs begins on an empty first day: what it says of progress is its own."""
    if item.path.suffix == ".ipynb":
        os.environ["GRADUTILS_HOME"] = home_of(item.path)
