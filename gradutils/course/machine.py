"""What the course runs on."""

import os
import platform
import sys

import matplotlib
import torch


def machine() -> str:
    """Versions, cores, torch's threads and this kernel's memory, one line each."""
    rows = {
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "matplotlib": matplotlib.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "torch threads": torch.get_num_threads(),
        "kernel memory": _resident_memory(),
    }
    return "\n".join(f"{name:<14} {value}" for name, value in rows.items())


def _resident_memory() -> str:
    if not sys.platform.startswith("linux"):
        return "see the system's own monitor"
    with open("/proc/self/statm") as file:
        return f"{int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 1e6:.0f} MB"
