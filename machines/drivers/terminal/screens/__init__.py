"""Where the screen of a terminal machine lives: a process that holds the pty and outlives whoever started it.

`base` is all that the rest knows of it; each other module is one way.
"""
