"""The class page: ``python -m gradutils.course.classroom FOLDER`` reads the learners' files and writes one HTML page.

files       which files of a folder are whose, and what each learner's amount to
facts       what the class did: passes, tries, minutes, mistakes by name, predictions, who is stuck
asked       the predictions as the lessons ask them, from the executed solutions
page        the facts as HTML
__main__    the command
"""
