"""Sliders around pure functions. Every explorer repeats, movable, a figure that its lesson has shown at rest.

live             what an explorer is: sliders, a figure that they move, a sentence; figure.js draws it in the browser
recording        what the artists of a figure draw, written down · packing: in few bytes · tables: kept in the package
descent          learning rate and momentum on a quadratic
depth            gradients by layer, the Jacobian's singular values, a recurrent loop
activation       where the signal lies on an activation; initialization: the phase diagram
clipping         a threshold at the cliff; learning rate against threshold
schedule         schedules drawn and tried; the edge of stability
residual         residual blocks and their normalisation
awake            a weight whose first gradient comes late, under Adam
softmax          a softmax over random logits
precision        weights that an update no longer moves
"""

from gradutils.explorers.activation import explore_activation
from gradutils.explorers.awake import explore_awake
from gradutils.explorers.clipping import explore_cliff, explore_rate_and_threshold
from gradutils.explorers.depth import explore_depth, explore_jacobian, explore_recurrent
from gradutils.explorers.descent import explore_learning_rate, explore_momentum
from gradutils.explorers.initialization import explore_phase_diagram
from gradutils.explorers.precision import explore_precision
from gradutils.explorers.residual import explore_residual
from gradutils.explorers.schedule import explore_edge, explore_schedule
from gradutils.explorers.softmax import explore_softmax

__all__ = [
    "explore_activation",
    "explore_awake",
    "explore_cliff",
    "explore_depth",
    "explore_edge",
    "explore_jacobian",
    "explore_learning_rate",
    "explore_momentum",
    "explore_phase_diagram",
    "explore_precision",
    "explore_rate_and_threshold",
    "explore_recurrent",
    "explore_residual",
    "explore_schedule",
    "explore_softmax",
]
