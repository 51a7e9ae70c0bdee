"""The four wires as a test server that plays stories; see server.py."""
