"""Two processes on this machine: what clipping each part by itself does, and that clipping over all does not."""

import os
import re
import subprocess
import sys


def test_each_part_by_itself_is_wrong_and_all_together_is_right():
    done = subprocess.run(
        [sys.executable, "-m", "gradutils.two_processes"],
        capture_output=True, text=True, timeout=240, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = {
        name.strip(): (float(length), float(cosine))
        for name, length, cosine in re.findall(
            r"^(.+?) +length ([\d.]+), cosine ([\d.]+)$", done.stdout, re.M
        )
    }
    assert list(found) == ["each its own layers", "each its own rows", "FSDP2's clip, over all"]
    assert found["each its own layers"][1] < 0.95
    assert found["each its own rows"][0] > 1.3
    assert found["FSDP2's clip, over all"] == (1.0, 1.0)
    assert "is that of one process: True" in done.stdout
