"""The learner's own progress file is left alone, by the tests and by the kernels that nbval starts in their environment."""

import os
import tempfile

os.environ["GRADUTILS_HOME"] = tempfile.mkdtemp(prefix="gradutils-tests-")
