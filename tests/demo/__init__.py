"""A model run to look at, without a model: the emulator tells a story, everything else is real."""
