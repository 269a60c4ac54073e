"""The emergency room of lesson 12: training scripts that are ill, to be named from their charts and mended.

illnesses   their names, and how each shows
patient     what a patient is: the healthy script, and the lines that differ from it
patients    who is there: the lines that make each ill, its names, a cure
script      a patient's script is run here, and its settings put back
chart       a patient is shown: what was known at step 0, and six panels of what followed
still       whether an illness still shows after a treatment: what reaches the network is looked at
rules       what is said of a treatment: the facts of it, and the first rule that holds
treatment   an illness is named, a treatment is read and judged, on seeds that were not shown; what all repairs bought
drawn       new patients without end
practice    the way to them, ten at first, and a gallery of loss curves

It imports none of them: checks, progress and trials ask who the patients are, and treatment imports checks.
"""
