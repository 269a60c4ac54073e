"""JupyterHub for a class on one Linux machine: `jupyterhub -f deploy/jupyterhub_config.py`, as root.

Each learner is an account of the machine, and a member of its group `class`. docs/classroom.md says how it is set up, what
was measured, and what a machine for thirty needs.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
c = get_config()  # noqa: F821

# Who may come in. Put a web server with a certificate before this address.
c.JupyterHub.bind_url = "http://127.0.0.1:8000"
c.LocalAuthenticator.allowed_groups = {"class"}

# What is started for a learner, by the Python that runs the hub: its environment holds JupyterLab too. It reads jupyter/
# beside this file, which ends kernels that are idle for an hour, and servers that have had none for two.
c.Spawner.cmd = [sys.executable, str(HERE / "learner.py")]
c.Spawner.default_url = "/lab/tree/lessons/00_start_here.ipynb"

# A server takes 165 MB, the largest lesson 490 MB: room for three of them.
c.Spawner.mem_limit = "2G"
# The course uses one thread a learner; so does what lies below it.
c.Spawner.environment = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

# When thirty come at once, ten start at a time, and nobody is given up on a busy machine.
c.JupyterHub.concurrent_spawn_limit = 10
c.Spawner.start_timeout = 180
c.Spawner.http_timeout = 180
