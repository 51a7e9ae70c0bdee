"""A model that costs nothing, and the barest loop that asks it: what P14 and P4 hold runs of models against."""
