"""One module a step, in the order of their numbers. There is no way down: restore a backup instead."""
