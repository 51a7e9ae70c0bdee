"""`manage.py up`: the whole of Countersign on one computer, in the foreground, ended by one Ctrl-C."""
