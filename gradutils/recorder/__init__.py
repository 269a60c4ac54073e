"""One door for an engineer: watch any ``nn.Module`` train, keep what was seen, name what ails it.

watching       Recorder: where it listens, and what a step adds; reading: its other half, which is read
ears           its hooks, as they stand on a model
anatomy        what is known of a model before it trains; arguments: what the recorder is given is checked
outputs        what is measured of a layer's output; weights: of parameters, gradients and updates; norms: how
rows           what a row of the ring holds, by name, and how rows are read
budget         which steps are recorded
losses         which loss it is, and whether the outputs fit it
deltas         the gradients of layers' outputs; said: the warnings of a recorder
leftovers      gradients that were not cleared; parts: layers in eval mode, parts that the model does not know
answers        what the model answers and what it was asked for; curve: the loss of every step
optimizers     what torch's optimizers do meanwhile
recording      Recording: plain data; files: that data as a file
facts          what a recording says outright; course: how the loss went; relapse: what leapt where it was lost
signs          the numbers that a diagnosis looks at, with these; threshold: a number between health and illness
rules          the rules, in order; words: what is to be done
diagnosis      diagnose: the first rule that holds, or what is said where none does
mixing         mixes_samples, a check before training
lightning      RecorderCallback, inside of Lightning; transformers: the same in Hugging Face's Trainer. Each asks for its library
live           the page of a run, redrawn in a notebook; logs: its numbers, sent to TensorBoard or W&B
report         the same page as a file to send; __main__: a saved recording in the terminal
torch_inside   the only room that knows private names of torch
"""

from gradutils.recorder.diagnosis import Diagnosis, diagnose
from gradutils.recorder.mixing import Mixing, mixes_samples
from gradutils.recorder.recording import Recording
from gradutils.recorder.watching import Recorder

__all__ = ["Diagnosis", "Mixing", "Recorder", "Recording", "diagnose", "mixes_samples"]
