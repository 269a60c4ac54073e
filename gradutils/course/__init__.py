"""The machinery of the course: exercises and their checks, predictions, verdicts, progress, the builder.

Importing it sets torch to one thread: the networks of the course are so small that a second thread costs more
than it brings, up to 17 times more where other programs share the machine. The environment variable GRADUTILS_THREADS
sets another number.
"""

import os

import torch

torch.set_num_threads(int(os.environ.get("GRADUTILS_THREADS", "1")))
