"""One door for an engineer: watch any ``nn.Module`` train, keep what was seen, name what ails it."""

from gradutils.recorder.diagnosis import Diagnosis, diagnose
from gradutils.recorder.recording import Recording
from gradutils.recorder.watching import Recorder

__all__ = ["Diagnosis", "Recorder", "Recording", "diagnose"]
