"""nbval starts its kernels with this process's environment: the learner's own progress file is left alone."""

import os
import tempfile

os.environ["GRADUTILS_HOME"] = tempfile.mkdtemp(prefix="gradutils-tests-")
