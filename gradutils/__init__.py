"""gradutils: the helper package of a course on training stability.

    data models attention schedules training curvature precision
                                                 the science, in torch: what a lesson has built, kept to be used again
    meanfield                                    what theory predicts of a random network; no network is run
    propagation                                  the same quantities measured
    recorder                                     for your own model: Recorder, Recording, diagnose
    plots                                        every figure
    explorers                                    figures with sliders
    two_processes                                lesson 06's script: a clip where the gradient is spread over processes
    course                                       a lesson's own words: check, predict, reveal, verdict, progress

Imports go downwards only: the science knows of no lesson, and ``import gradutils.data`` in a program of your own loads
nothing of the course and changes no setting.
"""

__version__ = "1.6.1"
