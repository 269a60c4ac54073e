"""The emergency room of lesson 09: training scripts that are ill, to be named and mended.

patients    who is there: the lines that make each ill, what counts as its cure; and the names of the illnesses
script      a patient's script is run here, and its settings put back
chart       a patient is shown: its script, what was known at step 0, six panels of what followed
rules       what is said of a treatment: the facts of it, and the first rule that holds
treatment   a treatment is read and judged, on seeds that were not shown; and what all repairs bought
practice    the gallery of loss curves, and new patients without end

It imports none of them: checks, progress and trials ask who the patients are, and treatment imports checks.
"""
