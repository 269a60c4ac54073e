"""What a teacher of a class does, in the environment that `make .venv-teach/teach.stamp` makes."""
